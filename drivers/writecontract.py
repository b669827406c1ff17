"""What a map's write contract means for a site's own timer. Pure; for SunSpec and plain registers alike.

Units    reversion_s: what the site says of the inverter's own silence timer.
Source   a set-point is refreshed at a third of the timer: two refreshes may be lost before it runs out.
"""

from __future__ import annotations

from drivers.devicemap import WriteContract

DAY_MS = 24 * 3600 * 1000
MARGIN_MS = 1000  # of a timer that counts whole seconds


def contract_faults(contract: WriteContract) -> list[tuple[str, str]]:
    """(key, message) of what contradicts itself in a map."""
    found = []
    c = contract
    if c.timer != "none" and not c.timer_high_s:
        found.append(
            ("timer", "missing key 'timer_s': [shortest, longest] of the device's own timer, or `timer: none`")
        )
    if c.timer == "none" and c.timer_high_s:
        found.append(("timer_s", "timer_s belongs to a device that has a timer; here timer = none"))
    if c.timer != "none" and 3 * c.min_write_interval_ms > 1000 * c.timer_low_s > 0:
        text = (
            f"timer_s: {c.timer_low_s} s is less than three writes at min_write_interval_ms = {c.min_write_interval_ms}"
        )
        found.append(("timer_s", text))
    if c.storage == "unknown" and not c.write_budget_per_day:
        found.append(("storage", "storage = unknown needs write_budget_per_day: more set-points a day are not sent"))
    if c.storage != "unknown" and c.write_budget_per_day:
        found.append(("write_budget_per_day", f"write_budget_per_day belongs to storage: unknown, not {c.storage}"))
    if c.storage == "unknown" and c.timer != "none":
        text = (
            "storage = unknown with a timer: feeding it all day is more writing than an unknown memory may bear; "
            "allowed: storage: ram, or timer: none"
        )
        found.append(("storage", text))
    return found


def timer_fault(contract: WriteContract, reversion_s: int) -> str:
    """What is wrong with a site's reversion_s for this device, or nothing."""
    low, high = contract.timer_low_s, contract.timer_high_s
    if contract.timer == "none" or low <= reversion_s <= high:
        return ""
    return f"reversion_s = {reversion_s} is outside {low} ... {high} s"


def refresh_ms(contract: WriteContract, reversion_s: int) -> int:
    """An unchanged set-point is written again after this. An unknown memory is written for a change only."""
    if contract.storage == "unknown":
        return DAY_MS
    own = min(reversion_s, contract.timer_low_s) if contract.timer == "own" else reversion_s
    third = own * 1000 // 3 if contract.timer != "none" else 1000
    return min(third, contract.refresh_ms or third)


def quiet_ms(contract: WriteContract, reversion_s: int) -> int:
    """How long the device is not even read when we fall silent; 0 where reads do not feed its timer."""
    if contract.timer == "none" or contract.timer_fed_by != "any":
        return 0
    return reversion_s * 1000 + MARGIN_MS
