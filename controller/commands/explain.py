"""What a setting, a reasons bit, a state or an EPRI name means."""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Iterator

from controller.settings.explain import Topic, explain, names, texts
from cython_core.checks import FIELDS
from cython_core.records import Reason, Region, State, Trip

WIDTH = 80


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "key",
        nargs="?",
        metavar="KEY",
        help="group.name or name of a setting, a group, an EPRI name, a reason, a state, a region, a trip element, "
        "or the number in a record's reasons; none: a list of all keys",
    )
    parser.add_argument("--json", action="store_true", help="for programs: a JSON list on stdout")


def run(args: argparse.Namespace) -> int:
    """0: explained; an unknown key is an InputError."""
    if args.key is None:
        print(json.dumps(names(), indent=1) if args.json else "\n".join(everything()))
        return 0
    topics = explain(args.key)
    if args.json:
        print(json.dumps([topic.as_json() for topic in topics], indent=1))
    else:
        print("\n\n".join("\n".join(page(topic)) for topic in topics) or "no bit is set: nothing bound")
    return 0


def page(topic: Topic) -> Iterator[str]:
    """One meaning in 80 columns."""
    yield f"{topic.name} ({topic.kind})"
    yield from textwrap.wrap(topic.what, WIDTH, initial_indent="  ", subsequent_indent="  ")
    wide = max((len(what) for what, _ in topic.rows), default=0) + 4
    for what, text in topic.rows:
        yield from textwrap.wrap(
            text, WIDTH, initial_indent=f"  {what}".ljust(wide), subsequent_indent=" " * wide, break_on_hyphens=False
        )


def everything() -> Iterator[str]:
    """Every key with its one line."""
    for group, keys in FIELDS.items():
        yield f"\n{group}" if group != next(iter(FIELDS)) else group
        for key in keys:
            text = texts()["settings"][f"{group}.{key}"]
            yield from textwrap.wrap(text, WIDTH, initial_indent=f"  {key:<21}", subsequent_indent=" " * 23)
    for title, kind in (("reasons", Reason), ("states", State), ("regions", Region), ("trip elements", Trip)):
        listed = ", ".join(str(member.name) for member in kind)
        yield from textwrap.wrap(listed, WIDTH, initial_indent=f"\n{title}: ", subsequent_indent="  ")
    yield "\nMore on one: v2g explain KEY. EPRI names and numbers of reasons are keys too."
