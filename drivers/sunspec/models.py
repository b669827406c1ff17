"""The SunSpec models of IEEE 1547-2018 devices, 701 to 715: all their points, in the order of their words. Facts only.

A point is name:type[:scale factor]; its words follow those of the point before. enum16 and bitfields are written u16
and u32, a sunssf is s16. Groups stand behind the points and repeat as often as the model's point `count` says.
Source: SunSpec model definitions, github.com/sunspec/models json/model_{701 ... 715}.json.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Group:
    """Points, and groups behind them. count: the model's point that says how often it repeats; "": it is there once."""

    points: str
    groups: tuple[Group, ...] = ()
    name: str = ""
    count: str = ""


ENERGY = "TotWhInj{0}:u64:TotWh_SF TotWhAbs{0}:u64:TotWh_SF TotVarhInj{0}:u64:TotVarh_SF TotVarhAbs{0}:u64:TotVarh_SF"
PHASES = " ".join(
    f"WL{n}:s16:W_SF VAL{n}:s16:VA_SF VarL{n}:s16:Var_SF PFL{n}:s16:PF_SF AL{n}:s16:A_SF VL{n}L{n % 3 + 1}:u16:V_SF "
    f"VL{n}:u16:V_SF {ENERGY.format(f'L{n}')}"
    for n in (1, 2, 3)
)
RATINGS = (
    "WMax{0}:u16:W_SF {1}:u16:W_SF WOvrExt{0}PF:u16:PF_SF {2}:u16:W_SF WUndExt{0}PF:u16:PF_SF VAMax{0}:u16:VA_SF "
    "VarMaxInj{0}:u16:Var_SF VarMaxAbs{0}:u16:Var_SF WChaRteMax{0}:u16:W_SF WDisChaRteMax{0}:u16:W_SF "
    "VAChaRteMax{0}:u16:VA_SF VADisChaRteMax{0}:u16:VA_SF VNom{0}:u16:V_SF VMax{0}:u16:V_SF VMin{0}:u16:V_SF "
    "AMax{0}:u16:A_SF PFOvrExt{0}:u16:PF_SF PFUndExt{0}:u16:PF_SF"
)
SETPOINT = "{0}:{1}:{0}_SF {0}Rvrt:{1}:{0}_SF {0}Pct:s16:{0}Pct_SF {0}PctRvrt:s16:{0}Pct_SF"
TIMER = "{0}EnaRvrt:u16 {0}RvrtTms:u32 {0}RvrtRem:u32"
POWER_FACTOR = "PF:u16:PF_SF Ext:u16"
ADOPT = "Ena:u16 Adpt{0}Req:u16 Adpt{0}Rslt:u16"
REVERT = "RvrtTms:u32 RvrtRem:u32 Rvrt{0}:u16"


def curves(count: str, points: str, axes: str, factors: str) -> Group:
    """705, 706, 712: curves of points."""
    return Group(
        f"{ADOPT.format('Crv')} NPt:u16 NCrv:u16 {REVERT.format('Crv')} {factors}",
        (Group(points, (Group(axes, name="Pt", count="NPt"),), "Crv", count),),
    )


def trips(axis: str, kind: str) -> Group:
    """707 to 710: three curves a set."""
    point = Group(f"{axis}:{kind}:{axis}_SF Tms:u32:Tms_SF", name="Pt", count="NPt")
    three = tuple(Group("ActPt:u16", (point,), name) for name in ("MustTrip", "MayTrip", "MomCess"))
    head = f"{ADOPT.format('Crv')} NPt:u16 NCrvSet:u16 {axis}_SF:s16 Tms_SF:s16"
    return Group(head, (Group("ReadOnly:u16", three, "Crv", "NCrvSet"),))


MODELS: dict[int, Group] = {
    701: Group(
        "ACType:u16 St:u16 InvSt:u16 ConnSt:u16 Alrm:u32 DERMode:u32 W:s16:W_SF VA:s16:VA_SF Var:s16:Var_SF "
        "PF:s16:PF_SF A:s16:A_SF LLV:u16:V_SF LNV:u16:V_SF Hz:u32:Hz_SF "
        f"{ENERGY.format('')} TmpAmb:s16:Tmp_SF TmpCab:s16:Tmp_SF TmpSnk:s16:Tmp_SF TmpTrns:s16:Tmp_SF "
        f"TmpSw:s16:Tmp_SF TmpOt:s16:Tmp_SF {PHASES} ThrotPct:u16 ThrotSrc:u32 A_SF:s16 V_SF:s16 Hz_SF:s16 W_SF:s16 "
        "PF_SF:s16 VA_SF:s16 Var_SF:s16 TotWh_SF:s16 TotVarh_SF:s16 Tmp_SF:s16 MnAlrmInfo:str32"
    ),
    702: Group(
        f"{RATINGS.format('Rtg', 'WOvrExtRtg', 'WUndExtRtg')} ReactSusceptRtg:u16:S_SF NorOpCatRtg:u16 AbnOpCatRtg:u16 "
        f"CtrlModes:u32 IntIslandCatRtg:u16 {RATINGS.format('', 'WMaxOvrExt', 'WMaxUndExt')} IntIslandCat:u16 "
        "W_SF:s16 PF_SF:s16 VA_SF:s16 Var_SF:s16 V_SF:s16 A_SF:s16 S_SF:s16"
    ),
    703: Group(
        "ES:u16 ESVHi:u16:V_SF ESVLo:u16:V_SF ESHzHi:u32:Hz_SF ESHzLo:u32:Hz_SF ESDlyTms:u32 ESRndTms:u32 ESRmpTms:u32 "
        "ESDlyRemTms:u32 V_SF:s16 Hz_SF:s16"
    ),
    704: Group(
        f"PFWInjEna:u16 {TIMER.format('PFWInj')} PFWAbsEna:u16 {TIMER.format('PFWAbs')} "
        "WMaxLimPctEna:u16 WMaxLimPct:u16:WMaxLimPct_SF WMaxLimPctRvrt:u16:WMaxLimPct_SF "
        f"{TIMER.format('WMaxLimPct')} "
        f"WSetEna:u16 WSetMod:u16 {SETPOINT.format('WSet', 's32')} {TIMER.format('WSet')} "
        f"VarSetEna:u16 VarSetMod:u16 VarSetPri:u16 {SETPOINT.format('VarSet', 's32')} {TIMER.format('VarSet')} "
        "WRmp:u16 WRmpRef:u16 VarRmp:u16 AntiIslEna:u16 "
        "PF_SF:s16 WMaxLimPct_SF:s16 WSet_SF:s16 WSetPct_SF:s16 VarSet_SF:s16 VarSetPct_SF:s16",
        tuple(Group(POWER_FACTOR, name=name) for name in ("PFWInj", "PFWInjRvrt", "PFWAbs", "PFWAbsRvrt")),
    ),
    705: curves(
        "NCrv",
        "ActPt:u16 DeptRef:u16 Pri:u16 VRef:u16:V_SF VRefAuto:u16:V_SF VRefAutoEna:u16 VRefAutoTms:u16 "
        "RspTms:u32:RspTms_SF ReadOnly:u16",
        "V:u16:V_SF Var:s16:DeptRef_SF",
        "V_SF:s16 DeptRef_SF:s16 RspTms_SF:s16",
    ),
    706: curves(
        "NCrv",
        "ActPt:u16 DeptRef:u16 RspTms:u32:RspTms_SF ReadOnly:u16",
        "V:u16:V_SF W:s16:DeptRef_SF",
        "V_SF:s16 DeptRef_SF:s16 RspTms_SF:s16",
    ),
    707: trips("V", "u16"),
    708: trips("V", "u16"),
    709: trips("Hz", "u32"),
    710: trips("Hz", "u32"),
    711: Group(
        f"{ADOPT.format('Ctl')} NCtl:u16 {REVERT.format('Ctl')} Db_SF:s16 K_SF:s16 RspTms_SF:s16",
        (
            Group(
                "DbOf:u32:Db_SF DbUf:u32:Db_SF KOf:u16:K_SF KUf:u16:K_SF RspTms:u32:RspTms_SF PMin:s16 ReadOnly:u16",
                name="Ctl",
                count="NCtl",
            ),
        ),
    ),
    712: curves(
        "NCrv",
        "ActPt:u16 DeptRef:u16 Pri:u16 ReadOnly:u16",
        "W:s16:W_SF Var:s16:DeptRef_SF",
        "W_SF:s16 DeptRef_SF:s16",
    ),
    713: Group(
        "WHRtg:u16:WH_SF WHAvail:u16:WH_SF SoC:u16:Pct_SF SoH:u16:Pct_SF Sta:u16 WH_SF:s16 Pct_SF:s16",
    ),
    714: Group(
        "PrtAlrms:u32 NPrt:u16 DCA:s16:DCA_SF DCW:s16:DCW_SF DCWhInj:u64:DCWH_SF DCWhAbs:u64:DCWH_SF "
        "DCA_SF:s16 DCV_SF:s16 DCW_SF:s16 DCWH_SF:s16 Tmp_SF:s16",
        (
            Group(
                "PrtTyp:u16 ID:u16 IDStr:str8 DCA:s16:DCA_SF DCV:u16:DCV_SF DCW:s16:DCW_SF DCWhInj:u64:DCWH_SF "
                "DCWhAbs:u64:DCWH_SF Tmp:s16:Tmp_SF DCSta:u16 DCAlrm:u32",
                name="Prt",
                count="NPrt",
            ),
        ),
    ),
    715: Group("LocRemCtl:u16 DERHb:u32 ControllerHb:u32 AlarmReset:u16 OpCtl:u16"),
}
