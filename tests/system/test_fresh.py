"""A fresh machine: a Debian with git and make alone, the two commands of the README, nothing else typed.

Nightly: packages, compiler, demonstration and the whole suite. The transcript is kept beside the systems in $V2G_CACHE.
It needs the network as this machine has it: its name servers, its certificates, its proxies.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.need import tool
from tests.system import roots

pytestmark = pytest.mark.nightly
LONGEST_S = 3600.0
OF_THE_NETWORK = re.compile("(https?|no|all)_proxy|SSL_CERT_FILE|PIP_CERT", re.IGNORECASE)
FILES = ("etc/resolv.conf", "etc/ssl/certs/ca-certificates.crt")


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its home: /root/v2g, as after git clone."""
    root = roots.copy_of(roots.base("git,make,ca-certificates"), tmp_path_factory.mktemp("fresh") / "root")
    for name in FILES:
        source = Path("/", name)
        if source.is_dir():
            shutil.copytree(source, root / name, dirs_exist_ok=True)
        elif source.exists():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, root / name)
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n")  # an installer's, not the base system's
    roots.copy_sources(root / "root/v2g")
    return root


INSIDE = """
mount --rbind /dev {root}/dev
mount --bind /sys {root}/sys
mount -t proc proc {root}/proc
mount -t tmpfs tmpfs {root}/run
exec chroot {root} /bin/sh -c 'cd /root/v2g && {command}'
"""


def typed(machine: Path, command: str) -> str:
    """One line in that machine, as a root with all rights; everything it says goes to the transcript."""
    known = {name: text for name, text in os.environ.items() if OF_THE_NETWORK.fullmatch(name)}
    alone = [tool("unshare", "apt-get install util-linux"), "--mount", "--pid", "--fork", "--kill-child"]
    done = subprocess.run(
        [*alone, "/bin/sh", "-euc", INSIDE.format(root=machine, command=command)],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8", **known},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=LONGEST_S,
        start_new_session=True, check=False,
    )  # fmt: skip
    with (roots.CACHE / "fresh-machine.txt").open("a") as transcript:
        transcript.write(f"# {command}\n{done.stdout}# exit code {done.returncode}\n\n")
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


def test_make_demo_and_make_test_are_all_it_takes(machine: Path) -> None:
    (roots.CACHE / "fresh-machine.txt").write_text("")
    said = typed(machine, "make demo")
    assert "report: " in said
    said = typed(machine, "make test")
    assert re.search(r"\d+ passed", said)
    assert not re.search(r"\d+ (failed|error)", said)
