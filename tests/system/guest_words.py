"""What the tests inside a guest share: the simulated house, words of systemd, and a probe of what a unit may do."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from controller.processes import Family
from drivers.sim.bar import Bar

READY_S = 60.0  # bounds for a broken build, not figures
REVERSION_S = 3
CHARGE_W, SMALL_W = 1400.0, 70.0
SITE_FILE = Path("/etc/v2g/site.yaml")
RUN, STATE = Path("/run/v2g/house"), Path("/var/lib/v2g/house")
SITE = f"""\
schema: 1
name: house
start_mode: demo
profile: ieee1547-2018-cat-b-iii
meter: {{map: eastron-sdm630, host: 127.0.0.1, port: 5020, location: inverter, phases: L1,
         poll_ms: 50, timeout_ms: 100, refresh_ms: 100}}
inverter: {{map: sunspec-7xx, host: 127.0.0.1, port: 5021, poll_ms: 100, timeout_ms: 200, reversion_s: {REVERSION_S},
            lag_ms: 300}}
settings:
  rating: {{v_nom_v: 240}}
  limits: {{ramp_pu_s: 0.2}}
  default_wish: {{charge_w: {CHARGE_W}, soc_target_pu: 0.9}}
"""


class House:
    """The simulated devices, and what the plant says."""

    def __init__(self, folder: Path) -> None:
        self.family, self.bar = Family(folder / "logs"), Bar(folder / "bar")
        self.folder = folder
        (folder / "grid.csv").write_text("t_s,f_hz\n0,60\n3600,60\n")

    def start(self, name: str, *options: str) -> None:
        beat = {"grid": "grid_s", "meter": "meter_s", "inverter": "unit_s"}[name]
        before = self.bar.get(beat)
        self.family.start(name, "drivers.sim.server", name, "--bar", str(self.folder / "bar"), *options)
        wait_for(lambda: self.bar.get(beat) > before, READY_S, name)

    def start_inverter(self) -> None:
        self.start("inverter", "--port", "5021", "--v-nom", "240")

    def start_all(self) -> None:
        SITE_FILE.write_text(SITE)
        self.start_devices()

    def start_devices(self) -> None:
        self.start("grid", "--trace", str(self.folder / "grid.csv"), "--v-nom", "240")
        self.start("meter", "--port", "5020")
        self.start_inverter()

    def charges(self, watts: float = CHARGE_W) -> bool:
        return abs(self.bar.get("p_w") + watts) < SMALL_W

    def rests(self) -> bool:
        return abs(self.bar.get("p_w")) < SMALL_W


@contextmanager
def simulated(folder: Path) -> Iterator[House]:
    """Devices that run, and the site file that names them; at the end all services are stopped."""
    house = House(folder)
    house.start_all()
    yield house
    systemctl("stop", "v2g", "v2g-telemetry")
    house.family.stop()


# ---- words of systemd ----


def systemctl(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemctl", *words], capture_output=True, text=True, timeout=120, check=False)


def of(unit: str, name: str) -> str:
    return systemctl("show", unit, "--value", f"--property={name}").stdout.strip()


def pid(unit: str = "v2g") -> int:
    """Of its main process, which must be there: a signal to 0 would go to ourselves."""
    found = int(of(unit, "MainPID"))
    assert found > 0, said(unit)
    return found


def said(unit: str = "v2g") -> str:
    return subprocess.run(
        ["journalctl", "--unit", unit, "--output=cat", "--no-pager"], capture_output=True, text=True, check=True
    ).stdout


def wait_for(claim: Callable[[], bool], seconds: float, what: str, unit: str = "v2g") -> None:
    end = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < end, (
            f"{what}: not within {seconds:g} s\n{systemctl('status', unit).stdout}{said(unit)}"
        )
        time.sleep(0.02)


def active(unit: str = "v2g") -> bool:
    return of(unit, "ActiveState") == "active"


# ---- what a unit may do ----

PROBE = """\
import ctypes, json, os, socket, sys, time
found = {}
def attempt(name, act):
    try:
        found[name] = act() or "done"
    except OSError as error:
        found[name] = os.strerror(error.errno) if error.errno else str(error)
def write(path):
    with open(path, "a") as file:
        file.write("x")
def call(name, *arguments):
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) == -1:
        raise OSError(ctypes.get_errno(), name)
for path in sys.argv[1].split(","):
    attempt("write " + path, lambda: write(path))
for family in ("AF_PACKET", "AF_NETLINK", "AF_CAN", "AF_ALG", "AF_INET"):
    kind = socket.SOCK_STREAM if family == "AF_INET" else socket.SOCK_RAW
    protocol = socket.CAN_RAW if family == "AF_CAN" else 0
    attempt(family, lambda: socket.socket(getattr(socket, family), kind, protocol).close())
attempt("read credentials", lambda: os.listdir("/etc/v2g/credentials") and None)
attempt("set clock", lambda: time.clock_settime(time.CLOCK_REALTIME, time.time()))
attempt("ask for the clock", lambda: call("adjtimex", ctypes.create_string_buffer(512)))
attempt("mount", lambda: call("mount", b"none", b"/tmp", b"tmpfs", 0, None))
attempt("chroot", lambda: os.chroot("/tmp"))
attempt("become root", lambda: os.setuid(0))
attempt("signal process 1", lambda: os.kill(1, 0))
attempt("new namespace", lambda: call("unshare", 0x10000000))
attempt("machine code in memory", lambda: __import__("mmap").mmap(-1, 4096, prot=7).close())
folder = os.environ.get("CREDENTIALS_DIRECTORY")
found["secret"] = open(folder + "/v2g_mqtt.password").read() if folder else None
with open(sys.argv[2], "w") as file:
    json.dump(found, file)
"""
CLOSED = (
    "/etc/v2g/site.yaml", "/opt/v2g/x", "/usr/local/x", "/root/x", "/var/log/x", "/var/tmp/../x", "/boot/x",
    "/proc/sys/kernel/hostname", "/sys/kernel/uevent_helper", "/run/x", "/dev/mem", "/dev/kmsg",
)  # fmt: skip
SECRET = "a-secret\n"
CAN_DROP_IN = "RestrictAddressFamilies=AF_CAN"  # of can.conf


def probed(unit: str, more: str = "") -> dict[str, str | None]:
    """What a program of ours could do, started by this very unit but for its name. more: a line of a drop-in."""
    answer, name = Path("/var/lib/v2g/probe.json"), f"probe-{unit}"
    Path("/opt/v2g/probe.py").write_text(PROBE)
    Path("/etc/v2g/credentials/mqtt.password").write_text(SECRET)
    answer.unlink(missing_ok=True)
    lines = Path(f"/usr/local/lib/systemd/system/{unit}.service").read_text().splitlines()
    other = ("ExecStart=", "ExecStopPost=", "Type=", "Restart=", "WatchdogSec=", "NotifyAccess=")
    kept = [line for line in lines if not line.startswith(other)]
    kept.insert(kept.index("[Service]") + 1, f"Type=oneshot\nExecStart=/opt/v2g/current/bin/python /opt/v2g/probe.py "
                f"{','.join(CLOSED)},/run/v2g/probe,/var/lib/v2g/probe {answer}\n")  # fmt: skip
    Path(f"/run/systemd/system/{name}.service").write_text("\n".join([*kept, "[Service]", more, ""]))
    systemctl("daemon-reload")
    done = systemctl("start", name)
    assert done.returncode == 0, done.stderr + said(name)
    found: dict[str, str | None] = json.loads(answer.read_text())
    return found
