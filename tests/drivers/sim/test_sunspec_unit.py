"""The simulated inverter's registers: SunSpec lengths, places, scale factors, and what a write does.

Places are counted by hand from the model definitions: 704 starts 2 + 68 + 155 + 52 = 277 words behind the base.
"""

from __future__ import annotations

from typing import Any

import pytest

from drivers.sim.bar import Grid
from drivers.sim.plant import Battery, Inverter, Session, Unit
from drivers.sim.sunspec_layout import Image
from drivers.sim.sunspec_unit import IllegalValueError, SunSpecUnit

M701, M702, M704, M713 = 70, 225, 277, 344
W_SET_ENA, W_SET_MOD, W_SET, W_SET_RVRT, W_SET_ENA_RVRT, W_SET_RVRT_TMS, W_SET_RVRT_REM = (
    M704 + offset for offset in (22, 23, 24, 26, 30, 31, 33)
)
ON_GRID = Grid(50.0, (230.0, 0.0, 0.0))
KEEP = 0x8000  # "not implemented" in a signed word


def made(**changes: Any) -> SunSpecUnit:
    inverter = Inverter(dead_s=0.0, lag_s=0.0)
    face = SunSpecUnit(Unit(inverter, Battery(), **changes))
    face.tick(0.01, ON_GRID)
    return face


def signed(value: int) -> list[int]:
    """An int32 as two words, high word first."""
    return [value >> 16 & 0xFFFF, value & 0xFFFF]


def command(face: SunSpecUnit, w: int, rvrt_s: int = 5, ena_rvrt: int = 1) -> None:
    """The documented order: words 23 ... 32 in one write, the enable last. w in tens of watts (WSet_SF = 1)."""
    face.write(W_SET_MOD, [1, *signed(w), *signed(0), KEEP, KEEP, ena_rvrt, *signed(rvrt_s)])
    face.write(W_SET_ENA, [1])


def test_the_chain_has_the_lengths_of_the_standard() -> None:
    words, at, chain = Image().words, 2, []
    assert words[:2] == [0x5375, 0x6E53]
    while words[at] != 0xFFFF:
        chain.append((at, words[at], words[at + 1]))
        at += 2 + words[at + 1]
    assert chain[:5] == [(2, 1, 66), (M701, 701, 153), (M702, 702, 50), (M704, 704, 65), (M713, 713, 7)]
    # three sets each; points: 705 six, 706 four, 707 to 710 five, 712 eight; one port in 714
    lengths = {703: 17, 705: 13 + 3 * 22, 706: 13 + 3 * 13, 707: 7 + 3 * 49, 708: 7 + 3 * 49, 709: 7 + 3 * 64,
               710: 7 + 3 * 64, 711: 12 + 3 * 10, 712: 12 + 3 * 20, 714: 18 + 25, 715: 7}  # fmt: skip
    assert {model: length for _, model, length in chain[5:]} == lengths
    assert words[at:] == [0xFFFF, 0]


# fmt: off
PLACES = [
    # name          place        why
    ("1.SN",        2 + 50,      "serial number"),
    ("701.ACType",  M701 + 2,    "first point"),
    ("701.W",       M701 + 10,   "active power"),
    ("701.Hz",      M701 + 17,   "two words"),
    ("701.VL1",     M701 + 47,   "behind the totals"),
    ("701.WL3",     M701 + 87,   "third phase"),
    ("701.A_SF",    M701 + 113,  "behind the phases"),
    ("702.WMax",    M702 + 26,   "settings behind ratings"),
    ("702.W_SF",    M702 + 45,   "scale factors at the end"),
    ("704.WSetEna", M704 + 22,   "enable"),
    ("704.WSet",    M704 + 24,   "set-point"),
    ("704.VarSet",  M704 + 38,   "reactive set-point"),
    ("704.WSet_SF", M704 + 55,   "before the power factor groups"),
    ("704.PFWAbsRvrt.Ext", M704 + 66, "last word"),
    ("713.SoC",     M713 + 4,    "state of charge"),
]
# fmt: on


@pytest.mark.parametrize(("name", "place", "why"), PLACES, ids=[c[0] for c in PLACES])
def test_places(name: str, place: int, why: str) -> None:
    assert Image().points[name].at == place


# fmt: off
PATTERNS = [
    # name             words                        why
    ("701.ThrotPct",   [0xFFFF],                    "uint16"),
    ("701.TmpAmb",     [0x8000],                    "int16"),
    ("701.LLV",        [0xFFFF],                    "no line voltage on one phase"),
    ("701.TotWhInjL1", [0xFFFF] * 4,                "uint64"),
    ("701.ThrotSrc",   [0xFFFF, 0xFFFF],            "bitfield32"),
    ("704.WRmpRef",    [0xFFFF],                    "enum16"),
    ("702.S_SF",       [0x8000],                    "scale factor"),
    ("704.AntiIslEna", [0xFFFF],                    "a switch this unit has not"),
    ("701.MnAlrmInfo", [0] * 32,                    "string"),
]
# fmt: on


@pytest.mark.parametrize(("name", "words", "why"), PATTERNS, ids=[c[0] for c in PATTERNS])
def test_not_implemented_patterns(name: str, words: list[int], why: str) -> None:
    face = made()
    face.render()
    p = face.image.points[name]
    assert face.image.words[p.at : p.at + p.words] == words


# fmt: off
SHOWN = [
    # place        words            why
    (M701 + 10,    [300],           "W 3000, W_SF 1"),
    (M701 + 12,    [0xFFCE],        "Var -500, Var_SF 1"),
    (M701 + 14,    [1322],          "A sqrt(3000^2 + 500^2) / 230 = 13.223, A_SF -2"),
    (M701 + 16,    [2300],          "LNV 230, V_SF -1"),
    (M701 + 17,    [0, 4998],       "Hz 49.98, Hz_SF -2"),
    (M701 + 3,     [1, 3, 1],       "St on, InvSt running, ConnSt connected"),
    (M702 + 26,    [700],           "WMax 7000, W_SF 1"),
    (M702 + 34,    [720, 700],      "WChaRteMax 7200, WDisChaRteMax 7000"),
    (M713 + 2,     [600, 360, 600], "60 kWh, 36 kWh, SoC 60.0 %"),
]
# fmt: on


@pytest.mark.parametrize(("place", "words", "why"), SHOWN, ids=[c[-1] for c in SHOWN])
def test_values_and_scale_factors(place: int, words: list[int], why: str) -> None:
    face = made()
    face.unit.p_set.enabled = face.unit.q_set.enabled = True
    face.unit.p_set.value, face.unit.q_set.value = 3000.0, -500.0
    face.tick(0.01, Grid(49.98, (230.0, 0.0, 0.0)))
    face.render()
    assert face.image.words[place : place + len(words)] == words


@pytest.mark.parametrize(("w", "p_w"), [(300, 3000.0), (-350, -3500.0), (0, 0.0), (99999, 7000.0), (-99999, -7200.0)])
def test_a_set_point_in_tens_of_watts_moves_power(w: int, p_w: float) -> None:
    face = made()
    command(face, w)
    face.tick(0.01, ON_GRID)
    assert face.unit.inverter.p_w == p_w


def test_nothing_moves_before_the_enable() -> None:
    face = made(own_w=-1400.0)
    face.write(W_SET_MOD, [1, *signed(300)])
    face.tick(0.01, ON_GRID)
    assert face.unit.inverter.p_w == -1400.0


def test_silence_ends_at_0_w_enabled_and_the_registers_say_so() -> None:
    face = made(own_w=-1400.0)
    command(face, 300)
    face.tick(4.99, ON_GRID)
    assert face.unit.inverter.p_w == 3000.0
    face.tick(0.02, ON_GRID)
    face.render()
    assert face.unit.inverter.p_w == 0.0
    assert face.image.words[W_SET_ENA : W_SET + 2] == [1, 1, 0, 0]
    assert face.image.words[W_SET_RVRT_REM : W_SET_RVRT_REM + 2] == [0, 0]


def test_silence_with_reversion_enable_0_hands_power_to_the_unit_itself() -> None:
    face = made(own_w=-1400.0)
    command(face, 300, ena_rvrt=0)
    face.tick(5.0, ON_GRID)
    assert face.unit.inverter.p_w == -1400.0
    assert face.image.words[W_SET_ENA] == 0


def test_remaining_time_counts_down_and_a_write_restarts_it() -> None:
    face, seen = made(), []
    command(face, 300)
    for _ in range(3):
        face.tick(1.0, ON_GRID)
        face.render()
        seen.append(face.image.words[W_SET_RVRT_REM + 1])
    face.write(W_SET, signed(310))
    face.render()
    assert seen == [4, 3, 2]
    assert face.image.words[W_SET_RVRT_REM + 1] == 5


def test_a_write_of_reactive_power_does_not_restart_the_timer_of_active_power() -> None:
    face = made()
    command(face, 300)
    face.tick(4.0, ON_GRID)
    face.write(M704 + 38, signed(100))
    face.tick(1.0, ON_GRID)
    assert face.unit.inverter.p_w == 0.0


def test_percent_of_rating() -> None:
    face = made()
    face.write(W_SET_MOD, [0, *signed(0), *signed(0), 0xFE0C])  # WSetPct -50.0 %, WSetPct_SF -1
    face.write(W_SET_ENA, [1])
    face.tick(0.01, ON_GRID)
    assert face.unit.inverter.p_w == -3500.0


def test_reactive_power_in_vars_with_its_own_reversion() -> None:
    face = made()
    face.write(M704 + 36, [4, 1, *signed(-80), *signed(0), KEEP, KEEP, 1, *signed(5)])
    face.write(M704 + 35, [1])
    face.tick(0.01, ON_GRID)
    assert face.unit.inverter.q_var == -800.0
    face.tick(5.0, ON_GRID)
    assert face.unit.inverter.q_var == 0.0


def test_the_generation_limit_is_percent_of_rating() -> None:
    face = made()
    command(face, 700)
    face.write(M704 + 14, [1, 250])  # 25.0 %
    face.tick(0.01, ON_GRID)
    assert face.unit.inverter.p_w == 1750.0


def test_the_ramp_is_percent_of_rating_a_second() -> None:
    face = made()
    face.write(M704 + 49, [10])
    command(face, 700)
    face.tick(1.0, ON_GRID)
    assert face.unit.inverter.p_w == pytest.approx(700.0)


# fmt: off
REFUSED = [
    # place          words     why
    (W_SET_ENA,      [2],      "an enable is 0 or 1"),
    (W_SET_MOD,      [7],      "a mode that does not exist"),
    (M704 + 36,      [2],      "a mode this unit has not"),
    (W_SET,          [0],      "half of a two-word number"),
    (W_SET_RVRT_REM, [0, 5],   "read-only"),
    (M701 + 10,      [5],      "a measurement"),
    (W_SET_ENA,      [1, 9],   "the second word is wrong: the first must not act either"),
]
# fmt: on


@pytest.mark.parametrize(("place", "words", "why"), REFUSED, ids=[c[-1] for c in REFUSED])
def test_a_wrong_write_changes_nothing(place: int, words: list[int], why: str) -> None:
    face = made()
    before = list(face.image.words)
    with pytest.raises(IllegalValueError):
        face.write(place, words)
    assert face.image.words == before
    assert not face.unit.p_set.enabled


# fmt: off
STATES = [
    # session             grid      st_inv_conn   soc     why
    (Session.PLUGGED,     ON_GRID,  [1, 3, 1],    600,    "running"),
    (Session.UNPLUGGED,   ON_GRID,  [1, 7, 1],    0xFFFF, "standby, and no charge to show"),
    (Session.ENDED,       ON_GRID,  [1, 1, 1],    600,    "sleeping: the car has ended"),
    (Session.PLUGGED,     Grid(),   [1, 7, 0],    600,    "no grid: disconnected"),
]
# fmt: on


@pytest.mark.parametrize(("session", "grid", "states", "soc", "why"), STATES, ids=[c[-1] for c in STATES])
def test_states(session: Session, grid: Grid, states: list[int], soc: int, why: str) -> None:
    face = made()
    face.unit.session = session
    face.tick(0.01, grid)
    face.render()
    assert face.image.words[M701 + 3 : M701 + 6] == states
    assert face.image.words[M713 + 4] == soc


def test_what_the_car_can_is_shown_beside_the_rating() -> None:
    """702 in tens of watts: WChaRteMaxRtg and WDisChaRteMaxRtg at 10 and 11, in force at 34 and 35."""
    face = made()
    face.unit.car_charge_w, face.unit.car_discharge_w = 1200.0, 800.0
    face.render()
    assert face.image.words[M702 + 10 : M702 + 12] == [720, 700]
    assert face.image.words[M702 + 34 : M702 + 36] == [120, 80]


def test_split_and_three_phase_voltages() -> None:
    face = SunSpecUnit(Unit(), phases=3, v_nom=230.0)
    face.tick(0.01, Grid(50.0, (230.0, 231.0, 232.0)))
    face.render()
    get = face.image.get
    assert get("701.ACType") == 2
    assert get("701.LNV") == pytest.approx(231.0)
    assert (get("701.VL1"), get("701.VL2"), get("701.VL3")) == pytest.approx((230.0, 231.0, 232.0))
    assert get("701.LLV") == pytest.approx(400.1, abs=0.05)
    split = SunSpecUnit(Unit(), phases=2, v_nom=120.0)
    split.tick(0.01, Grid(60.0, (120.0, 119.0, 0.0)))
    split.render()
    assert split.image.get("701.LLV") == pytest.approx(239.0)
