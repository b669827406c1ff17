"""An inverter that answers and takes no set-point: told before its own timer acts, and counted for whoever reads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.faults.rig import Rig

pytestmark = pytest.mark.system

REVERSION_S = 9  # set-points are refreshed at a third of it: refused from 3 s at the latest, told 3 s later
LOOK_S = 1.0  # the core looks four times a second; the rest for a busy machine
CODE = "V2G-WRITES-FAILING"


def test_refused_writes_are_told_before_the_inverters_own_timer_acts(tmp_path: Path) -> None:
    with Rig(tmp_path / "rig", reversion_s=REVERSION_S) as rig:
        rig.start()
        rig.fault("inverter.exception writes 6")
        rig.wait_for(lambda: CODE in rig.log("controller"), 2 * REVERSION_S / 3 + LOOK_S, "the alarm")
        assert rig.bar.get("p_left_s") > 0.0, "the inverter's own timer still runs: there is time to act"
        rig.run_for(2.5)  # a whole live frame, and its way to the store
        rig.mended()
        rig.wait_for(lambda: f"{CODE} over" in rig.log("controller"), REVERSION_S, "the end of the alarm")
        rig.stop("controller")
        rig.stop("telemetry")
        rig.stop()
        assert len(re.findall(f"WARNING {CODE}", rig.log("controller"))) == 1
        buses = [row.body["bus"] for row in rig.rows("live") if "bus" in row.body]
    counted = {name: [bus["inverter"][name] for bus in buses] for name in ("writes", "write_errors", "exceptions")}
    for name, values in counted.items():
        assert values == sorted(values), f"{name} only grows"
    assert counted["write_errors"][0] == 0
    assert 0 < counted["write_errors"][-1] <= counted["exceptions"][-1], "each of them was refused"
    assert buses[-1]["inverter"]["last_exception"] == 6
    assert all(bus["meter"]["connected"] for bus in buses[:-2]), "until the core closes its wires"
    assert not any(bus["meter"]["write_errors"] for bus in buses)
    assert len(buses) >= len(rig.rows("live")) - 1, "in every frame but perhaps the first"
