"""Documents say nothing that is not there: links, anchors, `make` targets, commands, log codes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("cython_core", "drivers", "controller")
DOCUMENTS = sorted(
    [
        *ROOT.glob("*.md"),
        *(p for folder in ("docs", "systemd", "drivers", "config") for p in (ROOT / folder).rglob("*.md")),
    ]
)
FOLDERS = ("cython_core", "drivers", "controller", "config", "systemd", "tests", "docs")
INVENTED = "acme-m4"  # the meter of docs/adding-a-device.md
NO_CODES = {"V2G-JOURNAL"}  # the first word of a journal file
CODE = re.compile(r"\bV2G(?:-[A-Z0-9]+)+-?")


def prose(text: str) -> str:
    """A document without its code blocks and code spans."""
    return re.sub(r"^```.*?^```|`[^`\n]*`", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(path: Path) -> set[str]:
    """The anchors of a document's headings, the way code hosts make them."""
    titles = re.findall(r"^#+[ ]+(.+)$", re.sub(r"^```.*?^```", "", path.read_text(), flags=re.M | re.S), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def broken_links(document: Path) -> list[str]:
    """Relative targets that do not exist, anchors that no heading makes."""
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(document.read_text())):
        if re.match(r"[a-z]+:", target):
            continue  # elsewhere: no network in a test
        name, _, anchor = target.partition("#")
        path = (document.parent / name) if name else document
        if not path.exists() or (anchor and path.suffix == ".md" and anchor not in anchors(path)):
            broken.append(target)
    return broken


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    assert broken_links(document) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_make_targets_exist(document: Path) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    said = set(re.findall(r"(?:^|`)make(?: [A-Z]+=\S+)* ([a-z0-9-]+)", document.read_text(), re.MULTILINE))
    assert said <= targets


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_commands_exist(document: Path) -> None:
    known = {p.stem for p in (ROOT / "controller" / "commands").glob("*.py")} - {"__init__"}
    assert known, "no command found: looked in the wrong place"
    said = set(re.findall(r"(?:^|`)(?:\.venv/bin/)?v2g ([a-z][a-z-]*)", document.read_text(), re.MULTILINE))
    assert {s.replace("-", "_") for s in said} <= known


def test_every_log_code_is_explained() -> None:
    """A code in the sources has its row; one put together in pieces (`V2G-STORE-{state}`) has rows that begin so."""
    rows = re.findall(r"^\| `(V2G-[A-Z0-9-]+)` \| (.+) \| (.+) \|$", (ROOT / "docs/operations.md").read_text(), re.M)
    explained = [code for code, _, _ in rows]
    assert explained == sorted(set(explained))
    used = {
        code
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py*")
        if path.suffix in (".py", ".pyx")
        for code in CODE.findall(path.read_text())
    }
    used -= NO_CODES
    missing = {c for c in used if not (any(e.startswith(c) for e in explained) if c.endswith("-") else c in explained)}
    assert missing == set(), "add a row to docs/operations.md"
    assert {e for e in explained if not any(e.startswith(c) for c in used)} == set(), "nobody logs this any more"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_it_names_exist(document: Path) -> None:
    """`tests/x.py`, `cython_core/fresh.pxd`, and the modules of a picture, as `controller/journal`."""
    names = re.findall(rf"(?<![\w/.])((?:{'|'.join(FOLDERS)})(?:/[\w.-]+)+)", document.read_text())
    assert [n for n in names if INVENTED not in n and not is_there(n.rstrip("."))] == []


def is_there(name: str) -> bool:
    """A file, a folder, or a module without its suffix."""
    return (ROOT / name).exists() or any((ROOT / f"{name}{suffix}").exists() for suffix in (".py", ".pyx", ".pxd"))


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs/README.md").read_text()
    pages = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")} - {"README.md"}
    assert {page for page in pages if f"({page})" not in index} == set()


def test_a_new_functions_lines_stand_where_the_guide_says() -> None:
    rows = re.findall(r"^\| `([\w/.]+)` \| `(.+?)` \|", (ROOT / "docs/adding-a-function.md").read_text(), re.MULTILINE)
    assert len(rows) > 10
    assert [(file, line) for file, line in rows if line not in (ROOT / file).read_text()] == []


def test_the_guide_to_the_board_knows_what_doctor_sees() -> None:
    """Each row names checks that there are, and each check but those of no use to a guide has a row."""
    rows = re.findall(r"^\| .+ \| .+ \| (.+) \|$", (ROOT / "docs/raspberry-pi.md").read_text(), re.MULTILINE)
    named = {check for cell in rows for check in re.findall(r"`([a-z-]+)`", cell)}
    assert [cell for cell in rows if not re.fullmatch(r"doctor|---|not seen|`[a-z-]+`(, `[a-z-]+`)*", cell)] == []
    board = [path for path in (ROOT / "controller/doctor").glob("*.py") if not path.stem.startswith("service")]
    checks = set(re.findall(r'(?:Finding|folder)\("([a-z-]+)"', "".join(path.read_text() for path in board)))
    assert checks - named == {"memory", "self-test"}
    assert named <= checks


def test_the_changelog_has_an_unreleased_part() -> None:
    assert "unreleased" in anchors(ROOT / "CHANGELOG.md")


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "a.md"
    page.write_text("# One two\n[x](b.md) [y](#one-two) [z](#three) `[code](no.md)` [out](https://example.org)\n")
    assert broken_links(page) == ["b.md", "#three"]
