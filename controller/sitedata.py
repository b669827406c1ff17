"""What a site file says, as frozen dataclasses: each key with its unit, range and meaning on one line.

Shapes   Site and its groups; Site.origins {"freq_droop.k_of": Origin} tells derived, profile:line or site:line; a key
         that is not there has its default.
Errors   none here: controller.site reads the file, checks it, and builds these or raises SiteError.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

from controller.errors import InputError
from controller.plantcard import PlantCard
from controller.services.command import COMMANDS
from cython_core.settings import Settings
from drivers.can.link import NAME as CAN_NAME
from drivers.can.link import CanLink
from drivers.modbus.link import BAUD_RATES, PARITIES, Link, SerialLink, TcpLink, UdpLink
from drivers.yamlkeys import (
    REQUIRED,
    choice,
    file_path,
    flag,
    integer,
    keys_of,
    nested,
    never,
    number,
    several,
    text,
    version,
)

SCHEMA = 1
NAME = r"[a-z0-9][a-z0-9-]{0,31}"
HOST_NAME = r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*"
CREDENTIAL = r"/\S.*|[A-Za-z0-9_-][A-Za-z0-9._-]*"
NO_TIMER = "no-own-timer"
SOURCES = ("aggregator", "ems", "home", "operator")
RISKS = ("real-power", "slow-response", NO_TIMER, "unproven-map")
PROFILE_NAME = r"[A-Za-z0-9._-]+"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value comes from; `over` is the place in the profile that the site overrides."""

    kind: str  # "default" | "derived" | "map" | "profile" | "site"
    file: str = ""
    line: int = 0
    over: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.line}" if self.line else self.kind


@dataclass(frozen=True, slots=True, kw_only=True)
class WireSite:
    """Where a device's wire leads: host for Modbus TCP or UDP, serial for RTU; two devices may share one."""

    host: str | None = text("address or host name", None)
    port: int = integer("", 1, 65535, "TCP or UDP port", 502)
    udp: bool = flag("Modbus over UDP, as Victron's energy meters want it", False)
    serial: str | None = text("a serial port like /dev/serial/by-id/NAME", None, r"/\S+")
    baud: int = integer("", BAUD_RATES[0], BAUD_RATES[-1], "characters' rate on the serial port", 9600)
    parity: str = choice(PARITIES, "none, even, odd", "N")
    stop_bits: int = integer("", 1, 2, "stop bits", 1)
    rs485: bool = flag("the kernel switches the transmitter; most adapters do it by themselves", False)
    unit: int = integer("", 0, 255, "Modbus unit", 1)

    @property
    def link(self) -> Link:
        """ValueError: no such line."""
        if self.serial is None:
            return (UdpLink if self.udp else TcpLink)(self.host or "", self.port)
        return SerialLink(self.serial, self.baud, self.parity, self.stop_bits, self.rs485)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterSite(WireSite):
    """The meter and how it is asked. location: whose P and Q it sees; phases: which voltages."""

    map: str = text("name of a register map in drivers/maps/meters")
    location: str = choice(("inverter", "connection"), "at the inverter's terminals, or at the house connection")
    phases: str = choice(("L1", "L1L2L3", "split"), "the wires it measures")
    nth: int | None = integer("", 1, 9, "which of several meters in one SunSpec device, in its order", None)
    poll_ms: int = integer("ms", 5, 5000, "from one reading to the next", 100)
    timeout_ms: int = integer("ms", 5, 5000, "wait for one answer", 300)
    refresh_ms: int = integer("ms", 0, 5000, "how often it has a new value: measure it; default: its map's", 1000)
    round_ms: float = 0.0  # the time on a serial line of all that is asked from one reading to the next
    counters_ms: float = 0.0  # of the longest request for its counters of energy, which comes between two readings


@dataclass(frozen=True, slots=True, kw_only=True)
class InverterSite(WireSite):
    """The inverter and its own timer. reversion_s: without writes for so long it goes to 0 W by itself."""

    can: str | None = text("a SocketCAN interface like can0, instead of host and serial", None, CAN_NAME)
    map: str = text("name of a map in drivers/maps/inverters")
    poll_ms: int = integer("ms", 5, 5000, "from one reading to the next", 200)
    timeout_ms: int = integer("ms", 5, 5000, "wait for one answer", 300)
    reversion_s: int = integer("s", 2, 300, "the inverter's own timer, as short as it allows")
    lag_ms: int = integer("ms", 0, 10000, "from a write to 90 % of the answer: measure it; 500 is assumed", 500)
    round_ms: float = 0.0  # as of the meter
    write_ms: float = 0.0  # of one set-point

    @property
    def wire(self) -> Link | CanLink:
        """`link`, or the CAN interface. ValueError: no such line."""
        return self.link if self.can is None else CanLink(self.can)


@dataclass(frozen=True, slots=True, kw_only=True)
class DepartureSite:
    """When the car must be at default_wish.soc_target_pu, each day."""

    ready_by: str = text("a time of day like 07:30", pattern=r"([01]\d|2[0-3]):[0-5]\d")
    timezone: str = text("the house's time zone, like Europe/Berlin")


def credential(clause: str, default: Any = None) -> Any:
    """A file that only the service reads: a path from the root, or a name in $CREDENTIALS_DIRECTORY."""
    return text(f"{clause}: a path from the root (/...), or a name in systemd's credentials", default, CREDENTIAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSite:
    """Whom we believe, and who we are: PEM files."""

    ca: str = credential("certificates that sign the broker's", REQUIRED)
    certificate: str | None = credential("our certificate")
    key: str | None = credential("the certificate's private key")


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeSite:
    """Who `v2g bridge` is at the broker, where it has rights of its own. An absent credential is as the site's.

    Bridges of one share_group divide the messages among them, if the broker knows $share.
    """

    name: str = text("what the broker and the counters know it by: 1 ... 32 of a-z, 0-9 and -", "v2g-bridge", NAME)
    share_group: str | None = text("a group of bridges that share the load: 1 ... 32 of a-z, 0-9 and -", None, NAME)
    certificate: str | None = credential("the bridge's certificate")
    key: str | None = credential("the certificate's private key")
    user: str | None = text("user name at the broker", None)
    password_file: str | None = credential("a file with the password alone")


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttSite:
    """The broker. The password itself never stands here."""

    host: str = text("address or host name", pattern=HOST_NAME)
    port: int = integer("", 1, 65535, "TCP port; default 8883 with tls", 1883)
    keepalive_s: int = integer("s", 1, 300, "MQTT keep-alive", 10)
    user: str | None = text("user name at the broker", None)
    password_file: str | None = credential("a file with the password alone")
    ack: str = choice(("consumer", "broker"), "delivered is: stored by the bridge, or taken by the broker", "consumer")
    protocol: str = choice(("3.1.1", "5"), "MQTT version; 5 shows when nobody receives", "3.1.1")
    tls: TlsSite | None = None
    bridge: BridgeSite | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSite:
    """Where history is kept; STORE_KEYS says what each kind takes. The secret itself never stands here."""

    kind: str = choice(("sqlite", "influx", "influx1", "victoriametrics"), "the store")
    keep_days: int | None = integer("d", 1, 36500, "how long rows are kept; SQLite: 365 unless told", None)
    sqlite_path: Path | None = field(default=None, metadata=file_path("default STATE_DIR/telemetry.sqlite"))
    max_mb: int | None = integer("MB", 10, 10_000_000, "largest size of the SQLite store; 2000 unless told", None)
    url: str | None = text("an address like http://127.0.0.1:8086", None, r"https?://\S+")
    org: str | None = text("InfluxDB organisation", None, r".+")
    bucket: str | None = text("InfluxDB bucket", None, r".+")
    database: str | None = text("InfluxDB 1 database", None, r'[^"\\]+')
    retention_policy: str | None = text("InfluxDB 1 retention policy", None, r'[^"\\]+')
    token_file: Path | None = field(
        default=None, metadata=file_path("a file that holds the token; for influx1 user:password")
    )


# kind of store: the keys it needs, the keys it may have; keep_days goes with each
STORE_KEYS = {
    "sqlite": ((), ("sqlite_path", "max_mb")),
    "influx": (("url", "org", "bucket", "token_file"), ()),
    "influx1": (("url", "database"), ("retention_policy", "token_file")),
    "victoriametrics": (("url",), ("token_file",)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxSite:
    """What waits until the store has it. Beyond max_rows or max_mb the oldest live frames go, counted."""

    durability: str = choice(("spill", "always"), "live frames reach the disk within 5 s, or each at once", "spill")
    max_rows: int = integer("", 1000, 10_000_000, "live frames that wait on disk: three days of one a second", 300_000)
    max_mb: int = integer("MB", 1, 100_000, "live frames that wait on disk", 800)


@dataclass(frozen=True, slots=True, kw_only=True)
class OscillographySite:
    """Every step around an event, as CSV in STATE_DIR/oscillography; the oldest files go first."""

    enable: bool = flag("keep the samples around trips, ride-through, grid events and fail-safes", True)
    pre_s: float = number("s", 0.1, 10, "samples before the event", 2.0)
    post_s: float = number("s", 0.1, 30, "and after it began", 8.0)
    most_files: int = integer("", 1, 10000, "files kept", 200)
    most_mb: int = integer("MB", 1, 10000, "and their size in all", 100)
    most_per_hour: int = integer("", 1, 3600, "new files, of grid events and of all others each", 30)


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetrySite:
    """How often the unit reports, and to whom."""

    live_s: float = number("s", 0.1, 2.0, "from one live frame to the next", 1.0)
    outbox: OutboxSite = OutboxSite()
    mqtt: MqttSite | None = None
    store: StoreSite | None = None
    oscillography: OscillographySite = OscillographySite()


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteKeySite:
    """One key that signs remote commands. Its bounds only narrow those of `remote`."""

    public_key: str = text("Ed25519, 32 bytes in base64", pattern=r"[A-Za-z0-9+/]{43}=")
    sources: tuple[str, ...] = several(choice(SOURCES, "whose commands it signs"))
    commands: tuple[str, ...] = several(choice(tuple(COMMANDS), "which it signs; default: all", tuple(COMMANDS)))
    max_charge_w: float | None = number("W", 0.0, 1e6, "most charging it may ask for; default: remote's", None)
    max_discharge_w: float | None = number("W", 0.0, 1e6, "most discharging; default: remote's", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteSite:
    """Commands over MQTT, off unless enabled. Whoever sends them, they stay inside these numbers."""

    enable: bool = flag("take commands from the broker", False)
    sources: tuple[str, ...] = several(choice(SOURCES, "who may command", ("home",)))
    max_charge_w: float | None = number("W", 0.0, 1e6, "most charging that may be asked for; default: the rating", None)
    max_discharge_w: float | None = number("W", 0.0, 1e6, "most discharging; default: the rating", None)
    max_age_s: float = number("s", 1.0, 300.0, "between issuing and arriving, by both clocks", 30.0)
    per_minute: int = integer("", 1, 60, "accepted commands a minute", 12)
    turns_per_hour: int = integer("", 1, 3600, "changes between charging and discharging an hour", 12)
    spread_s: float = number("s", 0.0, 900.0, "longest random wait before a wish of the aggregator begins", 30.0)
    unsigned: tuple[str, ...] = several(choice(SOURCES, "whose commands need no signature", ()))
    keys: Mapping[str, RemoteKeySite] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeAssistantSite:
    """Home Assistant finds the unit by itself, at the broker of telemetry.mqtt."""

    enable: bool = flag("announce the unit to Home Assistant", False)
    prefix: str = text("Home Assistant's discovery prefix", "homeassistant", r"[A-Za-z0-9_/-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Everything a site file says."""

    path: Path
    schema: int = version(SCHEMA, "version of this file's shape")
    name: str = text("1 ... 32 of a-z, 0-9 and -", pattern=NAME)
    start_mode: str = choice(("demo", "shadow", "live"), "simulated; computes but never writes; moves real power")
    require_realtime: bool = flag("refuse to start without real-time rights", False)
    period_ms: int = integer("ms", 1, 100, "time of one step", 10)
    profile: str | None = text("a file in config/profiles or /etc/v2g/profiles", None, PROFILE_NAME)
    accept_unverified: str | None = text("the profile's name again, if it is unverified", None, PROFILE_NAME)
    runtime_dir: Path = field(metadata=file_path("ring and restart state; default /run/v2g/NAME"))
    state_dir: Path = field(metadata=file_path("journal and store; default /var/lib/v2g/NAME"))
    profile_note: str = ""
    unverified: str = ""  # the profile's name when it is unverified: everything made from this site says so
    accepted: tuple[str, ...] = ()
    settings: Settings
    meter: MeterSite
    inverter: InverterSite
    telemetry: TelemetrySite
    departure: DepartureSite | None = None
    card: PlantCard | None = None  # what has been measured of its devices
    remote: RemoteSite = field(default_factory=RemoteSite)
    home_assistant: HomeAssistantSite = field(default_factory=HomeAssistantSite)
    origins: dict[str, Origin] = field(default_factory=dict, repr=False, compare=False)

    def where(self, *keys: str) -> str:
        """`file:line` of the first of these keys or groups that stands in a file."""
        file, line = place(self.origins, str(self.path), *keys)
        return f"{file}:{line}"


class SiteError(InputError):
    """A site file, profile or settings file is wrong: its owner must act. One mistake a line.

    site: the site as read, when nothing but a response time is wrong (`v2g check` still prints it).
    """

    def __init__(self, message: str, site: Site | None = None) -> None:
        super().__init__(message)
        self.site = site


def place(origins: dict[str, Origin], file: str, *keys: str) -> tuple[str, int]:
    """File and line of the first of these keys or groups that stands in a file; else the top of the site file."""
    written = (origins[k] for k in keys if k in origins and origins[k].line)
    return next(((o.file, o.line) for o in written), (file, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What a profile file says beside its settings."""

    schema: int = version(SCHEMA, "version of this file's shape", SCHEMA)
    title: str = text("what the profile is", "", r".+")
    note: str = text("what the profile is not", "", r".+")


# the keys with keys of their own, and those that are lists
PROFILE_KEYS = {
    **keys_of(Profile),
    "sources": several(text("where its values come from", (), r".+")).metadata,
    "settings": nested("groups of settings", required=False),
}
SITE_KEYS = {
    **keys_of(Site),
    "i_accept": several(choice(RISKS, "a risk the owner takes in words", ())).metadata,
    "settings": nested("groups of settings", required=False),
    "meter": nested("the meter's own keys; see site.example.yaml"),
    "inverter": nested("the inverter's own keys; see site.example.yaml"),
    "departure": nested("ready_by, timezone", required=False),
    "telemetry": nested("live_s, outbox, mqtt, store, oscillography", required=False),
    "remote": nested("enable, sources, keys and more; see site.example.yaml", required=False),
    "home_assistant": nested("enable, prefix", required=False),
}
TELEMETRY_KEYS = {
    **keys_of(TelemetrySite),
    "outbox": nested("durability, max_rows, max_mb", required=False),
    "mqtt": nested("the broker's own keys", required=False),
    "store": nested("the store's own keys", required=False),
    "oscillography": nested("its own keys", required=False),
}
MQTT_KEYS = {
    **keys_of(MqttSite),
    "tls": nested("ca, certificate, key", required=False),
    "bridge": nested("the bridge's own name, share_group, certificate, key, user, password_file", required=False),
    "password": never("does not stand in this file: put it alone into a file, and name that as password_file"),
}
REMOTE_KEYS = {**keys_of(RemoteSite), "keys": nested("names of keys, each with public_key, sources", required=False)}


def groups(kind: type[Any] = Site, place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], type[Any]]]:
    """Every group of keys in a site file and its place: ((), Site), (("telemetry", "mqtt"), MqttSite) and so on."""
    yield place, kind
    for name, hint in get_type_hints(kind).items():
        for inner in (hint, *get_args(hint)):
            if is_dataclass(inner) and isinstance(inner, type) and inner.__module__ == __name__ and inner is not Origin:
                yield from groups(inner, (*place, name))
