"""The real core process, working, as the board sees it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cython_core.records import Mode
from tests.faults.rig import CHARGE_W, READY_S, Rig
from tests.performance.core_process import core_process, mapped_bytes

GATE = 1.6
PERIOD_MS = 10
INTERPRETER = "import time; print(flush=True); time.sleep(600)"
# the packages of its launcher that are compiled: a line of /proc/PID/maps each
FOREIGN = ("libssl", "libcrypto", "_hashlib", "_json", "yaml", "numpy", "/records", "/settings", "/compiled", "/codes")


@pytest.fixture(scope="module")
def pid() -> Iterator[int]:
    with core_process(PERIOD_MS) as pid:
        yield pid


# fmt: off
WATCHING = [
    # start mode  options           why
    ("shadow",    (),               "the site's choice"),
    ("demo",      ("--watch-only",), "the operator's, this time"),
]
# fmt: on


@pytest.mark.parametrize(("mode", "options", "why"), WATCHING, ids=[c[-1] for c in WATCHING])
def test_watching_it_commands_and_the_inverter_is_never_told(
    tmp_path: Path, mode: str, options: tuple[str, ...], why: str
) -> None:
    with Rig(tmp_path / "rig") as rig:
        rig.start("grid", "meter", "inverter")
        rig.site.write_text(rig.site.read_text().replace("start_mode: demo", f"start_mode: {mode}"))
        rig.family.start("controller", "controller.cli", "run", str(rig.site), "--parent-death", *options)
        rig.wait_for(lambda: len(rig.records()), READY_S, "steps")
        rig.wait_for(lambda: rig.newest()["p_cmd_w"] == -CHARGE_W, READY_S, "the charging power")
        assert rig.newest()["mode"] == Mode.ACTIVE
        rig.stop("controller")
        assert rig.newest()["p_cmd_w"] == 0.0
        assert set(rig.records()["d_t_echo_ns"]) == {0}, "no write was ever acknowledged"
        assert (rig.bar.get("p_enabled"), abs(rig.bar.get("p_w"))) == (0.0, 0.0), why


def test_it_is_hardly_larger_than_an_interpreter_that_sleeps(pid: int) -> None:
    """Without the ring, which is as much the reader's and follows from the period."""
    with subprocess.Popen([sys.executable, "-c", INTERPRETER], stdout=subprocess.PIPE) as bare:
        assert bare.stdout is not None
        bare.stdout.readline()
        interpreter = sum(mapped_bytes(bare.pid).values())
        bare.kill()
    core = {path: size for path, size in mapped_bytes(pid).items() if not path.endswith("/ring")}
    assert len(core) < len(mapped_bytes(pid)), "it has a ring"
    ratio = sum(core.values()) / interpreter
    assert ratio <= GATE, f"{ratio:.2f}: {sorted(core.items(), key=lambda item: -item[1])[:12]}"


def test_nothing_of_its_launcher_is_left_in_it(pid: int) -> None:
    mapped = mapped_bytes(pid)
    assert any("/cython_core/step." in path for path in mapped)
    assert [path for path in mapped if any(name in path for name in FOREIGN)] == []


def test_its_threads_have_names(pid: int) -> None:
    """Two wires here: what `top -H` shows."""
    main, *names = [(task / "comm").read_text().strip() for task in sorted(Path(f"/proc/{pid}/task").iterdir())]
    assert main.startswith("python")
    assert sorted(names) == ["bus", "bus", "core"]
