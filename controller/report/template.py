"""Templates of this package filled with values: the style, and how numbers are written on every page."""

from __future__ import annotations

import math
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from controller.response.checks import Check

DASH = "\N{EN DASH}"


def put(path: Path, html: str) -> None:
    """A page, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_text(html, encoding="utf-8")
    unfinished.replace(path)


def fill(template: str, **values: Any) -> str:
    """A template of this package with its style and our filters."""
    environment = Environment(
        loader=FunctionLoader(_package_text), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {
        "number": number,
        "margin": margin,
        "result": result,
        "state": state,
        "seconds": seconds,
        "lasting": lasting,
    }
    return environment.get_template(template).render(style=Markup(_package_text("page.css")), **values)


def number(value: float, unit: str = "") -> str:
    """Three or four significant digits, never in powers of ten where a reader can do without; NaN is a dash."""
    if not math.isfinite(value):
        return DASH
    if value == 0.0:
        text = "0"
    elif abs(value) < 1e-9:
        text = "< 1e-9" if value > 0.0 else "> -1e-9"
    elif abs(value) < 1e-3:
        text = f"{value:.1e}"
    else:
        text = f"{value:.{max(0, min(3, 2 - math.floor(math.log10(abs(value)))))}f}"
    return f"{text} {unit}".strip()


def seconds(value: float) -> str:
    return number(value, "s")


def lasting(value_s: float) -> str:
    """Seconds, or hours where there are many."""
    return number(value_s / 3600.0, "h") if value_s >= 3600.0 else number(value_s, "s")


def result(check: Check) -> str:
    """The value; a time that failed because nothing came is "never"."""
    return "never" if check.passed is False and math.isnan(check.value) else number(check.value, check.unit)


def margin(check: Check) -> str:
    """How far from the limit."""
    return number(check.margin, check.unit) if math.isfinite(check.margin) else DASH


def state(check: Check) -> str:
    """A word for the result: colour alone never says it."""
    if check.rule == "reported":
        return "reported"
    return {True: "pass", False: "fail", None: "not judged"}[check.passed]


def _package_text(name: str) -> str:
    return files("controller.report").joinpath(name).read_text(encoding="utf-8")
