"""judgement.json: its bytes, what comes back, and what a broken one is told. accuracy.yaml: the standard's table."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest

from controller.bench.accuracy import ENGINEERING, STANDARD, Accuracy
from controller.bench.judge import judge_case, judge_plan
from controller.bench.judgement import CaseJudgement, Check, Verdict, Window
from controller.bench.judgementfile import as_text, read_judgement, write_judgement
from controller.bench.plan import Plan
from controller.errors import InputError
from tests.controller.bench.golden import EUT
from tests.controller.bench.records import record
from tests.controller.bench.scenes import VOLT_VAR, q_of, trip, tripping, volt_var

FOUND = CaseJudgement(
    "a", Verdict.FAIL, ("p ≠ q",),
    (Check("g", "steady", "q_var", Verdict.FAIL, "Q 1 var", 1 / 3, "V", -0.0, "var", None, float("nan"),
           Window(None, 2.0, passed=False)),),
)  # fmt: skip
TEXT = """{
 "cases": [
  {
   "checks": [
    {
     "engineering": null,
     "kind": "steady",
     "quantity": "q_var",
     "reason": "Q 1 var",
     "standard": {
      "high": 2.0,
      "low": null,
      "passed": false
     },
     "step": "g",
     "t_s": null,
     "target": null,
     "verdict": "fail",
     "x": 0.333333333,
     "x_unit": "V",
     "y": 0.0,
     "y_unit": "var"
    }
   ],
   "id": "a",
   "reasons": [
    "p ≠ q"
   ],
   "record": null,
   "verdict": "fail"
  }
 ],
 "schema": 1
}
"""


def test_bytes_are_fixed() -> None:
    """Sorted keys, nine digits, no -0, nothing that JSON does not know."""
    assert as_text([FOUND]) == TEXT


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    of = trip()
    found = [judge_case(of, EUT, record(of, tripping(1.99))), judge_case(of, EUT, None)]
    path = tmp_path / "judgement.json"
    write_judgement(path, found)
    back = read_judgement(path)
    assert as_text(back) == path.read_text(encoding="utf-8")
    assert [c.verdict for c in back] == [Verdict.PASS, Verdict.SKIPPED]
    assert back[0].checks[1].standard == Window(0.0, 2.05, passed=True)
    assert back[1] == found[1]


MISSING, BROKEN_FILE = "No such file or directory: `v2g bench judge ", "is no judgement: `v2g bench judge "
NEWER = "schema 2 is newer than this program, which reads up to 1"
# fmt: off
BROKEN = [
    # text                             told         why
    (None,                             MISSING,     "not there"),
    ("{",                              BROKEN_FILE, "cut short"),
    ("[]",                             BROKEN_FILE, "another shape"),
    ('{"schema": "x", "cases": []}',   BROKEN_FILE, "a schema that is no number"),
    (json.dumps({"schema": 2}),        NEWER,       "from the future"),
    (TEXT.replace("fail", "perhaps"),  BROKEN_FILE, "an unknown verdict"),
    (TEXT.replace("kind", "kinds"),    BROKEN_FILE, "an unknown key"),
    (TEXT.replace("2.0", '"2.0"'),     BROKEN_FILE, "a limit that is no number"),
    (TEXT.replace('"a"', "true"),      BROKEN_FILE, "an id that is no word"),
    (TEXT.replace('"var"', "[]"),      BROKEN_FILE, "a unit that is no word"),
]
# fmt: on


@pytest.mark.parametrize(("text", "told", "why"), BROKEN, ids=[c[-1] for c in BROKEN])
def test_broken_file_gets_one_line(text: str | None, told: str, why: str, tmp_path: Path) -> None:
    path = tmp_path / "judgement.json"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as error:
        read_judgement(path)
    assert str(error.value).startswith(f"{path}: {told}")
    assert "\n" not in str(error.value)


def test_plan_is_judged_in_its_order() -> None:
    good = volt_var({"g": 241.2})
    records = {good.id: record(good, q_of(VOLT_VAR))}
    plan = Plan(EUT, (good, replace(trip(), id="other")), 1)
    assert [(j.id, j.verdict) for j in judge_plan(plan, records.get)] == [
        ("a_case", Verdict.PASS), ("other", Verdict.SKIPPED)]  # fmt: skip


# fmt: off
TABLE = [
    # name                  standard  engineering  unit
    ("v_pu",                0.01,     0.002,       "of V_N, 10 cycles"),
    ("v_transient_pu",      0.02,     0.002,       "of V_N, 5 cycles"),
    ("f_hz",                0.010,    0.002,       "Hz, 60 cycles"),
    ("f_transient_hz",      0.100,    0.002,       "Hz, 5 cycles"),
    ("p_pu",                0.05,     0.01,        "of S"),
    ("q_pu",                0.05,     0.01,        "of S"),
    ("pf",                  0.01,     0.01,        ""),
    ("time_share",          0.01,     0.01,        "from 5 s on"),
    ("time_cycles",         2.0,      0.0,         "below 5 s"),
    ("time_cycles_below_s", 5.0,      0.0,         "s"),
]
# fmt: on


@pytest.mark.parametrize(("name", "standard", "engineering", "unit"), TABLE, ids=[c[0] for c in TABLE])
def test_accuracies(name: str, standard: float, engineering: float, unit: str) -> None:
    assert (getattr(STANDARD, name), getattr(ENGINEERING, name)) == (standard, engineering)


def test_table_is_complete() -> None:
    assert [f.name for f in fields(Accuracy)] == [row[0] for row in TABLE]
