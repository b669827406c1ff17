"""CAN map files: every mistake an author can make, in the file and against its DBC, with its line."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

import drivers.mapfile
from cython_core.records import DeviceState
from drivers.base import MapError
from drivers.can import canmap
from drivers.can.canmap import CanMap
from drivers.can.dbc import can_plan, can_plan_in_child
from drivers.can.frame import Frames
from drivers.can.tables import SOURCES
from drivers.mapfile import load_map, map_names

MAPS = Path(drivers.mapfile.__file__).parent / "maps"
TEMPLATE = MAPS / "TEMPLATE-CAN.yaml"

DBC = """VERSION ""
NS_ :
BS_:
BU_: A
BO_ 784 STATE: 4 A
 SG_ power : 0|16@1- (1,0) [0|0] "W" A
 SG_ mode : 16|4@1+ (1,0) [0|0] "" A
BO_ 785 SHOWN: 4 A
 SG_ which M : 0|8@1+ (1,0) [0|0] "" A
 SG_ first m1 : 8|16@1- (1,0) [0|0] "W" A
 SG_ second m2 : 8|16@1- (1,0) [0|0] "W" A
BO_ 528 SETPOINT: 4 A
 SG_ kind M : 0|8@1+ (1,0) [0|0] "" A
 SG_ power m7 : 8|16@1- (2,0) [0|0] "W" A
"""
MAP = """schema: 1
device: acme
kind: inverter
dbc: acme.dbc
source: "a manual"
proven: document
bitrate: 500000
frames:
  state: {message: STATE, timeout_ms: 500}
quantities:
  p_w: {signal: state.power, unit: W, range: [-9000, 9000], scale: -1}
status:
  running: {signal: state.mode, is: 2}
  connected: {signal: state.mode, is: [1, 2]}
writes:
  storage: ram
  min_write_interval_ms: 20
  quantum_p_w: 10
  fed_by: setpoint
  timer_s: [2, 60]
  setpoint:
    power: {message: SETPOINT, set: {power: {from: p_w, scale: -1}}}
"""


def write(folder: Path, text: str = MAP, dbc: str = DBC) -> str:
    (folder / "acme.dbc").write_text(dbc)
    (folder / "mine.yaml").write_text(text)
    return str(folder / "mine.yaml")


def told(path: str, error: MapError) -> str:
    return str(error).replace(f"{path}:", "")


FRAMES = "message: STATE, timeout_ms: 500"
P_W = "signal: state.power, unit: W, range: [-9000, 9000], scale: -1"
PUT = "power: {from: p_w, scale: -1}"
RAW = "0 ... 1.84467440737e+19 (a raw number of the signal)"
TOP = (
    "bitrate, dbc, device, frames, kind, min_gap_ms, proven, quantities, schema, session, source, status, unit_bits, "
    "v_dc, writes"
)
UNIT_BITS = "0 ... 28 (where identifiers hold `unit`: [sent, taken])"
SCALE = "-1000000000 ... 1000000000 (1 if the device counts + out of the inverter, else -1)"

IN_THE_FILE = [
    # replace, by, the one line that is told
    ("kind: inverter", "kind: meter", "3: kind = meter is not one of inverter (what it is)"),
    ("bitrate: 500000\n", "", "1: map: missing key 'bitrate': 10000 ... 1000000 bit/s (of the bus)"),
    ("bitrate: 500000", "bitrate: 5", "7: bitrate = 5 is outside 10000 ... 1000000 bit/s (of the bus)"),
    ("schema: 1", "schema: 1\nfunction: 3", f"2: unknown key 'function'; known: {TOP}"),
    ("schema: 1", "schema: 1\nunit_bits: 8", f"2: unit_bits holds 1 values instead of 2; allowed: {UNIT_BITS}"),
    (", timeout_ms: 500", "", "9: state: missing key 'timeout_ms' (or `ask`, if it does not come by itself)"),
    (FRAMES, FRAMES + ", when: {mode: on}", "9: mode = on is not a whole number; allowed: " + RAW),
    (P_W, P_W.replace(", scale: -1", ""), f"11: p_w: missing key 'scale': {SCALE}"),
    (P_W, P_W.replace("-1", "0"), "11: scale = 0 makes every value 0; any other number is allowed"),
    (P_W, P_W.replace("-9000, 9000", "9, -9"), "11: p_w: range [9, -9] is empty; low must be below high"),
    (P_W, P_W.replace("unit: W", "unit: kW"), "11: unit = kW is not one of W (the unit in the quantity's name)"),
    (
        P_W,
        P_W.replace("state.power", "power"),
        "11: signal = power is not frame.signal, or two of them whose product it is",
    ),
    (P_W, P_W.replace("state.power", "stat.power"), "11: signal = stat.power: no such frame; known: state"),
    (P_W, P_W.replace("state.power", "[state.a, state.b, state.c]"), "11: p_w: a product has two signals, not more"),
    ("p_w: {signal", "soc_pu: {signal", "10: quantities: missing key 'p_w': the signal that holds it"),
    (
        "  connected: {signal: state.mode, is: [1, 2]}\n",
        "",
        "12: status: missing key 'connected': a signal and the raw numbers that mean it",
    ),
    (
        "  running: {signal: state.mode, is: 2}",
        "  running: {signal: state.mode}",
        "13: running: missing key 'is': " + RAW,
    ),
    ("storage: ram", "storage: flash", "16: storage = flash: set-points would wear it out; allowed: ram"),
    ("timer_s: [2, 60]", "timer_s: [60, 2]", "20: timer_s = [60, 2] is empty; the shortest comes first"),
    (PUT, "power: {from: price}", f"22: from = price is not one of {' | '.join(SOURCES)} (what is put in)"),
    (PUT, "power: {from: run, on: 1}", "22: power: missing key 'off': " + RAW),
    (PUT, "power: {from: p_w, on: 1}", "22: unknown key 'on'; known: from, scale"),
    (PUT, "power: fast", "22: power = fast is not a whole number; allowed: " + RAW),
]
IN_THE_DBC = [
    (FRAMES, FRAMES.replace("STATE", "STAT"), "9: message = STAT is not in acme.dbc; known: SETPOINT, SHOWN, STATE"),
    (P_W, P_W.replace("state.power", "state.p"), "11: signal = p is not in STATE of acme.dbc; known: power, mode"),
    (FRAMES, FRAMES + ", when: {mode: 16}", "9: mode = 16 is outside 0 ... 15 (raw number)"),
    (FRAMES, FRAMES + ", counter: alive", "9: signal = alive is not in STATE of acme.dbc; known: power, mode"),
    ("is: 2}", "is: 99}", "13: mode = 99 is outside 0 ... 15 (raw number)"),
    (PUT, "speed: 1", "22: signal = speed is not in SETPOINT of acme.dbc; known: kind, power"),
    (PUT, "power: 65536", "22: power = 65536 is outside 0 ... 65535 (raw number)"),
    (PUT, "power: {from: abs_a}", "22: from = abs_a needs `v_dc`, the voltage that a power is divided by"),
    (
        "  state: {message: STATE",
        "  state: {when: {which: 2}, message: SHOWN",
        "11: signal = power is not in SHOWN of acme.dbc; known: which, first, second",
    ),
]


@pytest.mark.parametrize(("old", "new", "complaint"), IN_THE_FILE, ids=[c[-1][:60] for c in IN_THE_FILE])
def test_a_mistake_in_the_file(old: str, new: str, complaint: str, tmp_path: Path) -> None:
    assert old in MAP
    path = write(tmp_path, MAP.replace(old, new))
    with pytest.raises(MapError) as error:
        load_map(path)
    assert told(path, error.value).splitlines()[0] == complaint


@pytest.mark.parametrize(("old", "new", "complaint"), IN_THE_DBC, ids=[c[-1][:60] for c in IN_THE_DBC])
def test_a_mistake_against_the_dbc(old: str, new: str, complaint: str, tmp_path: Path) -> None:
    assert old in MAP
    path = write(tmp_path, MAP.replace(old, new))
    assert isinstance(load_map(path), CanMap)
    with pytest.raises(MapError) as error:
        can_plan(path, 1, 10, 200, 300)
    assert complaint in told(path, error.value).splitlines()


def test_the_dbc_itself(tmp_path: Path) -> None:
    path = write(tmp_path)
    (tmp_path / "acme.dbc").unlink()
    with pytest.raises(MapError, match=r"acme\.dbc: cannot be read: No such file or directory$"):
        can_plan(path, 1, 10, 200, 300)
    (tmp_path / "acme.dbc").write_text("BO_ nothing")
    with pytest.raises(MapError, match=r"acme\.dbc: is no DBC: .*Invalid syntax at line 1"):
        can_plan(path, 1, 10, 200, 300)
    with pytest.raises(MapError, match=r"^map = sunspec-7xx is no map of a CAN device \(it names no dbc\)$"):
        can_plan("sunspec-7xx", 1, 10, 200, 300)
    with pytest.raises(MapError, match=r"^reversion_s = 61 is outside 2 ... 60 s \(.*: the device's own timer\)$"):
        can_plan(write(tmp_path), 1, 61, 200, 300)


# fmt: off
BITS = "power of STATE of acme.dbc: 1 ... 64 bits inside"
WRONG_DBC = [
    # in the DBC             instead                complaint, behind the map's file
    ("power : 0|16@1- (1,",  "power : 60|16@1- (1,",    BITS),
    ("power : 0|16@1- (1,",  "power : 0|99999@1- (1,",  BITS),
    ("power : 0|16@1- (1,",  "power : 0|16@1- (0,",     BITS),
    ("BO_ 784 STATE: 4",     "BO_ 784 STATE: 64",       "STATE of acme.dbc has 64 bytes; allowed: 8 (no CAN FD)"),
    ("BO_ 528 SETPOINT",     "BO_ 784 SETPOINT",        "identifier 0x310 is to be sent and taken"),
]
# fmt: on


@pytest.mark.parametrize(("old", "new", "complaint"), WRONG_DBC, ids=[c[1] for c in WRONG_DBC])
def test_a_dbc_that_no_bus_can_hold(old: str, new: str, complaint: str, tmp_path: Path) -> None:
    """In one line, before a controller is started with it."""
    assert old in DBC
    with pytest.raises(MapError, match=re.escape(complaint)):
        can_plan(write(tmp_path, dbc=DBC.replace(old, new)), 1, 10, 200, 300)


def test_a_multiplexed_signal_brings_its_multiplexer_along(tmp_path: Path) -> None:
    text = MAP.replace("frames:\n", "frames:\n  shown: {message: SHOWN, timeout_ms: 500, carrier: false}\n")
    text = text.replace(
        "status:", "  p_set_readback_w: {signal: shown.second, unit: W, range: [-9, 9], scale: 1}\nstatus:"
    )
    plan = can_plan(write(tmp_path, text), 1, 10, 200, 300)
    frames = Frames(plan)
    assert [frames.find(785, False, bytes([which, 0, 0, 0])) for which in (1, 2, 3)] == [-1, 0, -1]
    encoded = frames.encode("setpoint", -1000.0)
    assert encoded == [(528, bytes([7, 0xF4, 0x01, 0]))]  # kind 7 with it; 1000 W / 2 W, turned round: 500
    both = text.replace("status:", "  q_var: {signal: shown.first, unit: var, range: [-9, 9], scale: 1}\nstatus:")
    with pytest.raises(MapError, match=r"shown\.first is not in the same frame as the others of shown \(which\)"):
        can_plan(write(tmp_path, both), 1, 10, 200, 300)


def test_questions_and_their_time(tmp_path: Path) -> None:
    """Three answers may stay out: 3 x 20 x 200 ms, and the 300 ms that one may take."""
    asked = "message: STATE, when: {mode: 2}, ask: SETPOINT, every: 20"
    text = MAP.replace(FRAMES, asked)
    with pytest.raises(MapError, match=r"signal = mode is not in SETPOINT of acme\.dbc"):
        can_plan(write(tmp_path, text), 1, 10, 200, 300)
    dbc = DBC.replace(" SG_ kind M", ' SG_ mode : 24|4@1+ (1,0) [0|0] "" A\n SG_ kind M')
    plan = can_plan(write(tmp_path, text, dbc), 1, 10, 200, 300)
    (frame,) = plan.frames
    assert (frame.timeout_ms, frame.every, frame.mask, frame.equals) == (12300, 20, 0xF0000, 0x20000)
    assert frame.ask is not None
    assert (frame.ask.id, frame.ask.data) == (528, 0x02000000)


def test_the_units_number_is_put_into_identifiers(tmp_path: Path) -> None:
    text = MAP.replace("bitrate", "unit_bits: [4, 0]\nbitrate")
    plan = can_plan(write(tmp_path, text), 3, 10, 200, 300)
    assert (plan.frames[0].id, plan.setpoint[0].id) == (784 + 3, 528 + (3 << 4))


def test_a_child_says_the_same(tmp_path: Path) -> None:
    path = write(tmp_path)
    assert can_plan_in_child(path, 1, 10, 200, 300) == can_plan(path, 1, 10, 200, 300)
    with pytest.raises(MapError, match=r"mine\.yaml:3: kind = meter is not one of inverter"):
        can_plan_in_child(write(tmp_path, MAP.replace("kind: inverter", "kind: meter")), 1, 10, 200, 300)


def test_reading_a_map_loads_no_cantools() -> None:
    """29 MiB belong into the short-lived child."""
    code = f"import sys; from drivers.mapfile import load_map; load_map({str(TEMPLATE)!r}); import drivers.can.dbc; "
    code += "print('cantools' in sys.modules, 'can' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_the_template_explains_every_key_and_is_a_valid_map() -> None:
    text = TEMPLATE.read_text()
    assert isinstance(load_map(str(TEMPLATE)), CanMap)
    plan = can_plan(str(TEMPLATE), 1, 10, 200, 300)
    assert plan.heartbeat is not None
    groups: Iterable[dict[str, object]] = (
        canmap.TOP_KEYS, canmap.FRAME_KEYS, canmap.WRITE_KEYS, canmap.SEND_KEYS, canmap.BEAT_KEYS, canmap.FLAG_KEYS,
        canmap.quantity_keys("p_w", "W"),
    )  # type: ignore[assignment]  # fmt: skip
    keys = {key for group in groups for key in group} | {k for keys in canmap.PUT_KEYS.values() for k in keys}
    assert not [k for k in keys if f"{k}:" not in text]
    assert not [s for s in SOURCES if s not in text]


@pytest.mark.parametrize("name", map_names(["inverter"]))
def test_every_can_map_that_comes_with_the_product_compiles(name: str) -> None:
    device = load_map(name)
    if isinstance(device, CanMap):
        plan = can_plan(name, 1, device.sends.timer_s[0], 200, 300)
        assert Frames(plan).decode([]) != DeviceState()
        assert device.sends.stop
