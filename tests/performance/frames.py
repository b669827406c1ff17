"""Live frames as an ordinary house sends them, made by the product's own frame builder from noisy step records."""

from __future__ import annotations

import json

import numpy as np

from controller.telemetry.frames import FrameBuilder
from controller.telemetry.wire import Arrival, Row, decode, encode, topic
from cython_core.records import Reason
from tests.controller.telemetry.makers import info, records

STEPS = 10  # in a frame: the numbers do not depend on how many there are


def payloads(count: int, sites: int = 10) -> list[tuple[str, bytes]]:
    """(topic, message) of `count` frames of so many sites in turns."""
    rng = np.random.default_rng(1547)
    of_site = [site_payloads(f"house-{n}", count // sites, rng) for n in range(sites)]
    return [message for group in zip(*of_site, strict=True) for message in group]


def site_payloads(site: str, count: int, rng: np.random.Generator) -> list[tuple[str, bytes]]:
    steps = STEPS * count
    noise = rng.normal(size=(6, steps))
    rows = records(0, steps, f_hz=50.0 + 0.01 * noise[0], v_pu=1.0 + 0.004 * noise[1], m_p_w=3000.0 + 9.0 * noise[2],
                   m_q_var=4.0 * noise[3], p_cmd_w=3000.0 + 9.0 * noise[4], dp_w=2.0 * noise[5],
                   d_soc_pu=0.5 + np.arange(steps) / 1e6, lateness_ns=rng.gamma(4.0, 1e4, steps),
                   m_f_hz=50.0 + 0.01 * noise[0], reasons=int(Reason.DROOP), k=1)  # fmt: skip
    for signal in "fvpd":
        rows[f"age_{signal}_ns"] = rng.gamma(4.0, 1e7, steps)
    builder = FrameBuilder(info(site=site), 1000, p_at_meter=True)
    drafts = [draft for draft in [*builder.add(rows), *builder.flush()] if draft.kind == "live"]
    bodies = [json.dumps(draft.body, separators=(",", ":")) for draft in drafts]
    return [(topic(site, "live"), encode(Row("ab", i, "live", 0, body))) for i, body in enumerate(bodies)]


def arrivals(messages: list[tuple[str, bytes]]) -> list[Arrival]:
    """As the bridge decodes them."""
    return [decode(name, payload, 0) for name, payload in messages]
