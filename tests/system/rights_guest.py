"""What only a kernel of its own grants a service: FIFO, locked memory, CAN, the clock. Runs inside the guest only.

test_systemd.py boots it, as user-mode Linux.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cython_core.realtime.ring import RingReader
from tests.system.guest_words import (
    CAN_DROP_IN,
    READY_S,
    RUN,
    House,
    active,
    pid,
    probed,
    said,
    simulated,
    systemctl,
    wait_for,
)

FIFO, POLICY, PRIORITY = 1, 38, 37  # SCHED_FIFO; fields of /proc/PID/stat behind the name, from 0


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with simulated(tmp_path_factory.mktemp("house")) as home:
        yield home


def test_real_time_without_a_capability(house: House) -> None:
    """By the unit's limits alone. The main thread stays an ordinary one."""
    assert systemctl("start", "v2g").returncode == 0, said()
    wait_for(active, READY_S, "ready")
    granted = RingReader(RUN / "ring").info["realtime"]
    assert (granted["core"], granted["bus_meter"], granted["bus_inverter"]) == ("fifo 80", "fifo 70", "fifo 70")
    assert granted["memory"] == "all, on fault"
    assert "V2G-NO-REALTIME memory" not in said()
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid()}/status").read_text().splitlines())
    assert int(status["VmLck"].split()[0]) > 0
    assert status["CapEff"] == "0" * 16
    fields = Path(f"/proc/{pid()}/stat").read_text().rpartition(")")[2].split()
    assert int(fields[POLICY]) != FIFO
    wait_for(house.charges, READY_S, "the charging power")


def test_it_stops_in_order(house: House) -> None:
    assert systemctl("stop", "v2g").returncode == 0
    assert house.rests()
    assert house.bar.get("p_enabled") == 0.0


def test_only_the_controller_may_ask_how_right_the_clock_is() -> None:
    """A departure time is believed only then; nobody may set it."""
    controller, telemetry = probed("v2g"), probed("v2g-telemetry")
    assert (controller["ask for the clock"], telemetry["ask for the clock"]) == ("done", "Operation not permitted")
    assert {controller["set clock"], telemetry["set clock"]} == {"Operation not permitted"}


def test_can_is_for_sites_that_have_it() -> None:
    for module in ("can/can", "can/can-raw"):
        release = subprocess.run(["uname", "-r"], capture_output=True, text=True, check=True).stdout.strip()
        subprocess.run(["insmod", f"/usr/lib/uml/modules/{release}/kernel/net/{module}.ko"], check=True)
    assert probed("v2g")["AF_CAN"] == "Address family not supported by protocol"
    assert probed("v2g", CAN_DROP_IN)["AF_CAN"] == "done"
