"""The compiled core and OpenDER through one series of inputs, both at rest before it."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cython_core.records import NAN
from cython_core.settings import Settings
from cython_core.step import Core
from tests.peers.asked import droop
from tests.peers.cases import Case, draw_frequency, draw_settings, run, settling
from tests.peers.opender import Peer
from tests.peers.series_rules import Change

PERIOD_S = 0.001
AT_REST = 10**8  # periods in one step of OpenDER: every lag has ended


@dataclass(frozen=True, slots=True)
class Inputs:
    v_pu: float = 1.0
    f_hz: float = 60.0
    p_w: float = 0.0
    permit: bool = True
    ap_limit_pu: float = NAN


def of(case: Case) -> Inputs:
    return Inputs(case.v_pu, case.f_hz, case.p_w)


Parts = Sequence[tuple[int, Inputs]]  # so many steps with these inputs


@dataclass(frozen=True, slots=True)
class Series:
    """P in W, Q in var, state of each step."""

    p_w: NDArray[np.float64]
    q_var: NDArray[np.float64]
    state: NDArray[np.int64]


def changes(count: int, seed: int) -> Iterator[Change]:
    """Random settings, the states left to the inverter; every fifth wish is for all there is."""
    rng = random.Random(seed)
    for _ in range(count):
        settings = no_states(draw_settings(rng))
        rating = settings.rating
        p_w = rng.uniform(-1.1 * rating.p_charge_rated_w, 1.1 * rating.p_rated_w)
        p_w = rng.choice((p_w, p_w, p_w, p_w, 1.1 * rating.p_rated_w))
        v_before, v_after = rng.uniform(0.9, 1.1), rng.uniform(0.9, 1.1)
        yield Change(Case(settings, v_before, 60.0, p_w), Case(settings, v_after, draw_frequency(rng), p_w))


def no_states(settings: Settings) -> Settings:
    """Trip, ride-through and enter service are the inverter's; one reading opens a droop event."""
    return replace(
        settings,
        ride_through=replace(settings.ride_through, owner="inverter"),
        voltage_trip=replace(settings.voltage_trip, owner="inverter"),
        frequency_trip=replace(settings.frequency_trip, owner="inverter"),
        enter_service=replace(settings.enter_service, owner="inverter"),
        freq_droop=replace(settings.freq_droop, refresh_s=0.0),
    )


def step_periods(change: Change) -> int:
    """200 steps in the shortest of the response times that act."""
    s = change.after.settings
    of_mode = {
        "constant_pf": s.power_factor.response_s,
        "volt_var": s.volt_var.olrt_s,
        "watt_var": s.watt_var.response_s,
        "constant_q": s.const_var.response_s,
    }
    acting = [of_mode[s.reactive.mode]] if s.reactive.mode in of_mode else []
    acting += [s.freq_droop.t_response_s] if droop(change.after) != 0.0 else []
    acting += [s.volt_watt.olrt_s] if s.volt_watt.enable else []
    return max(1, round(min(acting, default=1.0) / 200.0 / PERIOD_S))


def stepped(parts: Parts) -> list[Inputs]:
    return [inputs for count, part in parts for inputs in repeat(part, count)]


def ours(settings: Settings, before: Inputs, parts: Parts, k: int) -> Series:
    """Steps of k periods, after a unit in service has come to rest with the inputs before."""
    rest = settling(settings, PERIOD_S)
    nominal = replace(before, f_hz=60.0)
    steps = [nominal] * len(rest) + [before] * len(rest) + stepped(parts)
    periods = np.concatenate([rest, rest, np.full(sum(count for count, _ in parts), k, dtype=np.int64)])
    columns = {name: np.array([getattr(i, name) for i in steps]) for name in Inputs.__slots__}
    rows = run(Core(settings, PERIOD_S, in_service=True), periods, **columns)[2 * len(rest) :]
    return Series(rows["p_cmd_w"], rows["q_cmd_var"], rows["state"])


def theirs(settings: Settings, before: Inputs, parts: Parts, k: int) -> Series:
    peer = Peer(settings, PERIOD_S)

    def step(i: Inputs, periods: int) -> tuple[float, float]:
        return peer.run(i.v_pu, i.f_hz, i.p_w, i.ap_limit_pu, i.permit, periods)

    step(replace(before, f_hz=60.0), AT_REST)
    step(before, AT_REST)
    found: list[Any] = [(*step(i, k), int(peer.state)) for i in stepped(parts)]
    p_w, q_var, state = (np.array(column) for column in zip(*found, strict=True))
    return Series(p_w, q_var, state)


def apart(settings: Settings, a: Series, b: Series, late: int = 0) -> float:
    """The largest distance of a's P and Q from b's, of S; late: b may be this many steps earlier or later."""
    most = 0.0
    for x, y in ((a.p_w, b.p_w), (a.q_var, b.q_var)):
        padded = np.pad(y, late, mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * late + 1)
        outside = np.maximum(x - windows.max(axis=1), windows.min(axis=1) - x)
        most = max(most, float(np.max(outside)))
    return most / settings.rating.s_rated_va
