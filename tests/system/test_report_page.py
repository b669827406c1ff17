"""The report's page in a real browser: narrow and wide, light and dark. It is self-contained, quiet, and readable.

The page is opened in a frame of the wanted width (a headless window is never narrower than 500 px), with a probe in its
head that says what it saw; nothing else is changed.
"""

from __future__ import annotations

import html
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from controller import cli
from tests.controller.daily.maker import write
from tests.controller.daily.test_make import HOURS, store
from tests.faults.demos import Demos, Play
from tests.need import tool
from tests.system.test_demo import FULL
from tests.system.test_faults_demo import play

QUIET = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update", "--enable-logging=stderr",
         "--host-resolver-rules=MAP * ~NOTFOUND")  # fmt: skip
SCHEMES = {"dark": 0, "light": 1}  # Chromium's own numbers
WIDTHS = (400, 1400)
VERDICT = ".banner .word"

PROBE = """<script>
const problems = [];
addEventListener("error", e => problems.push(e.message || String(e.target.src || e.target.href)), true);
function ground(element) {
  for (; element; element = element.parentElement) {
    const color = getComputedStyle(element).backgroundColor;
    if (!color.endsWith(", 0)")) return color;
  }
  return "rgb(255, 255, 255)";
}
addEventListener("load", () => {
  const root = document.documentElement, verdict = document.querySelector("%s");
  const box = verdict ? verdict.getBoundingClientRect() : {width: 0, height: 0, top: -1};
  const style = verdict ? getComputedStyle(verdict) : {};
  parent.postMessage({
    width: innerWidth, room: root.clientWidth, scroll: root.scrollWidth,
    dark: matchMedia("(prefers-color-scheme: dark)").matches,
    text: verdict ? verdict.innerText : "", box: [box.width, box.height, box.top],
    ink: style.color, paper: ground(verdict),
    plots: [...document.querySelectorAll("figure > svg")].filter(e => e.getBoundingClientRect().height > 50).length,
    requests: performance.getEntriesByType("resource").map(e => e.name), problems: problems,
  }, "*");
});
</script>"""
FRAME = """<!doctype html><html><head><script>
addEventListener("message", e => { document.documentElement.dataset.seen = JSON.stringify(e.data); });
</script></head><body style="margin:0">
<iframe src="%s" style="border:0;width:%dpx;height:900px"></iframe></body></html>"""


def look(page: str, folder: Path, width: int, scheme: str, verdict: str = VERDICT) -> tuple[dict[str, Any], list[str]]:
    """What the probe saw, and the lines of the console."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "page.html").write_text(page.replace("<head>", "<head>" + PROBE % verdict, 1))
    (folder / "frame.html").write_text(FRAME % ("page.html", width))
    command = [tool("chromium"), *QUIET, f"--user-data-dir={folder / 'profile'}", f"--window-size={width + 200},1000",
               f"--blink-settings=preferredColorScheme={SCHEMES[scheme]}", "--virtual-time-budget=5000",
               "--dump-dom", (folder / "frame.html").as_uri()]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    seen = re.search(r'data-seen="([^"]*)"', done.stdout)
    assert seen, f"the page said nothing: {done.stderr[-2000:]}"
    found: dict[str, Any] = json.loads(html.unescape(seen[1]))
    return found, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def luminance(color: str) -> float:
    """Relative luminance of `rgb(r, g, b)`, WCAG 2.1."""
    parts = [int(x) / 255 for x in re.findall(r"\d+", color)[:3]]
    r, g, b = (x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(ink: str, paper: str) -> float:
    light, dark = sorted((luminance(ink), luminance(paper)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("played", "word"), [(FULL, "pass"), (play("droop_sign"), "fail")], ids=["pass", "fail"])
def test_the_page(demos: Demos, tmp_path: Path, played: Play, word: str, width: int, scheme: str) -> None:
    page = (demos.of(played).folder / "report.html").read_text()
    look_well(page, tmp_path, width, scheme, word)


def look_well(page: str, folder: Path, width: int, scheme: str, word: str) -> dict[str, Any]:
    """What every page of ours must be, and what the probe saw of this one."""
    seen, console = look(page, folder, width, scheme)
    assert (seen["width"], seen["dark"]) == (width, scheme == "dark")
    assert seen["scroll"] <= seen["room"], "no scrolling sideways"
    assert console == [], "nothing on the console"
    assert seen["problems"] == []
    assert seen["requests"] == [], "self-contained"
    assert word in seen["text"].lower()
    wide, high, top = seen["box"]
    assert wide > 0, "the verdict is there to be seen"
    assert high > 0
    assert 0 <= top < 900, "on the first screen"
    assert contrast(seen["ink"], seen["paper"]) >= 4.5, "WCAG 2.1 AA: text against its ground"
    return seen


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A day of three quarters of an hour, with a store whose registers do not fit."""
    folder = tmp_path_factory.mktemp("day")
    write(folder / "journal.v2gj", HOURS)
    store(folder / "telemetry.sqlite", share=0.9)
    assert cli.main(["report", "--day", "2026-03-05", str(folder / "journal.v2gj")]) == 0
    return folder / "report-2026-03-05"


# the pages of a day have the style of the first: each width and each scheme once, all four at night
COMBINED = [
    pytest.param(w, s, marks=[] if (w, s) in ((400, "dark"), (1400, "light")) else [pytest.mark.nightly])
    for w in WIDTHS
    for s in SCHEMES
]


@pytest.mark.parametrize(("width", "scheme"), COMBINED)
@pytest.mark.parametrize(
    ("name", "word"), [("index", "2 events"), ("quality", "look at this"), ("event-001", "pass")],
    ids=["index", "quality", "event"],
)  # fmt: skip
def test_the_pages_of_a_day(day: Path, tmp_path: Path, name: str, word: str, width: int, scheme: str) -> None:
    look_well((day / f"{name}.html").read_text(), tmp_path, width, scheme, word)


def test_the_look_itself_sees_what_it_should(tmp_path: Path) -> None:
    """A page with every fault at once: too wide, a picture from elsewhere, an error, an unreadable verdict."""
    bad = """<!doctype html><html><head></head><body style="background:#fff"><p class="v" style="color:#eee">pass</p>
    <div style="width:900px">wide</div><img src="http://192.0.2.1/x.png"><script>nosuch()</script></body></html>"""
    seen, console = look(bad, tmp_path, 400, "light", ".v")
    assert seen["scroll"] >= 900
    assert seen["requests"] == ["http://192.0.2.1/x.png"]
    assert any("nosuch is not defined" in line for line in console)
    assert any("nosuch" in problem for problem in seen["problems"])
    assert contrast(seen["ink"], seen["paper"]) < 4.5
