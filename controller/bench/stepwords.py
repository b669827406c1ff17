"""A step in words for people: `V3 + a_V: 1.035 pu (248.40 V)`, `2 MRA inside the setting: 1.18 pu (283.20 V)`.

The file's own words stand before the numbers; where it has none, each number has its formula before it.
"""

from __future__ import annotations

from collections.abc import Callable

from controller.bench.expression import Expression
from controller.bench.plan import Eut
from controller.bench.procedure import StepText


def words_of(text: StepText, number: Callable[[Expression], float], eut: Eut) -> str:
    """What the step changes. number: the value of an expression."""

    def told(one: Expression, form: str) -> str:
        formula = f"{one.text}: " if one.names and not text.what else ""
        return formula + form.format(f"{number(one):.6g}")

    def volts(one: Expression) -> str:
        return told(one, f"{{}} pu ({number(one) * eut.v_nom_v:.2f} V)")

    each = text.v[: eut.phases]
    if len({number(one) for one in each}) > 1:
        moves = [f"L{k} {volts(one)}" for k, one in enumerate(each, 1)]
    else:
        moves = [volts(one) for one in each[:1]]
    others = ((text.f, "{} Hz"), (text.p, "{} W"), (text.limit, "limit {} pu"))
    moves += [told(one, form) for one, form in others if one]
    moves += ["no limit"] if text.no_limit else []
    moves += [] if text.permit is None else [f"permit service {'on' if text.permit else 'off'}"]
    return ": ".join(part for part in (text.what, "; ".join([*moves, *text.faults])) if part) or "hold"
