"""results.csv, results.json and junit.xml, read back by readers that are not ours."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from controller.bench.judgement import CaseJudgement, Check, Verdict, Window
from controller.bench.plan import Plan
from controller.bench.report.junit import as_junit
from controller.bench.report.results import COLUMNS, as_csv, as_json
from tests.controller.bench.written_run import run

SECONDS = {"volt_var-char_1-100": 140.2, "volt_var-char_1-wrong_sign": 140.2}


def table(plan: Plan, judgements: list[CaseJudgement]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(as_csv(plan, judgements))))


def test_csv_has_a_row_a_check_and_a_row_for_a_case_without() -> None:
    plan, _, judgements = run()
    rows = table(plan, judgements)
    assert len(rows) == 14 + 14 + 3 + 1 + 1 + 1
    assert tuple(rows[0]) == COLUMNS
    (row,) = (
        r for r in rows if r["case"] == "volt_var-char_1-wrong_sign" and (r["step"], r["kind"]) == ("h", "steady")
    )
    assert row == {
        "case": "volt_var-char_1-wrong_sign", "procedure": "volt_var", "clause": "5.14.4", "case_verdict": "fail",
        "step": "h", "what": "248.4 V, 60 Hz", "kind": "steady", "quantity": "q_var", "verdict": "fail",
        "warning": "False", "x": "248.4", "x_unit": "V", "y": "1100.0", "y_unit": "var", "target": "-1100.0", "t_s": "",
        "standard_low": "-2950.0", "standard_high": "750.0", "standard_passed": "False", "engineering_low": "-1350.0",
        "engineering_high": "-850.0", "engineering_passed": "False", "reason": "1100 var, allowed -2950 … 750 var",
    }  # fmt: skip
    (invalid,) = (r for r in rows if r["verdict"] == "invalid")
    assert (invalid["case"], invalid["step"], invalid["reason"]) == (
        "volt_watt-char_1-100", "", "the meter is frozen: 40 equal values & more",
    )  # fmt: skip


def test_numbers_and_words_survive_the_csv() -> None:
    """Every digit; commas, quotes and line ends in a reason."""
    plan, _, judgements = run()
    third = 1.0 / 3.0
    check = Check("g", "steady", "q_var", Verdict.PASS, 'one, "two"\nthree', third, "V", -0.1, "var",
                  None, None, Window(None, third, passed=True), None)  # fmt: skip
    row = table(plan, [replace(judgements[0], checks=(check,))])[0]
    assert (float(row["x"]), float(row["y"]), float(row["standard_high"])) == (third, -0.1, third)
    assert (row["standard_low"], row["engineering_low"], row["reason"]) == ("", "", 'one, "two"\nthree')


def test_json_says_the_same() -> None:
    plan, _, judgements = run()
    check = replace(judgements[0].checks[0], y=float("nan"))
    answer = json.loads(as_json(plan, [replace(judgements[0], checks=(check,)), *judgements[1:]], {"plan": "0123"}),
                        parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))  # fmt: skip
    assert (answer["v"], answer["verdict"], answer["run"]) == (1, "fail", {"plan": "0123"})
    assert answer["counts"] == {"pass": 2, "fail": 2, "invalid": 1, "skipped": 1}
    assert [c["id"] for c in answer["cases"]] == [c.id for c in plan.cases]
    assert answer["cases"][0]["checks"][0]["y"] is None
    assert answer["cases"][1]["checks"][2]["standard"] == {"low": -2950.0, "high": 750.0, "passed": False}
    assert answer["cases"][4]["reasons"] == ["the meter is frozen: 40 equal values & more"]
    assert answer["eut"]["v_nom_v"] == 240.0


def test_junit_has_a_test_case_a_case() -> None:
    plan, _, judgements = run()
    root = ElementTree.fromstring(as_junit(plan, judgements, SECONDS).encode())
    suite = next(s for s in root.iter("testsuite") if s.attrib["name"] == "volt_var")
    assert {k: suite.attrib[k] for k in ("tests", "failures", "errors", "skipped", "time")} == {
        "tests": "2", "failures": "1", "errors": "0", "skipped": "0", "time": "280.400",
    }  # fmt: skip
    cases = {c.attrib["name"]: c for c in root.iter("testcase")}
    assert list(cases) == [c.id for c in plan.cases]
    tags = {name: [e.tag for e in case] for name, case in cases.items()}
    assert tags == {
        "volt_var-char_1-100": ["system-out"], "volt_var-char_1-wrong_sign": ["failure"],
        "freq_droop_above-char_1-100": [], "voltage_trip-ov2": ["failure"], "volt_watt-char_1-100": ["error"],
        "ride_through-lvrt": ["skipped"],
    }  # fmt: skip
    failure = cases["volt_var-char_1-wrong_sign"][0]
    assert failure.attrib["message"] == "h: 1100 var, allowed -2950 … 750 var"
    assert len((failure.text or "").splitlines()) == 5
    assert (cases["volt_var-char_1-100"][0].text or "").startswith("warning: u: 2500 var")


def test_what_xml_cannot_hold_is_replaced() -> None:
    plan, _, judgements = run()
    bell = replace(judgements[4], reasons=("SCPI said \x07\x1b<&",))
    root = ElementTree.fromstring(as_junit(plan, [bell], {}).encode())
    assert [e.attrib["message"] for e in root.iter("error")] == ["SCPI said \ufffd\ufffd<&"]
