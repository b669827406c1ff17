"""The frame parsers under libFuzzer with sanitizers of addresses and undefined behaviour, and proof that it can fail.

No crash, no read outside the bytes, no accepted frame with a wrong CRC, transaction, unit or length, no CAN field off
its place: tests/fuzz/harness and can_frames state what must hold of each answer.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.__main__ import FOLDER, SEEDS, TARGETS, fuzz
from tests.fuzz.build import BuildError, built
from tests.need import missing

SMOKE_S = 18
NIGHT_S = 30 * 60
LEAST_EDGES = 15  # a target that reaches nothing proves nothing


@pytest.fixture(scope="module")
def tree() -> Path:
    try:
        return built(FOLDER)
    except BuildError as error:
        missing("libFuzzer", str(error))


@pytest.mark.parametrize("target", TARGETS)
def test_a_short_run(tree: Path, target: str) -> None:
    survives(tree, target, SMOKE_S // len(TARGETS))


@pytest.mark.nightly
@pytest.mark.parametrize("target", TARGETS)
def test_a_long_run(tree: Path, target: str) -> None:
    survives(tree, target, NIGHT_S // len(TARGETS))


def survives(tree: Path, target: str, seconds: int) -> None:
    outcome = fuzz(tree, target, seconds)
    assert not outcome.broke, outcome.report[-4000:]
    assert outcome.edges >= LEAST_EDGES
    assert outcome.runs > len(list((SEEDS / target).iterdir()))  # more than its seeds


BROKEN = [
    # target              what is reported           why
    ("reads_too_far", "heap-buffer-overflow", "one byte behind the input"),
    ("accepts_anything", "AddressSanitizer: ABRT", "a frame that no parser may accept"),
    ("misreads_a_field", "AddressSanitizer: ABRT", "a CAN field read one bit beside its place"),
]


@pytest.mark.parametrize(("target", "reported", "why"), BROKEN, ids=[c[-1] for c in BROKEN])
def test_what_is_broken_is_found(tree: Path, target: str, reported: str, why: str) -> None:
    outcome = fuzz(tree, target, 10)
    assert outcome.broke, why
    assert reported in outcome.report
