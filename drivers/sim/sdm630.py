"""The simulated meter's face: a Reading in the input registers of an Eastron SDM630.

Layout   float32, high word first, value n of the manual's table at address 2n; signs as on the real wire:
         P > 0 import, Q > 0 absorbed; energies in kWh and kvarh. Registers between the listed ones read 0.
Source   Eastron SDM630-Modbus protocol, input registers 30001 ... 30381.
"""

from __future__ import annotations

from math import hypot
from struct import pack, unpack

from drivers.sim.metering import Reading

SIZE = 382  # words; beyond is an illegal address
MAX_WORDS = 80  # in one request


def quantities(r: Reading, phases: int) -> dict[int, float]:
    """Address -> value on the wire. P and Q are shared evenly by the phases in use, unless each has its own."""
    volts = (r.v1_v, r.v2_v, r.v3_v)[:phases]
    own = r.phases or ((r.p_w / phases, r.q_var / phases),) * phases
    values: dict[int, float] = {}
    for i, (v, (p_w, q_var)) in enumerate(zip(volts, own, strict=True)):
        s_va = hypot(p_w, q_var)
        row = ((0, v), (6, s_va / v if v else 0.0), (12, -p_w), (18, s_va), (24, -q_var), (30, factor(-p_w, s_va)))
        for address, value in row:
            values[address + 2 * i] = value
    values[42] = sum(volts) / phases
    values[48] = sum(values[6 + 2 * i] for i in range(phases))
    s_va = sum(values[18 + 2 * i] for i in range(phases))
    values.update({52: -r.p_w, 56: s_va, 60: -r.q_var, 62: factor(-r.p_w, s_va), 70: r.f_hz})
    import_kwh, export_kwh = r.import_wh / 1000.0, r.export_wh / 1000.0
    absorbed, fed_in = r.import_varh / 1000.0, r.export_varh / 1000.0
    values.update({72: import_kwh, 74: export_kwh, 76: absorbed, 78: fed_in})
    values.update({342: import_kwh + export_kwh, 344: absorbed + fed_in})
    return values


def factor(p_w: float, s_va: float) -> float:
    """Power factor with the sign of the power; 1 at no load."""
    return p_w / s_va if s_va > 1.0 else 1.0


def registers(r: Reading, phases: int = 1) -> list[int]:
    """All input registers."""
    words = [0] * SIZE
    for address, value in quantities(r, phases).items():
        words[address : address + 2] = unpack(">2H", pack(">f", value))
    return words
