"""A house in virtual time: loads on each phase, an inverter that follows late, a connection meter that is late too.

Signs    load: what the house draws, W, positive. P at the connection: + = into the grid.
Plant    own arithmetic; the unit's power reaches the phases by `share`, the inverter follows with `lag_s`, the meter
         shows every `refresh_s` what was `delay_s` ago.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from tests.cython_core.unit import Unit

V_V = 230.0


class House:
    """advance(seconds, load_w=...) moves house and unit; amps: largest current of each phase since watch()."""

    def __init__(
        self, share: tuple[float, ...] = (1.0,), lag_s: float = 0.5, refresh_s: float = 0.2, delay_s: float = 0.1,
        soc: float = 0.5, **groups: Any
    ) -> None:  # fmt: skip
        self.share, self.lag_s, self.refresh_s = share, lag_s, refresh_s
        shares = {f"share_l{i + 1}_pu": x for i, x in enumerate((*share, 0.0, 0.0)[:3])}
        limits = {"enable": True, **shares, **groups.pop("site_limits", {})}
        self.unit = Unit(site_limits=limits, **groups)
        self.unit.change(v_v=(V_V,) * max(len(share), 1), soc=soc)
        self.load_w = [0.0] * len(share)
        self.load_var = [0.0] * len(share)
        self.p_w = 0.0
        self.unread = False  # the inverter's state can no longer be read; it does what it is told
        self.past: deque[tuple[float, ...]] = deque(maxlen=max(1, round(delay_s / 0.01)))
        self.watch()

    def watch(self) -> None:
        """Forget the largest values so far."""
        self.amps = [0.0] * len(self.share)
        self.export_w, self.import_w = 0.0, 0.0

    def advance(self, seconds: float, **changes: Any) -> House:
        """Change loads or inputs of the unit, then live on."""
        for name in ("load_w", "load_var"):
            if name in changes:
                setattr(self, name, list(changes.pop(name)))
        self.unit.change(**changes)
        for _ in range(round(seconds / 0.01)):
            self.step()
        return self

    def step(self) -> None:
        unit = self.unit
        phases = [self.p_w * s - load for s, load in zip(self.share, self.load_w, strict=True)]
        amps = [(p * p + q * q) ** 0.5 / V_V for p, q in zip(phases, self.load_var, strict=True)]
        self.amps = [max(a, b) for a, b in zip(self.amps, amps, strict=True)]
        self.export_w, self.import_w = max(self.export_w, sum(phases)), max(self.import_w, -sum(phases))
        self.past.append((*phases, *amps))
        n = len(self.share)
        if len(unit.records) % round(self.refresh_s / 0.01) == 0 or not unit.phase_w:
            shown = self.past[0]
            unit.change(phase_w=shown[:n], phase_a=shown[n:], meter_p_w=sum(shown[:n]))
            unit.silence = set()
        else:
            unit.silence = {"meter"}
        if self.unread:
            unit.silence.add("unread")
        unit.device_p_w = self.p_w
        record = unit.step()
        self.p_w += (record.p_cmd_w - self.p_w) * 0.01 / self.lag_s
        unit.device_p_w = self.p_w
