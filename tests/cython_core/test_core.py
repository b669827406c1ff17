"""Core: pure and repeatable. Equal inputs give equal bits, in the loop, in a replay and after a restart."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cython_core.bulk import START_NS, STEP, from_bytes, stack
from cython_core.records import DeviceState, Measurement, Mode, Order, StepRecord, Wish
from cython_core.settings import Settings
from cython_core.step import Core, pack
from tests.cython_core.unit import Unit, settings

VV = {"olrt_s": 2.0}


def lively() -> Unit:
    """Two seconds in which every stage has something to do."""
    unit = Unit(volt_var=VV, freq_droop={"t_response_s": 0.5}, limits={"reverse_dwell_s": 0.3, "p_min_abs_w": 200.0})
    unit.wish(4000.0)
    unit.advance(0.5)
    unit.advance(0.3, f_hz=60.4, v_v=(243.0,))
    unit.wish(-2000.0)
    unit.advance(0.2, silence="meter", ap_limit=0.3)
    unit.step(k=7, f_hz=59.2)
    unit.advance(0.3, said={"p_max_discharge_w": 1000.0})
    unit.advance(0.5, f_hz=60.0, soc=float("nan"), said={})
    unit.advance(0.1, permit=0)
    unit.advance(0.1, permit=1)
    return unit


def raw_of(records: list[StepRecord]) -> bytes:
    return stack(records).tobytes()


# --- the same again ---


def test_the_same_inputs_give_the_same_bits() -> None:
    assert raw_of(lively().records) == raw_of(lively().records)


def test_replay_computes_the_same_bits_from_the_recorded_inputs() -> None:
    unit = lively()
    raw = raw_of(unit.records)
    again = Core(unit.core.settings, 0.01)
    assert bytes(again.replay(raw)) == raw
    assert again.state() == unit.core.state()


def test_replay_reads_only_inputs_time_and_k() -> None:
    """Whatever stands in the other fields is computed anew; lateness is copied."""
    unit = lively()
    rows = from_bytes(raw_of(unit.records))
    truth = rows.copy()
    inputs = {n for n in STEP.names or () if n[:2] in ("m_", "d_", "o_", "i_")} | {"t_ns", "k", "lateness_ns"}
    for name in set(STEP.names or ()) - inputs:
        rows[name] = 7
    rows["lateness_ns"] = truth["lateness_ns"] = np.arange(len(rows))
    assert bytes(Core(unit.core.settings, 0.01).replay(rows.tobytes())) == truth.tobytes()


@pytest.mark.parametrize("cut", [1, 51, 104, 150])
def test_a_replay_goes_on_from_any_state(cut: int) -> None:
    unit = lively()
    raw = raw_of(unit.records)
    first, second = Core(unit.core.settings, 0.01), Core(unit.core.settings, 0.01)
    first.replay(raw[: cut * STEP.itemsize])
    second.load(first.state())
    assert second.n == cut
    assert bytes(second.replay(raw[cut * STEP.itemsize :])) == raw[cut * STEP.itemsize :]


def test_other_settings_give_other_records() -> None:
    unit = lively()
    raw = raw_of(unit.records)
    other = Core(replace(unit.core.settings, volt_var=Settings().volt_var), 0.01)
    assert bytes(other.replay(raw)) != raw


def test_a_step_changes_nothing_but_its_own_state() -> None:
    one, two = Unit(wish_w=1000.0), Unit(wish_w=1000.0)
    for _ in range(10):
        one.step()
        two.step(f_hz=61.0)
        one.step()
    alone = Unit(wish_w=1000.0)
    alone.advance(0.2)
    assert raw_of(one.records) == raw_of(alone.records)


# --- state ---


def test_all_zero_is_a_valid_start() -> None:
    core = Core(settings(), 0.01)
    assert core.state() == bytes(len(core.state()))
    record = core.step(START_NS, Measurement(), DeviceState())
    assert (record.mode, record.p_cmd_w, record.q_cmd_var) == (Mode.SILENT, 0.0, 0.0)


@pytest.mark.parametrize("change", [-1, 1])
def test_a_state_of_another_size_is_refused(change: int) -> None:
    core = Core(settings(), 0.01)
    size = len(core.state())
    with pytest.raises(ValueError, match=f"a state of {size + change} bytes; this build has {size}"):
        core.load(bytes(size + change))


@pytest.mark.parametrize("period_s", [0.0, 0.0009, 0.1001, 1.0, -0.01, float("nan")])
def test_a_period_out_of_range_is_refused(period_s: float) -> None:
    with pytest.raises(ValueError, match=r"period_s = \S+ is outside 0.001 ... 0.1 s"):
        Core(settings(), period_s)


def test_half_a_record_is_refused() -> None:
    with pytest.raises(ValueError, match="17 bytes are not whole step records of"):
        Core(settings(), 0.01).replay(bytes(17))
    assert Core(settings(), 0.01).replay(b"") == b""


# --- the record ---


def test_a_record_holds_every_input_as_it_came() -> None:
    meter = Measurement(
        START_NS, START_NS - 1, START_NS - 2, 63, 60.1, 231.0, 232.0, 233.0, 500.0, 60.0, 1, 2, 3, 4, 5, 6
    )
    device = DeviceState(START_NS - 5, START_NS - 6, 1023, 1.0, 2.0, 3.0, 4000.0, 5000.0, 6.0, 7000.0, 0.5, 4, 3)
    order = Order(START_NS - 7, 1, 0, 0.75)
    wish = Wish(6, -1.0, 2.0, 1.5, 0.0, START_NS, START_NS + 10**9, 9)
    record = Core(settings(), 0.01).step(START_NS, meter, device, order, wish, 3)
    for prefix, given in (("m_", meter), ("d_", device), ("o_", order), ("i_", wish)):
        for name in given.__dataclass_fields__:
            assert getattr(record, prefix + name) == getattr(given, name), prefix + name
    assert (record.n, record.t_ns, record.k, record.skipped) == (0, START_NS, 3, 2)


def test_no_wish_is_source_minus_1_and_no_order_permits() -> None:
    record = Core(settings(), 0.01).step(START_NS, Measurement(), DeviceState())
    assert (record.i_source, record.o_permit, record.o_stop) == (-1, 1, 0)
    assert record.o_ap_limit_pu != record.o_ap_limit_pu


def test_pack_gives_one_word_a_field() -> None:
    assert len(pack(Order())) == 5 * 8
    assert len(pack(StepRecord())) == STEP.itemsize


# fmt: off
DIGEST = [
    # change                                       period_s  same   why
    ({},                                           0.01,     True,  "the same settings"),
    ({},                                           0.02,     False, "another period"),
    ({"freq_droop": {"k_of": 0.04}},               0.01,     False, "another droop"),
    ({"limits": {"soc_min_pu": 0.21}},             0.01,     False, "another battery limit"),
    ({"volt_watt": {"enable": True}},              0.01,     False, "a switch"),
    ({"reactive": {"mode": "off"}},                0.01,     False, "a choice"),
]
# fmt: on


@pytest.mark.parametrize(("change", "period_s", "same", "why"), DIGEST, ids=[c[-1] for c in DIGEST])
def test_every_record_names_its_settings(change: dict[str, Any], period_s: float, same: bool, why: str) -> None:
    reference = Core(settings(), 0.01)
    core = Core(settings(**change), period_s)
    assert (core.digest == reference.digest) == same, why
    assert core.step(START_NS, Measurement(), DeviceState()).settings_digest == core.digest
    assert 0 <= core.digest < 1 << 63
