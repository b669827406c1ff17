"""Rig files: the unit's nameplate and what stands behind each port, in virtual time or on real wires.

    schema: 1
    name: bench-3
    time: real                  # virtual: everything is simulated, nothing below but eut and unit
    eut: {name: ..., ...}       # plan.Eut
    unit: {kind: ..., ...}      # what is tested, and how it is reached
    settings: {limits: {...}}   # of the unit, beside its nameplate and what a case writes; optional
    source: {kind: scpi, ...}   # drivers.gridsource.spec.SourceSpec
    meter: {map: ..., ...}      # the bench's own meter, by a map of drivers/maps
    envelope: {v_max_v: ...}    # hard limits, drivers.gridsource.envelope.Envelope
    emergency_stop: {file: ...} # an input line that the guard looks at; optional
    devices: simulated          # source, meter and the unit's devices are started by the bench; without addresses

Errors   RigFileError: every mistake of the file, one line each. The rig's owner must act.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from controller.bench.plan import Eut, Value
from controller.bench.rigcheck import check_groups
from controller.bench.unitsettings import grouped, rating_of
from controller.configfiles import USER_FILES, available
from controller.errors import InputError
from cython_core.quantities import SettingError
from cython_core.settings import Settings
from drivers.gridsource.envelope import Envelope
from drivers.gridsource.estop import LineStop
from drivers.gridsource.spec import SourceSpec
from drivers.yamlfile import Leaf, Problems, Section, read_yaml
from drivers.yamlkeys import Meta, choice, integer, keys_of, nested, number, read_values, text, version

if TYPE_CHECKING:
    from controller.bench.between import Between

FOLDER = "rigs"
ADDRESS = r"(tcp://[^\s:]+:[0-9]+|serial:/\S+)"
WORDS = r".*\S.*"
# what each key of plan.Eut may be; its defaults are those of the dataclass
EUT_RANGES: dict[str, tuple[str, float, float, str]] = {
    "v_nom_v": ("V", 100.0, 480.0, "phase to neutral"),
    "f_nom_hz": ("Hz", 50.0, 60.0, "nominal frequency"),
    "p_rated_w": ("W", 100.0, 1e6, "rated discharge power"),
    "p_charge_rated_w": ("W", 0.0, 1e6, "rated charge power, a magnitude; 0: it cannot charge"),
    "s_rated_va": ("VA", 100.0, 1e6, "rated apparent power"),
    "q_inject_var": ("var", 0.0, 1e6, "nameplate Q, injected"),
    "q_absorb_var": ("var", 0.0, 1e6, "nameplate Q, absorbed, a magnitude"),
    "p_min_w": ("W", 0.0, 1e6, "smallest discharge it can hold"),
    "p_charge_min_w": ("W", 0.0, 1e6, "smallest charging it can hold, a magnitude"),
    "v_low_pu": ("pu", 0.5, 1.0, "lowest voltage of continuous operation"),
    "v_high_pu": ("pu", 1.0, 1.5, "highest voltage of continuous operation"),
    "f_low_hz": ("Hz", 40.0, 60.0, "lowest frequency of continuous operation"),
    "f_high_hz": ("Hz", 50.0, 70.0, "highest frequency of continuous operation"),
    "dp_small_pu": ("pu", 0.001, 1.0, "smallest step of power that is measured for response times"),
    "dp_large_pu_min": ("pu/min", 0.01, 100.0, "largest change of power in a minute"),
}
EUT_WORDS: dict[str, Any] = {
    "name": text("its name", pattern=WORDS),
    "phases": integer("", 1, 3, "1, 2 or 3"),
    "normal_category": choice(("A", "B"), "1547-2018 1.4"),
    "abnormal_category": choice(("I", "II", "III"), "1547-2018 1.4"),
}


class RigFileError(InputError):
    """A rig file is wrong: one mistake a line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitSpec:
    """`unit:` of a rig file. dead_s, lag_s: of the inverter where that is simulated."""

    kind: str = choice(
        ("core", "controller", "inverter"),
        "core: the compiled step alone; controller: `v2g run` of a site; inverter: its own functions, by SunSpec",
    )
    site: str = text("path of the site file, for kind controller", "", r"\S+")
    address: str = text("tcp://HOST:PORT or serial:/dev/NAME, for kind inverter on wires", "", ADDRESS)
    unit: int = integer("", 0, 247, "Modbus unit of that inverter", 1)
    timeout_ms: int = integer("ms", 10, 10000, "of one answer of it", 1000)
    baud: int = integer("baud", 1200, 1000000, "serial line", 9600)
    parity: str = choice(("N", "E", "O"), "serial line", "N")
    dead_s: float = number("s", 0.0, 10.0, "until a simulated inverter hears a set-point", 0.0)
    lag_s: float = number("s", 0.0, 10.0, "time constant of a simulated inverter", 0.01)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterSpec:
    """`meter:` of a rig file."""

    map: str = text("name of a meter map, see `v2g scan`")
    address: str = text("tcp://HOST:PORT or serial:/dev/NAME", "", ADDRESS)
    unit: int = integer("", 0, 247, "Modbus unit", 1)
    timeout_ms: int = integer("ms", 10, 10000, "of one answer", 500)
    baud: int = integer("baud", 1200, 1000000, "serial line", 9600)
    parity: str = choice(("N", "E", "O"), "serial line", "N")


@dataclass(frozen=True, slots=True, kw_only=True)
class StopSpec:
    """`emergency_stop:` of a rig file: an input line, asked every 20 ms. A file that cannot be read is pressed."""

    file: str = text("shows the line's state, like /sys/class/gpio/gpio17/value", pattern=r"\S+")
    free: str = text("what stands in it while not pressed", "1", r"\S+")

    def line(self) -> LineStop:
        return LineStop(Path(self.file), self.free)


@dataclass(frozen=True, slots=True, kw_only=True)
class RigHead:
    """The keys of a rig file beside its groups."""

    schema: int = version(1, "version of this file's shape")
    name: str = text("a word for the front page", pattern=r"[A-Za-z0-9_.-]+")
    time: str = choice(("virtual", "real"), "virtual: all simulated, as fast as it goes; real: wires and wall clock")
    devices: str = choice(("wired", "simulated"), "simulated: the bench starts its own, over real sockets", "wired")


@dataclass(frozen=True, slots=True)
class RigFile:
    """One rig. source, meter, envelope, emergency_stop: of a rig in real time, else None."""

    path: Path
    name: str
    time: str
    eut: Eut
    unit: UnitSpec
    settings: Mapping[str, Value] = field(default_factory=dict)  # {"limits.ramp_pu_s": 10.0}
    source: SourceSpec | None = None
    meter: MeterSpec | None = None
    envelope: Envelope | None = None
    emergency_stop: StopSpec | None = None
    devices: str = "wired"
    between: Between | None = None  # of devices that the bench has started: what can be spoiled; stands in no file


def eut_keys() -> dict[str, Meta]:
    """A number has the default of plan.Eut; one without is required."""
    keys: dict[str, Meta] = {}
    for known in fields(Eut):
        if known.name in EUT_WORDS:
            keys[known.name] = EUT_WORDS[known.name].metadata
        else:
            unit, low, high, clause = EUT_RANGES[known.name]
            required = known.default is MISSING
            keys[known.name] = {
                "kind": "float", "unit": unit, "low": low, "high": high, "clause": clause, "required": required,
            }  # fmt: skip
    return keys


EUT_KEYS = eut_keys()
OF_REAL: dict[str, type[Any]] = {
    "source": SourceSpec, "meter": MeterSpec, "envelope": Envelope, "emergency_stop": StopSpec,
}  # fmt: skip
GROUPS: dict[str, type[Any]] = {"unit": UnitSpec, **OF_REAL}
KEYS: dict[str, Meta] = {
    **keys_of(RigHead),
    "eut": nested("nameplate of the unit under test"),
    "unit": nested("what is tested"),
    "settings": nested("group: {key: value} of the unit", required=False),
    **{name: nested(f"of a rig in real time: {name}", required=False) for name in OF_REAL},
}


def load_rig(name: str) -> RigFile:
    """A rig by its name, or the path of a file. RigFileError lists every mistake."""
    known = available(FOLDER)
    path = Path(name) if "/" in name or name.endswith((".yaml", ".yml")) else known.get(name)
    if path is None:
        raise RigFileError(
            f"--rig {name}: no such rig, in the program or in {USER_FILES / FOLDER}; known: {', '.join(known)}, "
            "or a path"
        )
    problems = Problems(str(path))
    tree = read_yaml(path, problems)
    found = rig_of(path, tree, problems) if tree.entries else None
    if problems or found is None:
        raise RigFileError("\n".join(problems.lines()))
    return found


def load_eut(name: str) -> Eut:
    """The `eut:` group of a rig file, or of a file that holds nothing else."""
    path = available(FOLDER).get(name, Path(name))
    problems = Problems(str(path))
    entry = read_yaml(path, problems).entries.get("eut")
    eut = read_eut(entry, problems) if isinstance(entry, Section) else None
    if not problems and eut is None:
        problems.add(0, "missing key 'eut': nameplate of the unit under test")
    if problems or eut is None:
        raise RigFileError("\n".join(problems.lines()))
    return eut


def rig_of(path: Path, tree: Section, problems: Problems) -> RigFile | None:
    """None, or half a rig, when there are problems."""
    top = read_values(KEYS, tree, problems)
    eut = read_eut(top["eut"][0], problems) if "eut" in top else None
    groups = {name: group_of(kind, name, top[name][0], problems) for name, kind in GROUPS.items() if name in top}
    check_groups(top, groups, problems)
    settings = read_settings(top["settings"][0], eut, problems) if "settings" in top and eut is not None else {}
    if problems or eut is None:
        return None
    devices = top["devices"][0] if "devices" in top else "wired"
    return RigFile(path, top["name"][0], top["time"][0], eut, settings=settings, devices=devices, **groups)


def read_settings(section: Section, eut: Eut, problems: Problems) -> dict[str, Value]:
    """Names and ranges are the core's own."""
    found: dict[str, Value] = {}
    for group, entry in section.entries.items():
        if not isinstance(entry, Section):
            problems.add(entry.line, f"settings: {group} needs its keys below it, indented")
            continue
        for key, leaf in entry.entries.items():
            if isinstance(leaf, Leaf) and isinstance(leaf.value, (int, float, str)) and leaf.kind != "wrong":
                found[f"{group}.{key}"] = leaf.value
            else:
                problems.add(leaf.line, f"settings: {group}.{key} takes one number, word, true or false")
    try:
        Settings.from_mapping(grouped({**rating_of(eut), **found}))
    except SettingError as error:
        problems.add(section.line, f"settings: {error}")
    return found


def group_of(kind: type[Any], name: str, section: Section, problems: Problems) -> Any:
    before = len(problems)
    values = {key: value for key, (value, _) in read_values(keys_of(kind), section, problems, name).items()}
    return kind(**values) if len(problems) == before else None


def read_eut(section: Section, problems: Problems) -> Eut | None:
    before = len(problems)
    values: Mapping[str, tuple[Any, int]] = read_values(EUT_KEYS, section, problems, "eut")
    if len(problems) > before:
        return None
    eut = Eut(**{key: value for key, (value, _) in values.items()})
    if eut.f_nom_hz not in (50.0, 60.0):
        problems.add(values["f_nom_hz"][1], f"f_nom_hz = {eut.f_nom_hz:g} is neither 50 nor 60 Hz")
    if not eut.f_low_hz < eut.f_nom_hz < eut.f_high_hz:
        text_ = f"f_low_hz = {eut.f_low_hz:g} and f_high_hz = {eut.f_high_hz:g} do not lie around {eut.f_nom_hz:g} Hz"
        problems.add(section.line, f"{text_}: at 50 Hz both must be given")
    return eut
