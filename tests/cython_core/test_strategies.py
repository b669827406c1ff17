"""The random Settings of other tests: valid by construction, in every category and mode, and at the edges too."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings

from cython_core.settings import MODES, RatingSettings, Settings, to_mapping
from tests.cython_core.strategies import GROUPS, range_in, settings

# edges of the declared range that no unit reaches, or hardly ever
CANNOT_BE = {
    "volt_var.v1_pu 1.01",  # either category ends at 0.98
    "volt_var.q2_pu -1.0",  # needs q3 = q4 = -1 as well
    "volt_var.q3_pu 1.0",  # needs q1 = q2 = 1 as well
    "limits.soc_min_pu 1.0",  # there is no soc_max above it
    "limits.soc_max_pu 0.0",
}
SEEN: Counter[tuple[str, str, object]] = Counter()


@hypothesis_settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(settings(f_nom=None))
def collect(s: Settings) -> None:
    """Settings() itself checks every range and tie: an invalid draw would raise here."""
    for group, values in to_mapping(s).items():
        SEEN.update((group, name, value) for name, value in values.items())


def test_every_word_mode_and_category_is_drawn_and_both_edges_of_most_numbers() -> None:
    SEEN.clear()
    collect()
    assert {mode for g, n, mode in SEEN if (g, n) == ("reactive", "mode")} == set(MODES)
    assert {c for g, n, c in SEEN if n == "abnormal_category"} == {"I", "II", "III"}
    missed = []
    for group, kind in GROUPS.items():
        for f in fields(kind):
            drawn = {value for g, n, value in SEEN if (g, n) == (group, f.name)}
            if "choices" in f.metadata:
                assert drawn == set(f.metadata["choices"]), f"{group}.{f.name}"
            elif "low" not in f.metadata:
                assert drawn == {True, False}, f"{group}.{f.name}"
            elif group != "rating" and not f.metadata["at_60_hz"]:
                edges = {f.metadata["low"], f.metadata["high"]}
                missed += [f"{group}.{f.name} {edge}" for edge in edges - drawn]
    assert len(set(missed) - CANNOT_BE) <= 4, missed  # of 200: some edges need several others beside them


@pytest.mark.parametrize("mode", MODES)
def test_categories_frequency_and_mode_can_be_asked_for(mode: str) -> None:
    @hypothesis_settings(max_examples=5, deadline=None, database=None)
    @given(settings(normal="A", abnormal="I", f_nom=50, mode=mode))
    def drawn(s: Settings) -> None:
        assert (s.rating.normal_category, s.rating.abnormal_category, s.rating.f_nom_hz) == ("A", "I", 50.0)
        assert s.reactive.mode == mode

    drawn()


# fmt: off
RANGES = [
    # abnormal  s           why
    ("I",       (2.0, 21.0), "Table 11"),
    ("III",     (2.0, 50.0), "Table 13 as widened by 1547a-2020"),
]
# fmt: on


@pytest.mark.parametrize(("abnormal", "allowed", "why"), RANGES, ids=[r[-1] for r in RANGES])
def test_a_number_is_drawn_from_the_range_of_its_category(
    abnormal: str, allowed: tuple[float, float], why: str
) -> None:
    assert range_in("voltage_trip", "uv1_s", RatingSettings(abnormal_category=abnormal)) == allowed
