"""What the wires allow: freshness ages per signal, and the time from a grid event to the inverter's answer.

Source   T = max(poll, refresh, one timeout + one retry, each at most timeout_ms). fresh <= 2 T, held <= max(5 T, 1 s),
         stale <= lost_after, then lost. An age includes half the meter's refresh.
Errors   none raised: `reachable` and `unmet` return what is wrong, the caller decides.
"""

from __future__ import annotations

from dataclasses import dataclass

from controller.sitedata import InverterSite, MeterSite, Site
from cython_core.settings import ages_s

LOST_AFTER_S = 10.0


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
    """Times between a grid event and the answer, ms, against what the function allows."""

    function: str
    setting: str
    allowed_ms: float
    parts: tuple[tuple[str, float], ...]

    @property
    def total_ms(self) -> float:
        return sum(ms for _, ms in self.parts)

    @property
    def met(self) -> bool:
        return self.total_ms <= self.allowed_ms


def derived(meter: MeterSite, inverter: InverterSite) -> dict[str, dict[str, float]]:
    """Settings that follow from the wires, {group: {key: value}}."""
    return {
        "fail_safe": {
            "t_meter_s": max(meter.poll_ms, meter.refresh_ms, 2 * meter.timeout_ms) / 1000,
            "t_device_s": max(inverter.poll_ms, 2 * inverter.timeout_ms) / 1000,
            "meter_half_refresh_s": meter.refresh_ms / 2000,
            "lost_after_s": min(LOST_AFTER_S, float(inverter.reversion_s)),
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
    """One budget for each enabled function that must answer in time."""
    droop, volt_var = site.settings.freq_droop, site.settings.volt_var
    first = ("meter refresh", float(site.meter.refresh_ms))
    rest = (
        ("meter poll", float(site.meter.poll_ms)),
        ("step", float(site.period_ms)),
        ("write, behind one read", float(site.inverter.poll_ms)),
        ("inverter lag", float(site.inverter.lag_ms)),
    )
    found = []
    if droop.enable:  # a second reading confirms that frequency really left the dead band
        parts = (first, ("second reading", droop.refresh_s * 1e3), *rest)
        found.append(Budget("freq_droop", "t_response_s", droop.t_response_s * 1e3, parts))
    if volt_var.enable:
        found.append(Budget("volt_var", "olrt_s", volt_var.olrt_s * 1e3, (first, *rest)))
    return found


def unmet(site: Site) -> list[str]:
    """One line `file:line: ...` for each response time that the wires cannot keep."""
    lines = []
    for budget in budgets(site):
        if not budget.met:
            parts = " + ".join(f"{name} {ms:.0f}" for name, ms in budget.parts)
            where = site.where(f"{budget.function}.{budget.setting}", "meter.refresh_ms", "meter")
            lines.append(
                f"{where}: {budget.setting} = {budget.allowed_ms / 1e3:.12g} s of {budget.function} cannot be "
                f"met: {parts} = {budget.total_ms:.0f} ms; raise {budget.setting}, use a faster meter or "
                "inverter, or add the line `i_accept: slow-response`"
            )
    return lines


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
