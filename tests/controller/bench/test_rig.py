"""Rig files: the ones that come with the product are right; each mistake has one line with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.bench.plan import Eut
from controller.bench.rig import RigFileError, load_eut, load_rig
from controller.configfiles import available

VIRTUAL = """\
schema: 1
name: mine
time: virtual
eut: {name: a unit, phases: 1, v_nom_v: 230, f_nom_hz: 50, p_rated_w: 7000, p_charge_rated_w: 0, s_rated_va: 7700,
      q_inject_var: 3388, q_absorb_var: 1925, normal_category: A, abnormal_category: II, f_low_hz: 49, f_high_hz: 51}
unit: {kind: core}
"""
REAL = (
    VIRTUAL.replace("virtual", "real").replace("{kind: core}", "{kind: controller, site: /etc/v2g/site.yaml}")
    + """\
source: {kind: manual, phases: 1}
meter: {map: eastron-sdm630, address: "tcp://127.0.0.1:5020"}
envelope: {v_min_v: 0, v_max_v: 280, f_min_hz: 45, f_max_hz: 55, v_step_v: 60, f_step_hz: 1, v_normal_low_v: 200,
           v_normal_high_v: 255}
"""
)


def written(text: str, path: Path) -> str:
    file = path / "rig.yaml"
    file.write_text(text, encoding="utf-8")
    return str(file)


@pytest.mark.parametrize("name", sorted(available("rigs")))
def test_the_rigs_of_the_product_are_right(name: str) -> None:
    assert load_rig(name).name == name


def test_what_is_not_said_has_the_defaults_of_the_plan(tmp_path: Path) -> None:
    expected = Eut(
        "a unit", 1, 230.0, 50.0, 7000.0, 0.0, 7700.0, 3388.0, 1925.0, "A", "II", f_low_hz=49.0, f_high_hz=51.0
    )
    assert load_rig(written(VIRTUAL, tmp_path)).eut == expected
    assert (
        load_eut(written(VIRTUAL.partition("unit:")[0].partition("eut:")[2].join(["eut:", ""]), tmp_path)) == expected
    )


def test_a_rig_in_real_time(tmp_path: Path) -> None:
    rig = load_rig(written(REAL, tmp_path))
    assert rig.source is not None
    assert rig.source.kind == "manual"
    assert rig.meter is not None
    assert rig.meter.address == "tcp://127.0.0.1:5020"
    assert rig.envelope is not None
    assert rig.envelope.v_max_v == 280.0


# fmt: off
WRONG = [
    # text, what is put in its place         the line                                     why
    (VIRTUAL, "schema: 1", "schema: 2",      "rig.yaml:1: schema = 2 is newer",           "a newer program's file"),
    (VIRTUAL, "phases: 1", "phases: 4",      "rig.yaml:4: phases = 4 is outside 1 ... 3", "four phases"),
    (VIRTUAL, "f_nom_hz: 50", "f_nom_hz: 55", "f_nom_hz = 55 is neither 50 nor 60 Hz",    "no such grid"),
    (VIRTUAL, ", f_low_hz: 49, f_high_hz: 51", "", "at 50 Hz both must be given",          "defaults of 60 Hz"),
    (VIRTUAL, "s_rated_va: 7700,", "",       "missing key 's_rated_va'",                  "half a nameplate"),
    (VIRTUAL, "p_rated_w: 7000", "p_rated: 7", "unknown key 'p_rated'; known:",           "a slip of the pen"),
    (VIRTUAL, "{kind: core}", "{kind: core, site: /x}", "site belongs to kind: controller", "a site nobody reads"),
    (VIRTUAL, "{kind: core}", "{kind: core}\nsettings: {limits: {ramp_pu_s: 99}}",
     "rig.yaml:7: settings: ramp_pu_s = 99.0 is outside 0.01 ... 10",                     "a setting out of range"),
    (VIRTUAL, "{kind: core}", "{kind: core}\nmeter: {map: m, address: 'tcp://h:1'}",
     "time: virtual has no meter",                                                        "a meter nobody asks"),
    (REAL, "source: {kind: manual, phases: 1}\n", "", "time: real needs the group 'source'", "no source"),
    (REAL, "{kind: controller, site: /etc/v2g/site.yaml}", "{kind: core}",
     "allowed with time: real: controller, inverter",                                     "a core without devices"),
    (REAL, "{kind: controller, site: /etc/v2g/site.yaml}", "{kind: inverter}",
     "address belongs to kind: inverter with time: real, and is needed there",            "no way to the inverter"),
    (VIRTUAL, "{kind: core}", "{kind: inverter, address: 'tcp://h:1'}",
     "address belongs to kind: inverter with time: real",                                 "an address nobody asks"),
    (VIRTUAL, "{kind: core}", "{kind: core}\ndevices: simulated",
     "time: virtual has no devices",                                                      "simulated twice"),
    (REAL, "schema: 1", "schema: 1\ndevices: simulated", "source: allowed with devices: simulated: kind: scpi",
     "nobody can turn the knobs of a simulated source"),
    (REAL, "schema: 1", "schema: 1\ndevices: simulated", "meter: address takes none with devices: simulated",
     "an address nobody dials"),
    (REAL, ', address: "tcp://127.0.0.1:5020"', "", "meter: address is missing",          "a meter nobody finds"),
    (REAL, "kind: manual", "kind: scpi, profile: simulated", "source: address is missing", "a source nobody finds"),
    (REAL, "schema: 1", "schema: 1\nemergency_stop: {file: /x}", "emergency_stop: a source by hand obeys nobody",
     "a stop that would stop nothing"),
    (REAL, "v_max_v: 280", "v_max_v: 210",   "v_normal_high_v = 255 is above v_max_v = 210", "inside out"),
    (REAL, "tcp://127.0.0.1:5020", "127.0.0.1", "address = 127.0.0.1 is not tcp://HOST:PORT or serial:/dev/NAME",
     "no way to the meter"),
]
# fmt: on


@pytest.mark.parametrize(("text", "old", "new", "line", "why"), WRONG, ids=[w[-1] for w in WRONG])
def test_mistakes(text: str, old: str, new: str, line: str, why: str, tmp_path: Path) -> None:
    assert old in text
    with pytest.raises(RigFileError) as caught:
        load_rig(written(text.replace(old, new), tmp_path))
    assert line in str(caught.value), why


def test_an_unknown_rig_names_the_known_ones() -> None:
    with pytest.raises(RigFileError, match=r"--rig nowhere: no such rig.*known: .*virtual"):
        load_rig("nowhere")
