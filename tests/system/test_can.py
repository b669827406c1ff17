"""Real SocketCAN: a kernel that has it is booted for a few seconds, with this tree in it (Debian: user-mode-linux).

The host's own kernel need not know CAN. What runs in there, and what it shows, is can_guest.py: each of its
tests is one here. The guest sees the host's files, so it runs with this very environment and build.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.need import tool
from tests.system import uml
from tests.system.guests import Results, assert_passed, names_of_tests, results_of

ROOT = Path(__file__).parents[2]
GUEST = Path(__file__).with_name("can_guest.py")
TESTS = names_of_tests(GUEST)
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
for module in net/can/can net/can/can-raw drivers/net/can/dev/can-dev drivers/net/can/slcan/slcan \\
    net/sched/sch_plug; do insmod $module.ko; done
insmod drivers/net/can/vcan.ko echo=1  # as adapters do: our frames come back when they leave the queue, not before
ip link set lo up
ip link add vcan0 type vcan
ip link set vcan0 up
cd {root}
{python} -m pytest -p no:cacheprovider --color=no --basetemp {folder}/tmp --junitxml {folder}/result.xml {guest}
echo o > /proc/sysrq-trigger
sleep 60
"""


def boot(folder: Path) -> str:
    """Run the guest to its end; what it has printed."""
    tool("insmod", "apt-get install kmod")
    tool("ip", "apt-get install iproute2")
    init = folder / "init"
    path = f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    init.write_text(INIT.format(path=path, folder=folder, root=ROOT, python=sys.executable, guest=GUEST))
    init.chmod(0o755)
    return uml.boot(folder, Path("/"), str(init))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = tmp_path_factory.mktemp("guest")
    said = boot(folder)
    return results_of(folder / "result.xml", said)


@pytest.mark.parametrize("name", TESTS)
def test_in_the_guest(name: str, results: Results) -> None:
    assert_passed(results, name)
