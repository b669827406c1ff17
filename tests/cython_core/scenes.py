"""What happens to one unit, from the tape of a case: legs of a few steps, some of them long.

Grid, car, inverter, house, operator and wishes change at the beginning of a leg, on the corners of the standard's
tables as often as between them; time jumps far enough for 300 s of enter service and the slowest trips. Frequencies are
those of a 60 Hz grid, moved to the unit's own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any, TypeAlias

from cython_core.settings import Settings
from tests.cython_core.cases import Tape
from tests.cython_core.plain import words as w

NAN = math.nan
START_NS = 1_000_000_000
Inputs: TypeAlias = tuple[int, Any, Any, Any, Any, int]  # t_ns, meter, device, order, wish, k

# fmt: off
F_HZ = (60.0, 60.0, 60.02, 60.036, 60.05, 60.3, 61.0, 61.2, 61.3, 61.8, 61.9, 62.0, 62.5, 66.5,
        59.97, 59.964, 59.9, 59.7, 59.5, 59.0, 58.8, 58.4, 57.0, 56.9, 56.4, 49.9)
V_PU = (1.0, 1.0, 0.98, 0.95, 0.92, 0.917, 0.9, 0.88, 0.87, 0.8, 0.7, 0.69, 0.65, 0.6, 0.5, 0.49, 0.4, 0.3, 0.2, 0.0,
        1.02, 1.03, 1.05, 1.06, 1.07, 1.08, 1.09, 1.1, 1.11, 1.16, 1.18, 1.2, 1.21, 1.4, 1.5)
LONG_S = (0.1, 0.16, 0.2, 0.5, 1.0, 2.0, 2.5, 5.0, 9.0, 11.0, 13.0, 21.0, 30.0, 61.0, 180.0, 299.0, 301.0, 601.0,
          1001.0, 1300.0, 3700.0)
# fmt: on
POWER_PU = (0.0, 0.5, 1.0, -0.5, -1.0, 0.05, -0.05, 0.02, 0.2, 1.5, -1.5, 0.9)
NUMBERS = ("f_hz", "v1_v", "v2_v", "v3_v", "p_w", "q_var", "p1_w", "p2_w", "p3_w", "i1_a", "i2_a", "i3_a")
SAID = {
    "p_w": w.D_P,
    "q_var": w.D_Q,
    "p_set_readback_w": w.D_P_SET,
    "p_max_discharge_w": w.D_P_MAX_DISCHARGE,
    "p_max_charge_w": w.D_P_MAX_CHARGE,
    "p_min_abs_w": w.D_P_MIN_ABS,
    "s_max_va": w.D_S_MAX,
}


class Scene:
    """steps() yields the inputs of one step after the other; the unit around it does what `told_*` says."""

    def __init__(self, tape: Tape, settings: Settings, period_s: float) -> None:
        rating = settings.rating
        self.tape, self.period_ns = tape, round(period_s * 1e9)
        self.rated_w, self.v_nom_v, self.f_nom_hz = rating.p_rated_w, rating.v_nom_v, rating.f_nom_hz
        self.happens = tape.pick((QUIET, QUIET, ANYTHING))
        self.phases = tape.pick((1, 3, 2))
        self.t_ns = START_NS
        self.told_w = self.told_var = 0.0
        self.meter: Any = None
        self.device: Any = None
        self.wished: Any = None
        self.seq = 0
        self.wants_change = False
        self.normal()

    def normal(self) -> None:
        """A good grid and a healthy unit."""
        self.f_hz, self.v_pu, self.drift_hz, self.drift_pu = 60.0, [1.0] * 3, 0.0, 0.0
        self.late_ns = self.ahead_ns = self.hidden = self.not_a_number = 0
        self.meter_silent = self.device_silent = self.stuck = False
        self.echoes = True
        self.soc = 0.5
        self.said: dict[str, float] = {}
        self.session, self.status = w.READY, w.RUNNING | w.CONNECTED
        self.permit, self.stop, self.ap_limit = 1, w.RUN, NAN
        self.house_w: tuple[float, ...] = ()
        self.house_a: tuple[float, ...] = ()

    # ---- what may happen ----

    def near_frequency(self) -> None:
        self.f_hz = 60.0 + self.tape.between(-0.6, 0.6)
        self.drift_hz = self.tape.pick((0.0, 0.0, 0.01, -0.01))

    def near_voltage(self) -> None:
        self.v_pu = [self.tape.between(0.9, 1.1)] * 3
        self.drift_pu = self.tape.pick((0.0, 0.0, 0.001, -0.001))

    def near_wish(self) -> None:
        p_w = self.rated_w * self.tape.between(-1.0, 1.0) * self.tape.pick((1.0, 0.3, 0.1, 0.03))
        self.seq += 1
        self.wished = self.said_by(7, p_w, -2.0 * self.rated_w, 2.0 * self.rated_w)

    def frequency(self) -> None:
        self.f_hz = self.tape.pick(F_HZ)
        self.drift_hz = self.tape.pick((0.0, 0.0, 0.01, -0.01, 0.2, -0.2))

    def voltage(self) -> None:
        self.v_pu = [self.tape.pick(V_PU)] * 3
        self.drift_pu = self.tape.pick((0.0, 0.0, 0.001, -0.001, 0.01, -0.01))

    def one_phase(self) -> None:
        self.v_pu[self.tape.byte() % 3] = self.tape.pick(V_PU)

    def wish(self) -> None:
        """Most are good; the last of each list are reasons to refuse it."""
        tape, wild = self.tape, self.tape.byte()
        p_w, lo_w, hi_w = (self.rated_w * tape.pick(POWER_PU) for _ in range(3))
        if wild < 200:
            lo_w, hi_w = min(lo_w, hi_w), max(lo_w, hi_w)
        self.seq += tape.pick((1, 1, 1, 2, 1, 1, 0))
        self.wished = self.said_by(
            tape.pick((7, 6, 5, 4, 3, 2, 1, 7, 1, 8, 0)), NAN if wild == 255 else p_w, lo_w, hi_w
        )
        self.wished.q_var = 1.0 if wild == 254 else NAN
        self.wished.valid_from_ns += tape.pick((0, -5, 2 * 10**9))
        self.wished.expires_ns = self.t_ns + tape.pick((900, 900, 60, 900, 1, 10**5, -1)) * 10**9

    def said_by(self, source: int, p_w: float, lo_w: float, hi_w: float) -> Any:
        lives = {"valid_from_ns": self.t_ns, "expires_ns": self.t_ns + 900 * 10**9}
        return SimpleNamespace(source=source, lo_w=lo_w, hi_w=hi_w, p_w=p_w, q_var=NAN, seq=self.seq, **lives)

    def battery(self) -> None:
        self.soc = self.tape.pick((0.5, 0.0, 0.19, 0.2, 0.21, 0.79, 0.8, 0.94, 0.95, 1.0, NAN))

    def device_says(self) -> None:
        for name in SAID:
            if self.tape.coin():
                self.said[name] = self.rated_w * self.tape.pick((1.0, 0.5, 0.1, 0.0, 1.2, -0.3, NAN))

    def order(self) -> None:
        self.permit = self.tape.pick((1, 1, 0))
        self.stop = self.tape.pick((w.RUN, w.RUN, w.STOP_BY_RAMP, w.EMERGENCY))

    def active_limit(self) -> None:
        self.ap_limit = self.tape.pick((NAN, 0.5, 0.0, 0.33, 1.0, -1.0, 2.0))

    def silence(self) -> None:
        self.meter_silent, self.device_silent = self.tape.pick(((True, False), (False, True), (True, True)))
        self.echoes = not self.tape.coin()

    def bad_meter(self) -> None:
        self.stuck = self.tape.coin()
        self.hidden = self.tape.byte() & self.tape.byte()
        self.not_a_number = self.tape.byte() & self.tape.byte()
        self.late_ns = self.tape.pick((0, 1, 10**7, 3 * 10**8, 10**9, 2 * 10**10, -(10**8), -2 * 10**9))

    def car(self) -> None:
        self.session = self.tape.pick((3, 4, 5, 1, 0, 2, 6, 7, 8))

    def device_status(self) -> None:
        self.status = self.tape.pick((3, 3, 3, 0, 7, 19, 1, 2, 11))
        self.ahead_ns = self.tape.pick((0, 0, 0, 10**8, 2 * 10**9))

    def house(self) -> None:
        """What the connection meter sees, and the current of each phase."""
        self.house_w = tuple(self.rated_w * self.tape.pick(POWER_PU) for _ in range(3))
        amps_per_w = self.tape.pick((1.0, 1.2, 0.5, math.inf)) / self.v_nom_v
        self.house_a = tuple(abs(p_w) * amps_per_w for p_w in self.house_w)

    def change(self) -> None:
        self.wants_change = True

    # ---- steps ----

    def steps(self) -> Iterator[Inputs]:
        """Until the tape ends; wants_change asks for other settings before the step."""
        while not self.tape.at_end:
            if self.tape.byte() % 4 == 3:
                self.normal()
            for _ in range(1 + self.tape.byte() % 2):
                self.tape.pick(self.happens)(self)
            k = self.tape.pick((1, 1, 2, 3, 10, 10, 100, 0, 0))
            if k == 0:
                k = max(1, round(self.tape.pick(LONG_S) * 1e9 / self.period_ns))
            for i in range(1 + self.tape.byte() % 4):
                yield self.step(k if i == 0 or k > 3 else 1)

    def step(self, k: int) -> Inputs:
        self.t_ns += k * self.period_ns
        self.f_hz += self.drift_hz
        self.v_pu = [max(v + self.drift_pu, 0.0) for v in self.v_pu]
        if not self.meter_silent or self.meter is None:
            self.meter = self.measured()
        if not self.device_silent or self.device is None:
            self.device = self.answered()
        order = SimpleNamespace(t_ns=self.t_ns, permit=self.permit, stop=self.stop, ap_limit_pu=self.ap_limit)
        wish, self.wished = self.wished, None
        return self.t_ns, self.meter, self.device, order, wish, k

    def measured(self) -> Any:
        t_ns = self.t_ns - self.late_ns
        times = {"t_f_ns": t_ns, "t_v_ns": t_ns, "t_p_ns": t_ns}
        if self.stuck and self.meter is not None:
            return SimpleNamespace(**{**vars(self.meter), **times})
        total_w = self.house_w[0] + self.house_w[1] + self.house_w[2] if self.house_w else NAN
        volts = [v * self.v_nom_v for v in self.v_pu[: self.phases]]
        watts, amps = self.house_w[: self.phases], self.house_a[: self.phases]
        numbers = [self.f_hz + (self.f_nom_hz - 60.0), *three(volts), total_w, NAN, *three(watts), *three(amps)]
        numbers = [NAN if self.not_a_number >> i & 1 else x for i, x in enumerate(numbers)]
        valid = sum(1 << i for i, x in enumerate(numbers) if x == x) & ~self.hidden
        return SimpleNamespace(**times, valid=valid, **dict(zip(NUMBERS, numbers, strict=True)))

    def answered(self) -> Any:
        said = {"p_w": self.told_w, "q_var": self.told_var, **self.said}
        valid = w.D_SOC | w.D_SESSION | w.D_STATUS | sum(SAID[name] for name in said)
        values = {name: said.get(name, NAN) for name in SAID}
        values |= {"soc_pu": self.soc}
        t_ns = self.t_ns + self.ahead_ns
        t_echo_ns = t_ns if self.echoes or self.device is None else self.device.t_echo_ns
        states = {"session": self.session, "status": self.status}
        return SimpleNamespace(t_ns=t_ns, t_echo_ns=t_echo_ns, valid=valid, **states, **values)


S = Scene
QUIET: tuple[Callable[[Scene], None], ...] = (
    S.normal, S.near_frequency, S.near_voltage, S.near_wish, S.near_frequency, S.near_voltage, S.near_wish,
    S.active_limit, S.device_says, S.battery, S.house, S.change,
)  # fmt: skip
ANYTHING = (
    S.normal, S.frequency, S.voltage, S.wish, S.frequency, S.voltage, S.wish, S.one_phase, S.battery, S.device_says,
    S.order, S.active_limit, S.silence, S.bad_meter, S.car, S.device_status, S.house, S.house, S.change,
)  # fmt: skip


def three(values: Sequence[float]) -> list[float]:
    return [*values, NAN, NAN, NAN][:3]
