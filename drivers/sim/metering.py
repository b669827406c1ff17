"""The simulated meter: between what is true at the terminals and what a master can read.

A meter refreshes its registers at its own pace, shows what was true some time ago, in its own resolution and with
its own noise. Units in the names; P and Q + = out of the unit into the grid (the wire's sign is the register layer's).
Imports nothing of ours: it judges our arithmetic.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from random import Random


@dataclass(frozen=True, slots=True)
class Reading:
    """What a meter shows, or what is true."""

    f_hz: float = 0.0
    v1_v: float = 0.0
    v2_v: float = 0.0
    v3_v: float = 0.0
    p_w: float = 0.0
    q_var: float = 0.0
    import_wh: float = 0.0
    export_wh: float = 0.0
    import_varh: float = 0.0
    export_varh: float = 0.0
    # p_w, q_var of each; empty: equal parts of the whole
    phases: tuple[tuple[float, float], ...] = field(default=(), kw_only=True)


RESOLUTION = {"f_hz": 0.001, "v1_v": 0.01, "v2_v": 0.01, "v3_v": 0.01, "p_w": 1.0, "q_var": 1.0}
# Standard deviations. Real registers never repeat bit by bit for long; a simulated one that did would look frozen.
NOISE = {"f_hz": 0.0003, "v1_v": 0.02, "v2_v": 0.02, "v3_v": 0.02, "p_w": 1.0, "q_var": 1.0}


@dataclass(slots=True)
class Meter:
    """step() takes what is true now; `shown` is what the registers hold."""

    refresh_s: float = 0.1
    latency_s: float = 0.0
    resolution: dict[str, float] = field(default_factory=lambda: dict(RESOLUTION))
    noise: dict[str, float] = field(default_factory=lambda: dict(NOISE))
    seed: int = 1
    shown: Reading = field(default_factory=Reading)
    t_s: float = 0.0
    due_s: float = 0.0
    energy: Reading = field(default_factory=Reading)
    past: deque[tuple[float, Reading]] = field(default_factory=deque)
    random: Random = field(init=False)

    def __post_init__(self) -> None:
        if not (self.refresh_s > 0 and self.latency_s >= 0):
            raise ValueError("refresh_s must be above 0, latency_s 0 or above")
        self.random = Random(self.seed)

    def step(self, dt_s: float, truth: Reading) -> bool:
        """True when the registers were refreshed in this step."""
        self.t_s += dt_s
        self._count(dt_s, truth)
        self.past.append((self.t_s, truth))
        if self.t_s < self.due_s - 1e-9:
            return False
        while self.due_s <= self.t_s + 1e-9:  # a late step skips refreshes, it does not catch up
            self.due_s += self.refresh_s
        self.shown = self._look(self._was())
        return True

    def _was(self) -> Reading:
        """The newest truth that is at least latency_s old; the oldest known while there is none."""
        while len(self.past) > 1 and self.past[1][0] <= self.t_s - self.latency_s + 1e-9:
            self.past.popleft()
        return self.past[0][1]

    def _look(self, truth: Reading) -> Reading:
        seen = {name: self._round(name, getattr(truth, name)) for name in RESOLUTION}
        phases = tuple((self._round("p_w", p_w), self._round("q_var", q_var)) for p_w, q_var in truth.phases)
        if phases:  # the whole is the sum of what is shown
            seen |= {"p_w": sum(p_w for p_w, _ in phases), "q_var": sum(q_var for _, q_var in phases)}
        return replace(self.energy, **seen, phases=phases)

    def _round(self, name: str, value: float) -> float:
        if value == 0.0 and name not in ("p_w", "q_var"):  # a phase that is not wired shows 0, without noise
            return 0.0
        step, sd = self.resolution.get(name, 0.0), self.noise.get(name, 0.0)
        if sd:
            value += self.random.gauss(0.0, sd)
        return round(value / step) * step if step else value

    def _count(self, dt_s: float, truth: Reading) -> None:
        e, hours = self.energy, dt_s / 3600.0
        self.energy = Reading(
            import_wh=e.import_wh + max(-truth.p_w, 0.0) * hours,
            export_wh=e.export_wh + max(truth.p_w, 0.0) * hours,
            import_varh=e.import_varh + max(-truth.q_var, 0.0) * hours,
            export_varh=e.export_varh + max(truth.q_var, 0.0) * hours,
        )
