"""A small procedure of one case, for benches in real time."""

from __future__ import annotations

PROCEDURE = """\
schema: 1
title: High for a moment
clause: none
criteria: none
cases:
  direction:
    columns: [P_full]
    discharge: P_rated
start: {v: 1, f: f_N, p: 0.5 * P_full, hold: 2}
hold: 3
judge:
  - inside: {y: p, low: 0.4 * P_full, high: 0.6 * P_full, from: 1, to: 3}
steps:
  - {step: high, v: HIGH, sample: 0.2}
  - {step: back, v: 1, sample: 0.2}
"""


def procedure(high_pu: float) -> str:
    """Half of the rated power at nominal voltage, at a high one, and back: 8 s of the rig."""
    return PROCEDURE.replace("HIGH", f"{high_pu:g}")
