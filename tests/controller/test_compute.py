"""`v2g compute`: numbers by pencil, the table's mistakes, rows held until the next one.

7 kW unit, 60 Hz, defaults: db 0.036 Hz, k 0.05, response time 5 s. After t the lag has left 10 ** (-t / 5 s) of a step:
0.01 % after 20 s, which is below 0.2 W here.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from controller import cli
from controller.commands.compute import HEADER, MAX_STEPS, Progress
from controller.table import OPTIONAL, REQUIRED, TableError, hold, parse_table, steps_in

HEAD = "t_s,f_hz,v_pu,p_demand_w"
Answer = list[dict[str, str]]


def compute(folder: Path, table: str, settings: str = "rating:\n  p_rated_w: 7000\n", *more: str) -> Answer:
    """Run the command over a table; the rows of its answer."""
    (folder / "settings.yaml").write_text(settings)
    (folder / "in.csv").write_text(table)
    out = folder / "out.csv"
    code = cli.main(
        [
            "compute",
            "--settings",
            str(folder / "settings.yaml"),
            "--input",
            str(folder / "in.csv"),
            "--out",
            str(out),
            *more,
        ]
    )
    assert code == 0
    with out.open(newline="") as stream:
        return list(csv.DictReader(stream))


VOLT_VAR = "reactive:\n  mode: volt_var\n"

# fmt: off
STEADY = [
    # f_hz   v_pu  demand_w  settings   p_w       q_var    why
    (60.000, 1.00,  3500,    "",        3500.0,      0.0,  "nominal: the demand"),
    (60.036, 1.00,  3500,    "",        3500.0,      0.0,  "the edge still belongs to the dead band"),
    (60.300, 1.00,  3500,    "",        2884.0,      0.0,  "0.264 / (60 x 0.05) = 0.088 of 7000 W less"),
    (59.500, 1.00,  3500,    "",        4582.667,    0.0,  "0.464 / 3 = 0.154667 of 7000 W more"),
    (60.300, 1.00, -3500,    "",       -4116.0,      0.0,  "charging: the same 616 W, more charging"),
    (63.000, 1.00,  3500,    "",       -3416.0,      0.0,  "2.964 / 3 = 0.988: 6916 W less, through zero"),
    (58.000, 1.00,  3500,    "",        7000.0,      0.0,  "1.964 / 3 = 0.654667: 8082 W, but the rating is 7000 W"),
    (60.000, 1.05,  3500,    VOLT_VAR,  3500.0,  -1540.0,  "half way from 1.02 to 1.08: 0.22 of 7000 VA absorbed"),
    (60.000, 0.92,  7000,    VOLT_VAR,  6285.985, 3080.0,  "P is what Q leaves: sqrt(7000^2 - 3080^2)"),
]
# fmt: on


@pytest.mark.parametrize(
    ("f_hz", "v_pu", "demand_w", "groups", "p_w", "q_var", "why"), STEADY, ids=[c[-1] for c in STEADY]
)
def test_after_many_response_times(
    tmp_path: Path, f_hz: float, v_pu: float, demand_w: float, groups: str, p_w: float, q_var: float, why: str
) -> None:
    table = f"{HEAD}\n0,60,1,{demand_w}\n1,{f_hz},{v_pu},{demand_w}\n41,{f_hz},{v_pu},{demand_w}\n"
    last = compute(tmp_path, table, f"rating:\n  p_rated_w: 7000\n{groups}", "--period-ms", "20")[-1]
    assert (float(last["p_w"]), float(last["q_var"])) == pytest.approx((p_w, q_var), abs=0.2), why


def test_ninety_percent_after_one_response_time(tmp_path: Path) -> None:
    rows = compute(tmp_path, f"{HEAD}\n0,60,1,3500\n1,60.3,1,3500\n12,60.3,1,3500\n")
    # qualified at the first reading 0.1 s after the first one outside; the lag itself starts at once
    by_time = {row["t_s"]: float(row["p_w"]) for row in rows}
    assert 3500 - by_time["6.1"] >= 0.9 * 616
    assert 3500 - by_time["5.5"] < 0.9 * 616


def test_the_active_power_limit_cuts_export_within_its_ramp_time(tmp_path: Path) -> None:
    rows = compute(tmp_path, f"{HEAD},ap_limit_pu\n0,60,1,3500,\n1,60,1,3500,0.3\n31,60,1,3500,0.3\n")
    assert float(rows[50]["p_w"]) == 3500
    assert float(rows[-1]["p_w"]) == pytest.approx(2100)
    assert "the active power limit cuts export" in rows[-1]["reasons_text"]


def test_without_permit_the_unit_is_off_at_once(tmp_path: Path) -> None:
    rows = compute(tmp_path, f"{HEAD},permit\n0,60,1,3500,1\n1,60,1,3500,0\n2,60,1,3500,0\n")
    assert (rows[99]["state"], rows[99]["p_w"]) == ("in_service", "3500")
    assert (rows[100]["state"], rows[100]["p_w"]) == ("off", "0")
    assert "permit service is off" in rows[100]["reasons_text"]


def test_reasons_stand_as_bits_and_as_text(tmp_path: Path) -> None:
    last = compute(tmp_path, f"{HEAD}\n0,60,1,3500\n1,60.3,1,3500\n9,60.3,1,3500\n")[-1]
    assert last["reasons"] == "1"
    assert last["reasons_text"] == "frequency is outside the dead band: droop answers"


def test_the_answer_has_one_row_a_step_and_the_times_of_the_steps(tmp_path: Path) -> None:
    rows = compute(tmp_path, f"{HEAD}\n5,60,1,0\n5.05,60,1,0\n", "limits:\n  soc_min_pu: 0.1\n", "--period-ms", "20")
    assert tuple(rows[0]) == HEADER
    assert [row["t_s"] for row in rows] == ["5", "5.02", "5.04"]


def test_a_constant_table_is_no_frozen_meter(tmp_path: Path) -> None:
    rows = compute(tmp_path, f"{HEAD}\n0,60,1,3500\n9,60,1,3500\n", "fail_safe:\n  frozen_after_s: 1\n")
    assert {row["reasons"] for row in rows} == {"0"}


def test_the_core_keeps_its_state_between_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = f"{HEAD}\n0,60,1,3500\n1,60.3,1,3500\n2,59.9,1,-1000\n4,60.1,1,0\n6,60,1,0\n"
    whole = compute(tmp_path, table)
    monkeypatch.setattr("controller.commands.compute.CHUNK", 37)
    assert compute(tmp_path, table) == whole


def test_a_site_file_brings_its_period(tmp_path: Path) -> None:
    site = Path(cli.__file__).parent.parent / "config/sites/demo-60hz.yaml"
    text = site.read_text().replace("schema: 1", "schema: 1\nperiod_ms: 50")
    rows = compute(tmp_path, f"{HEAD}\n0,60,1,0\n1,60,1,0\n", text)
    assert [row["t_s"] for row in rows[:2]] == ["0", "0.05"]


def test_the_answer_goes_to_stdout_on_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in.csv").write_text(f"{HEAD}\n0,60,1,0\n0.02,60,1,0\n")
    code = cli.main(["compute", "--settings", "50hz-droop", "--input", str(tmp_path / "in.csv"), "--out", "-"])
    captured = capsys.readouterr()
    assert (code, len(captured.out.splitlines())) == (0, 4)
    assert captured.err == "-: 3 steps of 10 ms, t_s 0 ... 0.02\n"


# ---- the table ----


def test_rows_are_held_until_the_next_one() -> None:
    table = parse_table(f"{HEAD}\n0,60,1,0\n0.025,61,1,0\n0.1,62,1,0\n", "in.csv")
    assert steps_in(table, 10) == 11
    held = hold(table, 10, 0, 11)
    assert held["f_hz"].tolist() == [60.0] * 3 + [61.0] * 7 + [62.0]
    assert hold(table, 10, 9, 2)["f_hz"].tolist() == [61.0, 62.0]
    assert held["t_s"] == pytest.approx(np.arange(11) / 100)


def test_steps_that_fall_on_a_row_take_that_row_in_spite_of_rounding() -> None:
    rows = "".join(f"{i / 10},{50 + i % 2},1,0\n" for i in range(200))
    table = parse_table(f"{HEAD}\n{rows}", "in.csv")
    assert steps_in(table, 100) == 200
    assert hold(table, 100, 0, 200)["f_hz"].tolist() == [50.0 + i % 2 for i in range(200)]


def test_what_a_table_may_also_have() -> None:
    text = "# made by hand\n f_hz , t_s,v_pu,p_demand_w,permit,ap_limit_pu\n\n60,0,1,0,1,\n60,1,1,0,0,0.5\n# end\n"
    table = parse_table(text, "in.csv")
    assert set(table) == set(REQUIRED + OPTIONAL)
    assert math.isnan(table["ap_limit_pu"][0])
    assert table["ap_limit_pu"][1] == 0.5


# fmt: off
WRONG = [
    # text                                       begins with
    ("t_s,f,v_pu,p_demand_w\n0,60,1,0\n",        "in.csv:1: unknown column 'f'; allowed: t_s, f_hz, v_pu, p_d"),
    ("t_s,f_hz,v_pu\n0,60,1\n",                  "in.csv:1: missing column 'p_demand_w'; allowed: t_s, f_hz,"),
    (f"{HEAD},f_hz\n0,60,1,0,60\n",              "in.csv:1: column 'f_hz' stands twice"),
    ("t_s;f_hz;v_pu;p_demand_w\n0;60,1;1;0\n",   "in.csv:1: semicolons stand between the columns: write commas there"),
    ("t_s\tf_hz\n0\t60\n",                       "in.csv:1: tabs stand between the columns: write commas there"),
    (f"{HEAD}\n0,60,1,0\n1,60,2,1,0\n",          "in.csv:3: 5 cells, but the header has 4; a decimal comma? write"),
    (f"{HEAD}\n0,60,1\n",                        "in.csv:2: 3 cells, but the header has 4"),
    (f"{HEAD}\n0,sixty,1,0\n",                   "in.csv:2: f_hz = 'sixty' is not a number"),
    (f'{HEAD}\n0,"60,1",1,0\n',                  "in.csv:2: f_hz = '60,1' is not a number; write a dot, not a comma"),
    (f"{HEAD}\n0,,1,0\n",                        "in.csv:2: f_hz = '' is not a number"),
    (f"{HEAD}\n0,nan,1,0\n",                     "in.csv:2: f_hz = nan is not finite"),
    (f"{HEAD}\n0,60,1,1_000\n",                  "in.csv:2: p_demand_w = '1_000' is not a number"),
    (f"{HEAD}\n0,60,1,0\n0,60,1,0\n",            "in.csv:3: t_s = 0 does not rise: the row before has 0"),
    (f"{HEAD}\n# c\n\n2,60,1,0\n1,60,1,0\n",     "in.csv:5: t_s = 1 does not rise: the row before has 2"),
    (f"{HEAD},permit\n0,60,1,0,2\n",             "in.csv:2: permit = 2 is neither 0 nor 1"),
    (f"{HEAD},ap_limit_pu\n0,60,1,0,1.5\n",      "in.csv:2: ap_limit_pu = 1.5 is outside 0 ... 1 pu"),
    (f"{HEAD}\n",                                "in.csv:1: no rows below the header"),
    ("",                                         "in.csv:1: missing column 't_s'"),
]
# fmt: on


@pytest.mark.parametrize(("text", "begins"), WRONG, ids=[c[-1] for c in WRONG])
def test_a_wrong_table_is_named_with_its_line(text: str, begins: str) -> None:
    with pytest.raises(TableError) as refusal:
        parse_table(text, "in.csv")
    assert str(refusal.value).startswith(begins)


def test_every_wrong_row_is_named_up_to_twenty() -> None:
    with pytest.raises(TableError) as refusal:
        parse_table(f"{HEAD}\n" + "0,x,1,0\n" * 25, "in.csv")
    lines = str(refusal.value).splitlines()
    assert lines[0].startswith("in.csv:2: ")
    assert lines[20:] == ["in.csv: and 5 more"]


def test_a_byte_order_mark_is_accepted(tmp_path: Path) -> None:
    assert len(compute(tmp_path, f"\ufeff{HEAD}\n0,60,1,0\n")) == 1


# ---- what the command refuses ----

# fmt: off
REFUSED = [
    # arguments changed                      on stderr
    ({"--input": "no.csv"},                  "no.csv: cannot be read: No such file or directory"),
    ({"--settings": "no.yaml"},              "no.yaml: cannot be read: No such file or directory"),
    ({"--settings": "no-profile"},           "no-profile: no such file, and no name in /etc/v2g/profiles; known: "),
    ({"--period-ms": "200"},                 "--period-ms = 200 is outside 1 ... 100 ms"),
    ({"--period-ms": "0"},                   "--period-ms = 0 is outside 1 ... 100 ms"),
    ({"--out": "in.csv"},                    "--out in.csv would overwrite an input: name another file"),
    ({"--out": "no-folder/out.csv"},         "--out no-folder/out.csv: cannot be written: No such file or directory"),
    ({"--input": "latin1.csv"},              "latin1.csv: is not UTF-8 text"),
    ({"--input": "long.csv"},                f"long.csv: 1e+11 steps of 10 ms, at most {MAX_STEPS}: is t_s"),
]
# fmt: on


@pytest.mark.parametrize(("given", "text"), REFUSED, ids=[c[-1] for c in REFUSED])
def test_refusals(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    given: dict[str, str],
    text: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in.csv").write_text(f"{HEAD}\n0,60,1,0\n")
    Path("latin1.csv").write_bytes(f"{HEAD}\n0,60,1,0 \xb5\n".encode("latin-1"))
    Path("long.csv").write_text(f"{HEAD}\n0,60,1,0\n1e9,60,1,0\n")
    Path("s.yaml").write_text("limits:\n  soc_min_pu: 0.1\n")
    arguments = {"--settings": "s.yaml", "--input": "in.csv", "--out": "out.csv"} | given
    assert cli.main(["compute", *(word for pair in arguments.items() for word in pair)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(text)
    assert not Path("out.csv").exists()
    assert not list(tmp_path.glob("*.part"))


def test_progress_is_told_after_two_seconds_and_not_more_often(capsys: pytest.CaptureFixture[str]) -> None:
    times = iter([0.0, 1.0, 2.5, 3.0, 4.6, 9.0])
    progress = Progress(1000, clock=lambda: next(times))
    for done in (100, 250, 300, 460, 1000):
        progress.show(done)
    assert capsys.readouterr().err == "compute: 25 % of 1000 steps\ncompute: 46 % of 1000 steps\n"
