"""User-mode Linux: a kernel as a program of ours, with CAN, real-time rights and locked memory whatever the host has.

Debian: user-mode-linux. It sees the host's files (hostfs) and nothing of its network.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.need import tool
from tests.system.guests import run_guest

LONGEST_S = 300.0  # 20 to 60 on a machine with nothing else to do


def whole_registers(folder: Path) -> str:
    """The library that lets user-mode Linux run on processors with more registers than it knows."""
    library = folder / "xstate.so"
    source = Path(__file__).with_name("uml_xstate.c")
    subprocess.run([tool("cc", "apt-get install gcc"), "-shared", "-fPIC", "-O2", "-o", library, source], check=True)
    return str(library)


def boot(folder: Path, root: Path, init: str, *parameters: str) -> str:
    """Run the guest to its end; what it has printed. init: a path below root; parameters: more of the kernel's line."""
    kernel = tool("linux.uml", "apt-get install user-mode-linux")
    command = [kernel, "mem=512M", "rootfstype=hostfs", f"rootflags={root}", "rw", f"init={init}", "con=null",
               "con0=null,fd:1", "ssl=null", "quiet", *parameters]  # fmt: skip
    return run_guest(command, LONGEST_S, {**os.environ, "TMPDIR": str(folder), "LD_PRELOAD": whole_registers(folder)})
