"""The shape of the project: controller -> drivers -> cython_core, never back, `cimport` too.

Read from the sources with ast (.py, .pyi) and line by line (.pyx, .pxd); the running core is really imported.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from controller.launch import CORE

ROOT = Path(__file__).parents[1]
OURS = {"cython_core", "drivers", "controller", "config", "tests"}

CYTHON_IMPORT = re.compile(r"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+c?import\b|c?import[ \t]+([\w., \t]+))", re.MULTILINE)

# fmt: off
MAY_IMPORT = [
    # package                of ours it may import                                why
    ("cython_core",          {"cython_core"},                                     "arithmetic and time stand alone"),
    ("drivers",              {"drivers", "cython_core"},                          "a wire knows only the vocabulary"),
    ("controller",           {"controller", "drivers", "cython_core", "config"},  "the program wires everything"),
    ("config",               {"config"},                                          "data"),
    ("drivers/sim/plant.py", set(),                                               "a witness shares no code"),
]
NEVER_IN_CORE = {
    "threads of their own in a locked process": {"numpy", "pymodbus", "paho", "influxdb_client", "cryptography"},
    "tens of megabytes": {"rich", "cantools", "can", "sunspec2", "aiohttp", "matplotlib", "jinja2", "amqtt", "serial"},
    "3.7 MB of OpenSSL": {"hashlib", "_hashlib", "ssl", "_ssl"},
    "a megabyte or more each, with what they need": {
        "dataclasses", "inspect", "ast", "re", "enum", "typing", "json", "yaml", "logging", "socket", "subprocess",
        "threading", "tempfile", "pathlib", "collections", "functools", "contextlib", "importlib.resources"},
    "another's code in the core": {"site", "sitecustomize", "runpy"},
    "compiled and handed over by the launcher": {
        "cython_core.records", "cython_core.settings", "cython_core.compiled", "drivers.modbus.compiled",
        "drivers.modbus.codes", "drivers.tables", "drivers.registermap", "controller.launch", "controller.site"},
}
# fmt: on


def imports_of(path: Path) -> set[str]:
    """Every module that a source file imports or cimports, with dots; relative ones made absolute."""
    text = path.read_text()
    if path.suffix in (".pyx", ".pxd"):
        found = CYTHON_IMPORT.findall(text)
        names = [n.split()[0] for a, b in found for n in (a or b).split(",") if n.strip()]
    else:
        names = []
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                names += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names.append("." * node.level + (node.module or ""))
    return {absolute(name, path) for name in names}


def absolute(name: str, path: Path) -> str:
    """`..x` in a/b/c.py -> a.x"""
    dots = len(name) - len(name.lstrip("."))
    if not dots:
        return name
    package = path.relative_to(ROOT).parent.parts
    return ".".join([*package[: len(package) - dots + 1], name.lstrip(".")]).rstrip(".")


def sources(where: str) -> list[Path]:
    start = ROOT / where
    if start.suffix:
        return [start] if start.exists() else []
    return sorted(p for p in start.rglob("*") if p.suffix in (".py", ".pyi", ".pyx", ".pxd"))


@pytest.mark.parametrize(("where", "allowed", "why"), MAY_IMPORT, ids=[c[0] for c in MAY_IMPORT])
def test_imports_go_one_way(where: str, allowed: set[str], why: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}: {why}"
        for path in sources(where)
        for name in sorted(imports_of(path))
        if (top := name.partition(".")[0]) in OURS and top not in allowed
    ]
    assert not wrong, "\n".join(wrong)


# fmt: off
READ = [
    # file     source                                             imports                            why
    ("a.py",   "import drivers.base\nfrom cython_core import x",  {"drivers.base", "cython_core"},   "plain Python"),
    ("a.py",   "def f():\n    import controller.site",            {"controller.site"},               "in a function"),
    ("a.pyx",  "from drivers.x cimport y",                        {"drivers.x"},                     "cimport"),
    ("a.pyx",  "cdef f():\n    import controller.site as s",      {"controller.site"},               "renamed"),
    ("a.pxd",  "cimport drivers.modbus.bus, libc.math",           {"drivers.modbus.bus", "libc.math"}, "two in a line"),
    ("d/a.py", "from ..b import c",                               {"tests.b"},                       "relative"),
]
# fmt: on


@pytest.mark.parametrize(("name", "source", "expected", "why"), READ, ids=[c[-1] for c in READ])
def test_the_reader_sees_every_kind_of_import(
    name: str, source: str, expected: set[str], why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    path = tmp_path / "tests" / name
    path.parent.mkdir(parents=True)
    path.write_text(source)
    assert imports_of(path) == expected, why


@pytest.mark.parametrize("why", NEVER_IN_CORE)
def test_the_core_process_loads_none_of(why: str) -> None:
    """What its first line imports, started as `v2g run` starts it. What it imports later: test_runtime.py."""
    code = "import sys; sys.path.append(sys.argv[1]); import controller.runtime; print(*sys.modules)"
    command = [sys.executable, CORE[0], code, str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "cython_core.step" in done.stdout.split()
    assert set(done.stdout.split()) & NEVER_IN_CORE[why] == set()
