"""The simulator's real processes, read and written over TCP with pymodbus's own client."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pymodbus.client import ModbusTcpClient

from drivers.sim.bar import Bar
from drivers.sim.plant import Session
from drivers.sim.scenario import ALLOWED
from tests.drivers.sim.conftest import Simulation, until

STEADY = "t_s,f_hz,v_pu\n0,50.02,1\n10,50.02,1\n"
DIP = "t_s,f_hz\n0,50\n0.3,49.5\n"
W_SET_ENA = 40000 + 277 + 22


def trace(folder: Path, text: str) -> str:
    file = folder / "trace.csv"
    file.write_text(text)
    return str(file)


def floats(client: ModbusTcpClient, at: int, count: int) -> list[float]:
    words = client.read_input_registers(at, count=2 * count).registers
    return list(struct.unpack(f">{count}f", struct.pack(f">{2 * count}H", *words)))


def holding(client: ModbusTcpClient, at: int, count: int) -> list[int]:
    return list(client.read_holding_registers(at, count=count).registers)


def command(client: ModbusTcpClient, w: int, rvrt_s: int) -> None:
    """w in tens of watts: WSetMod ... WSetRvrtTms in one write, then the enable."""
    block = [1, w >> 16 & 0xFFFF, w & 0xFFFF, 0, 0, 0x8000, 0x8000, 1, 0, rvrt_s]
    assert not client.write_registers(W_SET_ENA + 1, block).isError()
    assert not client.write_register(W_SET_ENA, 1).isError()


def test_meter_shows_the_grid_and_import_is_positive(simulation: Simulation) -> None:
    simulation.grid("--trace", trace(simulation.folder, STEADY))
    inverter = simulation.serve("inverter")
    meter = simulation.serve("meter", "--refresh-s", "0.02")
    command(inverter, -300, rvrt_s=60)
    until(lambda: floats(meter, 52, 1)[0] > 2980, "3 kW of import")
    p, _, _, _, q, _, _, _, _, f, imported, exported = floats(meter, 52, 12)
    assert p == pytest.approx(3000, abs=30)
    assert q == pytest.approx(0, abs=30)
    assert f == pytest.approx(50.02, abs=0.01)
    assert imported > exported
    # 230 V source, 0.25 ohm: (230 + sqrt(230^2 - 4 x 0.25 x 3000)) / 2 and a little from X
    assert floats(meter, 0, 3) == pytest.approx([226.7, 0, 0], abs=0.5)


HOUSE = """\
t_s,f_hz,load_l1_w,load_l2_w,load_l3_w
0,50,300,200,100
0.3,50,300,200,100
0.31,50,300,2700,100
2,50,300,2700,100
"""


def test_the_meter_at_the_house_connection_shows_each_phase(simulation: Simulation) -> None:
    """P_conn = share x P_unit - load; the meter counts import as +. The unit hangs on L1 and charges with 3 kW."""
    simulation.grid(
        "--trace", trace(simulation.folder, HOUSE), "--phases", "3", "--share", "1,0,0", "--load-l3-w", "50"
    )
    inverter = simulation.serve("inverter")
    meter = simulation.serve("meter", "--location", "connection", "--phases", "3", "--refresh-s", "0.02")
    command(inverter, -300, rvrt_s=60)
    until(lambda: floats(meter, 12, 1)[0] > 3295, "3 kW of charging and 300 W of load on L1")
    assert floats(meter, 12, 3) == pytest.approx([3300, 200, 150], abs=15)
    assert floats(meter, 52, 1) == pytest.approx([3650], abs=20)
    volts, amps = floats(meter, 0, 3), floats(meter, 6, 3)
    assert amps == pytest.approx([3300 / volts[0], 200 / volts[1], 150 / volts[2]], abs=0.1)
    assert volts[0] < volts[1] - 2  # the loaded phase sags
    simulation.bar.set("oven3_w", 2000.0)
    until(lambda: floats(meter, 16, 1)[0] > 2100, "an oven on L3, by hand")
    simulation.bar.play()
    until(lambda: floats(meter, 14, 1)[0] > 2680, "the oven of the trace on L2")


def test_a_share_that_does_not_add_up(simulation: Simulation) -> None:
    process = simulation.start("grid", "--swing", "--phases", "3", "--share", "1,1,0")
    assert process.communicate(timeout=30)[1] == "--share 1,1,0; allowed: 3 values that add up to 1\n"
    assert process.returncode == 2


def test_a_write_moves_power_and_silence_ends_it_still_enabled(simulation: Simulation) -> None:
    simulation.grid("--trace", trace(simulation.folder, STEADY))
    inverter = simulation.serve("inverter", "--own-w", "-1400")
    until(lambda: simulation.bar.get("p_w") < -1300, "the unit's own charging")
    command(inverter, 200, rvrt_s=1)
    until(lambda: simulation.bar.get("p_w") > 1900, "2 kW of export")
    assert holding(inverter, 40000 + 70 + 10, 1) != [0]
    until(lambda: abs(simulation.bar.get("p_w")) < 1, "0 W after the reversion time")
    assert holding(inverter, W_SET_ENA, 4) == [1, 1, 0, 0]  # enabled, watts, 0
    assert simulation.bar.get("p_enabled") == 1.0


def test_the_chain_is_found_by_walking_it(simulation: Simulation) -> None:
    inverter = simulation.serve("inverter")
    at, found = 40002, []
    assert holding(inverter, 40000, 2) == [0x5375, 0x6E53]
    while (header := holding(inverter, at, 2))[0] != 0xFFFF:
        found.append(tuple(header))
        at += 2 + header[1]
    assert [model for model, _ in found] == [1, 701, 702, 704, 713, 703, *range(705, 713), 714, 715]
    assert at == 40000 + 1393


# fmt: off
REFUSED = [
    # part        function                   at              count or words  code  why
    ("inverter",  "read_input_registers",    40000,          2,              1,    "holding registers only"),
    ("inverter",  "read_holding_registers",  39999,          2,              2,    "before the base"),
    ("inverter",  "read_holding_registers",  41394,          2,              2,    "behind the end marker"),
    ("inverter",  "write_registers",         W_SET_ENA + 11, [1, 2],         2,    "WSetRvrtRem is read-only"),
    ("inverter",  "write_registers",         W_SET_ENA,      [2],            3,    "an enable is 0 or 1"),
    ("inverter",  "write_registers",         W_SET_ENA + 2,  [0],            3,    "half of WSet"),
    ("meter",     "read_holding_registers",  52,             2,              1,    "input registers only"),
    ("meter",     "read_input_registers",    51,             2,              2,    "half of a float"),
    ("meter",     "read_input_registers",    0,              82,             3,    "more than 80 words"),
    ("meter",     "read_input_registers",    382,            2,              2,    "behind the last register"),
]
# fmt: on


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, ModbusTcpClient]]:
    running = Simulation(tmp_path_factory.mktemp("served"))
    yield {part: running.serve(part) for part in ("inverter", "meter")}
    running.close()


@pytest.mark.parametrize(("part", "function", "at", "what", "code", "why"), REFUSED, ids=[c[-1] for c in REFUSED])
def test_exceptions(
    served: dict[str, ModbusTcpClient], part: str, function: str, at: int, what: object, code: int, why: str
) -> None:
    ask = getattr(served[part], function)
    answer = ask(at, count=what) if isinstance(what, int) else ask(at, what)
    assert answer.isError()
    assert answer.exception_code == code


def test_play_begins_when_told_and_ends_on_the_last_row(simulation: Simulation) -> None:
    simulation.grid("--trace", trace(simulation.folder, DIP))
    bar = simulation.bar
    assert (bar.get("f_hz"), bar.get("t_s"), bar.get("play_s")) == (50.0, 0.0, 0.0)
    bar.play()
    until(lambda: bar.get("ended"), "the trace's end")
    until(lambda: bar.get("f_hz") == pytest.approx(49.5), "its last row")
    assert bar.get("t_s") == pytest.approx(0.3)


def test_play_begins_by_itself_after_the_hold(simulation: Simulation) -> None:
    simulation.grid("--trace", trace(simulation.folder, DIP), "--hold-s", "0.05")
    until(lambda: simulation.bar.get("ended"), "the trace's end")


def test_a_swinging_grid_falls_to_its_steady_state(simulation: Simulation) -> None:
    """-50 x 0.05 / (2 + 1 / 0.05) = -0.1136 Hz; a light machine gets there soon."""
    simulation.grid("--swing", "--h-s", "0.2", "--governor-s", "0.05", "--damping-pu", "2", "--imbalance-at-s", "0")
    simulation.bar.play()
    until(lambda: simulation.bar.get("f_hz") == pytest.approx(50 - 2.5 / 22, abs=1e-4), "the steady state")


def test_unplugging_the_car(simulation: Simulation) -> None:
    simulation.grid("--trace", trace(simulation.folder, STEADY))
    inverter = simulation.serve("inverter", "--own-w", "2000")
    until(lambda: simulation.bar.get("p_w") > 1900, "power")
    simulation.bar.set("session", Session.UNPLUGGED)
    until(lambda: holding(inverter, 40000 + 70 + 4, 1) == [7], "standby")
    assert simulation.bar.get("p_w") == 0.0


@pytest.mark.parametrize(("options", "p_w"), [(("--gain", "0.5"), 1000.0), (("--sign", "-1"), -2000.0)])
def test_a_wrong_answer_on_purpose(simulation: Simulation, options: tuple[str, ...], p_w: float) -> None:
    simulation.grid("--trace", trace(simulation.folder, STEADY))
    command(simulation.serve("inverter", *options), 200, rvrt_s=60)
    until(lambda: simulation.bar.get("p_w") == pytest.approx(p_w, abs=1.0), f"{p_w} W")


def test_a_killed_inverter_no_longer_moves_the_voltage(simulation: Simulation) -> None:
    simulation.grid("--trace", trace(simulation.folder, STEADY))
    simulation.serve("inverter", "--own-w", "5000")
    until(lambda: simulation.bar.get("v1_v") > 234, "a voltage raised by export")
    simulation.processes["inverter"].kill()
    until(lambda: simulation.bar.get("v1_v") == pytest.approx(230.0), "the source's voltage")


def test_a_killed_grid_disconnects_the_inverter(simulation: Simulation) -> None:
    simulation.grid("--trace", trace(simulation.folder, STEADY))
    inverter = simulation.serve("inverter", "--own-w", "5000")
    until(lambda: simulation.bar.get("p_w") > 4900, "power")
    simulation.processes["grid"].kill()
    until(lambda: simulation.bar.get("p_w") == 0.0, "no power without a grid")
    assert holding(inverter, 40000 + 70 + 5, 1) == [0]  # ConnSt


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_each_part_without_a_word(simulation: Simulation, number: int) -> None:
    simulation.grid("--trace", trace(simulation.folder, STEADY))
    simulation.serve("meter")
    simulation.serve("inverter")
    for process in simulation.processes.values():
        process.send_signal(number)
        assert process.communicate(timeout=30) == ("", "")
        assert process.returncode == 0


@pytest.mark.parametrize("part", ["grid", "meter", "inverter"])
def test_no_part_outlives_its_parent(tmp_path: Path, part: str) -> None:
    extra = ["--swing"] if part == "grid" else []
    command = [sys.executable, "-m", "drivers.sim.server", part, "--bar", str(tmp_path / "bar"), *extra]
    code = f"import subprocess, sys; print(subprocess.Popen({command!r}).pid, flush=True); sys.stdin.read()"
    parent = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    bar = Bar(tmp_path / "bar")
    until(lambda: bar.runs({"grid": "grid_s", "meter": "meter_s", "inverter": "unit_s"}[part]), part)
    parent.kill()
    parent.communicate()
    until(lambda: not alive(child), f"the end of {part}")


def alive(pid: int) -> bool:
    """False too for a process that has ended and was not yet collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_parent_that_was_gone_before_the_start(simulation: Simulation) -> None:
    process = simulation.start("grid", "--swing", "--parent", str(os.getpid() + 1))
    assert process.communicate(timeout=30) == ("", "")
    assert process.returncode == 0


PORT = "127.0.0.1:BUSY: Address already in use; allowed: a free --port, or 0 for any"
TRACE = f"/nosuch.csv: No such file or directory; allowed: a CSV file with {ALLOWED}"
PART = "gb_2019-08-09: -40 s from 400 s on; allowed: a part of its 360 s, longer than 0 s"
CHARGE = "0 <= soc_min < soc_max <= 1 and 0 <= energy_wh <= capacity_wh must hold"
FOLDER = "/nosuch/p: No such file or directory; allowed: a file in a folder that can be written"

# fmt: off
LINES = [
    # part       options                                         text    why
    ("meter",    "--port BUSY",                                  PORT,   "a port somebody listens on"),
    ("inverter", "--port BUSY",                                  PORT,   "the same of the inverter"),
    ("grid",     "--trace /nosuch.csv",                          TRACE,  "no such trace"),
    ("grid",     "--scenario gb_2019-08-09 --start-s 400",       PART,   "behind the trace's end"),
    ("inverter", "--soc-min 0.9 --soc-max 0.5",                  CHARGE, "crossed limits"),
    ("meter",    "--port-file /nosuch/p",                        FOLDER, "no such folder"),
]
# fmt: on


@pytest.mark.parametrize(("part", "options", "text", "why"), LINES, ids=[c[-1] for c in LINES])
def test_one_line_and_exit_2(simulation: Simulation, part: str, options: str, text: str, why: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        busy = str(taken.getsockname()[1])
        process = simulation.start(part, *options.replace("BUSY", busy).split())
        assert process.communicate(timeout=30) == ("", text.replace("BUSY", busy) + "\n")
    assert process.returncode == 2


def test_an_option_outside_its_range_names_the_range(simulation: Simulation) -> None:
    process = simulation.start("inverter", "--soc", "60")
    assert "argument --soc: '60'; allowed: 0 ... 1" in process.communicate(timeout=30)[1]
    assert process.returncode == 2
