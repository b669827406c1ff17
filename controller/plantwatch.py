"""What is looked at during a commissioning: a pulse that goes wrong, the way to rest, words for what was seen."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from controller.plantrun import PlantRun
from controller.site import Site
from controller.stepresponse import level_w, rest_s
from cython_core.records import NAN, DeviceStatus, DeviceValid, Reason, Session, reasons_text

OVER_TIMES, AGAINST, OVER_S = 3.0, 0.5, 1.0  # of the commanded power
AT_REST_READINGS = 3
ORDINARY = Reason.DEFAULT_WISH | Reason.WISH_CLAMPED | Reason.SKIPPED


class Guard:
    """Whether a power is far beyond what was asked, or against it. since_s: since when (time.monotonic()); 0: not."""

    def __init__(self, steps: NDArray[Any], begin_ns: int, p_w: float, use_meter: bool) -> None:
        at_rest = steps[steps["t_ns"] >= begin_ns]
        self.p_w, self.since_s = p_w, 0.0
        names = ("d_p_w", "m_p_w")[: 1 + use_meter]
        self.base_w = {name: level_w(at_rest["t_ns"], at_rest[name], -math.inf, math.inf) for name in names}

    def wrong(self, newest: Any) -> bool:
        """True once it is so; then it stays so."""
        shares = [(float(newest[name]) - base_w) / self.p_w for name, base_w in self.base_w.items()]
        if not self.since_s and any(share > OVER_TIMES or share < -AGAINST for share in shares):  # NaN: neither
            self.since_s = time.monotonic()
        return self.since_s > 0.0

    @property
    def is_over(self) -> bool:
        """It has stood for long enough to be measured."""
        return time.monotonic() - self.since_s > OVER_S


class Rest:
    """When the inverter came to rest: by its own word, by the meter at its terminals where it says nothing."""

    def __init__(self, run: PlantRun, small_w: float, use_meter: bool, quiet: bool) -> None:
        self.run, self.small_w = run, small_w
        self.by_meter = use_meter and (quiet or not math.isfinite(run.newest["d_p_w"]))
        self.t_write_ns = int(run.newest["d_t_echo_ns"])
        self.readings: list[tuple[int, float]] = []  # (ns, W)

    def is_at_rest(self) -> bool:
        """Take what is new; True after three readings at rest in a row."""
        device, meter = self.run.device(), self.run.measurement()
        if device is not None:
            self.t_write_ns = max(self.t_write_ns, device.t_echo_ns)
        if self.by_meter and meter is not None:
            self.readings.append((meter.t_p_ns, meter.p_w))
        elif not self.by_meter and device is not None:
            self.readings.append((device.t_ns, device.p_w))
        last = self.readings[-AT_REST_READINGS:]
        return len(last) == AT_REST_READINGS and all(abs(p_w) <= self.small_w for _, p_w in last)

    @property
    def p_w(self) -> float:
        """The newest reading."""
        return self.readings[-1][1] if self.readings else NAN

    @property
    def after_s(self) -> float:
        """From the last acknowledged write to rest."""
        t_ns, p_w = zip(*self.readings, strict=True)
        return rest_s((np.array(t_ns) - self.t_write_ns) * 1e-9, np.array(p_w), self.small_w)


def is_calm(newest: Any, small_w: float) -> bool:
    """0 W is commanded, and the inverter says so too, or says nothing."""
    return bool(newest["p_cmd_w"] == 0.0 and not abs(newest["d_p_w"]) > small_w)


def unanswered(run: PlantRun, site: Site) -> str:
    """Who has not answered yet; nothing when both have."""
    newest = run.newest
    silent = []
    if newest is None or newest["m_t_f_ns"] == 0:
        silent.append(f"the meter ({site.meter.link} unit {site.meter.unit})")
    if newest is None or newest["d_t_ns"] == 0:
        silent.append(f"the inverter ({site.inverter.wire} unit {site.inverter.unit})")
    return " nor ".join(silent)


def state_text(newest: Any) -> str:
    """Session and status of the inverter in words."""
    session = Session(int(newest["d_session"])).name.lower().replace("_", " ")
    known = newest["d_valid"] & DeviceValid.SESSION
    bits = [str(s.name).lower() for s in DeviceStatus if int(newest["d_status"]) & s]
    return f"session {session if known else 'not told'}, {', '.join(bits) or 'no status'}"


def reasons_now(newest: Any) -> str:
    """What keeps the core from doing as it is wished."""
    return "; ".join(reasons_text(int(newest["reasons"]) & ~int(ORDINARY))) or "the core does not command it"
