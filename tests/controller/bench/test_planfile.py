"""plan.json: exact there and back, and one line for each thing that can be wrong with it."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controller.bench.expand import make_plan
from controller.bench.plan import Plan
from controller.bench.planfile import PlanError, plan_of, plan_text, read_plan, write_plan
from controller.bench.procedurefile import load_procedure
from tests.controller.bench.golden import EUT

PLAN = make_plan([load_procedure(name) for name in ("enter_service", "voltage_trip", "prioritisation")], EUT, 7)


def test_there_and_back() -> None:
    text = plan_text(PLAN)
    assert plan_of(text, "plan.json") == PLAN
    assert plan_text(plan_of(text, "plan.json")) == text


def test_no_limit_stays_no_limit(tmp_path: Path) -> None:
    case = PLAN.cases[0]
    plan = Plan(EUT, (replace(case, start=replace(case.start, ap_limit_pu=math.nan)),), 7)
    write_plan(tmp_path / "plan.json", plan)
    again = read_plan(tmp_path / "plan.json").cases[0]
    assert again.start.ap_limit_pu is not None
    assert math.isnan(again.start.ap_limit_pu)
    assert "NaN" not in (tmp_path / "plan.json").read_text(encoding="utf-8")  # no JSON


# fmt: off
STEP = ("cases", 0, "steps", 0)
AT = "plan.cases[0].steps[0]"
WRONG = [
    # path to the value                   new value  the line
    (("schema",), 2, "schema = 2 is newer than this program, which reads up to 1: update it"),
    (("seed",), "x", "plan.seed = 'x' is not a int"),
    (("colour",), "red", "plan: unknown key 'colour'; known: eut, cases, seed, schema"),
    (("eut", "phases"), 1.5, "plan.eut.phases = 1.5 is not a int"),
    (("eut", "p_rated_w"), True, "plan.eut.p_rated_w = True is not a float"),
    (("cases",), {}, "plan.cases = {} is not a list"),
    (("cases", 0, "settings"), [], "plan.cases[0].settings = [] is not a group of keys"),
    ((*STEP, "criteria", 0, "y"), "v_v", f"{AT}.criteria[0].y = 'v_v' is not one of p_w, q_var, i_a"),
    ((*STEP, "criteria", 0, "kind"), "guess",
     f"{AT}.criteria[0].kind = 'guess' is not one of steady, response, inside, crosses, smooth, observed"),
    ((*STEP, "permit"), "yes", f"{AT}.permit = 'yes' is not a bool"),
    (("cases", 0, "id"), "../../home", "case '../../home': no name of a folder: no / in its rows"),  # resume empties it
    (("cases", 1, "id"), "enter_service-1",
     "case 'enter_service-1' is there twice: name a procedure once, your own file otherwise than a shipped one"),
]
# fmt: on


@pytest.mark.parametrize(("path", "value", "line"), WRONG, ids=[".".join(map(str, row[0])) for row in WRONG])
def test_wrong(path: tuple[Any, ...], value: Any, line: str) -> None:
    tree = json.loads(plan_text(PLAN))
    place = tree
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(PlanError) as caught:
        plan_of(json.dumps(tree), "plan.json")
    assert str(caught.value) == f"plan.json: {line}"


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "null", '{"schema": 1}'])
def test_no_plan(text: str) -> None:
    with pytest.raises(PlanError, match=r"^plan\.json: "):
        plan_of(text, "plan.json")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"plan\.json: cannot be read"):
        read_plan(tmp_path / "plan.json")
