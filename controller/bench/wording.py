"""Numbers of a check as a reader wants them: "Q -2950 var is below -2737.5 var"."""

from __future__ import annotations

from controller.bench.judgement import Window

SIGNS = {"v_v": ("V", "V"), "f_hz": ("f", "Hz"), "p_w": ("P", "W"), "q_var": ("Q", "var"), "i_a": ("I", "A")}
DECIMALS = {"V": 2, "Hz": 3, "W": 1, "var": 1, "A": 2, "s": 3}


def sign_of(name: str) -> str:
    return SIGNS[name][0]


def unit_of(name: str) -> str:
    return SIGNS[name][1]


def told(value: float, unit: str) -> str:
    """-2737.5 var; 5 s"""
    text = f"{value:.{DECIMALS[unit]}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return f"{'0' if text == '-0' else text} {unit}"


def against(what: str, y: float, unit: str, window: Window) -> str:
    """`Q -2950 var is below -2737.5 var`, above, or within its limits."""
    measured = f"{what} {told(y, unit)}"
    if window.low is not None and y < window.low:
        return f"{measured} is below {told(window.low, unit)}"
    if window.high is not None and y > window.high:
        return f"{measured} is above {told(window.high, unit)}"
    if window.low is not None and window.high is not None:
        return f"{measured} is within {told(window.low, unit).removesuffix(f' {unit}')} ... {told(window.high, unit)}"
    if window.low is not None:
        return f"{measured} is not below {told(window.low, unit)}"
    return f"{measured} is not above {told(window.high, unit)}" if window.high is not None else measured
