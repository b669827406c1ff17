"""The keys of a procedure file, and the symbols each may count with.

The tables say what each key takes; what it means for a test: docs/adding-a-procedure.md.
"""

from __future__ import annotations

from typing import Any

from controller.bench.procedure import ABNORMAL, NORMAL
from drivers.yamlkeys import Meta, anything, choice, flag, integer, nested, several, text, version

SCHEMA = 1
NEEDS = ("faults", "wires", "processes", "broker", "three_phase", "angle", "permit")
# of every unit, from its nameplate and the standard's accuracies (nameplate.eut_symbols)
EUT_SYMBOLS = (
    *("V_N", "V_L", "V_H", "f_N", "f_L", "f_H", "P_rated", "P_charge", "P_min", "P_charge_min", "S", "Q_inj", "Q_abs"),
    *("dP_small", "dP_large", "storage", "phases"),
    *("MRA_V", "MRA_f", "MRA_P", "MRA_Q", "a_V", "a_f", "a_P"),
)
WORDS = r"\S.*"


def of(key: Any) -> Meta:
    """What drivers.yamlkeys declares for a dataclass's field, alone."""
    meta: Meta = key.metadata
    return meta


COMMON_KEYS = {
    "schema": of(version(SCHEMA, "version of the file's shape")),
    "symbols": nested("name: expression"),
    "settings": nested("group: {key: value}, as in a site file"),
}
TOP_KEYS = {
    "schema": of(version(SCHEMA, "version of the file's shape")),
    "title": of(text("a title, in words", pattern=WORDS)),
    "clause": of(text('a clause in quotes, "1547.1-2020 5.14.4"', pattern=WORDS)),
    "criteria": of(text("the clause of the criteria, in quotes", pattern=WORDS)),
    "for": nested("what a unit must be", required=False),
    "needs": of(several(choice(NEEDS, "what the rig must be able to do", ()))),
    "cases": nested("name of an axis: {columns: [...], row: [...]}", required=False),
    "symbols": nested("name: expression", required=False),
    "settings": nested("group: {key: value}, as in a site file", required=False),
    "curves": nested("name: {x: v, points: [[x, y], ...]}", required=False),
    "clip_v": anything("[lowest, highest] voltage of any step, pu"),
    "leave_out": anything("conditions under which a case does not exist"),
    "skip": anything("list of {when: condition, why: words}: the case is listed and not run"),
    "start": nested("the set-up: a step without a name"),
    "hold": anything("how long a step is held, s"),
    "ramp_f": anything("slope of every change of frequency, Hz/s; without it frequency steps"),
    "steps": anything("list of {step: name, ...}"),
    "trace": nested("{scenario: name, every: s, hold: s}", required=False),
    "order": of(text("names of steps, in the order they are run", "", WORDS)),
    "repeat": of(integer("times", 1, 100, "all steps again", 1)),
    "judge": anything("list of criteria of every step that has none of its own"),
    "notes": of(several(text("a note for the report", (), WORDS))),
}
FOR_KEYS = {
    "storage": of(flag("whether it can charge", None)),
    "phases": of(integer("", 1, 3, "number of phases", None)),
    "f_nom_hz": of(integer("Hz", 50, 60, "nominal frequency", None)),
    "normal": of(several(choice(NORMAL, "normal performance category", None))),
    "abnormal": of(several(choice(ABNORMAL, "abnormal performance category", None))),
}
STEP_KEYS = {
    "what": of(text("what the step is, in words", "", WORDS)),
    "v": anything("voltage, pu; or a list of three"),
    "angles": anything("phase angles, degrees; a list of three"),
    "f": anything("frequency, Hz"),
    "p": anything("demanded power, W"),
    "limit": anything("active power limit, pu of P_rated; or none"),
    "permit": of(flag("permit service", None)),
    "hold": anything("how long it is held, s"),
    "sample": anything("time between samples, s"),
    "ramp_f": anything("slope of its change of frequency, Hz/s"),
    "ramp_v": anything("slope of its change of voltage, pu/s"),
    "settings": nested("group: {key: value}", required=False),
    "faults": of(several(text("a line of the fault language: at 0s: meter.silent 3s", (), WORDS))),
    "judge": anything("list of criteria, instead of the procedure's"),
    "also": anything("list of criteria, besides the procedure's"),
    "skip": anything("a condition: the step is listed and not run"),
}
NAMED_STEP_KEYS = {"step": of(text("a name without spaces")), **STEP_KEYS}
CURVE_KEYS = {
    "x": of(choice(("v", "f", "p"), "what it is read at")),
    "points": anything("list of [x, y] of rising x", required=True),
}
RULE_KEYS = {
    "when": anything("a condition", required=True),
    "why": of(text("the reason, in words", pattern=WORDS)),
}
TRACE_KEYS = {
    "scenario": of(text("the name of a scenario")),
    "every": anything("time between its steps, s", required=True),
    "hold": anything("part of it the point is held, s", required=True),
}
