"""The unit is an inverter with grid functions of its own, reached through SunSpec as its operator reaches it.

Settings  pushed by the product's own writer into models 704, 705, 706, 711, 712, adopted, and read back from them.
Demand    704 WSet in watts; with life_s its own timer brings it to 0 W when the bench is gone, keep() renews it.
Limit     704 WMaxLimPct. Permit: 715 OpCtl, start and stop.
Errors    RigError: a setting that this inverter cannot hold or did not take over, a fault. DriverError: no answer.
"""

from __future__ import annotations

from collections.abc import Mapping

from controller.bench.ownfit import settings_of
from controller.bench.plan import Eut, Value
from controller.bench.ports import NAN, RigError
from controller.errors import InputError
from controller.settings.sunspec_own import ACTING, compare, read_part, wanted
from controller.settings.sunspec_push import Wire, push
from controller.settings.sunspec_read import Reader
from cython_core.quantities import SettingError
from cython_core.settings import Settings, to_mapping
from drivers.sunspec.adopt import set_points, write_points
from drivers.sunspec.points import Table, read_tables
from drivers.yamlfile import Problems

MODELS = range(702, 716)
STOP, START = 0, 1
WATTS = 1  # of WSetMod


class InverterUnit:
    """wire: the inverter, and time to wait for an adoption. life_s: of a set-point that nobody renews; 0: for ever."""

    def __init__(self, name: str, wire: Wire, eut: Eut, life_s: float = 0.0, max_words: int = 125) -> None:
        self.name, self.wire, self.eut, self.life_s, self.max_words = name, wire, eut, life_s, max_words
        self.held: dict[str, Value] = {}
        self.demand_w: float | None = None
        self.renewed_s = 0.0
        self.control, self.switch = self._table(704), self._table(715)

    def identity(self) -> str:
        return f"{self.name}: its own functions, by SunSpec"

    # ---- settings ----

    def begin(self) -> None:
        self.held = {}
        self.permit(True)
        self.limit(NAN)

    def write(self, settings: Mapping[str, Value]) -> Mapping[str, Value]:
        held = {**self.held, **settings}
        try:
            made = settings_of(self.eut, held)
            list(push(made, self._tables(), self.wire, installer=False))
        except (SettingError, InputError) as error:
            raise RigError(f"the inverter cannot hold the settings: {error}") from None
        tables = self._tables()
        differing = [str(d) for d in compare(made, tables) if d.function in ACTING]
        if differing:
            raise RigError(f"the inverter is not as it was told: {differing[0]}")
        self.held = held
        read = read_back(made, tables)
        return {name: read[name] for name in settings if name in read}

    # ---- set-points ----

    def demand(self, p_w: float) -> None:
        self.demand_w, self.renewed_s = p_w, self.wire.now()
        raw = round(p_w / 10.0 ** (self.control.number("WSet_SF") or 0))
        timer = {"WSetRvrt": 0, "WSetEnaRvrt": 1, "WSetRvrtTms": round(self.life_s)}
        write_points(self.wire.port, self.control, {"WSetEna": 1, "WSetMod": WATTS, "WSet": raw, **timer})

    def permit(self, allowed: bool) -> None:
        try:
            if not allowed:
                self.demand(0.0)
        finally:  # stop it although its power could not be set
            write_points(self.wire.port, self.switch, {"OpCtl": START if allowed else STOP})

    def limit(self, ap_limit_pu: float) -> None:
        """Not a number: none."""
        on = ap_limit_pu == ap_limit_pu
        raw = round(100.0 * (ap_limit_pu if on else 1.0) / 10.0 ** (self.control.number("WMaxLimPct_SF") or 0))
        set_points(self.wire.port, self.control, {"WMaxLimPctEna": int(on), "WMaxLimPct": raw})

    def fault(self, line: str) -> None:
        raise RigError(f"'{line}': nothing stands between the bench and the inverter that could show it")

    def keep(self) -> None:
        """Before the inverter's timer runs out."""
        if self.life_s and self.demand_w is not None and self.wire.now() - self.renewed_s > self.life_s / 4.0:
            self.demand(self.demand_w)

    # ---- registers ----

    def _tables(self) -> dict[int, Table]:
        return read_tables(self.wire.port.read, MODELS, self.max_words)

    def _table(self, model: int) -> Table:
        found = read_tables(self.wire.port.read, (model,), self.max_words)
        if model not in found:
            raise RigError(f"{self.name}: has no model {model}: nobody can set its power, start and stop it")
        return found[model]


def read_back(s: Settings, tables: Mapping[int, Table]) -> dict[str, Value]:
    """{"volt_var.v1_pu": 0.92}: what the registers say of the functions that act, and which of them do."""
    reader = Reader({"rating": to_mapping(s)["rating"]}, Problems(""))
    reader.models = {model: table.tree() for model, table in tables.items()}
    for part in wanted(s):
        if part.function in ACTING and part.keys:
            read_part(reader, part)
    reader.put(711, "Ena", "freq_droop", "enable", reader.flag(711, "Ena"))
    reader.put(706, "Ena", "volt_watt", "enable", reader.flag(706, "Ena"))
    reader.mode()
    return {f"{group}.{key}": value for group, keys in reader.groups.items() for key, value in keys.items()}
