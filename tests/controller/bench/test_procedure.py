"""The loader of procedures: every mistake at once, each with its line; a user's file wins."""

from pathlib import Path

import pytest

from controller import configfiles
from controller.bench.procedure import ProcedureError
from controller.bench.procedurefile import load_all, load_procedure, names

GOOD = """\
schema: 1
title: A test
clause: product
criteria: product
cases:
  power:
    columns: [P, volt_watt.enable]
    low: [0.2 * P_rated, false]
    high: {A: [P_rated, true], B: [0.9 * P_rated, true]}
symbols: {T_r: {I: 10, II: 10, III: 5}}
settings: {volt_var: {v1_pu: V_L}}
curves:
  flat: {x: v, points: [[1, P]]}
start: {v: 1, f: f_N, p: P, hold: 10}
hold: 4 * T_r
judge:
  - steady: {y: p, lowest_of: flat, bound: both, from: 2 * T_r, to: 4 * T_r}
steps:
  - {step: a, v: V_L + a_V}
  - {step: b, v: 1.05, skip: V_H < 1.05}
"""
# fmt: off
WRONG = [
    # of GOOD, instead, the mistake
    ("schema: 1", "schema: 2",
     "1: schema = 2 is newer than this program, which reads up to 1: update the program, or write the "
     "file for schema 1"),
    ("title: A test", "titel: A test", "2: unknown key 'titel'; known: "),
    ("clause: product", "clause: 5.14", "3: clause = 5.14 is read by YAML as float, not as text: quote it"),
    ("v: 1.05, skip", "v: 1.05, colour: red, skip",
     "20: unknown key 'colour'; known: also, angles, f, faults, hold, judge,"),
    ("V_L + a_V", "V_L + a_W", "19: 'V_L + a_W': unknown symbol a_W; known: "),
    ("V_L + a_V", "V_L +", "19: 'V_L +' is not an expression; allowed: numbers, names,"),
    ("V_L + a_V", "\"V_L if phases else 1\"", "19: 'V_L if phases else 1' holds 'V_L if phases else 1'; allowed:"),
    ("V_L + a_V", "[1, 1]", "19: v takes 1 or 3 values"),
    ("step: b", "step: a", "18: step 'a' stands twice: repeat it by `order`"),
    ("hold: 4 * T_r", "order: a c", "15: order: 'c' is no step; known: a, b"),
    ("hold: 4 * T_r", "hold: true", "15: hold takes one number or expression"),
    ("[0.2 * P_rated, false]", "[0.2 * P_rated]", "8: 1 values for 2 columns: P, volt_watt.enable"),
    ("[0.2 * P_rated, false]", "[0.2 * P_rated, maybe]", "8: volt_watt.enable = maybe is not true or false"),
    ("[0.2 * P_rated, false]", "[0.2 * T_r, false]", "8: '0.2 * T_r': unknown symbol T_r; known: "),
    ("volt_watt.enable]", "volt_watt.enabled]",
     "7: unknown setting volt_watt.enabled; known: volt_watt.owner, volt_watt.enable,"),
    ("{A: [P_rated, true], B", "{A: [P_rated, true], III", "9: a group here has the keys A, B or I, II, III"),
    ("T_r: {I", "a_V: {I", "10: symbol a_V is there already"),
    ("{v1_pu: V_L}", "{v9_pu: V_L}", "11: unknown setting volt_var.v9_pu; known: volt_var.v_ref_pu,"),
    ("volt_var: {v1_pu: V_L}", "rating: {v_nom_v: 240}",
     "11: rating.v_nom_v: a procedure sets no rating, that is the unit's own"),
    ("volt_var: {v1_pu: V_L}", "reactive: {mode: magic}",
     "11: reactive.mode = magic is not one of off | constant_pf |"),
    ("volt_var: {v1_pu: V_L}", "reactive: {mode: off}",
     "11: reactive.mode = off is read by YAML as bool, not as text: quote it"),
    ("x: v", "x: q", "13: x = q is not one of v | f | p"),
    ("points: [[1, P]]", "points: [[1, P, 2]]", "13: a point takes 2 values"),
    ("lowest_of: flat", "lowest_of: steep", "17: lowest_of: no curve steep; known: flat"),
    ("- steady: {y: p", "- static: {y: p",
     "17: a criterion has one of the keys steady, response, inside, crosses, smooth, observed"),
    ("bound: both, ", "", "17: steady: missing key 'bound': both | upper | lower"),
    ("y: p, lowest", "y: v, lowest", "17: y = v is not one of p | q | i"),
    ("step: a,", "step: a, faults: meter.silent,", "19: 'meter.silent'; allowed: `at TIME: target.fault ...`"),
    ("step: a,", "step: a, faults: \"at 0s: meter.dance\",", "19: 'meter.dance'; allowed:"),
    ("step: a,", "step: 12:30,", "19: step = 12:30 is read by YAML as 750"),
    ("hold: 4 * T_r", "for: {abnormal: IV}", "15: abnormal = IV is not one of I | II | III"),
    ("hold: 4 * T_r", "needs: crane", "15: needs = crane is not one of faults | wires |"),
    ("hold: 4 * T_r", "skip: [{when: P == 0}]", "15: skip: missing key 'why': the reason, in words"),
    ("steps:", "trace: {scenario: x}\nsteps:", "18: trace: missing key 'every': time between its steps, s"),
]
# fmt: on


def write(folder: Path, text: str) -> str:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_the_good_one_is_good(tmp_path: Path) -> None:
    procedure = load_procedure(write(tmp_path, GOOD))
    assert (procedure.name, [step.name for step in procedure.steps], procedure.repeat) == ("mine", ["a", "b"], 1)


@pytest.mark.parametrize(("old", "new", "line"), WRONG, ids=[row[2][:40] for row in WRONG])
def test_mistake(tmp_path: Path, old: str, new: str, line: str) -> None:
    assert old in GOOD
    path = write(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(ProcedureError) as caught:
        load_procedure(path)
    assert any(found.startswith(f"{path}:{line}") for found in str(caught.value).splitlines()), str(caught.value)


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("title: A test", "titel: A test").replace("V_L + a_V", "V_L + a_W").replace("y: p", "y: v")
    with pytest.raises(ProcedureError) as caught:
        load_procedure(write(tmp_path, text))
    start = f"{tmp_path / 'mine.yaml'}:"
    lines = [line.removeprefix(start).partition(":")[0] for line in str(caught.value).splitlines()]
    assert lines == ["1", "2", "17", "19"]  # the missing title, the unknown key, the criterion, the step


def test_a_users_file_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "procedures").mkdir()
    write(tmp_path / "procedures", GOOD)
    (tmp_path / "procedures" / "volt_var.yaml").write_text(GOOD.replace("A test", "My own"), encoding="utf-8")
    monkeypatch.setattr(configfiles, "USER_FILES", tmp_path)
    assert load_procedure("volt_var").title == "My own"
    assert "mine" in names()


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ProcedureError, match=r"volt_vor: no such procedure.*; known: constant_pf, .*volt_var,"):
        load_procedure("volt_vor")


def test_every_shipped_file_is_a_procedure_but_the_common_one() -> None:
    shipped = {path.stem for path in (Path(configfiles.__file__).parents[1] / "config" / "procedures").glob("*.yaml")}
    assert {procedure.name for procedure in load_all()} == shipped - {"common"}
