"""Stores by choice: what a site's `telemetry.store` says -> the store, opened."""

from __future__ import annotations

from pathlib import Path

from controller.errors import InputError
from controller.sitedata import StoreSite
from controller.telemetry.sqlitestore import SPARE_S, SqliteStore
from controller.telemetry.store import Store


def make_store(choice: StoreSite | None, state_dir: Path, spare_s: float = SPARE_S) -> Store:
    """spare_s: of SqliteStore. InputError, DatabaseRefusedError. influxdb-client is imported only where needed."""
    if choice is None or choice.kind == "sqlite":
        choice = choice or StoreSite(kind="sqlite")
        path = choice.sqlite_path or state_dir / "telemetry.sqlite"
        return SqliteStore(path, choice.keep_days, choice.max_mb, spare_s)
    from controller.telemetry.httpstore import HttpStore
    from controller.telemetry.quarantine import Quarantine
    from controller.telemetry.targets import target_of

    target = target_of(choice, secret_of(choice))
    return HttpStore(target, Quarantine(state_dir / "quarantine.sqlite"))


def secret_of(choice: StoreSite) -> str:
    """The contents of its token file, or nothing. Raises InputError, which never quotes it."""
    try:
        text = choice.token_file.read_text().strip() if choice.token_file else ""
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{choice.token_file}: the store's token cannot be read: {error}") from None
    if not (text.isprintable() and (text.isascii() or choice.kind == "influx1")):  # that one is sent in base64
        raise InputError(f"{choice.token_file}: does not hold one line of ASCII, the store's token alone")
    return text
