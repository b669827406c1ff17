"""The simulated inverter's own functions on the virtual rig: told through registers, judged by what it feeds in.

A right one passes; one whose slope, response or reference is wrong fails at the step that shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import pytest

from controller.bench.inverterunit import InverterUnit
from controller.bench.judge import judge_case
from controller.bench.judgement import CaseJudgement, Verdict
from controller.bench.ownfit import fitted_case
from controller.bench.owninverter import Own, OwnFunctions, own_rig
from controller.bench.plan import Case
from controller.bench.ports import RigError
from controller.bench.runner import run_case
from controller.bench.virtual import VirtualRig
from drivers.base import BusError
from drivers.sim.sunspec_unit import SunSpecUnit
from tests.conformance.bench import Memory, case_of
from tests.controller.bench.golden import EUT, cases

RIGHT = (
    "constant_pf-max_absorb", "constant_q-max_inject-charge", "freq_droop_above-char_1-66",
    "freq_droop_below-char_1-charge_50", "limit_active_power-33", "prioritisation-p2_20-volt_var",
    "volt_var-char_2-discharge-100", "volt_var_vref-300", "volt_watt-char_3-discharge-66", "volt_watt_above_droop",
    "watt_var-char_1-charge",
)  # fmt: skip


def judged(case: Case, rig: VirtualRig) -> CaseJudgement:
    memory = Memory()
    with rig.open(case) as ports:
        run_case(case, ports, memory)
    return judge_case(case, EUT, memory.record())


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_inverter_passes(name: str) -> None:
    found = judged(fitted_case(case_of(EUT, name), EUT), own_rig(EUT, 1))
    assert found.verdict is Verdict.PASS, [c for c in found.checks if c.verdict is Verdict.FAIL] or found.reasons


# ---- wrong ones ----


def spoiled(spoil: Callable[[SunSpecUnit], None], phases: int, period_s: float) -> OwnFunctions:
    """An inverter that reads its registers wrongly, whenever they change."""
    brain = OwnFunctions(EUT, Own(), phases, period_s)
    right = brain.face.own.read

    def wrong() -> None:
        right()
        spoil(brain.face)

    brain.face.own.read = wrong  # type: ignore[method-assign]  # a fault made by hand
    return brain


def q_slope(face: SunSpecUnit) -> None:
    face.own.curves[705] = [(v, 1.4 * q) for v, q in face.own.curves[705]]


def q_slow(face: SunSpecUnit) -> None:
    face.own.numbers[705]["RspTms"] *= 3.0


def no_v_ref(face: SunSpecUnit) -> None:
    face.own.numbers[705]["VRefAutoEna"] = 0.0


def droop_slope(face: SunSpecUnit) -> None:
    face.own.numbers[711]["KOf"] *= 2.0


# fmt: off
WRONG = [
    # case                           what is wrong  first step, kind     why
    ("volt_var-char_2-discharge-100", q_slope,      "g", "steady",       "44 % x 1.4: beyond 750 var at saturation"),
    ("volt_var-char_2-discharge-100", q_slow,       "h", "response",     "90 % after 3 s instead of 1 s"),
    ("volt_var_vref-300",             no_v_ref,     "high", "inside",    "Q never goes back to 0"),
    ("freq_droop_above-char_1-66",    droop_slope,  "k", "steady",       "half the power is taken back"),
]
# fmt: on


@pytest.mark.parametrize(("name", "spoil", "step", "kind", "why"), WRONG, ids=[w[-1] for w in WRONG])
def test_a_wrong_inverter_fails(
    name: str, spoil: Callable[[SunSpecUnit], None], step: str, kind: str, why: str
) -> None:
    found = judged(fitted_case(case_of(EUT, name), EUT), replace(own_rig(EUT, 1), brain=partial(spoiled, spoil)))
    failed = [(c.step, c.kind) for c in found.checks if c.verdict is Verdict.FAIL]
    assert failed[:1] == [(step, kind)], (why, found.reasons)


def test_half_the_gain_fails() -> None:
    found = judged(fitted_case(case_of(EUT, "volt_watt-char_1-discharge-66"), EUT), own_rig(EUT, 1, own=Own(gain=0.5)))
    assert found.verdict is Verdict.FAIL


# ---- through the registers ----


def test_settings_are_read_back_from_the_registers() -> None:
    case = fitted_case(cases("volt_var")["volt_var-char_1-discharge-100"], EUT)
    with own_rig(EUT, 1).open(case) as rig:
        rig.source.on(case.start.point)
        assert rig.unit.write(case.settings) == case.settings
        assert "simulated inverter" in rig.unit.identity()


def test_what_the_registers_cannot_hold_is_rig_trouble() -> None:
    case = fitted_case(cases("volt_var")["volt_var-char_1-discharge-100"], EUT)
    with own_rig(EUT, 1).open(case) as rig, pytest.raises(RigError, match=r"volt_var\.v1_pu = .* model 705"):
        rig.unit.write({**case.settings, "volt_var.v1_pu": 0.92345})


def test_an_inverter_alone_plays_no_faults() -> None:
    case = fitted_case(cases("volt_var")["volt_var-char_1-discharge-100"], EUT)
    with own_rig(EUT, 1).open(case) as rig, pytest.raises(RigError, match="nothing stands between"):
        rig.unit.fault("at 0s: meter.silent")


def test_it_is_stopped_although_its_power_cannot_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Permit off is 0 W and stop; where the first is refused, the second must still be told."""
    case = fitted_case(cases("volt_var")["volt_var-char_1-discharge-100"], EUT)
    with own_rig(EUT, 1).open(case) as rig:
        unit = rig.unit
        assert isinstance(unit, InverterUnit)
        rig.source.on(case.start.point)
        unit.demand(5000.0)
        rig.clock.wait_until(rig.clock.now_ns() + 10**9)
        assert rig.meter.read().p_w > 4900.0
        port, control = unit.wire.port, unit.control
        wire_write = port.write

        def refuse_power(address: int, words: Sequence[int]) -> None:
            if address == control.address("WSetEna"):
                raise BusError("writing 704: device busy")
            wire_write(address, words)

        monkeypatch.setattr(port, "write", refuse_power)
        with pytest.raises(BusError, match="device busy"):
            unit.permit(False)
        rig.clock.wait_until(rig.clock.now_ns() + 2 * 10**9)
        assert abs(rig.meter.read().p_w) < 10.0
