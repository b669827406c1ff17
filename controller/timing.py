"""What the wires allow: freshness ages per signal, and the time from a grid event to the inverter's answer.

Source   T = max(poll, refresh, one timeout + one retry, each at most timeout_ms beside its characters). fresh <= 2 T,
         held <= max(5 T, 1 s), stale <= lost_after, then lost. An age includes half the meter's refresh.
Errors   none raised: `reachable` and `unmet` return what is wrong, the caller decides.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from controller.plantcard import STALE, standing
from controller.sitedata import InverterSite, MeterSite, Site
from cython_core.settings import ages_s

LOST_AFTER_S = 10.0
MISMATCH_AFTER_S = 10.0
FUSE_S = 5.0  # product: a main fuse bears some overload for seconds, not for minutes
CESSATION_S = 0.083  # IEEE 1547-2018 6.4.2 Table 16, longest response of momentary cessation
TRIP_TIMES = {
    "voltage_trip": ("ov2_s", "ov1_s", "uv1_s", "uv2_s"),
    "frequency_trip": ("of2_s", "of1_s", "uf1_s", "uf2_s"),
}
NEARLY = 0.9  # IEEE 1547-2018 3.1, open-loop response time: until 90 % of the change
PARTS = ("refresh_ms", "poll_ms", "write_ms", "lag_ms")
Parts = tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Ages:
    """Ages of one signal, ms: fresh, held and stale up to these, lost past the last."""

    signal: str
    t_ms: float
    fresh_ms: float
    held_ms: float
    lost_ms: float


@dataclass(frozen=True, slots=True)
class Budget:
    """Times between a grid event and the answer, ms, against what the function allows. setting: where that stands.

    remedy: what the owner can do instead, when raising the setting is no way out. at: the key that decides it, if it
    is another one.
    """

    function: str
    setting: str
    allowed_ms: float
    parts: Parts
    remedy: str = ""
    at: str = ""

    @property
    def total_ms(self) -> float:
        return sum(ms for _, ms in self.parts)

    @property
    def met(self) -> bool:
        return self.total_ms <= self.allowed_ms


@dataclass(frozen=True, slots=True)
class Times:
    """The parts of a budget that belong to wires and devices, ms. measured: by a plant card, else assumed."""

    refresh_ms: float
    poll_ms: float
    write_ms: float
    lag_ms: float
    measured: bool = False


def assumed(site: Site) -> Times:
    """What site file and maps say."""
    write_ms = poll_ms(site.inverter) + site.inverter.write_ms
    return Times(float(site.meter.refresh_ms), poll_ms(site.meter), write_ms, float(site.inverter.lag_ms))


def times_of(site: Site) -> Times:
    """What the plant card measured of the devices as they are now; what it has not seen is assumed."""
    told = assumed(site)
    if site.card is None or standing(site) == STALE:
        return told
    seen = site.card.times
    write_ms = None
    if seen.write_ms is not None and seen.inverter_poll_ms is not None:
        write_ms = seen.inverter_poll_ms + seen.write_ms  # one write between two reads: it may have to wait for one
    pairs = (seen.meter_refresh_ms, seen.meter_poll_ms, write_ms, seen.lag_ms)
    known = {name: ms for name, ms in zip(PARTS, pairs, strict=True) if ms is not None}
    return replace(told, **known, measured=True) if known else told


def poll_ms(device: MeterSite | InverterSite) -> float:
    """From one reading to the next: as the site says, or as fast as the wire allows."""
    return max(float(device.poll_ms), device.round_ms)


def derived(meter: MeterSite, inverter: InverterSite) -> dict[str, dict[str, float]]:
    """Settings that follow from the wires, {group: {key: value}}."""
    return {
        "fail_safe": {
            "t_meter_s": max(poll_ms(meter), meter.refresh_ms, 2 * meter.timeout_ms + meter.round_ms) / 1000,
            "t_device_s": max(poll_ms(inverter), 2 * inverter.timeout_ms + inverter.round_ms) / 1000,
            "meter_half_refresh_s": meter.refresh_ms / 2000,
            "lost_after_s": min(LOST_AFTER_S, float(inverter.reversion_s)),
            "write_refresh_s": round(inverter.reversion_s / 3, 3),
            "mismatch_after_s": max(MISMATCH_AFTER_S, 5 * inverter.lag_ms / 1000),
        },
        "freq_droop": {"refresh_s": meter.refresh_ms / 1000},
    }


def ages(site: Site) -> list[Ages]:
    """The four freshness ages of each signal."""
    safe = site.settings.fail_safe
    of_meter = {
        "inverter": ("frequency", "voltage", "inverter power"),
        "connection": ("frequency", "voltage", "connection power"),
    }[site.meter.location]
    signals = [*((name, safe.t_meter_s) for name in of_meter), ("inverter state", safe.t_device_s)]
    return [Ages(name, t_s * 1e3, *(1e3 * age for age in ages_s(t_s, safe.lost_after_s))) for name, t_s in signals]


def budgets(site: Site) -> list[Budget]:
    """One budget for each enabled function of ours that must answer in time, and for each element of a trip."""
    s, times = site.settings, times_of(site)
    refresh, poll = ("meter refresh", times.refresh_ms), ("meter poll", times.poll_ms)
    between = (("counters of energy, each 10 s", site.meter.counters_ms),) if site.meter.counters_ms else ()
    out = (
        *between,
        ("step", float(site.period_ms)),
        ("write, behind one read", times.write_ms),
        ("inverter lag", times.lag_ms),
    )
    measured = (refresh, poll, *out)
    found = []
    if s.freq_droop.enable and s.freq_droop.owner == "controller":
        # a second reading confirms that frequency really left the dead band
        parts = (refresh, ("second reading", s.freq_droop.refresh_s * 1e3), poll, *out)
        found.append(Budget("freq_droop", "t_response_s", s.freq_droop.t_response_s * 1e3, parts))
    if s.volt_watt.enable and s.volt_watt.owner == "controller":
        found += volt_watt_budgets(site, measured)
    found += reactive_budgets(site, measured, out)
    if s.site_limits.enable:
        found.append(Budget("site_limits", "fuse_a", FUSE_S * 1e3, measured, "use a faster meter or inverter"))
    return found + trip_budgets(site, measured)


def volt_watt_budgets(site: Site, measured: Parts) -> list[Budget]:
    """The answer to a voltage; and the way back, which alone of all functions' answers takes the ramp of `limits`.

    On that way power is below both, a straight line and the function's own lag: the later one of the two reaches 90 %
    last. So the ramp is held against the response time for itself, as the lag is, over the longest way: P2 to rated.
    """
    s = site.settings
    vw, rating, ramp_pu_s = s.volt_watt, s.rating, s.limits.ramp_pu_s
    lowest_pu = vw.p2_pu if vw.p2_pu >= 0.0 else vw.p2_pu * rating.p_charge_rated_w / rating.p_rated_w
    way_pu = NEARLY * (1.0 - lowest_pu)
    enough_pu_s = math.ceil(round(way_pu / vw.olrt_s * 100, 6)) / 100
    back = (("90 % of the way back, by ramp", round(way_pu / ramp_pu_s * 1e3, 3)),)
    remedy = f"raise limits.ramp_pu_s from {ramp_pu_s:.12g} to {enough_pu_s:.12g} pu/s, or raise olrt_s"
    return [
        Budget("volt_watt", "olrt_s", vw.olrt_s * 1e3, measured),
        Budget("volt_watt", "olrt_s", vw.olrt_s * 1e3, back, remedy, "limits.ramp_pu_s"),
    ]


def reactive_budgets(site: Site, measured: Parts, out: Parts) -> list[Budget]:
    """The mode that acts. Those that follow our own power need no meter on the way."""
    s = site.settings
    match s.reactive.mode if s.reactive.owner == "controller" else "off":
        case "volt_var":
            return [Budget("volt_var", "olrt_s", s.volt_var.olrt_s * 1e3, measured)]
        case "watt_var":
            return [Budget("watt_var", "response_s", s.watt_var.response_s * 1e3, out)]
        case "constant_q":
            return [Budget("const_var", "response_s", s.const_var.response_s * 1e3, out)]
        case "constant_pf" if s.power_factor.pf < 1.0:
            return [Budget("power_factor", "response_s", s.power_factor.response_s * 1e3, out)]
    return []


def trip_budgets(site: Site, measured: Parts) -> list[Budget]:
    """Clearing times of the elements that are ours; what a meter on a wire cannot do belongs to the inverter."""
    found = []
    for function, times in TRIP_TIMES.items():
        trip = getattr(site.settings, function)
        remedy = f"leave it to the inverter (`{function}.owner: inverter`)"
        if trip.owner == "controller":
            found += [Budget(function, name, getattr(trip, name) * 1e3, measured, remedy) for name in times]
    s = site.settings
    if s.ride_through.owner == "controller" and s.rating.abnormal_category == "III":
        remedy = "leave it to the inverter (`ride_through.owner: inverter`)"
        found.append(Budget("ride_through", "mc_low_pu", CESSATION_S * 1e3, measured, remedy))
    return found


def unmet(site: Site) -> list[str]:
    """One line `file:line: ...` for each response time that the wires cannot keep."""
    return [f"{place_of(site, b)}: {complaint(b)}" for b in budgets(site) if not b.met]


def place_of(site: Site, budget: Budget) -> str:
    """The owner's own line that decides it; what a profile says is not the owner's to change."""
    function = budget.function
    keys = [f"{function}.owner", f"{function}.{budget.setting}", function, "meter.refresh_ms", "meter", "inverter"]
    keys = [budget.at, *keys] if budget.at else keys
    own = [key for key in keys if key in site.origins and site.origins[key].kind == "site"]
    return site.where(*own, *keys)


def complaint(budget: Budget) -> str:
    """What cannot be met, the sum, and what to do."""
    seconds, name = f"{budget.allowed_ms / 1e3:.12g} s", budget.setting
    what = f"{name} = {seconds} of {budget.function}" if name.endswith("_s") else f"{budget.function} within {seconds}"
    parts = " + ".join(f"{part} {ms:.0f}" for part, ms in budget.parts)
    total = f" = {budget.total_ms:.0f}" if len(budget.parts) > 1 else ""
    remedy = budget.remedy or f"raise {name}, use a faster meter or inverter"
    return f"{what} cannot be met: {parts}{total} ms; {remedy}, or add the line `i_accept: slow-response`"


def reachable(site: Site) -> list[tuple[str, ...]]:
    """(message, key, ...) for each age or timer that contradicts another."""
    safe, reversion_s = site.settings.fail_safe, site.inverter.reversion_s
    found: list[tuple[str, ...]] = []
    if safe.lost_after_s > reversion_s:
        found.append(
            (
                f"lost_after_s = {safe.lost_after_s:.12g} is above the inverter's own timer, reversion_s = "
                f"{reversion_s}: lower it, or leave it out",
                "fail_safe.lost_after_s",
            )
        )
    if not 2 * site.period_ms / 1e3 <= safe.command_valid_s < reversion_s:
        found.append(
            (
                f"command_valid_s = {safe.command_valid_s:.12g} is outside {2 * site.period_ms / 1e3:.12g} ... "
                f"{reversion_s} s (two steps ... below the inverter's own timer, reversion_s)",
                "fail_safe.command_valid_s",
                "inverter.reversion_s",
            )
        )
    for role, t_s in (("meter", safe.t_meter_s), ("inverter", safe.t_device_s)):
        held_s = ages_s(t_s, safe.lost_after_s)[1]
        if held_s >= safe.lost_after_s:
            slow = "timeout_ms, poll_ms or refresh_ms" if role == "meter" else "timeout_ms or poll_ms"
            found.append(
                (
                    f"the {role} would be held for {held_s:.12g} s but is lost after "
                    f"{safe.lost_after_s:.12g} s: lower its {slow}, or raise reversion_s",
                    f"{role}.timeout_ms",
                    role,
                )
            )
    return found
