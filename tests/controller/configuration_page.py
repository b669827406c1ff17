"""The tables of docs/configuration.md, from the declared keys: `python -m tests.controller.configuration_page`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from controller.sitedata import (
    MQTT_KEYS,
    PROFILE_KEYS,
    REMOTE_KEYS,
    SITE_KEYS,
    TELEMETRY_KEYS,
    MqttSite,
    Profile,
    RemoteSite,
    Site,
    TelemetrySite,
    groups,
)
from controller.sitewrite import of_unit, written
from cython_core.settings import Settings
from drivers.yamlkeys import Meta, allowed, keys_of, kind_of

PAGE = Path(__file__).parents[2] / "docs/configuration.md"
MARK = "<!-- keys: python -m tests.controller.configuration_page -->\n"
HEAD = ("key", "default", "allowed, and what it is")
# those whose keys hold lists or keys of their own; of all others the fields say it
DECLARED: dict[type[Any], Mapping[str, Meta]] = {
    Site: SITE_KEYS,
    TelemetrySite: TELEMETRY_KEYS,
    MqttSite: MQTT_KEYS,
    RemoteSite: REMOTE_KEYS,
    Profile: PROFILE_KEYS,
}


def tables() -> str:
    """Everything below the mark."""
    return (
        "\n".join(["", "## Site and profile", "", *site_lines(), "## Settings", "", *settings_lines()]).rstrip() + "\n"
    )


def site_lines() -> Iterator[str]:
    profile: tuple[tuple[str, ...], type[Any]] = (("A profile",), Profile)
    for place, kind in (*groups(), profile):
        title = " ".join(f"`{name}:`" if name.isidentifier() else name for name in place) or "The file itself"
        yield from (f"### {title}", "", sentence(kind), "")
        keys = DECLARED.get(kind, keys_of(kind))
        yield from rows((name, default_of(kind, name, meta), meta) for name, meta in keys.items())


def settings_lines() -> Iterator[str]:
    settings = Settings()
    for group in dataclasses.fields(settings):
        chosen = getattr(settings, group.name)
        yield from (f"### `{group.name}:`", "", sentence(type(chosen)), "")
        fields = dataclasses.fields(chosen)
        yield from rows(
            (f.name, written(getattr(chosen, f.name)), of_unit(f.metadata, settings.rating)) for f in fields
        )


def sentence(kind: type[Any]) -> str:
    """What the group's declaration says of it."""
    return " ".join((kind.__doc__ or "").partition("\n\n")[0].split())


def default_of(kind: type[Any], name: str, meta: Meta) -> str:
    known: Mapping[str, Any] = {f.name: f.default for f in dataclasses.fields(kind)}
    value = known.get(name, dataclasses.MISSING)
    if meta.get("required"):
        return "required"
    return "" if value is dataclasses.MISSING or value in (None, "", ()) else written(value)


def rows(keys: Iterator[tuple[str, str, Meta]]) -> Iterator[str]:
    """A table, and an empty line."""
    yield f"| {' | '.join(HEAD)} |"
    yield "| --- | --- | --- |"
    for name, default, meta in keys:
        text = allowed(meta, brief=True)
        if kind_of(meta) == "group":
            text = "keys of its own" if "own keys" in text else f"keys of its own: {text}"
        text = text.replace("|", "\\|")
        yield f"| `{name}` | {default} | {text} |"
    yield ""


def page_with(text: str) -> str:
    """The page with its tables renewed."""
    head, mark, _ = text.partition(MARK)
    assert mark, f"{PAGE}: the line {MARK!r} is not there"
    return head + mark + tables()


if __name__ == "__main__":
    PAGE.write_text(page_with(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
