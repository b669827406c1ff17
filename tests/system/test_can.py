"""Real SocketCAN: a kernel that has it is booted for a few seconds, with this tree in it (Debian: user-mode-linux).

The host's own kernel need not know CAN. What runs in there, and what it shows, is can_guest.py: each of its
tests is one here. The guest sees the host's files, so it runs with this very environment and build.
"""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.need import tool

ROOT = Path(__file__).parents[2]
GUEST = Path(__file__).with_name("can_guest.py")
TESTS = [n.name for n in ast.parse(GUEST.read_text()).body if isinstance(n, ast.FunctionDef) and n.name[:5] == "test_"]
LONGEST_S = 300.0  # 20 on a machine with nothing else to do
# mounts of the guest are its own; the last line but one switches it off
INIT = """\
#!/bin/sh
export PATH={path} HOME={folder}
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev 2>/dev/null
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs shm /dev/shm
cd /usr/lib/uml/modules/$(uname -r)/kernel
for module in net/can/can net/can/can-raw drivers/net/can/dev/can-dev drivers/net/can/vcan \\
    drivers/net/can/slcan/slcan; do insmod $module.ko; done
ip link set lo up
ip link add vcan0 type vcan
ip link set vcan0 up
cd {root}
{python} -m pytest -p no:cacheprovider --color=no --basetemp {folder}/tmp --junitxml {folder}/result.xml {guest}
echo o > /proc/sysrq-trigger
sleep 60
"""


def whole_registers(folder: Path) -> str:
    """The library that lets user-mode Linux run on processors with more registers than it knows."""
    library = folder / "xstate.so"
    source = Path(__file__).with_name("uml_xstate.c")
    subprocess.run([tool("cc", "apt-get install gcc"), "-shared", "-fPIC", "-O2", "-o", library, source], check=True)
    return str(library)


def boot(folder: Path) -> str:
    """Run the guest to its end; what it has printed."""
    kernel = tool("linux.uml", "apt-get install user-mode-linux")
    tool("insmod", "apt-get install kmod")
    tool("ip", "apt-get install iproute2")
    init = folder / "init"
    path = f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    init.write_text(INIT.format(path=path, folder=folder, root=ROOT, python=sys.executable, guest=GUEST))
    init.chmod(0o755)
    guest = subprocess.Popen(
        [kernel, "mem=512M", "rootfstype=hostfs", "rootflags=/", "rw", f"init={init}", "con=null", "con0=null,fd:1",
         "ssl=null", "quiet"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        env={**os.environ, "TMPDIR": str(folder), "LD_PRELOAD": whole_registers(folder)},
    )  # fmt: skip
    try:
        return guest.communicate(timeout=LONGEST_S)[0]
    except subprocess.TimeoutExpired:
        return f"the guest did not end within {LONGEST_S:g} s"
    finally:
        if guest.poll() is None:
            os.killpg(guest.pid, signal.SIGKILL)
            guest.wait()


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[str, str]]]:
    """{test: [(its case, what went wrong or nothing)]}."""
    folder = tmp_path_factory.mktemp("guest")
    said = boot(folder)
    result = folder / "result.xml"
    assert result.exists(), said
    found: dict[str, list[tuple[str, str]]] = {}
    for case in ElementTree.parse(result).iter("testcase"):
        name, _, parameter = case.attrib["name"].partition("[")
        wrong = [f"{problem.tag}: {problem.text}" for problem in case if problem.tag in ("failure", "error", "skipped")]
        found.setdefault(name, []).append((parameter.rstrip("]"), "\n".join(wrong)))
    return found


@pytest.mark.parametrize("name", TESTS)
def test_in_the_guest(name: str, results: dict[str, list[tuple[str, str]]]) -> None:
    assert results.get(name), "the guest has not run it"
    wrong = [f"{case}: {text}" for case, text in results[name] if text]
    assert not wrong, "\n".join(wrong)
