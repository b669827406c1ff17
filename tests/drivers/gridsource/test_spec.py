"""From the keys of a rig file to a source."""

from __future__ import annotations

from dataclasses import replace

import pytest

from drivers.base import DriverError
from drivers.gridsource.manual import ManualSource
from drivers.gridsource.point import GridPoint
from drivers.gridsource.scpi import ScpiSource
from drivers.gridsource.spec import SourceSpec, banner, open_source

NOMINAL = GridPoint(240.0, 240.0, 240.0, 60.0)
SPEC = SourceSpec(kind="scpi", phases=1, profile="simulated", address="tcp://127.0.0.1:5025")

# fmt: off
REFUSED = [
    # changed                                                   said
    ({"profile": ""},                                           "needs `profile` and `address`"),
    ({"address": ""},                                           "needs `profile` and `address`"),
    ({"profile": "nobodys"},                                    "unknown profile 'nobodys'; known: "),
    ({"profile": "chroma-61800"},                               "chroma-61800 is unverified"),
    ({"accept_unverified": "pacific-upc"},                      "accept_unverified = pacific-upc is not the profile"),
    ({"address": "5025"},                                       "address = 5025; allowed: tcp://HOST:PORT"),
    ({"phases": 2},                                             "no lines for 2 phases; allowed: 1 or 3"),
]
# fmt: on


@pytest.mark.parametrize(("changed", "said"), REFUSED, ids=[c[-1] for c in REFUSED])
def test_what_is_refused(changed: dict[str, str], said: str) -> None:
    with pytest.raises(DriverError, match=said):
        open_source(replace(SPEC, **changed), NOMINAL)  # type: ignore[arg-type]  # one table for keys of two types


def test_each_kind_is_opened() -> None:
    assert isinstance(open_source(SPEC, NOMINAL), ScpiSource)
    assert isinstance(open_source(SourceSpec(kind="manual", phases=3), NOMINAL), ManualSource)
    accepted = replace(SPEC, profile="pacific-upc", accept_unverified="pacific-upc")
    assert isinstance(open_source(accepted, NOMINAL), ScpiSource)


def test_an_unverified_profile_is_named_before_it_is_used() -> None:
    assert banner(SPEC) == banner(SourceSpec(kind="manual", phases=1)) == ""
    assert banner(replace(SPEC, profile="pacific-upc")).startswith("UNVERIFIED GRID SIMULATOR PROFILE pacific-upc")
