"""The grid's process: plays a trace or swings, and holds the terminals' voltage through the feeder."""

from __future__ import annotations

from argparse import Namespace
from time import monotonic

from drivers.sim.bar import Bar
from drivers.sim.grid import Feeder, Playback, Swing
from drivers.sim.scenario import Trace, load_builtin, load_trace


class GridProcess:
    """tick() moves scenario time and writes what is at the terminals into the bar."""

    def __init__(self, args: Namespace, bar: Bar) -> None:
        self.args, self.bar = args, bar
        self.feeder = Feeder(args.r_ohm, args.x_ohm)
        self.trace = trace_of(args)
        self.playback = playback_of(self.trace) if self.trace else None
        self.swing = Swing(args.f_nom, args.h_s, args.droop_pu, args.governor_s, args.damping_pu)
        self.waited_s = 0.0
        self.share = shares_of(args)
        bar.update(play=0.0, play_s=0.0, ended=0.0, t_s=0.0, source_v=args.v_nom)
        bar.update(**{f"share{i}": share for i, share in enumerate(self.share, start=1)})

    @property
    def end_s(self) -> float | None:
        return self.trace.duration_s if self.trace else self.args.duration_s

    def tick(self, dt_s: float) -> None:
        t_s = self._scenario_time(dt_s)
        p_w, q_var = self.bar.unit_power()
        f_hz, v1_pu, v2_pu = self.playback.at(t_s) if self.playback else self._swing(dt_s, t_s, p_w)
        n, load_w = self.args.phases, self._load_w(t_s)
        volts = [pu * self.args.v_nom for pu in (v1_pu, v2_pu if n == 2 else v1_pu, v1_pu)]
        at_unit = [
            self.feeder.terminal_v(v, p_w * self.share[i] - load_w[i], q_var * self.share[i]) if i < n else 0.0
            for i, v in enumerate(volts)
        ]
        self.bar.update(load1_w=load_w[0], load2_w=load_w[1], load3_w=load_w[2])
        self.bar.update(
            t_s=t_s, f_hz=f_hz, source_v=volts[0], v1_v=at_unit[0], v2_v=at_unit[1], v3_v=at_unit[2], grid_s=monotonic()
        )

    def _load_w(self, t_s: float) -> list[float]:
        """The house's load on each phase: its base, what the trace says, and what somebody has switched on."""
        n = self.args.phases
        played = self.playback.load_at(t_s) if self.playback else []
        played += [0.0] * (3 - len(played))
        base_w = [self.args.load_w / n if i < n else 0.0 for i in range(3)]
        own_w = (self.args.load_l1_w, self.args.load_l2_w, self.args.load_l3_w)
        oven_w = [self.bar.get(f"oven{i}_w") for i in (1, 2, 3)]
        return [sum(parts) for parts in zip(base_w, own_w, played, oven_w, strict=True)]

    def _scenario_time(self, dt_s: float) -> float:
        """0 until it is time to play, then seconds since, up to the end."""
        bar, now = self.bar, monotonic()
        started = bar.get("play_s")
        if not started:
            self.waited_s += dt_s
            by_itself = self.args.hold_s is not None and self.waited_s >= self.args.hold_s
            if not (by_itself or bar.get("play")):
                return 0.0
            started = now
            bar.update(play=1.0, play_s=now)
        t_s, end_s = now - started, self.end_s
        if end_s is None or t_s < end_s:
            return t_s
        bar.set("ended", 1.0)
        return end_s

    def _swing(self, dt_s: float, t_s: float, p_w: float) -> tuple[float, float, float]:
        if t_s > 0.0:
            lost = self.args.imbalance_pu if t_s >= self.args.imbalance_at_s else 0.0
            felt = p_w / self.args.base_w if self.args.base_w else 0.0
            self.swing.step(dt_s, lost + felt)
        return self.swing.f_hz, 1.0, 1.0


def trace_of(args: Namespace) -> Trace | None:
    if args.swing:
        return None
    trace = load_trace(args.trace) if args.trace else load_builtin(args.scenario)
    return trace.cut(args.start_s, args.duration_s)


def playback_of(trace: Trace) -> Playback:
    return Playback(trace.t_s, trace.f_hz, trace.v1_pu, trace.v2_pu, trace.load_w)


def shares_of(args: Namespace) -> list[float]:
    """Part of the unit's power on L1, L2, L3: as told, else even over the phases in use."""
    n = args.phases
    shares: list[float] = args.share or [1.0 / n] * n
    if len(shares) != n or abs(sum(shares) - 1.0) > 1e-3:
        raise ValueError(f"--share {','.join(f'{s:g}' for s in shares)}; allowed: {n} values that add up to 1")
    return shares + [0.0] * (3 - n)
