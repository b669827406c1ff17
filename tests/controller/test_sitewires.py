"""Devices on serial lines: what a site file may say of them, and the time their characters take.

The lines of the numbers: one character of 10 bits at 9 600 baud is 1.0417 ms, of 11 bits 1.1458 ms; a silence 3.646 ms.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.site import load_site
from controller.sitewrite import site_text
from controller.timing import budgets
from controller.wiretime import WRITE_CHARS, requests_ms
from drivers.modbus.link import SerialLink, TcpLink, UdpLink
from drivers.registermap import READ_CHARS
from tests.controller.test_site import GOOD, changed, complaints, site_of, write

USB = "/dev/serial/by-id/usb-one"
METER, INVERTER = "  host: 192.168.1.50\n", "  host: 192.168.1.60\n"
ON_LINE = f"  serial: {USB}\n  unit: 2\n"
SHARED = GOOD.replace(METER, f"  serial: {USB}\n").replace(INVERTER, ON_LINE)
OF_METER = f"  serial: {USB}\n  location"

# fmt: off
MISTAKES = [
    # site file                                                   line  what is said
    (changed(METER, f"{METER}  serial: {USB}\n"),                  8,   "meter: host and serial exclude each other"),
    (changed(METER, ""),                                           5,   "meter: needs host (Modbus TCP) or serial"),
    (changed(METER, f"{METER}  baud: 9600\n"),                     8,   "baud belongs to serial; this wire has none"),
    (changed(METER, f"  serial: {USB}\n  port: 502\n"),            8,   "port belongs to host; this wire has none"),
    (changed(METER, f"  serial: {USB}\n  baud: 9601\n"),           8,   f"{USB}: baud 9601 is none of 1200, 2400"),
    (changed(METER, f"  serial: {USB}\n  udp: true\n"),            8,   "udp belongs to host; this wire has none"),
    (changed(METER, f"{METER}  udp: yes\n"),                       8,   "udp = yes is not true or false"),
    (changed(METER, f"  serial: {USB}\n  parity: X\n"),            8,   "parity = X is not one of N | E | O"),
    (changed(METER, f"  serial: {USB}\n  unit: 0\n"),              8,   "unit = 0 is outside 1 ... 247 on a serial"),
    (changed(METER, f"  serial: {USB}\n  unit: 248\n"),            8,   "unit = 248 is outside 1 ... 247"),
    (changed(METER, f"{METER}  nth: 2\n"),                         8,   "nth belongs to SunSpec meters; map = eastron"),
    (changed(METER, f"{METER}  nth: 0\n"),                         8,   "nth = 0 is outside 1 ... 9 (which of several"),
    (changed(METER, "  serial: ttyUSB0\n"),                        7,   "serial = ttyUSB0 is not a serial port like"),
    (SHARED.replace(ON_LINE, ON_LINE + "  baud: 19200\n"),        15,   f"serial: {USB} (19200 8N1) and the meter's"),
    (SHARED.replace("  unit: 2\n", ""),                           13,   "unit = 1 is the meter's too, on the same"),
    (changed(INVERTER, METER),                                    13,   "unit = 1 is the meter's too, on the same"),
    (changed(METER, f"  serial: {USB}\n").replace("shadow", "demo"), 7, f"serial = {USB} is not simulated here"),
]
# fmt: on


@pytest.mark.parametrize(("text", "line", "said"), MISTAKES, ids=[c[-1] for c in MISTAKES])
def test_a_mistake_is_named_with_its_line(tmp_path: Path, text: str, line: int, said: str) -> None:
    assert any(c.startswith(f"site.yaml:{line}: {said}") for c in complaints(tmp_path, text)), complaints(
        tmp_path, text
    )


def test_a_sunspec_device_may_be_both(tmp_path: Path) -> None:
    text = changed(INVERTER, METER).replace("map: eastron-sdm630", "map: sunspec-meter\n  nth: 2")
    site = site_of(tmp_path, text)
    assert (site.meter.link, site.meter.unit, site.meter.nth) == (site.inverter.link, site.inverter.unit, 2)
    assert load_site(write(tmp_path, site_text(site))).meter.nth == 2


def test_udp_is_another_wire_than_tcp(tmp_path: Path) -> None:
    both = changed(METER, f"{METER}  udp: true\n").replace(INVERTER, METER)
    site = site_of(tmp_path, both)  # the same host, port and unit, and no two devices on one wire
    assert site.meter.link == UdpLink("192.168.1.50", 502)
    assert site.inverter.link == TcpLink("192.168.1.50", 502)
    assert load_site(write(tmp_path, site_text(site))).meter.link == site.meter.link


def test_two_devices_on_one_line_have_one_link(tmp_path: Path) -> None:
    site = site_of(tmp_path, SHARED)
    assert site.meter.link == site.inverter.link == SerialLink(USB)
    text = site_text(site)
    assert "host" not in text.split("telemetry")[0]
    assert load_site(write(tmp_path, text)).inverter.link == SerialLink(USB)


# fmt: off
TIMES = [
    # link                                chars        words     ms      why
    (TcpLink("h"),                        READ_CHARS,  (30,),    0.0,    "no time on TCP"),
    (SerialLink("/d", 9600),              READ_CHARS,  (30,),    85.3,   "73 characters, two silences, 2 ms"),
    (SerialLink("/d", 9600, "E"),         READ_CHARS,  (30,),    93.7,   "the same with 11 bits"),
    (SerialLink("/d", 115200),            READ_CHARS,  (30,),    11.8,   "73 x 86.8 us, two silences of 1.75 ms"),
    (SerialLink("/d", 9600),              WRITE_CHARS, (2,),     31.2,   "21 characters"),
    (SerialLink("/d", 9600),              READ_CHARS,  (6, 20),  99.8,   "two requests"),
]
# fmt: on


@pytest.mark.parametrize(("link", "chars", "words", "ms", "why"), TIMES, ids=[c[-1] for c in TIMES])
def test_time_on_the_wire(link: TcpLink | SerialLink, chars: int, words: tuple[int, ...], ms: float, why: str) -> None:
    assert requests_ms(link, chars, words) == pytest.approx(ms, abs=0.1), why


def test_a_slow_line_counts_in_every_age_and_budget(tmp_path: Path) -> None:
    tcp, line = site_of(tmp_path), site_of(tmp_path, SHARED)
    assert (tcp.meter.round_ms, tcp.inverter.round_ms, tcp.inverter.write_ms) == (0.0, 0.0, 0.0)
    assert line.inverter.write_ms == pytest.approx(155.9, abs=0.1)  # 114 characters, 8 silences, 8 ms
    (over_tcp,), (over_line,) = ([b for b in budgets(s) if b.function == "freq_droop"] for s in (tcp, line))
    assert over_line.total_ms - over_tcp.total_ms > line.inverter.write_ms
    assert line.settings.fail_safe.t_meter_s * 1e3 >= 2 * 150 + line.meter.round_ms
