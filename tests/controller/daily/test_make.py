"""`v2g report --day`: pages, JSON, exit codes; a store beside the journal with the meter's registers."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from controller import cli
from controller.telemetry.energy import Counters
from controller.telemetry.frames import measured
from controller.telemetry.sqlitestore import SqliteStore
from controller.telemetry.wire import Arrival
from tests.controller.daily.maker import DAY, PERIOD_NS, T0_NS, minutes, write
from tests.controller.test_report import Structure
from tests.controller.test_site import GOOD

HOURS = 0.75  # an event of each side
BEGIN_MS = int(DAY.timestamp()) * 1000


def store(path: Path, share: float = 1.0, fall_at: int = -1) -> None:
    """A live frame each second; registers of 10 Wh each 10 s. share: how much of the energy the meter counts."""
    counters, arrivals = Counters(), []
    for i, (records, _) in enumerate(minutes(HOURS)):
        for s in range(60):
            part = records[100 * s : 100 * s + 100]
            counters.add(measured(part, "p_w", True), part["k"] * PERIOD_NS / 1e9)
            second = 60 * i + s
            t_ms = BEGIN_MS + 1000 * (second + 1) - 10
            if second % 10 == 0:
                shown = {f"e_meter_{name}_wh": 5000.0 + wh * share // 10 * 10
                         for name, wh in (("import", counters.import_wh), ("export", counters.export_wh))}  # fmt: skip
            if 0 <= fall_at <= second:
                shown = {name: wh - 4000.0 for name, wh in shown.items()} if second % 10 == 0 else shown
            body: dict[str, Any] = {
                **shown, "run": 7, "n_first": 100 * second, "n_last": 100 * second + 99, "t_first_ms": t_ms - 990,
                "telemetry": {"dropped": 0, "failed_writes": 0, "lost_records": second // 1000},
            }  # fmt: skip
            arrivals.append(Arrival("home", "live", 7, t_ms, "live", "o", second, t_ms + 40, body))
    event = {"file": "oscillography/20260305T001000.220000Z_frequency_n60022.csv"}
    arrivals.append(Arrival("home", "event", 7, BEGIN_MS + 600_900, "oscillography", "o", 10**6, 0, event))
    made = SqliteStore(path)
    made.write(arrivals)
    made.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("day")
    write(made / "journal.v2gj", HOURS)
    store(made / "telemetry.sqlite")
    return made


def report(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = cli.main(["report", *arguments])
    told = capsys.readouterr()
    return code, told.out, told.err


def as_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    _, out, _ = report(capsys, *arguments, "--json")
    found: dict[str, Any] = json.loads(out)
    return found


def test_pages_numbers_and_registers(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = as_json(capsys, "--day", "2026-03-05", str(folder / "journal.v2gj"), "--out", str(tmp_path / "out"))
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "event-001.html", "event-002.html", "index.html", "quality.html",
    ]  # fmt: skip
    assert [(e["side"], e["verdict"], e["page"]) for e in found["events"]] == [
        ("under", "pass", "event-001.html"),
        ("over", "pass", "event-002.html"),
    ]
    assert [e["begin"][:17] for e in found["events"]] == ["2026-03-05T00:10:", "2026-03-05T00:40:"]
    quality = found["quality"]
    assert quality["recorded_s"] == pytest.approx(HOURS * 3600)
    assert quality["latches"] == 2
    assert quality["word"] == "incomplete"
    assert quality["unit"]["import_wh"] == pytest.approx(1400.0 * HOURS, rel=0.02)
    (into, _) = quality["registers"]
    assert (into["direction"], into["as_expected"]) == ("import", True)
    assert abs(into["difference_wh"]) < 15.0, "the registers' own steps of 10 Wh"
    assert quality["store"]["counted"] == {"dropped": 0, "failed_writes": 0, "lost_records": 2}
    assert quality["store"]["frames"] == HOURS * 3600
    (rest,) = quality["store"]["gaps"]
    assert (rest["begin_ms"] - BEGIN_MS, rest["end_ms"] - BEGIN_MS) == (HOURS * 3_600_000 - 10, 86_400_000)
    assert rest["cause"] == "not in the store", "nothing says that the controller has ended"


# fmt: off
WRONG = [
    # share  fall at s   as expected  falls  why
    (0.9,    -1,         False,       0,     "the meter counts a tenth less: its power is read wrong"),
    (1.0,    1000,       True,        1,     "a fall counts for nothing, and is told"),
]
# fmt: on


@pytest.mark.parametrize(("share", "fall_at", "expected", "falls", "why"), WRONG, ids=[w[-1][:30] for w in WRONG])
def test_registers_that_do_not_fit(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], share: float, fall_at: int, expected: bool,
    falls: int, why: str,
) -> None:  # fmt: skip
    store(tmp_path / "s.sqlite", share, fall_at)
    options = ("--store", str(tmp_path / "s.sqlite"), "--out", str(tmp_path / "out"))
    found = as_json(capsys, "--day", "2026-03-05", str(folder / "journal.v2gj"), *options)
    into = found["quality"]["registers"][0]
    assert (into["as_expected"], into["falls"]) == (expected, falls), why
    assert found["quality"]["word"] == ("incomplete" if expected else "look")


@pytest.fixture(scope="module")
def pages(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    out = tmp_path_factory.mktemp("pages")
    assert cli.main(["report", "--day", "2026-03-05", str(folder / "journal.v2gj"), "--out", str(out)]) == 0
    return {p.name: p.read_text() for p in out.iterdir()}


@pytest.mark.parametrize("name", ["index.html", "quality.html", "event-001.html", "event-002.html"])
def test_each_page_is_well_formed_and_fetches_nothing(pages: dict[str, str], name: str) -> None:
    page = Structure(pages[name])
    assert page.stack == []
    assert len(page.ids) == len(set(page.ids))
    links = {f for f in page.fetches if not f.startswith("#")}
    assert links <= set(pages), "only to each other"
    assert not re.search(r"@import|url\((?!#)|javascript:", pages[name])
    assert "does not replace the certified protection" in pages[name]


def test_the_index_leads_to_every_page(pages: dict[str, str]) -> None:
    assert set(Structure(pages["index.html"]).fetches) >= set(pages) - {"index.html"}


def test_the_event_names_the_file_with_its_samples(pages: dict[str, str]) -> None:
    assert "20260305T001000.220000Z_frequency_n60022.csv" in pages["event-001.html"]
    assert "oscillography" not in pages["event-002.html"]


# fmt: off
REFUSED = [
    # arguments                                       the line
    (("--day", "2026-03-06", "J"),                    "no step of 2026-03-06; they hold 2026-03-05 (UTC)"),
    (("--day", "2026-03-05", "J", "--epoch", "7"),    "--epoch chooses one run; --day takes all runs of the day"),
    (("--day", "2026-03-05", "J", "--store", "J"),    "is no store of live frames"),
    (("--day", "2026-03-05", "none.v2gj"),            "none.v2gj: No such file"),
    (("site.yaml",),                                  "a site needs --day YYYY-MM-DD"),
]
# fmt: on


@pytest.mark.parametrize(("arguments", "line"), REFUSED, ids=[r[-1] for r in REFUSED])
def test_a_mistake_is_one_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], line: str
) -> None:
    out = () if arguments[0] == "site.yaml" else ("--out", str(tmp_path / "out"))
    code, _, err = report(capsys, *(str(folder / "journal.v2gj") if a == "J" else a for a in arguments), *out)
    assert code == 2
    assert line in err.splitlines()[-1]
    assert not (tmp_path / "out" / "index.html").exists()


def test_a_site_names_its_own_journal_and_the_one_before(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = tmp_path / "state"
    state.mkdir()
    write(state / "journal.1.v2gj", 0.05, epoch=7)
    write(state / "journal.v2gj", 0.05, DAY + timedelta(minutes=5), epoch=8)
    site = tmp_path / "site.yaml"
    site.write_text(GOOD + f"state_dir: {state}\n")
    code, out, _ = report(capsys, "--day", "2026-03-05", str(site))
    assert code == 0
    assert f"report: {state}/report-2026-03-05/index.html" in out
    assert "2 gaps" in out, "between the two, and after them"


def test_the_maker_begins_at_midnight() -> None:
    (records, _) = next(minutes(1 / 60))
    assert records["t_ns"][0] == T0_NS
