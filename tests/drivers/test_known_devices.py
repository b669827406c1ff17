"""Each device that the references know has a map, or a line in docs/devices.md that says why not."""

from __future__ import annotations

import pytest

from drivers.mapfile import map_names
from tests import need
from tests.drivers.device_table import PAGE, ROOT
from tests.drivers.test_inverter_maps import FILES
from tests.drivers.test_map_proofs import REFERENCE, SOURCES

SUNSPEC = {"sunspec-models": "sunspec-7xx", "ess-fronius-gen24": "fronius-gen24"}
MAPPED = {file for _, file, _ in SOURCES} | set(FILES.values()) | SUNSPEC.keys()
# fmt: off
WITHOUT = [
    # reference file                       devices, as the page calls them
    ("meter-accuenergy-acuvim2",           ("Acuvim II",)),
    ("meter-accuenergy-acurev1310",        ("AcuRev 1310",)),
    ("meter-shelly-pro-3em",               ("Shelly Pro 3EM",)),
    ("meter-sma-energy-meter",             ("SMA Energy Meter", "Sunny Home Manager 2.0")),
    ("ess-solis-goodwe-huawei",            ("Solis", "GoodWe", "Huawei SUN2000")),
    ("ess-sungrow-sh",                     ("Sungrow SH",)),
    ("ess-solaredge-other",                ("SolarEdge", "Growatt", "KACO", "Wallbox Quasar 2", "Delta V2X", "Enphase",
                                            "Fermata", "Nuvve", "Rhombus", "evTec")),
    ("can-dc-power-modules",               ("UUGreenPower", "Winline", "DPM1000", "Maxwell", "Huawei R4850")),
    ("can-chademo-v2h",                    ("CHAdeMO",)),
    ("can-bms-48v-victron-pylontech-sma",  ("Pylontech", "Victron", "SMA")),
    ("can-bms-hv-families",                ("BYD", "SolaX", "Growatt")),
    ("can-canopen-standards",              ("CANopen CiA 418, 419, 454",)),
]
# fmt: on


@pytest.mark.parametrize(("file", "names"), WITHOUT, ids=[c[0] for c in WITHOUT])
def test_the_page_says_why_there_is_no_map(file: str, names: tuple[str, ...]) -> None:
    _, _, rest = PAGE.read_text().partition("<!-- without a map -->")
    rows = [row.split(" | ") for row in rest.partition("<!-- end of without a map -->")[0].splitlines()]
    told = {row[0] for row in rows if len(row) == 2}
    for name in names:
        assert any(name in devices for devices in told), f"{file}: {name}"


def test_the_readme_counts_them() -> None:
    words = {13: "thirteen", 14: "fourteen", 15: "fifteen", 19: "nineteen", 20: "twenty", 21: "twenty-one"}
    meters, inverters = (words[len(map_names([kind]))] for kind in ("meter", "inverter"))
    said = f"{meters.capitalize()} meters are known and {inverters} inverters and chargers"
    assert said in (ROOT / "README.md").read_text()


def test_no_device_of_the_references_is_forgotten() -> None:
    known = {path.stem for path in REFERENCE.glob("*.yaml")}
    if not known:
        need.missing("the references of devices", f"they belong into {REFERENCE}")
    assert known == MAPPED | {file for file, _ in WITHOUT}
    assert set(SUNSPEC.values()) <= set(map_names(["inverter"]))
