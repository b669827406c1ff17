"""Numbers of epochs: each run of the core has one, and each stretch of telemetry after a step of the wall clock."""

from __future__ import annotations

import random

PLAUSIBLE_NS = 1_577_836_800_000_000_000  # 2020-01-01: an earlier clock has not been set since the host has power


def new_epoch(wall_ns: int) -> int:
    """Unix ms x 1000 and a random part, so that later ones are larger. Before a clock is set: random, below all those.

    A host without a clock battery begins each boot in the same second of 1970: time would tell no two boots apart.
    """
    if wall_ns < PLAUSIBLE_NS:
        return random.randrange(1, PLAUSIBLE_NS // 1000)
    return wall_ns // 1_000_000 * 1000 + random.randrange(1000)
