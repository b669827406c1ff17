"""`v2g settings set`: one line of a user's file, checked as the program would read it, and replaced in one step.

Errors   InputError: what the result would be refused for, at its line; the file stays as it was.
"""

from __future__ import annotations

import json
import math
import os
import re
from importlib import resources
from pathlib import Path
from typing import Any

from controller.errors import InputError
from controller.settings.edit import Change, changed
from controller.settings.keys import need_setting, shown, unit_of
from controller.settings.profile import yaml_value
from controller.settings.source import load, locate, read_text
from cython_core.checks import FIELDS
from cython_core.settings import Settings
from drivers.yamlfile import INTEGER


def set_in_file(file: Path, name: str, value: str, dry_run: bool) -> str:
    """Write a candidate beside the file, load it as the program would, and only then put it in the file's place."""
    path = own_file(locate(file))
    group, key = need_setting(name)
    text = read_text(path, "utf-8")
    try:
        change = changed(text, group, key, as_written(group, key, value))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    before, was_late = value_before(path, group, key, change)
    added = len(change.text.splitlines()) - len(text.splitlines())
    after = shown(value_of(checked(path, change.text, not dry_run, was_late, change.line, added), group, key))
    unit = unit_of(FIELDS[group][key])
    did = "checked, not written" if dry_run else "written"
    return f"{group}.{key}: {before} -> {after} {unit}".rstrip() + f" ({path}:{change.line}, {did})"


def checked(path: Path, text: str, write: bool, was_late: bool, line: int = 0, added: int = 0) -> Settings:
    """The settings of this text in the file's place; with write it takes that place, in one step.

    was_late: the site misses a response time already; else a change that makes it late is refused. added: lines that
    the file does not have, up to this one; complaints about those behind it are told at the file's own.
    """
    candidate = path.with_name(f".{path.stem}.{os.getpid()}.yaml")
    try:
        with candidate.open("w", encoding="utf-8", newline="") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        candidate.chmod(path.stat().st_mode & 0o777)
        source = load(candidate)
        if source.late and not was_late:
            raise InputError(source.late)
        if write:
            candidate.replace(path)
        return source.settings
    except InputError as error:
        own = re.sub(
            rf"(?m)^{re.escape(str(candidate))}:(\d+):",
            lambda at: f"{path}:{int(at[1]) - added * (int(at[1]) > line > 0)}:",
            str(error),
        )
        raise InputError(own.replace(str(candidate), str(path))) from None
    finally:
        candidate.unlink(missing_ok=True)


def value_of(settings: Settings, group: str, key: str) -> Any:
    return getattr(getattr(settings, group), key)


def own_file(path: Path) -> Path:
    """The user's file itself, behind a link; a file of the package is refused."""
    real = path.resolve()
    if real.is_relative_to(Path(str(resources.files("config"))).resolve()):
        raise InputError(f"{path} came with the package: copy it to /etc/v2g and change the copy")
    if real.suffix not in (".yaml", ".yml"):
        raise InputError(f"{path} is no YAML file of settings; `v2g settings import` makes a profile of other files")
    return real


def as_written(group: str, key: str, value: str) -> str:
    """The value as YAML reads it; what is no value of this setting is quoted, for the reader of the file to refuse."""
    meta = FIELDS[group][key].metadata
    if "choices" in meta and value in meta["choices"]:
        return yaml_value(value)
    if "choices" not in meta and "low" not in meta and value in ("true", "false"):
        return value
    if "low" in meta and (INTEGER.fullmatch(value) or re.fullmatch(r"[-+]?[0-9]+\.[0-9]+", value)):
        return value
    try:
        return yaml_value(float(value)) if "low" in meta and math.isfinite(float(value)) else json.dumps(value)
    except ValueError:
        return json.dumps(value)


def value_before(path: Path, group: str, key: str, change: Change) -> tuple[str, bool]:
    """What was in force and whether the site was late; of a file that is wrong now, what stands in it."""
    try:
        source = load(path)
        return shown(value_of(source.settings, group, key)), bool(source.late)
    except InputError:
        return change.before or "(the file was wrong)", False
