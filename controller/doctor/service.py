"""What a host lacks for services that start with the board: program, units, user, devices, secrets. Reads files only.

Source   systemd.unit(5): where units and their drop-ins are looked for; udev(7) and sysusers.d(5) likewise.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from controller.certs import FOLDER as TLS_FOLDER
from controller.doctor.answers import Answers
from controller.doctor.finding import COMMAND, SHORT, UNKNOWN, Finding, Host, Mend
from controller.site import Site
from controller.sitedata import TlsSite
from cython_core.realtime.host import GRANT_FIFO, GRANT_IDLE, GRANT_MEMORY

USER = "v2g"
SERVICES = ("v2g", "v2g-telemetry")
BRIDGE = "v2g-bridge"  # on one machine for many sites
SITE_FILE = "/etc/v2g/site.yaml"
CREDENTIALS = "/etc/v2g/credentials"
FOLDERS = ("/etc", "/usr/local/lib", "/usr/lib", "/lib")  # the first that has a file of this name wins
INSTALL = Mend("as a command, in the folder of the sources", "sudo make install")
NAMES = {  # of systemd.resource-control(5)
    "localhost": ("127.0.0.0/8", "::1/128"),
    "link-local": ("169.254.0.0/16", "fe80::/64"),
    "any": ("0.0.0.0/0", "::/0"),
}
Unit = dict[str, list[str]]


def services(host: Host, answers: Answers, site: Site | None) -> list[Finding]:
    """Every check, in the order of the page. site: the one that the services run, if it can be read."""
    units = {name: unit_of(host, name) for name in SERVICES}
    found = [installed(host, name, unit) for name, unit in units.items()]
    found += [program(host, units), user(host), udev_rules(host), site_file(host), credentials(host)]
    core = units["v2g"]
    if site and site.telemetry.mqtt and site.telemetry.mqtt.tls:
        found.append(certificates(host, site.telemetry.mqtt.tls))
    if core:
        found.append(limits(core))
    if core and site and site.inverter.can:
        found.append(can_sockets(core))
    if core and site:
        devices = {"meter": site.meter.host, "inverter": site.inverter.host}
        found += [reach(answers, "v2g", core, role, name) for role, name in devices.items() if name]
    units |= {BRIDGE: unit_of(host, BRIDGE) if enabled(host, BRIDGE) else None}
    for name, role, server in servers(site) if site else ():
        if unit := units[name]:
            found.append(reach(answers, name, unit, role, server))
    return found


def servers(site: Site) -> Iterator[tuple[str, str, str]]:
    """(unit, role, host): what telemetry and bridge connect to."""
    mqtt, store = site.telemetry.mqtt, site.telemetry.store
    url = urlsplit(store.url).hostname if store and store.url else None
    if mqtt:
        yield from ((name, "broker", mqtt.host) for name in ("v2g-telemetry", BRIDGE))
    if url:
        yield BRIDGE if mqtt else "v2g-telemetry", "store", url


def unit_of(host: Host, name: str) -> Unit | None:
    """{key: its values in order} of a unit with its drop-ins; an empty value forgets the others. None: no such unit."""
    places = [f"{folder}/systemd/system/{name}.service" for folder in FOLDERS]
    place = next((p for p in places if host.has(p)), None)
    if place is None:
        return None
    texts = [host.text(place), *(text for p in places for text in host.texts(f"{p}.d/*.conf"))]
    found: Unit = {}
    for line in (line.strip() for text in texts for line in text.splitlines()):
        key, equals, value = line.partition("=")
        if equals and not line.startswith(("#", ";")):
            found[key] = [*found.get(key, []), value] if value else []
    return found


def newest(unit: Unit, key: str) -> str:
    return next(reversed(unit.get(key, [])), "")


def words(unit: Unit, key: str) -> list[str]:
    """Of a key whose lines add up."""
    return " ".join(unit.get(key, [])).split()


def installed(host: Host, name: str, unit: Unit | None) -> Finding:
    """Known to systemd, and wanted at boot."""
    if unit is None:
        return Finding("unit", "not installed", SHORT, "Nothing starts with the board.", (INSTALL,), name)
    if enabled(host, name):
        return Finding("unit", "installed, starts with the board", of=name)
    mend = Mend(COMMAND, f"sudo systemctl enable --now {name}")
    return Finding("unit", "installed, not enabled", SHORT, "It does not start with the board.", (mend,), name)


def enabled(host: Host, name: str) -> bool:
    """Wanted at boot."""
    return any(host.has(f"{folder}/systemd/system/multi-user.target.wants/{name}.service") for folder in FOLDERS)


def program(host: Host, units: dict[str, Unit | None]) -> Finding:
    """What the units start."""
    paths = sorted({newest(unit, "ExecStart").partition(" ")[0] for unit in units.values() if unit})
    absent = [path for path in paths if not host.has(path)]
    if not paths:
        return Finding("program", "no unit names one", UNKNOWN)
    if not absent:
        return Finding("program", ", ".join(paths))
    return Finding("program", f"{', '.join(absent)} is not there", SHORT, "The units start nothing.", (INSTALL,))


def user(host: Host) -> Finding:
    """The services' user, and its group for serial ports."""
    if not any(line.startswith(f"{USER}:") for line in host.text("/etc/passwd").splitlines()):
        mend = Mend(COMMAND, "sudo systemd-sysusers")
        return Finding("user", f"there is no {USER}", SHORT, "The units cannot start as it.", (mend,))
    members = {row[0]: row[3].split(",") for row in map(columns, host.text("/etc/group").splitlines()) if len(row) > 3}
    if USER in members.get("dialout", []):
        return Finding("user", f"{USER}, in the group dialout")
    mend = Mend(COMMAND, f"sudo usermod -aG dialout {USER}")
    return Finding("user", f"{USER}, not in the group dialout", SHORT, "It cannot open serial ports.", (mend,))


def columns(line: str) -> list[str]:
    return line.split(":")


def udev_rules(host: Host) -> Finding:
    """The rule for idle states stands for the file that has all of them."""
    texts = {f: host.texts(f"{f}/udev/rules.d/*.rules") for f in FOLDERS}
    if any(GRANT_IDLE in text for found in texts.values() for text in found):
        return Finding("udev-rules", "the rule for idle states is there")
    why = "Idle states cannot be held off, and FTDI adapters hold the end of each answer back."
    return Finding("udev-rules", "the rule for idle states is not there", SHORT, why, (INSTALL,))


def site_file(host: Host) -> Finding:
    """What the units run."""
    if host.has(SITE_FILE):
        return Finding("site-file", SITE_FILE)
    mend = Mend(COMMAND, f"sudo cp /etc/v2g/site.example.yaml {SITE_FILE}")
    return Finding("site-file", f"{SITE_FILE} is not there", SHORT, "The services have nothing to run.", (mend,))


def credentials(host: Host) -> Finding:
    """Readable by root alone: systemd hands each service its own copy."""
    folder = host.path(CREDENTIALS)
    try:
        files = [folder, *sorted(folder.iterdir())]
        open_ones = [path for path in files if path.stat().st_mode & 0o077]
    except FileNotFoundError:
        mend = Mend(COMMAND, "sudo systemd-tmpfiles --create")
        return Finding("credentials", f"{CREDENTIALS} is not there", SHORT, "Telemetry does not start.", (mend,))
    except PermissionError:
        return Finding("credentials", f"{CREDENTIALS}: only root may look into it, as it should be")
    if not open_ones:
        return Finding("credentials", f"{CREDENTIALS}: {len(files) - 1} files, for root alone")
    names = ", ".join(f"/{path.relative_to(host.root)}" for path in open_ones)
    mend = Mend(COMMAND, f"sudo chmod -R go= {CREDENTIALS}")
    return Finding("credentials", f"others may read {names}", SHORT, "A secret that others know is none.", (mend,))


def certificates(host: Host, tls: TlsSite) -> Finding:
    """Where a renewal is seen, and readable to the service."""
    names = {field: str(getattr(tls, field)) for field in ("ca", "certificate", "key") if getattr(tls, field)}
    copied = {field: name for field, name in names.items() if not name.startswith("/")}
    if copied:
        where = f"in {SITE_FILE}, below tls, with the file put there"
        mend = [Mend(where, f"{field}: {TLS_FOLDER}/{name.removeprefix('v2g_')}") for field, name in copied.items()]
        what = f"{', '.join(copied.values())}: handed over when the service starts"
        return Finding("certificates", what, SHORT, "A renewed one is not seen before a restart.", tuple(mend))
    try:
        closed = [name for name in names.values() if not readable(host, name)]
    except OSError as error:
        return Finding("certificates", f"{error.filename}: {error.strerror}", UNKNOWN)
    if not closed:
        return Finding("certificates", f"{', '.join(names.values())}: {USER} can read them")
    lines = [Mend(COMMAND, f"sudo {do} {name}") for name in closed for do in (f"chgrp {USER}", "chmod 640")]
    return Finding("certificates", f"{USER} cannot read {', '.join(closed)}", SHORT, "It cannot connect.", tuple(lines))


def readable(host: Host, name: str) -> bool:
    """To the services' user. Raises OSError."""
    found = host.path(name).stat()
    ids = next((c[2:4] for c in map(columns, host.text("/etc/passwd").splitlines()) if c[0] == USER), ["", ""])
    mine = [str(found.st_uid), str(found.st_gid)]
    if mine[0] == ids[0]:
        return bool(found.st_mode & 0o400)
    return bool(found.st_mode & (0o040 if mine[1] == ids[1] else 0o004))


def limits(unit: Unit) -> Finding:
    """Real-time rights, the watchdog, and no end to restarts."""
    wanted = (GRANT_FIFO, GRANT_MEMORY, "Type=notify", "WatchdogSec=2", "Restart=always", "StartLimitIntervalSec=0")
    absent = [line for line in wanted if newest(unit, line.partition("=")[0]) != line.partition("=")[2]]
    if not absent:
        return Finding("unit-lines", "real-time rights, watchdog and restarts are as they should be", of="v2g")
    why = "Real time, or coming back by itself, is not granted."
    mend = tuple(Mend("by sudo systemctl edit v2g, below " + section(line), line) for line in absent)
    return Finding("unit-lines", f"without {', '.join(absent)}", SHORT, why, mend, "v2g")


def section(line: str) -> str:
    return "[Unit]" if line.startswith("StartLimit") else "[Service]"


def can_sockets(unit: Unit) -> Finding:
    """A family of sockets that most sites do not need."""
    if "AF_CAN" in words(unit, "RestrictAddressFamilies") or not words(unit, "RestrictAddressFamilies"):
        return Finding("can-sockets", "allowed", of="v2g")
    mend = Mend("by sudo systemctl edit v2g, below [Service]", "RestrictAddressFamilies=AF_CAN")
    return Finding("can-sockets", "not allowed by the unit", SHORT, "The inverter cannot be reached.", (mend,), "v2g")


def reach(answers: Answers, name: str, unit: Unit, role: str, device: str) -> Finding:
    """Whether the unit's own firewall lets an address through. The core is never opened to all of them."""
    address, of = answers.address(device), f"{name} {role} {device}"
    if not address:
        return Finding("unit-network", "nobody knows this name", UNKNOWN, of=of)
    if "any" not in words(unit, "IPAddressDeny") or any(ip_address(address) in net for net in networks(unit)):
        return Finding("unit-network", "let through", of=of)
    by_name = name != "v2g" and device != address
    why = "The unit does not let it through." + by_name * " What a name stands for may change: any."
    mend = Mend(f"by sudo systemctl edit {name}, below [Service]", f"IPAddressAllow={'any' if by_name else address}")
    return Finding("unit-network", f"{address} is outside private networks", SHORT, why, (mend,), of)


def networks(unit: Unit) -> Iterator[IPv4Network | IPv6Network]:
    """What the unit lets through."""
    for word in words(unit, "IPAddressAllow"):
        for text in NAMES.get(word, (word,)):
            yield ip_network(text, strict=False)
