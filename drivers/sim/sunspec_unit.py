"""The simulated inverter's face: a Unit behind the registers of SunSpec models 1 and 701 to 715.

Signs    701.W, 704.WSet and VarSet, 714.DCW: + = out of the inverter into the grid.
Writes   703, the set-points of 704, curve sets (sunspec_curves) and controls of 715; a write that touches a set-point's
         block restarts its reversion timer. "Not implemented" patterns leave a point alone.
States   InvSt 3 running · 7 standby: no car, or no grid (then ConnSt 0 and alarm GRID_DISCONNECT) · 1 sleeping: the car
         has ended the session · 0 off: stopped by 715.OpCtl.
Heart    715.DERHb counts seconds while heart_beats; 715.LocRemCtl shows local.
Errors   IllegalValueError: the master gets exception 3.
"""

from __future__ import annotations

from math import ceil, hypot, sqrt

from drivers.sim.bar import Grid
from drivers.sim.plant import Session, SetPoint, Unit
from drivers.sim.sunspec_curves import SCALES as CURVE_SCALES
from drivers.sim.sunspec_curves import OwnFunctions, writable
from drivers.sim.sunspec_layout import METERS, MODELS, Image

SCALES = {  # hardly any is 0: whoever forgets one is wrong by a factor of 10 and notices
    "701": {"A": -2, "V": -1, "Hz": -2, "W": 1, "PF": -3, "VA": 1, "Var": 1, "TotWh": 0, "TotVarh": 0, "Tmp": -1},
    "702": {"W": 1, "PF": -3, "VA": 1, "Var": 1, "V": -1, "A": -2},
    "704": {"PF": -3, "WMaxLimPct": -1, "WSet": 1, "WSetPct": -1, "VarSet": 1, "VarSetPct": -1},
    "713": {"WH": 2, "Pct": -1},
    "703": CURVE_SCALES[703],
    "714": {"DCA": -2, "DCV": -1, "DCW": 1, "DCWH": 0, "Tmp": -1},
}
METER_SCALES = {"V": -1, "Hz": -2, "W": 0, "VAR": 0}
CONTROLS: dict[str, dict[str, tuple[int, ...] | None]] = {  # point -> values that are understood; None = any number
    "WMaxLimPct": {"Ena": (0, 1), "": None, "Rvrt": None, "EnaRvrt": (0, 1), "RvrtTms": None},
    "WSet": {
        "Ena": (0, 1),
        "Mod": (0, 1),  # percent of WMax, watts
        "": None,
        "Rvrt": None,
        "Pct": None,
        "PctRvrt": None,
        "EnaRvrt": (0, 1),
        "RvrtTms": None,
    },
    "VarSet": {
        "Ena": (0, 1),
        "Mod": (1, 3, 4),  # percent of VarMaxInj, percent of VAMax, vars
        "Pri": (0, 1),
        "": None,
        "Rvrt": None,
        "Pct": None,
        "PctRvrt": None,
        "EnaRvrt": (0, 1),
        "RvrtTms": None,
    },
}
POWER_FACTOR: dict[str, tuple[int, ...] | None] = {
    "Ena": (0, 1),
    "EnaRvrt": (0, 1),
    "RvrtTms": None,
    ".PF": None,
    ".Ext": (0, 1),
    "Rvrt.PF": None,
    "Rvrt.Ext": (0, 1),
}
WRITABLE: dict[str, tuple[int, ...] | None] = {
    f"704.{block}{end}": values for block, ends in CONTROLS.items() for end, values in ends.items()
}
WRITABLE |= {f"704.{side}{end}": values for side in ("PFWInj", "PFWAbs") for end, values in POWER_FACTOR.items()}
WRITABLE["704.WRmp"] = None
ENTER_SERVICE = {"ES": 1, "ESVHi": 105.0, "ESVLo": 91.7, "ESDlyTms": 300, "ESRndTms": 0, "ESRmpTms": 300}
WRITABLE |= {f"703.{name}": None for name in (*ENTER_SERVICE, "ESHzHi", "ESHzLo")}
WRITABLE["703.ES"] = (0, 1)
WRITABLE |= writable()
STOP, START, ENTER_STANDBY, EXIT_STANDBY = 0, 1, 2, 3
WRITABLE |= {"715.ControllerHb": None, "715.AlarmReset": (1,), "715.OpCtl": (STOP, START, ENTER_STANDBY, EXIT_STANDBY)}
INV_OFF, INV_SLEEPING, INV_RUNNING, INV_STANDBY = 0, 1, 3, 7
GRID_DISCONNECT = 1 << 4
CONTROL_MODES = 0b11_0111_1011_1111  # CtrlModes: all but dynamic reactive current, schedules and the like


class IllegalValueError(Exception):
    """A written value is not understood by this device."""


class SunSpecUnit:
    """tick() moves the unit, render() brings its registers up to date, write() is what a master does."""

    def __init__(
        self, unit: Unit, phases: int = 1, v_nom: float = 230.0, f_nom_hz: float = 50.0, meter: bool = False
    ) -> None:
        """meter: model 201, 202 or 203 at the end of the chain, as of a meter at the unit's terminals."""
        self.unit, self.phases, self.v_nom = unit, phases, v_nom
        self.meter = METERS[phases] if meter else 0
        self.image = Image((*MODELS, self.meter) if meter else tuple(MODELS))
        self.grid = Grid()
        self.heart_beats, self.heart_s = True, 0.0
        self.local = False
        self.started, self.standby = True, False
        self.dc_wh = {"DCWhInj": 0.0, "DCWhAbs": 0.0}
        self.energy = {"TotWhInj": 0.0, "TotWhAbs": 0.0, "TotVarhInj": 0.0, "TotVarhAbs": 0.0}
        self.ramp_w_s = unit.inverter.ramp_w_s
        self._constants()
        self._ratings()
        self._set_points()
        self._controls(f_nom_hz)
        self.own = OwnFunctions(self.image, unit, f_nom_hz)
        for block, set_point in self.blocks():
            self._read_block(block, set_point)

    def blocks(self) -> tuple[tuple[str, SetPoint], ...]:
        """The blocks of model 704 and what each stands for."""
        return ("WSet", self.unit.p_set), ("VarSet", self.unit.q_set), ("WMaxLimPct", self.unit.p_cap)

    @property
    def v_v(self) -> float:
        """Mean of the phases in use."""
        return sum(self.grid.v_v[: self.phases]) / self.phases

    @property
    def connected(self) -> bool:
        return self.grid.f_hz > 0.0 and self.v_v > 0.0

    @property
    def operates(self) -> bool:
        return self.connected and self.started and not self.standby

    @property
    def dc_w(self) -> float:
        """What the battery gives (+) or takes."""
        p_w, battery = self.unit.inverter.p_w, self.unit.battery
        return p_w / battery.eta_discharge if p_w > 0.0 else p_w * battery.eta_charge

    def tick(self, dt_s: float, grid: Grid) -> None:
        self.grid = grid
        self.heart_s += dt_s if self.heart_beats else 0.0
        self.own.step(dt_s, self.v_v / self.v_nom, grid.f_hz)
        if self.unit.step(dt_s, self.v_v / self.v_nom, self.operates):
            self._reverted()
        p_w, q_var, hours = self.unit.inverter.p_w, self.unit.inverter.q_var, dt_s / 3600.0
        for name, flow in (("TotWhInj", p_w), ("TotWhAbs", -p_w), ("TotVarhInj", q_var), ("TotVarhAbs", -q_var)):
            self.energy[name] += max(flow, 0.0) * hours
        for name, flow in (("DCWhInj", self.dc_w), ("DCWhAbs", -self.dc_w)):
            self.dc_wh[name] += max(flow, 0.0) * hours

    def render(self) -> None:
        self._measured()
        self._states()
        unit, put = self.unit, self.image.put
        for name, s in self.blocks():
            put(f"704.{name}RvrtRem", ceil(s.left_s) if s.enabled else 0)
        put("702.WChaRteMax", min(unit.inverter.p_charge_w, unit.car_charge_w))
        put("702.WDisChaRteMax", min(unit.inverter.p_discharge_w, unit.car_discharge_w))
        plugged = unit.session is not Session.UNPLUGGED
        put("713.SoC", 100.0 * unit.battery.soc if plugged else None)
        put("713.WHAvail", unit.battery.energy_wh if plugged else None)
        self._direct_current(plugged)
        self.own.show()
        put("715.LocRemCtl", int(self.local))
        put("715.DERHb", int(self.heart_s))
        if self.meter:
            self._metered()

    def write(self, at: int, values: list[int]) -> None:
        """Words from `at` on, counted from the chain's base. All or nothing."""
        image, count = self.image, len(values)
        touched = {name: p for name, p in image.points.items() if p.overlaps(at, count)}
        before = list(image.words)
        image.words[at : at + count] = values
        try:
            for name, p in touched.items():
                if image.words[p.at : p.at + p.words] == image.absent(p):
                    image.words[p.at : p.at + p.words] = before[p.at : p.at + p.words]
                known = WRITABLE.get(name, ())
                if not p.inside(at, count) or (known is not None and image.get(name) not in known):
                    raise IllegalValueError(name)
        except IllegalValueError:
            image.words[:] = before
            raise
        self._obey(set(touched))

    # --- what a write means

    def _obey(self, touched: set[str]) -> None:
        unit = self.unit
        for block, set_point in self.blocks():
            if touched & {f"704.{block}{end}" for end in CONTROLS[block]}:
                self._read_block(block, set_point)
                set_point.restart()
        self.own.obey(touched)
        self._control(touched)
        unit.inverter.q_first = self._raw("VarSetPri") == 1
        percent_s = self.image.get("704.WRmp")
        unit.inverter.ramp_w_s = self.ramp_w_s
        if percent_s:
            unit.inverter.ramp_w_s = min(self.ramp_w_s, percent_s / 100.0 * unit.inverter.p_discharge_w)

    def _control(self, touched: set[str]) -> None:
        """715.OpCtl."""
        if "715.OpCtl" not in touched:
            return
        asked = self.image.get("715.OpCtl")
        if asked in (STOP, START):
            self.started = asked == START
        else:
            self.standby = asked == ENTER_STANDBY

    def _read_block(self, block: str, s: SetPoint) -> None:
        s.enabled = self._raw(f"{block}Ena") == 1
        s.reversion_enabled = self._raw(f"{block}EnaRvrt") == 1
        s.reversion_s = self._raw(f"{block}RvrtTms")
        point, factor = self._value_point(block)
        s.value = self._raw(point) * factor
        s.reversion_value = self._raw(f"{point}Rvrt") * factor

    def _value_point(self, block: str) -> tuple[str, float]:
        """The point that holds the value in force, and what one of it is in W or var."""
        inverter = self.unit.inverter
        if block == "WMaxLimPct":
            return block, inverter.p_discharge_w / 100.0
        if block == "WSet":
            return (block, 1.0) if self._raw("WSetMod") == 1 else ("WSetPct", inverter.p_discharge_w / 100.0)
        if self._raw("VarSetMod") == 4:
            return block, 1.0
        return "VarSetPct", (inverter.s_max_va if self._raw("VarSetMod") == 3 else inverter.q_max_var) / 100.0

    def _reverted(self) -> None:
        """A timer ran out: the registers show what is in force now."""
        for block, s in self.blocks():
            point, factor = self._value_point(block)
            self.image.put(f"704.{block}Ena", int(s.enabled))
            self.image.put(f"704.{point}", s.value / factor)

    def _raw(self, point: str) -> float:
        return self.image.get(f"704.{point}") or 0.0

    # --- what is shown

    def _constants(self) -> None:
        for model, scales in SCALES.items():
            for name, power in scales.items():
                self.image.put(f"{model}.{name}_SF", power)
        for name, text in (("Mn", "V2G simulator"), ("Md", "Bidirectional charger"), ("Vr", "1"), ("SN", "SIM-0001")):
            self.image.text(f"1.{name}", text)
        self.image.put("1.DA", 1)
        self.image.put("701.ACType", self.phases - 1)  # single, split, three
        self.image.put("701.DERMode", 1)  # bit 0: grid following

    def _ratings(self) -> None:
        i = self.unit.inverter
        ratings = {
            "WMax": i.p_discharge_w,
            "VAMax": i.s_max_va,
            "VarMaxInj": i.q_max_var,
            "VarMaxAbs": i.q_max_var,
            "WChaRteMax": i.p_charge_w,
            "WDisChaRteMax": i.p_discharge_w,
            "VNom": self.v_nom,
            "AMax": i.s_max_va / self.v_nom / self.phases,
        }
        for name, value in ratings.items():
            self.image.put(f"702.{name}Rtg", value)
            self.image.put(f"702.{name}", value)
        self.image.put("702.NorOpCatRtg", 1)  # B
        self.image.put("702.AbnOpCatRtg", 2)  # III
        self.image.put("702.CtrlModes", CONTROL_MODES)
        self.image.put("713.WHRtg", self.unit.battery.capacity_wh)
        self.image.put("713.SoH", 97.0)
        self.image.put("713.Sta", 0)

    def _set_points(self) -> None:
        """Factory state: nothing enabled, no timer, watts and vars, no cap."""
        for name in (n for n in WRITABLE if n.startswith("704.")):
            values = WRITABLE[name]
            self.image.put(name, values[-1] if values and name.endswith("Mod") else 0)
        for side in ("PFWInj", "PFWInjRvrt", "PFWAbs", "PFWAbsRvrt"):
            self.image.put(f"704.{side}.PF", 1.0)
        for side in ("PFWInj", "PFWAbs"):
            self.image.put(f"704.{side}RvrtRem", 0)  # its reversion is stored and does nothing
        self.image.put("704.VarSetPri", 1)
        for name in ("704.WMaxLimPct", "704.WMaxLimPctRvrt"):
            self.image.put(name, 100.0)
        self.image.put("704.WRmp", None)

    def _controls(self, f_nom_hz: float) -> None:
        """Factory state of enter service (703), the port (714) and control (715)."""
        enter_service = ENTER_SERVICE | {"ESHzHi": f_nom_hz + 0.1, "ESHzLo": f_nom_hz - 0.5, "ESDlyRemTms": 0}
        values = {f"703.{name}": value for name, value in enter_service.items()}
        values |= {"714.PrtAlrms": 0, "714.NPrt": 1, "714.Prt.0.PrtTyp": 2, "714.Prt.0.ID": 1, "714.Prt.0.DCAlrm": 0}
        for name, value in (values | {"715.ControllerHb": 0, "715.AlarmReset": 0, "715.OpCtl": START}).items():
            self.image.put(name, value)
        self.image.text("714.Prt.0.IDStr", "CAR")

    def _states(self) -> None:
        put, session = self.image.put, self.unit.session
        running = self.operates and session is Session.PLUGGED
        asleep = self.operates and session is Session.ENDED
        put("701.St", int(self.started))
        resting = INV_STANDBY if self.started else INV_OFF
        put("701.InvSt", INV_RUNNING if running else INV_SLEEPING if asleep else resting)
        put("701.ConnSt", int(self.connected))
        put("701.Alrm", 0 if self.connected else GRID_DISCONNECT)

    def _measured(self) -> None:
        p_w, q_var, v_v = self.unit.inverter.p_w, self.unit.inverter.q_var, self.v_v
        s_va = hypot(p_w, q_var)
        put = self.image.put
        put("701.W", p_w)
        put("701.VA", s_va)
        put("701.Var", q_var)
        put("701.PF", p_w / s_va if s_va > 1.0 else 1.0)
        put("701.A", s_va / v_v if v_v else 0.0)
        put("701.LNV", v_v)
        put("701.LLV", {1: None, 2: 2.0 * v_v, 3: sqrt(3.0) * v_v}[self.phases])
        put("701.Hz", self.grid.f_hz)
        for phase in range(self.phases):
            put(f"701.VL{phase + 1}", self.grid.v_v[phase])
            put(f"701.WL{phase + 1}", p_w / self.phases)
            put(f"701.VarL{phase + 1}", q_var / self.phases)
        for name, value in self.energy.items():
            put(f"701.{name}", value)

    def _metered(self) -> None:
        """A meter counts + as import."""
        name, put, inverter = self.meter, self.image.put, self.unit.inverter
        for point, power in METER_SCALES.items():
            put(f"{name}.{point}_SF", power)
        put(f"{name}.Hz", self.grid.f_hz)
        put(f"{name}.W", -inverter.p_w)
        put(f"{name}.VAR", -inverter.q_var)
        for phase in range(self.phases):
            put(f"{name}.PhVph{'ABC'[phase]}", self.grid.v_v[phase])
            put(f"{name}.Wph{'ABC'[phase]}", -inverter.p_w / self.phases)

    def _direct_current(self, plugged: bool) -> None:
        """714: one port, the car's battery; its voltage rises with its charge."""
        v_v = 350.0 + 80.0 * self.unit.battery.soc if plugged else 0.0
        values = {"DCW": self.dc_w, "DCA": self.dc_w / v_v if v_v else 0.0, **self.dc_wh}
        for name, value in values.items():
            self.image.put(f"714.{name}", value)
            self.image.put(f"714.Prt.0.{name}", value)
        self.image.put("714.Prt.0.DCV", v_v)
        self.image.put("714.Prt.0.DCSta", int(plugged))
