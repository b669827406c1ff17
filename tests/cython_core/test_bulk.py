"""Virtual time: a table in, step records out. One row a step, every input fresh, the demand as a wish of the bench."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cython_core.bulk import START_NS, STEP, from_bytes, run, stack
from cython_core.records import NAN, Mode, Reason, State, WishSource
from cython_core.step import Core
from tests.cython_core.unit import settings


def core(**groups: Any) -> Core:
    return Core(settings(**groups), 0.01, in_service=True)


def table(n: int, **columns: Any) -> dict[str, Any]:
    base = {"f_hz": 60.0, "v_pu": 1.0, "p_demand_w": 2000.0}
    return {name: np.full(n, value) if np.isscalar(value) else value for name, value in {**base, **columns}.items()}


# fmt: off
WRONG = [
    # table                                             message                                     why
    ({"f_hz": [60.0]},                                  r"missing columns \['p_demand_w', 'v_pu'\]", "missing"),
    (table(2, f_hzz=60.0),                              r"unknown columns \['f_hzz'\]",              "misspelt"),
    (table(2, v_pu=[1.0]),                              r"shape \(1,\), f_hz has \(2,\)",            "too short"),
    (table(2, permit=[1.0, 1.0, 1.0]),                  r"column permit has the shape \(3,\)",       "too long"),
    (table(2, v_pu=[[1.0, 1.0]]),                       r"column v_pu has the shape \(1, 2\)",       "two dimensions"),
]
# fmt: on


@pytest.mark.parametrize(("columns", "message", "why"), WRONG, ids=[c[-1] for c in WRONG])
def test_a_wrong_table_is_refused(columns: dict[str, Any], message: str, why: str) -> None:
    with pytest.raises(ValueError, match=message):
        pytest.fail(f"{why}: {core().run(columns)}")


def test_the_message_names_the_known_columns() -> None:
    with pytest.raises(ValueError, match=r"known: \['f_hz', 'v_pu', 'p_demand_w', 'permit', 'ap_limit_pu'\]"):
        core().run({})


def test_an_empty_table_gives_no_records() -> None:
    assert len(core().run(table(0))) == 0


def test_one_row_a_step_one_period_apart() -> None:
    rows = core().run(table(100, t_s=np.linspace(5.0, 6.0, 100)))  # t_s is not read
    assert rows.dtype == STEP
    assert list(rows["n"]) == list(range(100))
    assert list(np.diff(rows["t_ns"])) == [10_000_000] * 99
    assert rows["t_ns"][0] == START_NS
    assert set(rows["k"]) == {1}


def test_power_starts_at_the_first_demand_in_service() -> None:
    rows = core().run(table(10, p_demand_w=-3000.0))
    assert set(rows["p_cmd_w"]) == {-3000.0}
    assert set(rows["state"]) == {int(State.IN_SERVICE)}
    assert set(rows["mode"]) == {int(Mode.ACTIVE)}
    assert set(rows["w_source"]) == {int(WishSource.BENCH)}


@pytest.mark.parametrize(("demand_w", "p_w"), [(99999.0, 10000.0), (-99999.0, -8000.0)])
def test_a_demand_beyond_the_rating_is_clipped(demand_w: float, p_w: float) -> None:
    assert set(core().run(table(10, p_demand_w=demand_w))["p_cmd_w"]) == {p_w}


# fmt: off
COLUMNS = [
    # columns                      field        last     why
    ({"f_hz": 60.5},               "f_hz",      60.5,    "frequency arrives"),
    ({"v_pu": 1.05},               "v_pu",      1.05,    "voltage in pu of V_nom"),
    ({"v_pu": 1.05},               "m_v1_v",    241.5,   "and in volts in the record"),
    ({"permit": 0.0},              "p_cmd_w",   0.0,     "permit"),
    ({"ap_limit_pu": 0.1},         "p_cmd_w",   1000.0,  "active power limit, after its ramp"),
    ({"p_demand_w": -500.0},       "w_p_w",     -500.0,  "demand"),
    ({"f_hz": 59.0},               "p_cmd_w",   5213.33, "droop answers: + 3213.3 W"),
]
# fmt: on


@pytest.mark.parametrize(("columns", "field", "value", "why"), COLUMNS, ids=[c[-1] for c in COLUMNS])
def test_what_a_column_does(columns: dict[str, Any], field: str, value: float, why: str) -> None:
    rows = core().run(table(3000, **columns))
    assert rows[field][-1] == pytest.approx(value, abs=0.01), why


def test_a_cell_without_a_number_is_a_missing_reading() -> None:
    f_hz = np.full(200, 60.0)
    f_hz[50:] = NAN
    rows = core().run(table(200, f_hz=f_hz))
    assert rows["reasons"][49] & Reason.F_INVALID == 0
    assert rows["reasons"][50] & Reason.F_INVALID
    assert rows["fresh_f"][-1] == 2  # 1.5 s old: stale


def test_a_table_may_begin_without_a_demand() -> None:
    """Nobody wishes for anything: from 0 W; and the demand that comes is answered."""
    rows = core().run(table(300, p_demand_w=np.r_[NAN, np.full(299, 1000.0)]))
    assert (rows["p_cmd_w"][0], rows["p_cmd_w"][-1]) == (pytest.approx(0.0, abs=20.0), 1000.0)


def test_a_demand_outlives_the_lifetime_of_its_wish() -> None:
    rows = core(default_wish={"wish_lifetime_s": 1.0}).run(table(1000))
    assert not np.any(rows["reasons"] & int(Reason.DEFAULT_WISH | Reason.WISH_REFUSED))
    assert set(rows["p_cmd_w"]) == {2000.0}


def test_two_halves_are_the_whole() -> None:
    columns = table(400, f_hz=np.linspace(59.5, 60.5, 400), p_demand_w=np.repeat([2000.0, -1000.0], 200))
    whole, halves = core(), core()
    expected = whole.run(columns)
    parts = [halves.run({name: column[at] for name, column in columns.items()}) for at in (slice(200), slice(200, 400))]
    got = np.concatenate(parts)
    outputs = [n for n in STEP.names or () if not n.startswith("i_") and n != "w_seq"]  # the demand is wished anew
    assert all(np.array_equal(got[n], expected[n], equal_nan=got[n].dtype.kind == "f") for n in outputs)
    assert whole.n == halves.n == 400


def test_run_is_bulk_run() -> None:
    assert run(core(), table(50)).tobytes() == core().run(table(50)).tobytes()


def test_a_table_replays_to_the_same_bits() -> None:
    rows = core().run(table(500, f_hz=np.linspace(59.0, 61.0, 500)))
    again = core()
    again.assume_power(2000.0)
    assert bytes(again.replay(rows.tobytes())) == rows.tobytes()


def test_raw_records_and_rows_are_the_same_bytes() -> None:
    raw = core().run(table(20)).tobytes()
    assert from_bytes(raw).tobytes() == raw
    rows = from_bytes(raw)
    rows["n"] += 1  # a copy of one's own
    assert len(stack([])) == 0
