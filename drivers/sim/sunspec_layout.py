"""SunSpec models as registers: points, their places, types and "not implemented" patterns. Pure.

Image    holds the words of a chain of models from its base on; put and get by "model.point" in the point's unit,
         with the model's scale factor; None = not implemented.
Names    points of groups by their place, counted from 0: 705.Crv.0.Pt.1.V is the second point of the first curve.
Source   SunSpec model definitions 1, 701 ... 715 (github.com/sunspec/models). Written from those tables, not from our
         driver's, so that one mistake cannot agree with itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from struct import pack, unpack

MARKER = (0x5375, 0x6E53)  # "SunS"
END = (0xFFFF, 0)

# type -> struct letter, pattern for "not implemented"
TYPES: dict[str, tuple[str, int]] = {
    "u16": ("H", 0xFFFF),
    "s16": ("h", -0x8000),
    "u32": ("I", 0xFFFFFFFF),
    "s32": ("i", -0x80000000),
    "u64": ("Q", 0xFFFFFFFFFFFFFFFF),
    "enum": ("H", 0xFFFF),
    "bits16": ("H", 0xFFFF),
    "bits32": ("I", 0xFFFFFFFF),
    "sf": ("h", -0x8000),
    "pad": ("h", -0x8000),
}

ENERGY = "TotWhInj{0}:u64:TotWh_SF TotWhAbs{0}:u64:TotWh_SF TotVarhInj{0}:u64:TotVarh_SF TotVarhAbs{0}:u64:TotVarh_SF"
PHASE = (
    "WL{0}:s16:W_SF VAL{0}:s16:VA_SF VarL{0}:s16:Var_SF PFL{0}:s16:PF_SF AL{0}:s16:A_SF "
    "VL{0}L{1}:u16:V_SF VL{0}:u16:V_SF " + ENERGY.format("L{0}")
)

CURVES = 3  # of each curve model: the one in force, and two that can be written
POINTS = {705: 6, 706: 4, 707: 5, 708: 5, 709: 5, 710: 5, 712: 8}  # a curve has room for; more than the standard needs


def repeat(name: str, count: int, text: str) -> str:
    """The points of `text` count times: name.0.point, name.1.point ..."""
    return " ".join(f"{name}.{i}.{point}" for i in range(count) for point in text.split())


def head(count: str, *factors: str) -> str:
    """What stands before the curves of 705, 706 and 712, and without a reversion of 707 ... 710."""
    reversion = "RvrtTms:u32 RvrtRem:u32 RvrtCrv:u16 " if count == "NCrv" else ""
    own = " ".join(f"{name}_SF:sf" for name in factors)
    return f"Ena:enum AdptCrvReq:u16 AdptCrvRslt:enum NPt:u16 {count}:u16 {reversion}{own} "


def trip(model: int, axis: str, kind: str) -> str:
    """707 ... 710: three curves a set, over voltage or frequency."""
    curve = "ActPt:u16 " + repeat("Pt", POINTS[model], f"{axis}:{kind}:{axis}_SF Tms:u32:Tms_SF")
    curves = " ".join(f"{name}.{point}" for name in ("MustTrip", "MayTrip", "MomCess") for point in curve.split())
    return head("NCrvSet", axis, "Tms") + repeat("Crv", CURVES, f"ReadOnly:enum {curves}")


# name:type[:scale factor], in the order of the registers behind ID and L; the models in the order of the chain, which
# the standard leaves to the device: whoever expects 703 behind 702 has not walked it
MODELS: dict[int, str] = {
    1: "Mn:str16 Md:str16 Opt:str8 Vr:str8 SN:str16 DA:u16 Pad:pad",
    701: "ACType:enum St:enum InvSt:enum ConnSt:enum Alrm:bits32 DERMode:bits32 "
    "W:s16:W_SF VA:s16:VA_SF Var:s16:Var_SF PF:s16:PF_SF A:s16:A_SF LLV:u16:V_SF LNV:u16:V_SF Hz:u32:Hz_SF "
    f"{ENERGY.format('')} "
    "TmpAmb:s16:Tmp_SF TmpCab:s16:Tmp_SF TmpSnk:s16:Tmp_SF TmpTrns:s16:Tmp_SF TmpSw:s16:Tmp_SF TmpOt:s16:Tmp_SF "
    f"{PHASE.format(1, 2)} {PHASE.format(2, 3)} {PHASE.format(3, 1)} "
    "ThrotPct:u16 ThrotSrc:bits32 A_SF:sf V_SF:sf Hz_SF:sf W_SF:sf PF_SF:sf VA_SF:sf Var_SF:sf "
    "TotWh_SF:sf TotVarh_SF:sf Tmp_SF:sf MnAlrmInfo:str32",
    702: "WMaxRtg:u16:W_SF WOvrExtRtg:u16:W_SF WOvrExtRtgPF:u16:PF_SF WUndExtRtg:u16:W_SF WUndExtRtgPF:u16:PF_SF "
    "VAMaxRtg:u16:VA_SF VarMaxInjRtg:u16:Var_SF VarMaxAbsRtg:u16:Var_SF WChaRteMaxRtg:u16:W_SF "
    "WDisChaRteMaxRtg:u16:W_SF VAChaRteMaxRtg:u16:VA_SF VADisChaRteMaxRtg:u16:VA_SF VNomRtg:u16:V_SF "
    "VMaxRtg:u16:V_SF VMinRtg:u16:V_SF AMaxRtg:u16:A_SF PFOvrExtRtg:u16:PF_SF PFUndExtRtg:u16:PF_SF "
    "ReactSusceptRtg:u16:S_SF NorOpCatRtg:enum AbnOpCatRtg:enum CtrlModes:bits32 IntIslandCatRtg:bits16 "
    "WMax:u16:W_SF WMaxOvrExt:u16:W_SF WOvrExtPF:u16:PF_SF WMaxUndExt:u16:W_SF WUndExtPF:u16:PF_SF "
    "VAMax:u16:VA_SF VarMaxInj:u16:Var_SF VarMaxAbs:u16:Var_SF WChaRteMax:u16:W_SF WDisChaRteMax:u16:W_SF "
    "VAChaRteMax:u16:VA_SF VADisChaRteMax:u16:VA_SF VNom:u16:V_SF VMax:u16:V_SF VMin:u16:V_SF AMax:u16:A_SF "
    "PFOvrExt:u16:PF_SF PFUndExt:u16:PF_SF IntIslandCat:bits16 "
    "W_SF:sf PF_SF:sf VA_SF:sf Var_SF:sf V_SF:sf A_SF:sf S_SF:sf",
    704: "PFWInjEna:enum PFWInjEnaRvrt:enum PFWInjRvrtTms:u32 PFWInjRvrtRem:u32 "
    "PFWAbsEna:enum PFWAbsEnaRvrt:enum PFWAbsRvrtTms:u32 PFWAbsRvrtRem:u32 "
    "WMaxLimPctEna:enum WMaxLimPct:u16:WMaxLimPct_SF WMaxLimPctRvrt:u16:WMaxLimPct_SF WMaxLimPctEnaRvrt:enum "
    "WMaxLimPctRvrtTms:u32 WMaxLimPctRvrtRem:u32 "
    "WSetEna:enum WSetMod:enum WSet:s32:WSet_SF WSetRvrt:s32:WSet_SF WSetPct:s16:WSetPct_SF "
    "WSetPctRvrt:s16:WSetPct_SF WSetEnaRvrt:enum WSetRvrtTms:u32 WSetRvrtRem:u32 "
    "VarSetEna:enum VarSetMod:enum VarSetPri:enum VarSet:s32:VarSet_SF VarSetRvrt:s32:VarSet_SF "
    "VarSetPct:s16:VarSetPct_SF VarSetPctRvrt:s16:VarSetPct_SF VarSetEnaRvrt:enum VarSetRvrtTms:u32 "
    "VarSetRvrtRem:u32 WRmp:u16 WRmpRef:enum VarRmp:u16 AntiIslEna:enum "
    "PF_SF:sf WMaxLimPct_SF:sf WSet_SF:sf WSetPct_SF:sf VarSet_SF:sf VarSetPct_SF:sf "
    "PFWInj.PF:u16:PF_SF PFWInj.Ext:enum PFWInjRvrt.PF:u16:PF_SF PFWInjRvrt.Ext:enum "
    "PFWAbs.PF:u16:PF_SF PFWAbs.Ext:enum PFWAbsRvrt.PF:u16:PF_SF PFWAbsRvrt.Ext:enum",
    713: "WHRtg:u16:WH_SF WHAvail:u16:WH_SF SoC:u16:Pct_SF SoH:u16:Pct_SF Sta:enum WH_SF:sf Pct_SF:sf",
    703: "ES:enum ESVHi:u16:V_SF ESVLo:u16:V_SF ESHzHi:u32:Hz_SF ESHzLo:u32:Hz_SF ESDlyTms:u32 ESRndTms:u32 "
    "ESRmpTms:u32 ESDlyRemTms:u32 V_SF:sf Hz_SF:sf",
    705: head("NCrv", "V", "DeptRef", "RspTms")
    + repeat(
        "Crv",
        CURVES,
        "ActPt:u16 DeptRef:enum Pri:enum VRef:u16:V_SF VRefAuto:u16:V_SF VRefAutoEna:enum VRefAutoTms:u16 "
        "RspTms:u32:RspTms_SF ReadOnly:enum " + repeat("Pt", POINTS[705], "V:u16:V_SF Var:s16:DeptRef_SF"),
    ),
    706: head("NCrv", "V", "DeptRef", "RspTms")
    + repeat(
        "Crv",
        CURVES,
        "ActPt:u16 DeptRef:enum RspTms:u32:RspTms_SF ReadOnly:enum "
        + repeat("Pt", POINTS[706], "V:u16:V_SF W:s16:DeptRef_SF"),
    ),
    707: trip(707, "V", "u16"),
    708: trip(708, "V", "u16"),
    709: trip(709, "Hz", "u32"),
    710: trip(710, "Hz", "u32"),
    711: "Ena:enum AdptCtlReq:u16 AdptCtlRslt:enum NCtl:u16 RvrtTms:u32 RvrtRem:u32 RvrtCtl:u16 "
    "Db_SF:sf K_SF:sf RspTms_SF:sf "
    + repeat(
        "Ctl",
        CURVES,
        "DbOf:u32:Db_SF DbUf:u32:Db_SF KOf:u16:K_SF KUf:u16:K_SF RspTms:u32:RspTms_SF PMin:s16 ReadOnly:enum",
    ),
    712: head("NCrv", "W", "DeptRef")
    + repeat(
        "Crv",
        CURVES,
        "ActPt:u16 DeptRef:enum Pri:enum ReadOnly:enum " + repeat("Pt", POINTS[712], "W:s16:W_SF Var:s16:DeptRef_SF"),
    ),
    714: "PrtAlrms:bits32 NPrt:u16 DCA:s16:DCA_SF DCW:s16:DCW_SF DCWhInj:u64:DCWH_SF DCWhAbs:u64:DCWH_SF "
    "DCA_SF:sf DCV_SF:sf DCW_SF:sf DCWH_SF:sf Tmp_SF:sf "
    + repeat(
        "Prt",
        1,
        "PrtTyp:enum ID:u16 IDStr:str8 DCA:s16:DCA_SF DCV:u16:DCV_SF DCW:s16:DCW_SF DCWhInj:u64:DCWH_SF "
        "DCWhAbs:u64:DCWH_SF Tmp:s16:Tmp_SF DCSta:enum DCAlrm:bits32",
    ),
    715: "LocRemCtl:enum DERHb:u32 ControllerHb:u32 AlarmReset:u16 OpCtl:enum",
}


def per_phase(name: str, factor: str) -> str:
    """The whole and each phase, and their factor."""
    return " ".join(f"{name}{phase}:s16:{factor}" for phase in ("", "phA", "phB", "phC")) + f" {factor}:sf"


def counters(factor: str, *names: str) -> str:
    """Energies of the whole and of each phase, and their factor."""
    of_all = (f"{name}{phase}:u32:{factor}" for name in names for phase in ("", "PhA", "PhB", "PhC"))
    return f"{' '.join(of_all)} {factor}:sf"


METER = (
    f"{per_phase('A', 'A_SF')} PhV:s16:V_SF PhVphA:s16:V_SF PhVphB:s16:V_SF PhVphC:s16:V_SF "
    "PPV:s16:V_SF PPVphAB:s16:V_SF PPVphBC:s16:V_SF PPVphCA:s16:V_SF V_SF:sf Hz:s16:Hz_SF Hz_SF:sf "
    f"{per_phase('W', 'W_SF')} {per_phase('VA', 'VA_SF')} {per_phase('VAR', 'VAR_SF')} {per_phase('PF', 'PF_SF')} "
    f"{counters('TotWh_SF', 'TotWhExp', 'TotWhImp')} {counters('TotVAh_SF', 'TotVAhExp', 'TotVAhImp')} "
    f"{counters('TotVArh_SF', 'TotVArhImpQ1', 'TotVArhImpQ2', 'TotVArhExpQ3', 'TotVArhExpQ4')} Evt:bits32"
)
METERS = {1: 201, 2: 202, 3: 203}  # phases -> model; one layout. No part of every chain
LAYOUTS = MODELS | dict.fromkeys(METERS.values(), METER)


@dataclass(frozen=True, slots=True)
class Point:
    """One point: at counts from the chain's base; sf is the full name of its scale factor, "" for none."""

    at: int
    words: int
    type: str
    sf: str

    def overlaps(self, at: int, count: int) -> bool:
        return self.at < at + count and at < self.at + self.words

    def inside(self, at: int, count: int) -> bool:
        return at <= self.at and self.at + self.words <= at + count


def points(model: int, start: int) -> Iterator[tuple[str, Point]]:
    """The points of a model whose ID register is at `start`, with their full names."""
    at = start + 2
    for text in LAYOUTS[model].split():
        name, kind, *sf = text.split(":")
        words = int(kind[3:]) if kind.startswith("str") else len(pack(f">{TYPES[kind][0]}", 0)) // 2
        yield f"{model}.{name}", Point(at, words, kind, f"{model}.{sf[0]}" if sf else "")
        at += words


def to_words(raw: bytes) -> list[int]:
    return list(unpack(f">{len(raw) // 2}H", raw))


class Image:
    """The words of a chain. Everything starts as not implemented."""

    def __init__(self, models: tuple[int, ...] = tuple(MODELS)) -> None:
        self.words: list[int] = list(MARKER)
        self.points: dict[str, Point] = {}
        for model in models:
            found = dict(points(model, len(self.words)))
            self.points.update(found)
            self.words += [model, sum(p.words for p in found.values())]
            for point in found.values():
                self.words += self.absent(point)
        self.words += END

    @staticmethod
    def absent(point: Point) -> list[int]:
        if point.type.startswith("str"):
            return [0] * point.words
        letter, pattern = TYPES[point.type]
        return to_words(pack(f">{letter}", pattern))

    def text(self, name: str, value: str) -> None:
        p = self.points[name]
        self.words[p.at : p.at + p.words] = to_words(value.encode("ascii").ljust(2 * p.words, b"\0"))

    def put(self, name: str, value: float | None) -> None:
        """A value outside the type's range shows the range's end, as a device's own display would."""
        p = self.points[name]
        if value is None:
            self.words[p.at : p.at + p.words] = self.absent(p)
            return
        letter, pattern = TYPES[p.type]
        raw = round(value / 10.0 ** self.scale(p))
        bits = 16 * p.words
        low, high = (-(1 << bits - 1) + 1, (1 << bits - 1) - 1) if pattern < 0 else (0, (1 << bits) - 2)
        self.words[p.at : p.at + p.words] = to_words(pack(f">{letter}", min(max(raw, low), high)))

    def get(self, name: str) -> float | None:
        p = self.points[name]
        found = self.words[p.at : p.at + p.words]
        if found == self.absent(p):
            return None
        raw = unpack(f">{TYPES[p.type][0]}", pack(f">{p.words}H", *found))[0]
        return float(raw * 10.0 ** self.scale(p))

    def scale(self, p: Point) -> int:
        return int(self.get(p.sf) or 0) if p.sf else 0
