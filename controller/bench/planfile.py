"""plan.json: a Plan as text and back, exactly.

Shapes   the dataclasses of plan.py key by key; a criterion is known by its `kind`. A number that JSON does not know
         (NaN: no limit any more) stands as the word "nan".
Errors   PlanError: file, where in it, what is allowed. A newer schema is refused, an older one read.
"""

from __future__ import annotations

import json
import math
import re
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, asdict, fields, is_dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from controller.bench.plan import Case, Criterion, Plan, Value
from controller.errors import InputError

SCHEMA = 1
FOLDER = re.compile(r"(?!\.{1,2}$)[^/\x00-\x1f]+")
KINDS = {str(get_type_hints(c)["kind"].__args__[0]): c for c in get_args(Criterion)}


class PlanError(InputError):
    """A plan cannot be read: it was written by hand, or by a newer program."""


def plan_text(plan: Plan) -> str:
    """The plan as JSON; equal plans give equal bytes."""
    return json.dumps(plain(asdict(plan)), indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def write_plan(path: Path, plan: Plan) -> None:
    path.write_text(plan_text(plan), encoding="utf-8")


def read_plan(path: Path) -> Plan:
    """PlanError names the first thing that is wrong."""
    try:
        return plan_of(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise PlanError(f"{path}: cannot be read: {error}") from None


def plan_of(text: str, file: str) -> Plan:
    """The plan of a text; file: for the messages."""
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PlanError(f"{file}: is not JSON: {error}") from None
    schema = tree.get("schema") if isinstance(tree, dict) else None
    if isinstance(schema, int) and schema > SCHEMA:
        raise PlanError(f"{file}: schema = {schema} is newer than this program, which reads up to {SCHEMA}: update it")
    plan = decode(Plan, tree, f"{file}: plan")
    assert isinstance(plan, Plan)
    for mistake in mistakes_in_ids(plan.cases):
        raise PlanError(f"{file}: {mistake}")
    return plan


def mistakes_in_ids(cases: Sequence[Case]) -> Iterator[str]:
    """A case's id is the folder of its record, which a new try empties."""
    known: set[str] = set()
    for case in cases:
        if case.id in known:
            yield f"case '{case.id}' is there twice: name a procedure once, your own file otherwise than a shipped one"
        if not FOLDER.fullmatch(case.id):
            yield f"case '{case.id}': no name of a folder: no / in its rows"
        known.add(case.id)


def plain(value: Any) -> Any:
    """What JSON can hold of it."""
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(one) for one in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def decode(kind: Any, value: Any, where: str) -> Any:
    """value as this type. PlanError when it is none."""
    if is_dataclass(kind):
        return decode_group(kind, value, where)
    if kind == Criterion:
        name = value.get("kind") if isinstance(value, dict) else None
        if name not in KINDS:
            raise PlanError(f"{where}.kind = {name!r} is not one of {', '.join(KINDS)}")
        return decode_group(KINDS[name], value, where)
    if kind == Value:
        return decode(type(value) if isinstance(value, (bool, str)) else float, value, where)
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):  # only `float | None` and `bool | None` are left
        return None if value is None else decode(args[0], value, where)
    if origin is Literal:
        return one_of(args, value, where)
    if origin is tuple:
        return decode_tuple(args, value, where)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(one_of(tuple(kind), value, where))
    if origin is not None and issubclass(origin, Mapping):
        return {key: decode(args[1], one, f"{where}.{key}") for key, one in group(value, where).items()}
    return decode_value(kind, value, where)


@cache
def hints_of(kind: Any) -> dict[str, Any]:
    """Types of a dataclass's fields: a plan has thousands of each."""
    return get_type_hints(kind)


def decode_group(kind: Any, value: Any, where: str) -> Any:
    """One dataclass: unknown keys and missing ones are refused."""
    hints, entries = hints_of(kind), group(value, where)
    for key in entries:
        if key not in hints:
            raise PlanError(f"{where}: unknown key '{key}'; known: {', '.join(hints)}")
    for f in fields(kind):
        if f.name not in entries and f.default is MISSING and f.default_factory is MISSING:
            raise PlanError(f"{where}: missing key '{f.name}'")
    return kind(**{key: decode(hints[key], one, f"{where}.{key}") for key, one in entries.items()})


def decode_tuple(args: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    """tuple[X, ...] of any length, or tuple[X, Y] of its own."""
    if not isinstance(value, list):
        raise PlanError(f"{where} = {value!r} is not a list")
    kinds = [args[0]] * len(value) if args[-1] is Ellipsis else list(args)
    if len(kinds) != len(value):
        raise PlanError(f"{where} holds {len(value)} values instead of {len(kinds)}")
    return tuple(decode(kind, one, f"{where}[{n}]") for n, (kind, one) in enumerate(zip(kinds, value, strict=True)))


def decode_value(kind: type, value: Any, where: str) -> Any:
    """A float, int, str or bool."""
    if kind is float and value in ("nan", "inf", "-inf"):
        return float(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not kind:
        raise PlanError(f"{where} = {value!r} is not a {kind.__name__}")
    return value


def one_of(choices: tuple[Any, ...], value: Any, where: str) -> Any:
    if value not in choices:
        raise PlanError(f"{where} = {value!r} is not one of {', '.join(choices)}")
    return value


def group(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise PlanError(f"{where} = {value!r} is not a group of keys")
    return value
