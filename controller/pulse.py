"""What the step records of a shadow and of a pulse tell. Pure: records in, numbers out.

Views     the inverter by its own word, and the meter; each reading once, when it was new.
Meter     at the house connection the house's load is in it: it is judged only where that load stood still.
Faults    in words, a line each: sign, scale (a factor of 10 is named), a set-point that is not read back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from controller.plantcard import FAILED, PASSED, UNTESTED, CardPulse
from controller.plantrun import Plant, PlantRun
from controller.stepresponse import (
    NO_RESPONSE,
    TOLERANCE,
    Floats,
    Response,
    fit_response,
    interval_s,
    level_w,
    renewed,
    scale_fault,
)
from cython_core.records import NAN
from drivers.can.bus import Device as OnCan
from drivers.can.statistics import CanStats
from drivers.modbus.bus import Device

Steps = NDArray[Any]
FITS = 0.2  # of the pulse: what the model may leave
SETTLED = 0.6  # of a pulse: from here on its level counts
REST_STEPS = 20  # a command that has been the same for so long rests
MOVING_READINGS = 5  # fewer show no refresh


@dataclass(frozen=True, slots=True)
class Pulse:
    """One pulse. NaN: not seen. meter_judged: False where it sees a house whose load moves."""

    name: str
    faults: tuple[str, ...] = ()
    why: str = ""  # it was not tested
    commanded_w: float = NAN
    inverter_w: float = NAN
    meter_w: float = NAN
    meter_judged: bool = True
    response: Response = NO_RESPONSE
    times_ms: dict[str, float] = field(default_factory=dict)

    @property
    def result(self) -> str:
        """As the card says it."""
        if self.why:
            return UNTESTED
        return FAILED if self.faults else PASSED

    def card(self) -> CardPulse:
        why = self.why or "; ".join(self.faults)
        known = {name: getattr(self, name) for name in ("commanded_w", "inverter_w", "meter_w")}
        return CardPulse(result=self.result, why=why, **{n: v for n, v in known.items() if math.isfinite(v)})


def untested(name: str, why: str) -> Pulse:
    return Pulse(name, why=why)


def first_of_each(steps: Steps, t_name: str) -> Steps:
    """The steps in which a reading was new: its time differs from the step before, and is known."""
    t_ns = steps[t_name]
    return steps[np.concatenate(([True], np.diff(t_ns) != 0)) & (t_ns > 0)]


def refresh_s(steps: Steps) -> float:
    """The mean time between new values of the meter's liveliest quantity; NaN: nothing has moved.

    One quantity at a time: two that come by different requests may show one refresh in two polls.
    """
    found = []
    for t_name, name in (("m_t_f_ns", "m_f_hz"), ("m_t_v_ns", "m_v1_v"), ("m_t_p_ns", "m_p_w")):
        answers = first_of_each(steps, t_name)
        found.append(interval_s(answers[t_name][renewed(answers[name])]))
    return min((seconds for seconds in found if math.isfinite(seconds)), default=NAN)


def rounds(t_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """One time a round: a state's time moves with each of the round's requests; the rest between rounds is longest."""
    gaps = np.diff(t_ns)
    return t_ns[np.concatenate(([True], gaps > np.percentile(gaps, 90) / 2))] if len(gaps) else t_ns


def of_shadow(run: PlantRun) -> dict[str, float]:
    """Polls, refresh and turnarounds, ms; what was not seen is left out."""
    answers = first_of_each(run.records, "m_t_f_ns")
    states = first_of_each(run.records, "d_t_ns")
    found = {
        "meter_poll_ms": interval_s(answers["m_t_f_ns"]) * 1e3,
        "meter_refresh_ms": refresh_s(run.records) * 1e3,
        "meter_turnaround_ms": turnaround_ms(run.meter),
        "inverter_poll_ms": interval_s(rounds(states["d_t_ns"])) * 1e3,
        "inverter_turnaround_ms": turnaround_ms(run.inverter),
    }
    return {name: ms for name, ms in found.items() if math.isfinite(ms)}


def turnaround_ms(device: Device | OnCan) -> float:
    """NaN on CAN, where nobody is asked."""
    stats = device.stats()
    return NAN if isinstance(stats, CanStats) else stats.mean_turnaround_ns / 1e6 or NAN


def measured_pulse(name: str, p_w: float, steps: Steps, stood_ns: tuple[int, int], plant: Plant) -> Pulse:
    """steps: from the rest before the pulse to the rest behind it; stood_ns: when it was wished for, and given up."""
    t0_ns = int(steps["t_ns"][0])
    edge_s, end_s = ((t_ns - t0_ns) * 1e-9 for t_ns in stood_ns)
    views = {"inverter": inverter_view(steps, t0_ns), "meter": meter_view(steps, t0_ns)}
    levels = {who: change_w(*view, edge_s, end_s) for who, view in views.items()}
    judged = meter_counts(plant, *views["meter"], edge_s, p_w)
    judges = {"inverter": math.isfinite(levels["inverter"]), "meter": judged}
    quantum_w = plant.inverter.quantum_p_w
    faults = [
        f"{name}: the {who}'s power {fault}"
        for who in views
        if judges[who] and (fault := scale_fault(levels[who] / p_w))
    ]
    faults += [f"{name}: {fault}" for fault in readback_faults(steps, stood_ns[1], p_w, quantum_w)]
    by = "inverter" if judges["inverter"] else "meter"
    response = fit_response(*stairs(steps, t0_ns), *views[by])
    if response.rms_w > FITS * abs(p_w):  # it does not answer as a lag does: its numbers would say nothing
        response = NO_RESPONSE
    return Pulse(
        name,
        tuple(faults),
        commanded_w=p_w,
        inverter_w=levels["inverter"],
        meter_w=levels["meter"],
        meter_judged=judged,
        response=response,
        times_ms=times_ms(steps, quantum_w, p_w, response),
    )


def inverter_view(steps: Steps, t0_ns: int) -> tuple[Floats, Floats]:
    """(seconds, W) of the inverter's own word."""
    states = first_of_each(steps, "d_t_ns")
    states = states[np.isfinite(states["d_p_w"])]
    return (states["d_t_ns"] - t0_ns) * 1e-9, states["d_p_w"]


def meter_view(steps: Steps, t0_ns: int) -> tuple[Floats, Floats]:
    """The same of the meter. Between two refreshes it shows the older power again."""
    answers = first_of_each(steps, "m_t_p_ns")
    answers = answers[np.isfinite(answers["m_p_w"])]
    return (answers["m_t_p_ns"] - t0_ns) * 1e-9, answers["m_p_w"]


def change_w(t_s: Floats, p_w: Floats, edge_s: float, end_s: float) -> float:
    """From the rest before to the settled part."""
    return level_w(t_s, p_w, edge_s + SETTLED * (end_s - edge_s), end_s) - level_w(t_s, p_w, 0.0, edge_s)


def meter_counts(plant: Plant, t_s: Floats, p_w: Floats, edge_s: float, commanded_w: float) -> bool:
    """Whether the meter can judge: at the terminals always, at the house connection where its load stood still."""
    if plant.site.meter.location == "inverter":
        return True
    before = p_w[t_s < edge_s]
    behind_w = p_w[-3:].mean() if len(p_w) >= 3 else NAN
    quiet_w = TOLERANCE / 2 * abs(commanded_w)
    return bool(len(before) and before.std() < quiet_w and abs(behind_w - before.mean()) < quiet_w)


def stairs(steps: Steps, t0_ns: int) -> tuple[Floats, Floats]:
    """(seconds, W) of the set-points as the inverter acknowledged them; the first: what was in force before."""
    acks = first_of_each(steps, "d_t_echo_ns")["d_t_echo_ns"]
    sent = np.maximum(np.searchsorted(steps["t_ns"], acks) - 1, 0)
    set_w = steps["p_cmd_w"][sent]
    first = np.array([True, *(np.diff(set_w) != 0.0)]) if len(set_w) else np.zeros(0, dtype=np.bool_)
    return (acks[first] - t0_ns) * 1e-9, set_w[first]


def edges(steps: Steps, quantum_w: float) -> list[int]:
    """The steps in which the command first left a power at which it had rested, by what is worth a write."""
    p_cmd_w, found, rest_w = steps["p_cmd_w"], [], steps["p_cmd_w"][0]
    resting = True
    for i in range(1, len(p_cmd_w)):
        if resting and abs(p_cmd_w[i] - rest_w) >= quantum_w:
            found.append(i)
            resting = False
        elif not resting and i >= REST_STEPS and p_cmd_w[i] == p_cmd_w[i - REST_STEPS]:
            rest_w, resting = p_cmd_w[i], True
    return found


def times_ms(steps: Steps, quantum_w: float, p_w: float, response: Response) -> dict[str, float]:
    """Of CardTimes what a pulse shows."""
    acks = np.unique(steps["d_t_echo_ns"])
    waits = [
        int(later[0]) - steps["t_ns"][i] for i in edges(steps, quantum_w) if len(later := acks[acks > steps["t_ns"][i]])
    ]
    states = first_of_each(steps, "d_t_ns")
    moving = states["d_t_ns"][renewed(states["d_p_w"]) & (np.abs(states["d_p_w"]) > TOLERANCE * abs(p_w))]
    found = {
        "write_ms": max(waits, default=NAN) / 1e6,
        "readback_ms": readback_s(steps, p_w, quantum_w) * 1e3,
        "inverter_refresh_ms": interval_s(moving) * 1e3 if len(moving) >= MOVING_READINGS else NAN,
        "dead_ms": response.dead_s * 1e3,
        "tau_ms": response.tau_s * 1e3,
        "lag_ms": response.t90_s * 1e3,
    }
    return {name: float(ms) for name, ms in found.items() if math.isfinite(ms)}


def readback_s(steps: Steps, p_w: float, quantum_w: float) -> float:
    """From the write of the whole pulse to the first state that shows it as set-point; NaN: never seen."""
    asked = steps[steps["p_cmd_w"] == p_w]
    acks = asked["d_t_echo_ns"][asked["d_t_echo_ns"] > asked["t_ns"][:1].sum()]
    if not len(acks):
        return NAN
    shown = steps[(steps["d_t_ns"] > acks[0]) & (np.abs(steps["d_p_set_readback_w"] - p_w) <= quantum_w)]
    return float(shown["d_t_ns"][0] - acks[0]) * 1e-9 if len(shown) else NAN


def readback_faults(steps: Steps, end_ns: int, p_w: float, quantum_w: float) -> list[str]:
    """A set-point that the inverter shows, and that is not the one it was given."""
    last = steps[steps["t_ns"] < end_ns][-1:]
    shown_w = float(last["d_p_set_readback_w"][0]) if len(last) else NAN
    if last["p_cmd_w"][:1].tolist() != [p_w] or not abs(shown_w - p_w) > quantum_w:  # NaN: it shows none
        return []
    return [f"reads back a set-point of {shown_w:+.0f} W for {p_w:+.0f} W"]
