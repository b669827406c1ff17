"""EPRI's common file format for settings -> Settings, and back. Pure: controller/settings/epri.py reads the files.

Shapes   {"PF_KOF": 0.05, "QV_MODE_ENABLE": "ENABLED", ...}; names may end in -AS or -SS; values text, number or bool.
         Names stand beside each setting in settings.py. Four flags tell reactive.mode; ratings of Q are in var.
Errors   SettingError, every mistake a line: name, value, what is allowed, clause.
Bases    Q points: of NP_VA_MAX. PV_CURVE_P2 < 0 and QP_CURVE_P*_LOAD: of NP_P_MAX_CHARGE. QV_CURVE_V*: for QV_VREF = 1.
         The results reports of IEEE 1547.1 differ: RENAMED are taken, REFUSED are not, each with its reason.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext
from difflib import get_close_matches
from fractions import Fraction
from typing import Any

from cython_core.checks import FIELDS, Fault, faults, one_mode
from cython_core.settings import SettingError, Settings, to_mapping

Value = str | float | bool
NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]{1,3})?")
SUFFIX = re.compile(r"-(AS|SS)$")

NAMES = {f.metadata["epri"]: (g, k) for g, keys in FIELDS.items() for k, f in keys.items() if f.metadata.get("epri")}
MODE_FLAGS = {
    "CONST_PF_MODE_ENABLE": "constant_pf",
    "QV_MODE_ENABLE": "volt_var",
    "QP_MODE_ENABLE": "watt_var",
    "CONST_Q_MODE_ENABLE": "constant_q",
}
WORDS = {
    "NP_NORMAL_OP_CAT": {"CAT_A": "A", "CAT_B": "B"},
    "NP_ABNORMAL_OP_CAT": {"CAT_I": "I", "CAT_II": "II", "CAT_III": "III"},
    "CONST_PF_EXCITATION": {"INJ": "inject", "ABS": "absorb"},
    "NP_PRIO_OUTSIDE_MIN_Q_REQ": {"REACTIVE": "reactive", "ACTIVE": "active"},
}
IN_VAR = {"NP_Q_MAX_INJ": "q_inject_pu", "NP_Q_MAX_ABS": "q_absorb_pu"}
IN_WATTS = ("NP_P_MAX", "NP_P_MAX_CHARGE", "NP_VA_MAX", "NP_APPARENT_POWER_CHARGE_MAX")
# lines of the format that set nothing in this core
KEPT = (
    *("MT_FILE_INFO_TYPE", "COMMENT", "MT_DER_OWNER_NAME", "MT_DER_ADDRESS", "MT_VALIDATION_DATE"),
    *("NP_P_MAX_OVER_PF", "NP_OVER_PF", "NP_P_MAX_UNDER_PF", "NP_UNDER_PF", "NP_AC_V_MAX", "NP_AC_V_MIN"),
    *("NP_SUPPORTED_MODES", "NP_REACTIVE_SUSCEPTANCE", "NP_MANUFACTURER", "NP_MODEL", "NP_SERIAL_NUM", "NP_FW_VER"),
)
# labels of the IEEE 1547.1 results report that mean a setting of ours
RENAMED = {
    "QV_VREF_OLRT": "QV_VREF_TIME",  # a time constant there too, whatever the label says
    "QP_OLRT": "QP_RT",
    "PV_CURVE_P2_LOAD": "PV_CURVE_P2",  # P'2: this unit can absorb
    "PV_CURVE_P2_GEN": "PV_CURVE_P2",
}
REFUSED = {
    "UI_MODE_ENABLE": "detection of an island is the inverter's own and cannot be set here",
    "OV3_TRIP_V": "IEEE 1547-2018 has two overvoltage levels (6.4.1)",
    "OV3_TRIP_T": "IEEE 1547-2018 has two overvoltage levels (6.4.1)",
    "UV3_TRIP_V": "IEEE 1547-2018 has two undervoltage levels (6.4.1)",
    "UV3_TRIP_T": "IEEE 1547-2018 has two undervoltage levels (6.4.1)",
    **dict.fromkeys(
        (
            *("NP_EFFICIENCY", "NP_V_DC", "NP_V_MEAS_UNBALANCE", "NP_PHASE", "NP_P_MIN_PU", "NP_SET_EXE_TIME"),
            *("ES_RANDOMIZED_DELAY_ACTUAL", "STATUS_INIT", "NP_REACT_TIME", "NP_Q_CAPABILITY_LOW_P"),
        ),
        "a parameter of EPRI's simulation model, no setting of the unit: leave the line out",
    ),
}
ORDER = ("NP_", "AP_", "ES_", "CONST_PF", "CONST_Q", "QV_", "QP_", "PV_", "OV", "UV", "OF", "UF", "PF_", "MC_")
KNOWN = (*NAMES, *MODE_FLAGS, *KEPT, *RENAMED, "CONST_PF_INJ", "CONST_PF_ABS")


@dataclass(frozen=True, slots=True)
class LineFault:
    """One mistake, at the line with this name ("" when no line of the file is to blame)."""

    name: str
    text: str


def from_epri(lines: Mapping[str, Value], base: Settings | None = None) -> Settings:
    """Settings of a file; what it does not say is taken from base, or is the default of its categories."""
    groups, wrong = groups_from(lines, base)
    if wrong:
        raise SettingError("\n".join(fault.text for fault in wrong))
    return Settings.from_mapping(groups)


def groups_from(lines: Mapping[str, Value], base: Settings | None = None) -> tuple[dict[str, Any], list[LineFault]]:
    """(groups for Settings.from_mapping, every mistake). The groups hold what base and the file say, no defaults."""
    groups: dict[str, dict[str, Any]] = to_mapping(base) if base else {}
    wrong: list[LineFault] = []
    named = plain_names(lines, wrong)
    found: dict[str, Any] = {}
    for name, (written, value) in named.items():
        if name in KEPT:
            continue
        try:
            found[name] = parsed(name, value)
        except SettingError as error:
            wrong.append(LineFault(written, str(error)))
    place_all(found, groups)
    wrong += [LineFault(named[n][0], text) for n, text in mode_and_q(found, groups)]
    if not wrong:
        wrong = [line_fault(fault, {n: w for n, (w, _) in named.items()}) for fault in faults(groups)]
    return groups, wrong


def plain_names(lines: Mapping[str, Value], wrong: list[LineFault]) -> dict[str, tuple[str, Value]]:
    """{name: (name as written, value)}: suffixes off, report labels renamed, power factors of reports resolved."""
    named: dict[str, tuple[str, Value]] = {}
    for written, value in lines.items():
        name = SUFFIX.sub("", written)
        if name not in KNOWN:
            wrong.append(LineFault(written, no_such(name)))
            continue
        if name == "PV_CURVE_P2_GEN" and any(SUFFIX.sub("", n) == "PV_CURVE_P2_LOAD" for n in lines):
            continue  # P2 is for units that cannot absorb; this one has P'2
        name = RENAMED.get(name, name)
        if name in named:
            wrong.append(LineFault(written, f"{written} says again what {named[name][0]} says: leave one of them"))
            continue
        named[name] = (written, value)
    return report_power_factor(named, wrong)


def report_power_factor(named: dict[str, tuple[str, Value]], wrong: list[LineFault]) -> dict[str, tuple[str, Value]]:
    """CONST_PF_INJ or CONST_PF_ABS -> CONST_PF and its excitation."""
    sides = [side for side in ("INJ", "ABS") if f"CONST_PF_{side}" in named]
    values = {side: named.pop(f"CONST_PF_{side}") for side in sides}
    if not sides:
        return named
    if "CONST_PF" in named:
        wrong.append(LineFault(values[sides[0]][0], f"CONST_PF_{sides[0]} and CONST_PF: leave one of them"))
        return named
    excitation = str(named["CONST_PF_EXCITATION"][1]) if "CONST_PF_EXCITATION" in named else ""
    side = excitation if excitation in sides else sides[0]
    if len(sides) == 2 and excitation not in sides:
        text = "CONST_PF_INJ and CONST_PF_ABS: add a line CONST_PF_EXCITATION, INJ or ABS, to say which one is in force"
        wrong.append(LineFault(values["ABS"][0], text))
    elif excitation and excitation != side:
        wrong.append(LineFault(values[side][0], f"CONST_PF_{side} beside CONST_PF_EXCITATION = {excitation}"))
    named["CONST_PF"] = values[side]
    named.setdefault("CONST_PF_EXCITATION", (values[side][0], side))
    return named


def no_such(name: str) -> str:
    """Why a name is not taken."""
    if name in REFUSED:
        return f"{name}: {REFUSED[name]}"
    if re.search(r"-ER-(MIN|MAX)$", name):
        return f"{name}: an evaluated range of a test report, no setting"
    near = get_close_matches(name.upper(), KNOWN, 3, 0.6)
    return f"unknown name '{name}'" + (f"; did you mean {' or '.join(near)}?" if near else "; see v2g explain")


def parsed(name: str, value: Value) -> Any:
    """The value in our own type and words."""
    if name in WORDS:
        words = WORDS[name]
        text = str(value).strip()
        if text not in words and text not in words.values():
            raise SettingError(f"{name} = {text} is not one of {' | '.join(words)} ({meta_of(name)['clause']})")
        return words.get(text, text)
    return number(name, value) if "low" in meta_of(name) else switch(name, value)


def switch(name: str, value: Value) -> bool:
    text = str(value).strip().upper()
    if text not in ("ENABLED", "DISABLED", "TRUE", "FALSE"):
        raise SettingError(f"{name} = {value} is neither ENABLED nor DISABLED")
    return text in ("ENABLED", "TRUE")


def number(name: str, value: Value) -> float | Fraction:
    """A number; ratings of Q stay exact until they are divided."""
    text = str(value).strip()
    if name == "ES_RANDOMIZED_DELAY" and text == "DISABLED":
        return 0.0
    if isinstance(value, bool) or not NUMBER.fullmatch(text):
        comma = ": write a dot, not a comma" if "," in text else ""
        seconds = ": how many seconds? 0 is none" if name == "ES_RANDOMIZED_DELAY" else ""
        raise SettingError(f"{name} = {text or 'nothing'} is not a number{comma}{seconds} ({meta_of(name)['clause']})")
    value = float(text)
    if math.isinf(value):
        raise SettingError(f"{name} = {text:.20} is beyond every range ({meta_of(name)['clause']})")
    exact = Fraction(text)
    if name in IN_WATTS and 0 < exact < 100:
        raise SettingError(
            f"{name} = {text} looks like kW: this format has W, var and VA (write {float(exact * 1000):.12g})"
        )
    if name == "ES_RAMP_RATE" and 0.0 < value < 1.0:
        seconds = f"{100.0 / value:.12g} s at {text} %/s"
        raise SettingError(f"{name} = {text} looks like %/s: here it is the time from 0 to rated ({seconds}) (4.10.3)")
    return exact if name in IN_VAR else value


def float_of(exact: Fraction) -> float:
    """inf: no float holds it, and no setting may be that large."""
    try:
        return float(exact)
    except OverflowError:
        return math.inf


def meta_of(name: str) -> Mapping[str, Any]:
    if name in MODE_FLAGS:
        return {"clause": "5.3.1"}
    group, key = NAMES[name]
    return FIELDS[group][key].metadata


def place_all(found: dict[str, Any], groups: dict[str, dict[str, Any]]) -> None:
    """Each value to its setting."""
    for name, value in found.items():
        if name not in MODE_FLAGS and name not in IN_VAR:
            group, key = NAMES[name]
            groups.setdefault(group, {})[key] = value
    if "NP_VA_MAX" in found and "NP_APPARENT_POWER_CHARGE_MAX" not in found:
        groups["rating"]["s_charge_rated_va"] = 0.0  # as NP_VA_MAX: see to_epri


def mode_and_q(found: dict[str, Any], groups: dict[str, dict[str, Any]]) -> list[tuple[str, str]]:
    """reactive.mode from the four flags, shares of Q from var; what is wrong, by name."""
    wrong = []
    flags = {mode: found.get(name) for name, mode in MODE_FLAGS.items()}
    if any(flag is not None for flag in flags.values()):
        base = groups.get("reactive", {}).get("mode", Settings().reactive.mode)
        mode, several = one_mode(flags, base)
        names = [name for name, m in MODE_FLAGS.items() if m in several]
        if names:
            wrong.append((names[1], f"{' and '.join(names)} are both ENABLED: one reactive mode at a time (5.3.1)"))
        groups.setdefault("reactive", {})["mode"] = mode
    rating = groups.setdefault("rating", {})
    s_va = Fraction(rating.get("s_rated_va", Settings().rating.s_rated_va))
    for name, key in IN_VAR.items():
        if name in found and s_va > 0:
            rating[key] = float_of(found[name] / s_va)
            if not 0.0 <= rating[key] <= 1.0:
                var = f"{name} = {float(found[name]):.12g} var"
                wrong.append((name, f"{var} is outside 0 ... {float(s_va):.12g} var, the apparent power rating (10.3)"))
                rating[key] = 0.0
    return wrong


def line_fault(fault: Fault, written: Mapping[str, str]) -> LineFault:
    """A fault of a setting at the line that set it, with the line's name in front."""
    name = str(FIELDS[fault.group][fault.key].metadata.get("epri", "")) if fault.key else ""
    if name in written:
        return LineFault(written[name], f"{name}: {fault.text}")
    return LineFault("", fault.text)


def to_epri(settings: Settings) -> dict[str, str | float]:
    """Every setting that the format has a name for, in its order. A number is text only where no float is exact.

    NP_APPARENT_POWER_CHARGE_MAX is left out when it is NP_VA_MAX's own value (s_charge_rated_va = 0).
    """
    lines: dict[str, str | float] = {}
    for name, (group, key) in NAMES.items():
        lines[name] = shown(name, getattr(getattr(settings, group), key), settings.rating.s_rated_va)
    lines |= {n: "ENABLED" if settings.reactive.mode == mode else "DISABLED" for n, mode in MODE_FLAGS.items()}
    if settings.rating.s_charge_rated_va == 0.0:
        del lines["NP_APPARENT_POWER_CHARGE_MAX"]
    return dict(sorted(lines.items(), key=lambda line: place(line[0])))


def place(name: str) -> tuple[int, bool]:
    """Where a line stands: its group, the group's switch first."""
    return next(i for i, start in enumerate(ORDER) if name.startswith(start)), "ENABLE" not in name


def shown(name: str, value: Any, s_rated_va: float) -> str | float:
    if name in IN_VAR:
        return from_share(value, s_rated_va)
    if name in WORDS:
        return next(word for word, ours in WORDS[name].items() if ours == value)
    if isinstance(value, bool):
        return "ENABLED" if value else "DISABLED"
    return float(value) + 0.0  # -0.0 is 0


def from_share(share: float, whole: float) -> str | float:
    """share x whole as the shortest decimal d with float(d / whole) == share; text when no float is one.

    0.44 of 7000 VA is 3080 var, not 3080.0000000000005; a share of 17 digits may need more digits than a float has.
    """
    with localcontext() as context:
        context.prec = 60
        exact = Decimal(share) * Decimal(whole)
    for digits in range(1, 40):
        text = f"{exact:.{digits}g}"
        if float(Fraction(text) / Fraction(whole)) == share:
            written = float(text)  # of more than 15 digits another decimal may be printed
            return written if float(Fraction(repr(written)) / Fraction(whole)) == share else text
    raise AssertionError(f"{share} x {whole} has no decimal")  # 40 digits name every product of two floats


def without_name() -> list[str]:
    """`group.key` of every setting that the format has no name for; reactive.mode is told by four flags."""
    told = set(NAMES.values()) | {("reactive", "mode")}
    return [f"{g}.{k}" for g, keys in FIELDS.items() for k in keys if (g, k) not in told]
