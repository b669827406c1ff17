"""A SunSpec storage inverter with the models before 701: 101 ... 103 measure, 124 commands -> Plan. Pure.

Power    the limits of discharging and of charging are set to p and -p percent of WChaMax, both in force: a negative
         limit forces the other direction, so the two pin the battery's power. PV behind the inverter comes on top.
Silence  InOutWRte_RvrtTms: after it the limits fall away and the device's own mode has control. That is not 0 W.
Cannot   reactive power (the sign of 123's is not certain), a car's session, a device without 124.
Raises   DiscoveryError naming what the device lacks.
Source   SunSpec models 101 ... 103, 120 ... 124; negative rates as in evcc's recipe for Fronius GEN24.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from cython_core.records import DeviceStatus
from drivers.base import DiscoveryError
from drivers.devicemap import WriteContract
from drivers.registermap import Span, plan_reads
from drivers.sunspec.device import Device, power_of_ten
from drivers.sunspec.plan import flag, row, source, span
from drivers.tables import Encode, Flag, Plan, Read, Write
from drivers.writecontract import quiet_ms, refresh_ms

MEASURE, STATUS, STORAGE = (101, 102, 103), 122, 124
FLOATS = (111, 112, 113)
MPPT, THROTTLED, FAULT = 4, 5, 7  # 10x St
ECP_CONNECTED = 1  # 122 ECPConn, bit 0
EVENT_BITS = 16  # 10x Evt1: ground fault ... hardware test failure
BOTH_LIMITS, NO_LIMITS = 3, 0  # 124 StorCtl_Mod
FROM_GRID = 1  # 124 ChaGriSet
BLOCK = ("OutWRte", "InWRte", "InOutWRte_WinTms", "InOutWRte_RvrtTms")
PERCENT = 100.0
FINEST, COARSEST = -2, 2  # power of ten of a rate: 100 % must fit 16 bits, and be one count at least


def legacy_plan(device: Device, contract: WriteContract, unit: int, reversion_s: int, timeout_ms: int) -> Plan:
    """Everything the bus needs for this device."""
    measure = _check(device)
    most_w = device.raw(STORAGE, "WChaMax") * power_of_ten(device.exponent(STORAGE, "WChaMax") or 0)
    watts = most_w / PERCENT * power_of_ten(device.exponent(STORAGE, "OutWRte") or 0)  # one count of a rate
    layout = device.layout
    found = {q.name: p for q in layout.quantities.values() if (p := source(device, q)) is not None}
    reads = _reads(device, measure, found)
    rows = [row(device, reads, layout.quantities[name], *at) for name, at in found.items()]
    for i, name in enumerate(found):
        if name == "p_set_readback_w":  # a percentage of WChaMax, not watts
            rows[i] = replace(rows[i], scale=layout.quantities[name].scale * watts)
    return Plan(
        unit=unit,
        reads=reads,
        decodes=tuple(rows),
        flags=_status(device, reads, measure),
        start=(_write(device, ("ChaGriSet",), {"ChaGriSet": FROM_GRID}, verify=layout.function),),
        setpoint=(_rates(device, watts, most_w, reversion_s), _mode(device, BOTH_LIMITS)),
        stop=_stop(device, reversion_s),
        timeout_ms=timeout_ms,
        min_gap_ms=layout.min_gap_ms,
        min_write_interval_ms=contract.min_write_interval_ms,
        write_refresh_ms=refresh_ms(contract, reversion_s),
        quantum_p_w=max(contract.quantum_p_w, watts),
        quantum_q_var=contract.quantum_q_var,
        write_budget_per_day=contract.write_budget_per_day,
        quiet_ms=quiet_ms(contract, reversion_s),
    )


def _check(device: Device) -> int:
    """The model that measures. What the device lacks is named, one line each."""
    found = [m for m in MEASURE if device.has(m)]
    problems = []
    if len(found) != 1:
        have = ", ".join(map(str, found)) or "none"
        problems.append(
            f"models 101, 102, 103: {have} found, one is needed; a device set to float models (111 ... 113) has to be "
            "set to whole numbers with scale factors"
        )
    problems += [
        f"model {STORAGE}: {name} is not implemented; without it {why}"
        for name, why in (
            ("WChaMax", "the size of a set-point is unknown"),
            ("OutWRte", "nobody can tell it to discharge"),
            ("InWRte", "nobody can tell it to charge"),
            ("InOutWRte_RvrtTms", "the device has no timer of its own for our silence"),
            ("ChaGriSet", "charging from the grid is not certain"),
        )
        if not device.implements(STORAGE, name)
    ]
    problems += [
        f"model {STORAGE}: {name} is not implemented (0x8000); without it the size of a set-point is unknown"
        for point, name in (("WChaMax", "WChaMax_SF"), ("OutWRte", "InOutWRte_SF"))
        if device.exponent(STORAGE, point) is None
    ]
    exponent = device.exponent(STORAGE, "OutWRte") or 0
    if not FINEST <= exponent <= COARSEST:
        problems.append(f"model {STORAGE}: InOutWRte_SF = {exponent}: no 100 %; allowed: {FINEST} ... {COARSEST}")
    if device.raw(STORAGE, "WChaMax") == 0:
        problems.append(f"model {STORAGE}: WChaMax = 0; a set-point is a percentage of it")
    if not device.implements(STATUS, "ECPConn"):
        problems.append(f"model {STATUS}: ECPConn is not implemented; it must say that the inverter is connected")
    if problems:
        raise DiscoveryError("\n".join(problems))
    return found[0]


def _reads(device: Device, measure: int, found: Mapping[str, tuple[int, str]]) -> tuple[Read, ...]:
    spans = [span(device, *at, every=device.layout.quantities[name].every) for name, at in found.items()]
    start, end = device.address(measure, "St"), device.address(measure, "Evt1") + 2
    spans += [Span(start, end - start), span(device, STATUS, "ECPConn")]
    return plan_reads(device.layout.function, spans, device.layout.max_words)


def _status(device: Device, reads: tuple[Read, ...], measure: int) -> tuple[Flag, ...]:
    """First a row that always matches: it clears the word and makes it valid."""
    at, bits = partial(flag, device, reads), DeviceStatus
    rows = [
        at(measure, "St", 0, 0, bits(0), clear=True),
        *(at(measure, "St", 0xFFFF, state, bits.RUNNING) for state in (MPPT, THROTTLED)),
        at(measure, "St", 0xFFFF, FAULT, bits.FAULT),
        at(STATUS, "ECPConn", ECP_CONNECTED, ECP_CONNECTED, bits.CONNECTED),
    ]
    if device.implements(measure, "Evt1"):
        rows += [at(measure, "Evt1", 1 << i, 1 << i, bits.ALARM) for i in range(EVENT_BITS)]
    return tuple(rows)


def _rates(device: Device, watts: float, most_w: float, reversion_s: int) -> Write:
    """Both limits and the timer in one frame, so that every refresh restarts it."""
    encodes = tuple(Encode(word, "s16", sign / watts, "p_w", -most_w, most_w) for word, sign in ((0, 1.0), (1, -1.0)))
    return replace(_limits(device, 0, reversion_s), encodes=encodes)


def _limits(device: Device, count: int, reversion_s: int) -> Write:
    window = device.raw(STORAGE, "InOutWRte_WinTms") if not device.implements(STORAGE, "InOutWRte_WinTms") else 0
    values = {"OutWRte": count, "InWRte": count, "InOutWRte_WinTms": window, "InOutWRte_RvrtTms": reversion_s}
    return _write(device, BLOCK, values)


def _mode(device: Device, mode: int) -> Write:
    return _write(device, ("StorCtl_Mod",), {"StorCtl_Mod": mode})


def _stop(device: Device, reversion_s: int) -> tuple[Write, ...]:
    """0 W while the timer still runs; then no limits, and what was before."""
    full = round(PERCENT / power_of_ten(device.exponent(STORAGE, "OutWRte") or 0))
    before = {"ChaGriSet": device.raw(STORAGE, "ChaGriSet")}
    return (
        _limits(device, 0, reversion_s),
        _mode(device, NO_LIMITS),
        _limits(device, full, 0),
        _write(device, ("ChaGriSet",), before, verify=device.layout.function),
    )


def _write(device: Device, points: tuple[str, ...], values: Mapping[str, int], verify: int = 0) -> Write:
    """One FC16 request for neighbouring points of one word each."""
    return Write(16, device.address(STORAGE, points[0]), tuple(values[name] for name in points), verify=verify)
