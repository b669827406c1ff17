"""Remote commands: what is taken, what is refused and why, and that nothing moves power outside the site's bounds.

The wishes go through the real mailbox file, and where power is looked at through the real core.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from controller.services.command import COMMANDS, MODES, Bounds
from controller.services.door import Door, Key
from controller.services.memory import Slot, load
from controller.services.pace import Limits
from controller.services.remote import MAX_ROWS, Event, Now, Remote
from controller.services.wishes import BOX_BYTES, Wishes
from controller.telemetry.link import Received
from cython_core.records import Reason, Wish, WishSource
from tests.cython_core.unit import Unit

NOW_MS = 1_700_000_000_000
NOW_NS = 5_000 * 10**9
BOUNDS = Bounds(sources=("home", "operator"), p_min_w=-7000.0, p_max_w=5000.0, soc_min_pu=0.2, soc_max_pu=0.95,
                lifetime_ms=900_000, max_age_ms=30_000)  # fmt: skip
HOME, OPERATOR = WishSource.HOME, WishSource.OPERATOR


@dataclass
class Rig:
    """One site's commands over a wish file of its own; time is an argument."""

    folder: Path
    now: Now = field(default_factory=lambda: Now(NOW_MS, NOW_NS, True))
    bounds: Bounds = BOUNDS
    per_minute: int = 60
    turns_per_hour: int = 3600
    spread_s: float = 0.0
    unsigned: tuple[str, ...] | None = None  # all
    keys: dict[str, Key] = field(default_factory=dict)
    drawn: float = 0.5
    seq: int = 0
    remote: Remote = field(init=False)

    def __post_init__(self) -> None:
        self.begin_controller()
        (self.folder / "remote.json").write_text('{"v": 1, "since_ms": 0, "reserve_soc_pu": null, "slots": {}}')
        self.restart()

    def begin_controller(self) -> None:
        """As its launcher does in an empty runtime directory."""
        (self.folder / "wishes").write_bytes(bytes(BOX_BYTES * len(WishSource)))

    def restart(self) -> None:
        memory = load(self.folder / "remote.json", self.now.wall_ms)
        door = Door("home", self.bounds, self.bounds.sources if self.unsigned is None else self.unsigned, self.keys)
        limits = Limits(self.per_minute, self.turns_per_hour, self.spread_s)
        wishes = Wishes(self.folder / "wishes")
        self.remote = Remote(door, limits, wishes, memory, lambda: self.now, lambda: self.drawn)

    def advance(self, seconds: float) -> None:
        self.now = Now(self.now.wall_ms + round(seconds * 1e3), self.now.mono_ns + round(seconds * 1e9), True)

    def body(self, **changes: Any) -> dict[str, Any]:
        """A right head; None takes a key out."""
        self.seq += 1
        now_ms = self.now.wall_ms
        head = {"v": 1, "source": "home", "seq": self.seq, "issued_ms": now_ms, "expires_ms": now_ms + 600_000}
        return {key: value for key, value in {**head, **changes}.items() if value is not None}

    def receive(
        self, name: str, payload: bytes, retained: bool = False, measured_pu: float | None = 0.5
    ) -> list[Event]:
        message = Received(f"v2g/home/cmd/{name}", payload, 1, 1, self.now.wall_ms, retained)
        return self.remote.turn([message], measured_pu)

    def send(self, name: str, measured_pu: float | None = 0.5, **body: Any) -> dict[str, Any]:
        """-> the facts of the one event it makes, with its name as `event`."""
        [(event, facts)] = self.receive(name, json.dumps(self.body(**body)).encode(), measured_pu=measured_pu)
        return {"event": event, **facts}

    def turn(self, soc_pu: float | None, after_s: float = 1.0) -> list[Event]:
        self.advance(after_s)
        return self.remote.turn([], soc_pu)

    def wish(self, source: WishSource = HOME) -> Wish | None:
        return self.remote.wishes.newest(source)

    def power(self, source: WishSource = HOME) -> tuple[float, float, float] | None:
        wish = self.wish(source)
        return None if wish is None else (wish.lo_w, wish.hi_w, wish.p_w)


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


# ---- taken ----

# fmt: off
TAKEN: list[tuple[str, dict[str, Any], tuple[float, float, float], str]] = [
    # command  body  lo, hi, p in the slot  why
    ("power", {"p_w": 3000},      (-7000.0, 5000.0, 3000.0), "leaves room to limits of weaker sources"),
    ("power", {"p_w": -7000, "lo_w": -7000, "hi_w": -1000}, (-7000.0, -1000.0, -7000.0),
     "its own range; the bounds belong to it"),
    ("power", {"p_w": 5000.0},    (-7000.0, 5000.0, 5000.0), "the other bound"),
    ("mode",  {"mode": "hold"},   (-7000.0, 5000.0, 0.0),    "0 W, if nobody weaker has a limit"),
    ("mode",  {"mode": "charge"}, (-7000.0, 5000.0, -7000.0), "all the site allows"),
    ("mode",  {"mode": "discharge"},(-7000.0, 5000.0, 5000.0), "all the site allows"),
    ("stop",  {},                 (0.0, 0.0, 0.0),           "0 W and no room for anybody"),
]
# fmt: on


@pytest.mark.parametrize(("name", "body", "wish", "why"), TAKEN, ids=[f"{c[0]}: {c[-1]}" for c in TAKEN])
def test_what_is_taken(rig: Rig, name: str, body: dict[str, Any], wish: tuple[float, float, float], why: str) -> None:
    facts = rig.send(name, **body)
    assert facts["event"] == "command_accepted", facts
    assert (facts["command"], facts["source"], facts["command_seq"]) == (name, "home", 1)
    assert rig.power() == wish, why
    newest = rig.wish()
    assert newest is not None
    assert (newest.valid_from_ns, newest.expires_ns, newest.seq) == (NOW_NS, NOW_NS + 600 * 10**9, 1)
    assert rig.power(OPERATOR) is None
    assert (rig.remote.accepted, rig.remote.refused.total()) == (1, 0)


# ---- refused ----

# fmt: off
REFUSED: list[tuple[str, dict[str, Any], str, str, str]] = [
    # command  changes to a right body  reason  text  why
    ("power", {"p_w": 5001}, "bounds", "-7000 ... 5000", "above the site's bound: refused, not clamped"),
    ("power", {"p_w": -7000.1},                 "bounds",    "-7000 ... 5000",       "below"),
    ("power", {"p_w": 1000, "lo_w": 2000},      "bounds",    "in this order",        "outside its own range"),
    ("power", {"p_w": 0, "hi_w": 9000},         "bounds",    "5000",                 "a range beyond the site's"),
    ("power", {"p_w": 0, "lo_w": -9000},        "bounds",    "-7000",                "the other end"),
    ("power", {"p_w": 0, "lo_w": 100, "hi_w": -100}, "bounds",    "in this order",        "reversed"),
    ("reserve", {"soc_pu": 0.19},                 "bounds",    "0.2 ... 0.95",         "below the site's soc_min_pu"),
    ("reserve", {"soc_pu": 0.96},                 "bounds",    "0.2 ... 0.95",         "above its soc_max_pu"),
    ("power", {"p_w": 1, "issued_ms": NOW_MS - 30_001}, "expired",   "30.0 s ago",           "issued too long ago"),
    ("power", {"p_w": 1, "issued_ms": NOW_MS + 30_001}, "expired", "in the future", "by a clock that is ahead"),
    ("power", {"p_w": 1, "expires_ms": NOW_MS}, "expired",   "expired 0.0 s ago",    "over on arrival"),
    ("power", {"p_w": 1, "issued_ms": NOW_MS + 9, "expires_ms": NOW_MS + 9}, "expired", "expired", "no life at all"),
    ("power", {"p_w": 1, "expires_ms": NOW_MS + 900_001}, "lifetime", "allowed 900 s", "longer than wish_lifetime_s"),
    ("power", {"p_w": 1, "seq": NOW_MS * 1000 + 1001}, "replayed", "above issued_ms", "would lock its source out"),
    ("power", {"p_w": 1, "source": "aggregator"}, "source",    "home, operator",       "not among the site's"),
    ("power", {"p_w": 1, "source": "bench"},    "source",    "home, operator",       "never remote"),
    ("power", {"p_w": 1, "source": 5},          "malformed", '"source" is not a source', "a slot's number is no name"),
    ("power", {"p_w": 1, "source": "\ud800"},   "malformed", '"source" is not a source', "no database could keep it"),
    ("power", {"p_w": 1, "\ud800": 1},          "malformed", "unknown key",          "the same as a key"),
    ("power", {"p_w": 1, "v": 2},               "newer",     "reads 1",              "a later version"),
    ("power", {"p_w": 1, "v": True},            "malformed", '"v" is not 1',         "JSON's true equals 1 in Python"),
    ("power", {"p_w": 1, "v": 1.0},             "malformed", '"v" is not 1',         "so does 1.0"),
    ("power", {"p_w": 1, "q_var": 100},         "malformed", "unknown key 'q_var'",  "there is no such wish"),
    ("power", {},                               "malformed", "missing key 'p_w'",    "nothing asked for"),
    ("power", {"p_w": 1, "seq": None},          "malformed", "missing key 'seq'",    "could be replayed"),
    ("power", {"p_w": 1, "expires_ms": None},   "malformed", "missing key 'expires_ms'", "would never end"),
    ("power", {"p_w": "1000"},                  "malformed", '"p_w" is not a finite',"text"),
    ("power", {"p_w": True},                    "malformed", '"p_w" is not a finite',"a truth is no power"),
    ("power", {"p_w": 10**400},                 "malformed", '"p_w" is not a finite',"no float holds it"),
    ("power", {"p_w": [1000]},                  "malformed", '"p_w" is not a finite',"a list"),
    ("power", {"p_w": 1, "seq": 1.5},           "malformed", "whole number above 0", "numbers count"),
    ("power", {"p_w": 1, "seq": 0},             "malformed", "whole number above 0", "0 is before the first"),
    ("power", {"p_w": 1, "issued_ms": -1},      "malformed", "whole number above 0", "before 1970"),
    ("mode",  {"mode": "eco"},                  "malformed", "auto, hold, charge",   "no such mode"),
    ("mode",  {"mode": ["hold"]},               "malformed", "auto, hold, charge",   "not hashable, not a mode"),
    ("stop",  {"p_w": 5000},                    "malformed", "unknown key 'p_w'",    "a stop has no power"),
    ("explode", {},                               "unknown",   "power, mode, reserve", "no such command"),
]
# fmt: on


@pytest.mark.parametrize(
    ("name", "body", "reason", "text", "why"), REFUSED, ids=[f"{c[2]}: {c[0]}, {c[-1]}" for c in REFUSED]
)
def test_what_is_refused(rig: Rig, name: str, body: dict[str, Any], reason: str, text: str, why: str) -> None:
    facts = rig.send(name, **body)
    json.dumps(facts, ensure_ascii=False).encode()
    assert (facts["event"], facts["command"], facts["reason"]) == ("command_refused", name, reason), why
    assert text in facts["text"]
    assert (rig.remote.accepted, dict(rig.remote.refused)) == (0, {reason: 1})
    assert [rig.power(s) for s in WishSource if s] == [None] * 7
    assert rig.send("power", p_w=1000)["event"] == "command_accepted", "and the source is not locked out"


# fmt: off
BYTES: list[tuple[bytes, str, str]] = [
    (b"",                                            "not JSON",            "empty"),
    (b"1000",                                        "not a JSON object",   "a plain number, as a simple switch sends"),
    (b"\xff\xfe",                                    "not JSON",            "no UTF-8"),
    (b"[" * 1000,                                    "not JSON",            "deep"),
    (b'{"v": 1, "p_w": NaN}',                        "NaN is not a number", "NaN"),
    (b'{"v": 1, "p_w": 1, "p_w": 5000}',             "stands there twice",  "two readers, two powers"),
    (b'{"v": 1' + b" " * 1024 + b"}",                "more than 1024",      "long"),
    (b'{"v": 1, "seq": ' + b"9" * 900 + b"}",        "missing key",         "a number of 900 digits"),
]
# fmt: on


@pytest.mark.parametrize(("payload", "text", "why"), BYTES, ids=[c[-1] for c in BYTES])
def test_bytes_that_are_no_command(rig: Rig, payload: bytes, text: str, why: str) -> None:
    [(event, facts)] = rig.receive("power", payload)
    assert (event, facts["reason"]) == ("command_refused", "malformed"), why
    assert text in facts["text"]
    assert rig.power() is None


def test_a_retained_command_is_refused_however_right_it_is(rig: Rig) -> None:
    [(event, facts)] = rig.receive("power", json.dumps(rig.body(p_w=1000)).encode(), retained=True)
    assert (event, facts["reason"]) == ("command_refused", "retained")
    assert rig.power() is None


def test_without_a_synchronized_clock_nothing_is_taken(rig: Rig) -> None:
    rig.now = rig.now._replace(synchronized=False)
    assert rig.send("power", p_w=1000)["reason"] == "clock"
    assert rig.send("stop")["reason"] == "clock"
    assert rig.power() is None


def test_without_a_controller_a_wish_is_refused_and_its_number_is_still_good(rig: Rig) -> None:
    (rig.folder / "wishes").unlink()
    assert rig.send("power", p_w=1000, seq=7)["reason"] == "no_controller"
    rig.begin_controller()
    assert rig.send("power", p_w=1000, seq=7)["event"] == "command_accepted"


# ---- replayed ----


def test_a_number_is_taken_once_by_each_source_and_a_restart_forgets_none(rig: Rig) -> None:
    payload = json.dumps(rig.body(p_w=1000, seq=40)).encode()
    assert rig.receive("power", payload)[0][0] == "command_accepted"
    assert rig.receive("power", payload)[0][1]["reason"] == "replayed"
    rig.restart()
    assert rig.receive("power", payload)[0][1]["reason"] == "replayed"
    assert rig.send("power", p_w=2000, seq=39)["reason"] == "replayed"
    assert rig.send("power", p_w=2000, seq=39, source="operator")["event"] == "command_accepted"
    assert rig.send("power", p_w=2000, seq=41)["event"] == "command_accepted"
    assert rig.power() == (-7000.0, 5000.0, 2000.0)


def test_a_refused_command_uses_up_no_number(rig: Rig) -> None:
    assert rig.send("power", p_w=9000, seq=5)["reason"] == "bounds"
    assert rig.send("power", p_w=1000, seq=5)["event"] == "command_accepted"


def test_a_lost_memory_lets_no_old_command_in(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    old = json.dumps(rig.body(p_w=1000)).encode()
    (rig.folder / "remote.json").write_text('{"v": 1, "since')
    rig.advance(5.0)
    rig.restart()
    assert "V2G-REMOTE-MEMORY" in caplog.text
    assert list(rig.folder.glob("remote.json.bad-*")), "kept for whoever wants to look"
    assert rig.receive("power", old)[0][1]["reason"] == "replayed"
    rig.advance(1.0)
    assert rig.send("power", p_w=1000)["event"] == "command_accepted"


def test_a_memory_begun_by_a_clock_that_was_ahead_keeps_nobody_out(rig: Rig) -> None:
    """A first start with a clock two years ahead, which is set right a minute later."""
    (rig.folder / "remote.json").unlink()
    right, two_years_ms = rig.now, 2 * 365 * 86_400_000
    rig.now = Now(right.wall_ms + two_years_ms, right.mono_ns, False)
    rig.restart()
    rig.turn(0.5)
    rig.now = Now(right.wall_ms, right.mono_ns + 60 * 10**9, True)
    old = json.dumps(rig.body(p_w=1000, issued_ms=right.wall_ms - 1)).encode()
    rig.turn(0.5, after_s=0.0)
    assert rig.receive("power", old)[0][1]["reason"] == "replayed", "from before the memory began"
    rig.advance(1.0)
    assert rig.send("stop")["event"] == "command_accepted"


# fmt: off
MEMORIES = [
    ('{"v": 2, "since_ms": 0, "reserve_soc_pu": null, "slots": {}}',                       "a later version"),
    ('{"v": 1, "since_ms": 0, "reserve_soc_pu": null, "slots": {"home": {"seq": "9"}}}',   "a number as text"),
    ('{"v": 1, "since_ms": 0, "reserve_soc_pu": null, "slots": {"home": {"kind": 1}}}',    "an unknown key"),
    ('{"v": 1, "since_ms": 1e400, "reserve_soc_pu": null, "slots": {}}',                   "a time without end"),
    ('{"v": 1, "since_ms": 0, "reserve_soc_pu": NaN, "slots": {}}',                        "a reserve below nothing"),
    ('{"v": 1, "since_ms": 0, "reserve_soc_pu": null, "slots": {"home": {"p_w": 1e400}}}', "more than all power"),
    ('{"v": 1, "since_ms": 0, "reserve_soc_pu": null, "slots": ' + 5000 * "[" + 5000 * "]" + "}", "no end of brackets"),
    ('[]',                                                                                 "no object"),
]
# fmt: on


@pytest.mark.parametrize(("text", "why"), MEMORIES, ids=[c[-1] for c in MEMORIES])
def test_a_memory_that_is_none_of_ours_is_set_aside(rig: Rig, text: str, why: str) -> None:
    (rig.folder / "remote.json").write_text(text)
    rig.restart()
    assert rig.remote.memory.since_ms == NOW_MS, why


def test_what_cannot_be_remembered_is_not_done(rig: Rig) -> None:
    (rig.folder / "remote.tmp").mkdir()  # where the new file would be written
    assert rig.send("power", p_w=1000)["reason"] == "memory"
    assert rig.power() is None
    (rig.folder / "remote.tmp").rmdir()
    assert rig.send("power", p_w=1000)["event"] == "command_accepted"


# ---- rate ----


def test_more_commands_a_minute_than_the_site_allows_are_refused(tmp_path: Path) -> None:
    rig = Rig(tmp_path, per_minute=12)
    answers = [rig.send("power", p_w=100 * i) for i in range(14)]
    assert [a["event"] for a in answers] == ["command_accepted"] * 12 + ["command_refused"] * 2
    assert answers[-1]["reason"] == "rate"
    rig.advance(5.0)  # one comes back each five seconds
    assert rig.send("power", p_w=1)["event"] == "command_accepted"
    assert rig.send("power", p_w=2)["reason"] == "rate"
    assert rig.send("stop")["event"] == "command_accepted", "never too many"
    assert rig.send("stop")["reason"] == "rate", "it is stopped"
    assert rig.power() == (0.0, 0.0, 0.0)


def test_a_flood_is_counted_whole_and_fills_no_outbox(rig: Rig) -> None:
    events = [event for _ in range(5000) for event in rig.receive("power", b"junk")]
    assert len(events) == MAX_ROWS
    assert rig.remote.refused["malformed"] == 5000
    assert rig.turn(0.5, after_s=59.0) == []
    assert rig.turn(0.5) == [("commands_refused", {"count": 5000 - MAX_ROWS, "by": {"malformed": 5000 - MAX_ROWS}})]
    assert rig.turn(0.5, after_s=120.0) == []
    assert rig.receive("power", b"junk")[0][0] == "command_refused", "a new minute has rows of its own"


# ---- modes, stop, reserve ----


def test_auto_gives_the_unit_back_to_its_default_wish(rig: Rig) -> None:
    unit = Unit(limits={"ramp_pu_s": 10.0}, default_wish={"charge_w": 1400.0})
    hand_over(rig, unit)
    rig.send("mode", mode="discharge")
    hand_over(rig, unit)
    assert unit.advance(5.0).p_cmd_w == 5000.0
    assert rig.send("mode", mode="auto")["event"] == "command_accepted"
    hand_over(rig, unit)
    record = unit.advance(5.0)
    assert (record.p_cmd_w, record.w_source) == (-1400.0, -1)
    assert not record.reasons & Reason.WISH_REFUSED


def test_a_stop_holds_against_its_own_source_until_it_resumes_or_is_over(rig: Rig) -> None:
    rig.send("stop")
    assert rig.send("power", p_w=1000)["reason"] == "stopped"
    assert rig.send("mode", mode="auto")["reason"] == "stopped"
    rig.restart()
    assert rig.send("power", p_w=1000)["reason"] == "stopped"
    assert rig.power() == (0.0, 0.0, 0.0)
    assert rig.send("power", p_w=1000, source="operator")["event"] == "command_accepted", "another's slot"
    assert rig.send("resume")["event"] == "command_accepted"
    assert rig.send("power", p_w=1000)["event"] == "command_accepted"
    rig.send("stop")
    rig.advance(601.0)
    assert rig.remote.frame()["home"]["mode"] == "auto"
    assert rig.send("power", p_w=1000)["event"] == "command_accepted"


def test_a_stop_of_the_house_leaves_no_power_to_a_stronger_wish(rig: Rig) -> None:
    unit = Unit(limits={"ramp_pu_s": 10.0})
    rig.send("power", p_w=4000, source="operator")
    hand_over(rig, unit)
    assert unit.advance(3.0).p_cmd_w == 4000.0
    rig.send("stop")
    hand_over(rig, unit)
    assert unit.advance(3.0).p_cmd_w == 0.0


# fmt: off
RESERVES: list[tuple[float | None, tuple[float, float, float], str]] = [
    # SoC   slot                          why
    (0.500, (1000.0, 5000.0, 4000.0),     "above: as wished"),
    (0.401, (1000.0, 5000.0, 4000.0),     "still above"),
    (0.400, (0.0, 0.0, 0.0),              "reached: no discharge left, and no least one"),
    (0.405, (0.0, 0.0, 0.0),              "inside the band nothing changes back"),
    (0.411, (1000.0, 5000.0, 4000.0),     "above the band: goes on"),
    (None,  (0.0, 0.0, 0.0),              "unknown: as if reached"),
]
# fmt: on


def test_at_the_reserve_a_remote_wish_has_no_discharge_left(rig: Rig) -> None:
    rig.send("reserve", soc_pu=0.4)
    rig.turn(0.5)
    rig.send("power", p_w=4000, lo_w=1000)
    for soc_pu, wish, why in RESERVES:
        rig.turn(soc_pu)
        assert rig.power() == wish, why
        newest = rig.wish()
        assert newest is not None
        assert newest.expires_ns == NOW_NS + 601 * 10**9, "it does not live longer for it"


def test_the_reserve_stays_over_a_restart_and_charging_is_not_its_business(rig: Rig) -> None:
    rig.send("reserve", soc_pu=0.4)
    rig.advance(3600.0)
    rig.restart()
    assert rig.remote.frame()["reserve_soc_pu"] == 0.4
    rig.send("power", p_w=-3000, measured_pu=0.3)
    rig.turn(0.3)
    assert rig.power() == (-7000.0, 0.0, -3000.0)


def test_a_new_controller_finds_what_is_in_force_with_what_is_left_of_its_life(rig: Rig) -> None:
    rig.send("power", p_w=3000)
    rig.begin_controller()
    assert rig.power() is None
    rig.turn(0.5, after_s=100.0)
    assert rig.power() == (-7000.0, 5000.0, 3000.0)
    newest = rig.wish()
    assert newest is not None
    assert newest.expires_ns == NOW_NS + 600 * 10**9
    rig.begin_controller()
    rig.turn(0.5, after_s=501.0)
    assert rig.power() is None, "over"


# fmt: off
CUT_OFF: list[tuple[dict[str, Any], Slot, tuple[float, float, float] | None, str]] = [
    # wished before                          kept, not wished                                     in force    why
    ({"name": "mode", "mode": "auto"},       Slot(9, "stop", 0.0, 0.0, 0.0, NOW_MS + 300_000),     (0.0, 0.0, 0.0),
     "a stop after no wish"),
    ({"name": "power", "p_w": 2000, "expires_ms": NOW_MS + 60_000},
     Slot(9, "power", -7000.0, 5000.0, -1.0, NOW_MS + 300_000),                     (-7000.0, 5000.0, -1.0),
     "its own life, not that of the one before"),
    ({"name": "power", "p_w": 2000},         Slot(9),                                             None,
     "no wish any more"),
]
# fmt: on


@pytest.mark.parametrize(("before", "kept", "power", "why"), CUT_OFF, ids=[c[-1] for c in CUT_OFF])
def test_a_command_that_was_kept_and_not_yet_wished_is_wished_after_a_restart(
    rig: Rig, before: dict[str, Any], kept: Slot, power: tuple[float, float, float] | None, why: str
) -> None:
    """Ended between the two: its number is used up, whoever sent it cannot send it again."""
    rig.send(**before)
    replace(rig.remote.memory, slots={"home": kept}).save()
    rig.restart()
    rig.turn(0.5, after_s=2.0)
    wish = rig.wish()
    assert wish is not None
    in_force = wish.valid_from_ns <= rig.now.mono_ns < wish.expires_ns
    assert (rig.power() if in_force else None) == power, why
    if in_force:
        assert wish.expires_ns - rig.now.mono_ns == 298 * 10**9


# fmt: off
REBOOTS: list[tuple[str, dict[str, Any], tuple[float, float, float] | None, str]] = [
    # command  body                  after the boot    why
    ("power",  {"p_w": 5000},        None,             "hours old: nobody wants it now"),
    ("mode",   {"mode": "charge"},   None,             "the site's default wish charges as its site has it"),
    ("stop",   {},                   (0.0, 0.0, 0.0),  "0 W harms nobody until the time is known"),
]
# fmt: on


@pytest.mark.parametrize(("name", "body", "power", "why"), REBOOTS, ids=[c[0] for c in REBOOTS])
def test_after_a_power_cut_no_wish_comes_back_before_the_time_is_known(
    rig: Rig, name: str, body: dict[str, Any], power: tuple[float, float, float] | None, why: str
) -> None:
    """A board without a clock battery goes on with the time it last wrote down, here a minute after the command."""
    rig.send(name, **body)
    rig.begin_controller()
    rig.now = Now(NOW_MS + 60_000, 20 * 10**9, False)
    rig.restart()
    rig.remote.turn([], 0.5)
    assert rig.power() == power, why
    rig.now = Now(NOW_MS + 8 * 3_600_000, 40 * 10**9, True)
    rig.turn(0.5)
    assert rig.remote.frame()["home"]["mode"] == "auto", "8 h have gone: it was over long ago"


def test_the_reserve_is_kept_when_the_time_is_lost(rig: Rig) -> None:
    rig.send("reserve", soc_pu=0.3)
    rig.send("power", p_w=5000)
    rig.now = Now(rig.now.wall_ms + 2000, rig.now.mono_ns + 2 * 10**9, False)
    rig.remote.turn([], 0.3)
    assert rig.power() == (-7000.0, 0.0, 0.0)


def test_what_waits_to_begin_waits_for_the_time_too(tmp_path: Path) -> None:
    rig = Rig(tmp_path, bounds=replace(BOUNDS, sources=("aggregator",)), spread_s=30.0, drawn=1.0)
    rig.send("power", p_w=2000, source="aggregator")
    rig.now = rig.now._replace(synchronized=False)
    rig.remote.turn([], 0.5)
    rig.now = Now(NOW_MS + 31_000, rig.now.mono_ns + 10**9, False)
    rig.remote.turn([], 0.5)
    assert rig.power(WishSource.AGGREGATOR) is None
    rig.turn(0.5)
    assert rig.power(WishSource.AGGREGATOR) == (-7000.0, 5000.0, 2000.0)


def test_a_wish_is_not_upheld_beyond_bounds_that_the_site_has_narrowed_since(rig: Rig) -> None:
    rig.send("power", p_w=4000)
    rig.bounds = replace(BOUNDS, p_max_w=1500.0)
    rig.restart()
    rig.turn(0.5)
    assert rig.power() == (-7000.0, 1500.0, 1500.0)


def test_the_frame_shows_counters_and_what_each_source_wishes(rig: Rig) -> None:
    rig.send("power", p_w=3000)
    rig.send("power", p_w=9000)
    assert rig.remote.frame() == {
        "accepted": 1, "refused": 1, "refused_by": {"bounds": 1}, "reserve_soc_pu": None,
        "home": {"mode": "power", "p_w": 3000.0, "expires_ms": NOW_MS + 600_000},
        "operator": {"mode": "auto", "p_w": None, "expires_ms": None},
    }  # fmt: skip


# ---- whatever arrives ----


def hand_over(rig: Rig, unit: Unit) -> None:
    """What stands in the slots arrives in the core, on the core's clock; a slot that is empty does not."""
    shift_ns = unit.t_ns - rig.now.mono_ns
    for source in (HOME, OPERATOR):
        wish = rig.wish(source)
        if wish is None:
            continue
        past = wish.valid_from_ns > 2**61  # a release: far beyond both clocks
        unit.pending.append(wish if past else replace(
            wish, valid_from_ns=wish.valid_from_ns + shift_ns, expires_ns=wish.expires_ns + shift_ns))  # fmt: skip


NUMBERS = st.one_of(
    st.integers(-(2**70), 2**70), st.floats(), st.sampled_from([NOW_MS, NOW_MS + 600_000, 0, -7000, 5000, 7001])
)
VALUES = st.one_of(
    NUMBERS, st.none(), st.booleans(), st.text(max_size=5), st.sampled_from(("home", "operator", *MODES))
)
KEYS = st.sampled_from(
    ("v", "source", "seq", "issued_ms", "expires_ms", "p_w", "lo_w", "hi_w", "soc_pu", "mode", "stop", "q_var")
)


@st.composite
def nearly_right(draw: st.DrawFn) -> bytes:
    """A right body of some power with a few keys changed: gets further than random bytes."""
    head = {
        "v": 1,
        "source": "home",
        "seq": draw(st.integers(1, 9)),
        "issued_ms": NOW_MS,
        "expires_ms": NOW_MS + 600_000,
    }
    wanted = {key: draw(st.floats(-20_000, 20_000)) for key in draw(st.sets(st.sampled_from(("p_w", "lo_w", "hi_w"))))}
    return json.dumps({**head, **wanted, **draw(st.dictionaries(KEYS, VALUES, max_size=2))}).encode()


NAMES = st.one_of(st.sampled_from(sorted(COMMANDS)), st.text(max_size=8))
PAYLOADS = st.one_of(nearly_right(), st.binary(max_size=200))


@given(messages=st.lists(st.tuples(NAMES, PAYLOADS), max_size=6))
@example(messages=[("power", b'{"v":1,"source":"home","seq":1,"issued_ms":1700000000000,"expires_ms":1700000600000,'
                             b'"p_w":1e308}')])  # fmt: skip
def test_no_bytes_move_power_outside_the_bounds(
    tmp_path_factory: pytest.TempPathFactory, messages: list[tuple[str, bytes]]
) -> None:
    rig = Rig(tmp_path_factory.mktemp("rig"))
    unit = Unit(
        rating={"p_rated_w": 10_000.0, "p_charge_rated_w": 10_000.0, "s_rated_va": 10_000.0},
        limits={"ramp_pu_s": 10.0},
        default_wish={"charge_w": 1400.0},
    )
    events = [event for name, payload in messages for event in rig.receive(name, payload)]
    assert len(events) == len(messages), "each has its answer"
    json.dumps(events, allow_nan=False, ensure_ascii=False).encode()  # as any database gets them
    for source in (s for s in WishSource if s):
        wish = rig.power(source)
        if wish is not None:
            assert -7000.0 <= wish[0] <= wish[2] <= wish[1] <= 5000.0
    hand_over(rig, unit)
    record = unit.advance(1.0)
    assert -7000.0 <= record.p_cmd_w <= 5000.0
