"""A SunSpec inverter's models and words -> Plan. Pure.

Reads    power, read-back and status in each poll; state of charge and limits in each n-th, so that they stay live.
Status   RUNNING needs St on and InvSt running or throttled, CONNECTED needs ConnSt; any other value is not running.
Writes   drivers.sunspec.writes. Scale factors are constant: they are folded into the rows.
Life     our count in 715 ControllerHb; 715 DERHb must move and 704 WSetRvrtRem must run, else ALARM.
Raises   DiscoveryError when the device cannot say what is needed, or cannot be commanded; OwnControlError, one line,
         when a control of its own acts against ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from cython_core.records import DeviceState, DeviceStatus, DeviceValid
from drivers.base import DiscoveryError, MapError, OwnControlError
from drivers.devicemap import DEVICE_QUANTITIES, Quantity, WriteContract
from drivers.mapfile import load_map
from drivers.registermap import Span, field_word, locate, plan_reads
from drivers.sunspec.chain import Chain
from drivers.sunspec.device import ABSENT, Device, check_layout, inspect, is_legacy, power_of_ten
from drivers.sunspec.writes import WRITE_MULTIPLE, setpoint_writes, start_writes, stop_writes
from drivers.tables import TYPES, Decode, Flag, Plan, Read, Watch, Write
from drivers.writecontract import quiet_ms, refresh_ms, timer_fault

RUNNING, THROTTLED, FAULT = 3, 4, 6  # 701 InvSt
ON, CONNECTED, LOCAL, WARNING, ERROR = 1, 1, 1, 1, 2  # 701 St, 701 ConnSt, 715 LocRemCtl, 713 Sta
ALARM_BITS = 17  # 701 Alrm: ground fault ... manufacturer alarm
COARSEST = 3  # power of ten: in steps of more than 1 kW (kvar) nothing can be commanded
LIFE_MS = 3000  # a count of seconds that has not moved for so long stands still
# (model, point), whether it has to move; else it must not be 0
SIGNS_OF_LIFE = {(715, "DERHb"): True, (704, "WSetRvrtRem"): False}


def inverter_plan(
    chain: Chain,
    words: Mapping[int, int],
    unit: int,
    reversion_s: int,
    timeout_ms: int = 300,
    map_name: str = "sunspec-7xx",
    commands_q: bool = True,
) -> Plan:
    """Everything the bus needs for this device. words: the models' words by address, as fetched at discovery.

    commands_q: False where reactive power is the inverter's own function: then no set-point of ours stands against it.
    """
    layout = load_map(map_name)
    check_layout(layout)
    device = inspect(layout, chain, words)
    contract = contract_of(device, reversion_s)
    if is_legacy(layout):
        from drivers.sunspec.legacy import legacy_plan  # it builds on this module

        return legacy_plan(device, contract, unit, reversion_s, timeout_ms)
    _check_controls(device, commands_q)
    quantities = {q.name: p for q in device.layout.quantities.values() if (p := source(device, q)) is not None}
    reads = _reads(device, quantities)
    return Plan(
        unit=unit,
        reads=reads,
        decodes=tuple(row(device, reads, device.layout.quantities[name], *at) for name, at in quantities.items()),
        flags=_status(device, reads),
        start=start_writes(device, reversion_s, commands_q),
        setpoint=setpoint_writes(device, reversion_s, commands_q),
        stop=stop_writes(device, reversion_s, commands_q),
        beat=_beat(device),
        watches=_watches(device, reads),
        timeout_ms=timeout_ms,
        min_gap_ms=device.layout.min_gap_ms,
        min_write_interval_ms=contract.min_write_interval_ms,
        write_refresh_ms=refresh_ms(contract, reversion_s),
        quantum_p_w=max(contract.quantum_p_w, power_of_ten(device.exponent(704, "WSet") or 0)),
        quantum_q_var=max(contract.quantum_q_var, power_of_ten(device.exponent(704, "VarSet") or 0)),
        write_budget_per_day=contract.write_budget_per_day,
        quiet_ms=quiet_ms(contract, reversion_s),
    )


def contract_of(device: Device, reversion_s: int) -> WriteContract:
    """How the map wants it written to; refused where the site's timer or the storage does not fit."""
    contract, file = device.layout.writes, device.layout.file
    if contract is None or contract.storage == "flash":
        raise MapError(f"{file}:1: storage = 'flash': cyclic set-points would wear it out; allowed: ram, unknown")
    fault = timer_fault(contract, reversion_s)
    if fault:
        raise DiscoveryError(f"{fault} ({file})")
    return contract


def _check_controls(device: Device, commands_q: bool) -> None:
    """What must be there before anybody may command this device; all that is missing, one line each."""
    problems = [
        f"model 704: {name} is not implemented; without it {why}"
        for name, why in (
            ("WSetEna", "no set-point in watts can be given"),
            ("WSetMod", "the set-point's unit is not certain"),
            ("WSetEnaRvrt", "the device does not fall back to 0 W in our silence"),
            ("WSetRvrtTms", "the device has no timer of its own for our silence"),
        )
        if not device.implements(704, name)
    ]
    if device.exponent(704, "WSet") is None:
        problems.append("model 704: WSet_SF is not implemented (0x8000); without it the size of a set-point is unknown")
    for name in ("WSet", "VarSet"):
        exponent = device.exponent(704, name) or 0
        if exponent > COARSEST:
            problems.append(f"model 704: {name}_SF = {exponent}: its steps are too coarse; allowed: up to {COARSEST}")
    if not device.implements(701, "InvSt") and not device.implements(701, "St"):
        problems.append("model 701: neither InvSt nor St is implemented; one of them must say that the inverter runs")
    if not device.implements(701, "ConnSt"):
        problems.append("model 701: ConnSt is not implemented; it must say that the inverter is connected")
    if problems:
        raise DiscoveryError("\n".join(problems))
    fixed = [f"{name} = 1" for name in ("PFWInjEna", "PFWAbsEna") if device.raw(704, name) == 1]
    if fixed and commands_q:
        raise OwnControlError(
            f"model 704: {', '.join(fixed)}: it keeps a constant power factor of its own, against our reactive "
            "set-points; nothing is commanded. Switch that off at the inverter, or leave reactive power to it: "
            "`reactive.owner: inverter`"
        )


def source(device: Device, quantity: Quantity) -> tuple[int, str] | None:
    """The first point that the device implements and whose scale is known.

    Without one, the first whose scale is known: a value may come later, as SoC does when a car is plugged in. Until
    then its own "not implemented" pattern keeps it absent.
    """
    scaled = [p for p in quantity.points if device.has(p[0]) and device.exponent(*p) is not None]
    if not scaled and quantity.needed:
        tried = ", ".join(f"{name} of model {model}" for model, name in quantity.points)
        raise DiscoveryError(
            f"{quantity.name}: no scale factor is implemented for {tried}; without it no value is known"
        )
    return next((p for p in scaled if device.implements(*p)), scaled[0] if scaled else None)


def _reads(device: Device, quantities: Mapping[str, tuple[int, str]]) -> tuple[Read, ...]:
    spans = [span(device, *at, every=device.layout.quantities[name].every) for name, at in quantities.items()]
    # One answer for the whole status, so that no two of its parts are of different times.
    start, end = device.address(701, "St"), device.address(701, "Alrm") + 2
    spans.append(Span(start, end - start))
    if device.has(713):
        spans.append(span(device, 713, "Sta"))
    if device.has(715):
        spans.append(span(device, 715, "LocRemCtl"))
    spans += [span(device, *at) for at in SIGNS_OF_LIFE if device.offers(*at)]
    return plan_reads(device.layout.function, spans, device.layout.max_words)


def span(device: Device, model: int, name: str, every: int = 1) -> Span:
    return Span(device.address(model, name), TYPES[device.point(model, name).type], every)


def row(device: Device, reads: Sequence[Read], quantity: Quantity, model: int, name: str) -> Decode:
    kind = device.point(model, name).type
    read, word = locate(reads, device.address(model, name), TYPES[kind])
    scale = quantity.scale * power_of_ten(device.exponent(model, name) or 0)
    target, valid = field_word(DeviceState, quantity.name), int(DEVICE_QUANTITIES[quantity.name][0])
    return Decode(read, word, kind, scale, quantity.low, quantity.high, target, valid, absent=(ABSENT[kind],))


def _status(device: Device, reads: Sequence[Read]) -> tuple[Flag, ...]:
    """First a row that always matches: it clears the word and makes it valid. Then what is true is OR-ed in."""
    at, bits = partial(flag, device, reads), DeviceStatus
    rows = [at(701, "ConnSt", 0, 0, bits(0), clear=True), at(701, "ConnSt", 0xFFFF, CONNECTED, bits.CONNECTED)]
    rows += _running(device, reads)
    if device.implements(701, "InvSt"):
        rows.append(at(701, "InvSt", 0xFFFF, FAULT, bits.FAULT))
    if device.implements(701, "Alrm"):
        rows += [at(701, "Alrm", 1 << i, 1 << i, bits.ALARM) for i in range(ALARM_BITS)]
    if device.has(713):
        rows.append(at(713, "Sta", 0xFFFF, WARNING, bits.ALARM))
        rows.append(at(713, "Sta", 0xFFFF, ERROR, bits.FAULT))
    if device.has(715):
        rows.append(at(715, "LocRemCtl", 0xFFFF, LOCAL, bits.LOCAL))
    return tuple(rows)


def _beat(device: Device) -> tuple[Write, ...]:
    """Two words that the bus fills with its count."""
    if not device.offers(715, "ControllerHb"):
        return ()
    return (Write(WRITE_MULTIPLE, device.address(715, "ControllerHb"), (0, 0)),)


def _watches(device: Device, reads: Sequence[Read]) -> tuple[Watch, ...]:
    target, rows = field_word(DeviceState, "status"), []
    for at, moves in SIGNS_OF_LIFE.items():
        if device.offers(*at):
            kind = device.point(*at).type
            read, word = locate(reads, device.address(*at), TYPES[kind])
            rows.append(Watch(read, word, kind, moves, LIFE_MS, target, int(DeviceStatus.ALARM)))
    return tuple(rows)


def _running(device: Device, reads: Sequence[Read]) -> list[Flag]:
    """St and InvSt lie side by side: as one 32-bit value both must be right at the same time."""
    at = partial(flag, device, reads)
    if not device.implements(701, "InvSt"):
        return [at(701, "St", 0xFFFF, ON, DeviceStatus.RUNNING)]
    if not device.implements(701, "St"):
        return [at(701, "InvSt", 0xFFFF, state, DeviceStatus.RUNNING) for state in (RUNNING, THROTTLED)]
    return [at(701, "St", 0xFFFFFFFF, ON << 16 | s, DeviceStatus.RUNNING, kind="u32") for s in (RUNNING, THROTTLED)]


def flag(
    device: Device,
    reads: Sequence[Read],
    model: int,
    name: str,
    mask: int,
    equals: int,
    bits: DeviceStatus,
    kind: str = "",
    clear: bool = False,
) -> Flag:
    kind = kind or device.point(model, name).type
    read, word = locate(reads, device.address(model, name), TYPES[kind])
    target = field_word(DeviceState, "status")
    return Flag(read, word, kind, mask, equals, target, int(bits), int(DeviceValid.STATUS), set=clear)
