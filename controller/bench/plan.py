"""The plan of a bench run: every number resolved, nothing left to compute but the judgement.

Units    V (phase to neutral), Hz, W, var, A, s; P and Q + = out of the unit into the grid. Absolute, never pu, except
         where a name ends in _pu.
Shapes   Plan > Case (one variant of a procedure: these settings, this curve, this power) > Step > Criterion.
Source   IEEE 1547.1-2020, each procedure's clause in its file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from drivers.gridsource.point import GridPoint

Axis = Literal["v_v", "f_hz", "p_w"]  # what a curve is read at: mean of the phase voltages, frequency, active power
Quantity = Literal["p_w", "q_var", "i_a"]  # what is judged; i_a: mean of the phases' currents
Bound = Literal["both", "upper", "lower"]
Value = float | str | bool


@dataclass(frozen=True, slots=True)
class Eut:
    """Nameplate of the equipment under test, and what its maker declares for the test."""

    name: str
    phases: int
    v_nom_v: float  # phase to neutral
    f_nom_hz: float
    p_rated_w: float
    p_charge_rated_w: float  # a magnitude; 0: it cannot charge
    s_rated_va: float
    q_inject_var: float  # nameplate Q_max
    q_absorb_var: float  # a magnitude
    normal_category: str  # A, B
    abnormal_category: str  # I, II, III
    p_min_w: float = 0.0  # smallest discharge it can hold
    p_charge_min_w: float = 0.0  # the same of charging, a magnitude
    v_low_pu: float = 0.88  # continuous operating region
    v_high_pu: float = 1.10
    f_low_hz: float = 58.8
    f_high_hz: float = 61.2
    dp_small_pu: float = 0.05  # smallest step of power that is measured for response times (1547.1 5.15.2)
    dp_large_pu_min: float = 1.0  # largest, per minute


@dataclass(frozen=True, slots=True)
class Curve:
    """Straight lines between points of rising x, flat outside them."""

    x: Axis
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Steady:
    """The two-parameter rule of 1547.1 4.2: the mean of y over the window lies in what the curve allows at measured x.

    Several curves: the lowest of their answers (volt-watt above droop, a limit above both), and the widest window.
    """

    y: Quantity
    lowest_of: tuple[Curve, ...]
    bound: Bound
    from_s: float  # window, from the moment the source has arrived at the step's point
    to_s: float
    kind: Literal["steady"] = "steady"


@dataclass(frozen=True, slots=True)
class Response:
    """Open-loop response time: y at t_r lies where Y0 + 0.9 (Yf - Y0) and the accuracies allow.

    bound `both`: neither slower nor faster; `upper` (of the time): faster is fine. Y0: last value before the step,
    Yf: mean over the window of the final value. A step too small to tell from the accuracy is no finding.
    """

    y: Quantity
    t_r_s: float
    bound: Bound
    final_from_s: float
    final_to_s: float
    kind: Literal["response"] = "response"


@dataclass(frozen=True, slots=True)
class Inside:
    """From from_s to to_s after arrival every sample of |y| or y lies in [low, high].

    times `before`: low and high are shares of the mean of |y| over the last second before step `before`.
    accuracy: also allow 1.5 MRA of y beyond each limit.
    """

    y: Quantity
    low: float
    high: float
    from_s: float
    to_s: float
    magnitude: bool = False
    before: str = ""  # name of a step; "": low and high are absolute
    accuracy: bool = True
    kind: Literal["inside"] = "inside"


@dataclass(frozen=True, slots=True)
class Crosses:
    """|y| passes `level` for good between not_before_s and not_after_s after arrival: trips, starts, ramps that end.

    falling: it comes from above and stays below to the end of the step; else it is the first time above.
    A step shorter than not_after_s is the plan's mistake.
    """

    y: Quantity
    level: float
    falling: bool
    not_before_s: float
    not_after_s: float
    kind: Literal["crosses"] = "crosses"


@dataclass(frozen=True, slots=True)
class Smooth:
    """Between two samples y never changes by more than `most` (plus the accuracy): no jumps while power comes back."""

    y: Quantity
    most: float
    kind: Literal["smooth"] = "smooth"


@dataclass(frozen=True, slots=True)
class Observed:
    """The meter delivers a new value at least every `every_s`, else the step's other criteria cannot be judged."""

    every_s: float
    kind: Literal["observed"] = "observed"


Criterion = Steady | Response | Inside | Crosses | Smooth | Observed


@dataclass(frozen=True, slots=True)
class Step:
    """One row of a procedure: what is set, how long it is held, what must then be true.

    Order within a step: settings (written and read back), demand, permit and limit, then the source. t = 0 is when the
    source has arrived: with a ramp that is the ramp's end.
    """

    name: str
    what: str  # for people: "V3 + a_V: 248.4 V"
    point: GridPoint
    hold_s: float
    sample_s: float
    ramp_hz_s: float = 0.0  # 0: at once
    ramp_v_s: float = 0.0
    demand_w: float | None = None  # None: as before
    permit: bool | None = None
    ap_limit_pu: float | None = None  # NaN: no limit any more
    settings: Mapping[str, Value] = field(default_factory=dict)  # {"volt_var.v1_pu": 0.92}
    faults: tuple[str, ...] = ()  # lines of the fault language, begun with the step
    criteria: tuple[Criterion, ...] = ()
    skipped: str = ""  # the reason; the step is not run


@dataclass(frozen=True, slots=True)
class Case:
    """One variant of one procedure."""

    id: str  # a folder's name: volt_var-char_1-100
    procedure: str
    title: str
    clause: str
    settings: Mapping[str, Value]  # complete for this case, before the first step; read back and compared
    start: Step  # set-up: nothing is judged in it
    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()  # "curve shifted by V_ref - 1", "three of the steps are clipped to V_H - a_V"
    skipped: str = ""
    needs: tuple[str, ...] = ()  # of the rig: "faults", "three_phase", "angle", "permit"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run will do, in order."""

    eut: Eut
    cases: tuple[Case, ...]
    seed: int
    schema: int = 1
