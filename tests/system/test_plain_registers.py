"""`v2g run` with a charger of plain registers: found by its map alone, started, commanded, and handed back at 0.

The meter is the simulator's; the charger is a script that obeys as its maker says (tests/drivers/modbus).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from controller.processes import Family
from controller.telemetry.broker import free_port
from drivers.sim.bar import Bar
from tests.drivers.modbus.scripted import Device, device
from tests.drivers.modbus.test_inverter_devices import QUASAR_START, Quasar, quasar_words
from tests.system.test_house import READY_S

SITE = """\
schema: 1
name: quasar
start_mode: {mode}
i_accept: {accepted}
runtime_dir: {folder}/run
state_dir: {folder}/state
meter: {{map: eastron-sdm630, host: 127.0.0.1, port: {meter}, location: connection, phases: L1, poll_ms: 50,
         timeout_ms: 200, refresh_ms: 100}}
inverter: {{map: wallbox-quasar1, host: 127.0.0.1, port: {inverter}, poll_ms: 500, timeout_ms: 500, reversion_s: 12}}
settings:
  rating: {{v_nom_v: 230, p_rated_w: 7000, p_charge_rated_w: 7000}}
  limits: {{ramp_pu_s: 1}}
  default_wish: {{charge_w: 1400, soc_target_pu: 0.9}}
"""


@contextmanager
def site(folder: Path, mode: str, accepted: str) -> Iterator[tuple[Family, Device]]:
    """The controller beside a meter at 60 Hz and a charger with a car at 55 %."""
    family, bar, meter = Family(folder / "logs"), Bar(folder / "bar"), free_port()
    (folder / "grid.csv").write_text("t_s,f_hz\n0,60\n600,60\n")
    common, server = ("--bar", str(folder / "bar")), "drivers.sim.server"
    with device(quasar_words()) as d:
        d.rule = Quasar(60_000_000_000, d.words).rule
        text = SITE.format(folder=folder, mode=mode, accepted=accepted, meter=meter, inverter=d.port)
        (folder / "site.yaml").write_text(text)
        family.start("grid", server, "grid", *common, "--trace", str(folder / "grid.csv"))
        family.start("meter", server, "meter", *common, "--port", str(meter))
        try:
            for part, beat in (("grid", "grid_s"), ("meter", "meter_s")):
                family.wait_until(lambda beat=beat: bar.get(beat) > 0.0, part, READY_S)  # type: ignore[misc]  # default
            family.start("controller", "controller.cli", "run", str(folder / "site.yaml"), "--parent-death")
            yield family, d
        finally:
            family.stop(("controller",))
            family.stop()


def frames(d: Device) -> list[str]:
    return [q.pdu.hex(" ") for q in list(d.requests) if q.writes]


def test_a_charger_is_started_commanded_and_handed_back(tmp_path: Path) -> None:
    with site(tmp_path, "live", "[real-power, slow-response, unproven-map]") as (family, d):
        family.wait_until(lambda: d.words[526] == 1400, "charging", READY_S)  # + = charge here
        family.stop(("controller",))
        assert (d.words[526], d.words[81]) == (0, 0)
        written = frames(d)
    assert written[: len(QUASAR_START)] == [frame for _, frame in QUASAR_START]
    assert written[-2:] == ["06 01 01 00 02", "06 00 51 00 00"]  # stopped, the user's again
    log = (tmp_path / "logs" / "controller.log").read_text()
    assert "LIVE: quasar will move up to 7000 W" in log
    assert "V2G-NOT-HANDED-BACK" not in log


@pytest.mark.parametrize("mode", ["shadow"])
def test_in_shadow_it_is_read_and_never_written(tmp_path: Path, mode: str) -> None:
    with site(tmp_path, mode, "slow-response") as (family, d):
        family.wait_until(lambda: len(d.requests) > 40, "reading", READY_S)
        family.stop(("controller",))
        assert frames(d) == []
    log = (tmp_path / "logs" / "controller.log").read_text()
    assert "SHADOW: quasar computes and records" in log
    assert "V2G-START quasar: start mode shadow, watching only" in log
