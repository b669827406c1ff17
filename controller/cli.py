"""Command line: `v2g COMMAND ...`. A command's module is imported when it is chosen, never for the help.

Exit codes   0 done; 1 the verdict is fail; 2 your input; 3 a device; 130 Ctrl-C. Results on stdout, complaints on
             stderr.
"""

from __future__ import annotations

import argparse
import errno
import io
import logging
import os
import sys
import textwrap
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from controller.errors import InputError
from controller.logs import for_journal, log_line
from cython_core.settings import SettingError
from drivers.base import DriverError, MapError

EXIT_OK, EXIT_FAIL, EXIT_USER, EXIT_DEVICE, EXIT_INTERRUPT, EXIT_PIPE = 0, 1, 2, 3, 130, 141
FULL = (errno.ENOSPC, errno.EDQUOT)

# name -> the first line of the docstring of its module (a test keeps them equal)
COMMANDS = {
    "demo": "Play a grid event against simulated devices; judge the answer.",
    "run": "Run the controller of a site.",
    "reload": "Bring changed settings of the site file into force without a stop, between two steps.",
    "telemetry": "Send a controller's records to journal, outbox and MQTT.",
    "bridge": "Store what sites send over MQTT: InfluxDB, VictoriaMetrics or SQLite.",
    "export": "Copy stored telemetry out of SQLite: to a CSV file, or into a server.",
    "check": "Check a site file: every setting with range and source; timing.",
    "site": "Bring a site file of an older program up to date: shows what would change, writes only when told.",
    "scan": "Which known device answers on a serial line, at an address, in a network, or speaks on a CAN interface.",
    "commission": "Measure a site's devices: in shadow, then with one small pulse each way; its plant card.",
    "compute": "Answer a table of grid values in virtual time: CSV in, CSV out.",
    "certs": "A site's certificates: ask for one, import, rehearse and watch it; how often to renew.",
    "sign": "Sign a remote command with an Ed25519 key, for whoever commands; or make such a key.",
    "replay": "Compute a journal again and demand equal bits.",
    "verify": "Has a site's record been changed? Names the first broken link, and up to where it holds.",
    "report": "Make the report of a journal: plots, numbers, verdict.",
    "settings": "Show, change, compare, check, import, export, draw settings; push them into the inverter.",
    "explain": "What a setting, a reasons bit, a state or an EPRI name means.",
    "bench": "Test a unit by IEEE 1547.1 procedures: plan, run, judge, report; in simulation or with a grid simulator.",
    "drill": "Play every fault on simulated devices, or on a rig in shadow: is the unit safe in time, and calm again?",
    "doctor": "Is this host fit to run the controller? What is short, and what mends it.",
    "support-bundle": "Pack for support: checks, versions, counters, ten minutes of journal; no secrets.",
}


class Version(argparse.Action):
    """--version. The compiled core is only looked at when somebody asks."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from controller.build import about

        print(f"v2g {about()}")
        parser.exit()


def module_of(command: str) -> str:
    """`support-bundle` lives in controller/commands/support_bundle.py."""
    return f"controller.commands.{command.replace('-', '_')}"


def overview() -> str:
    """The commands, one or two lines each, in 80 columns."""
    lines = [
        textwrap.fill(line, 80, initial_indent=f"  {name:<15}", subsequent_indent=" " * 17)
        for name, line in COMMANDS.items()
    ]
    return "\n".join(["commands:", *lines, "", "Try it without hardware: v2g demo", "More on one: v2g COMMAND --help"])


def parser_for(chosen: str | None) -> argparse.ArgumentParser:
    """The parser, with the chosen command's own arguments."""
    parser = argparse.ArgumentParser(
        prog="v2g",
        description="Grid-supporting V2G controller.",
        epilog=overview(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=Version, nargs=0, help="version, commit and compiled core; then stop")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, line in COMMANDS.items():
        command = commands.add_parser(name, description=line)
        if name == chosen:
            module = import_module(module_of(name))
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    return parser


class LineFormatter(logging.Formatter):
    """The lines of controller.logs."""

    def __init__(self, journal: bool) -> None:
        super().__init__("%(message)s")
        self.journal = journal

    def format(self, record: logging.LogRecord) -> str:
        return log_line(record.levelname, super().format(record), record.created, self.journal)


def start_logging() -> None:
    """Logs on stderr: with journald's priorities under systemd, with UTC times on a terminal."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter(for_journal()))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def steady_output() -> None:
    """A closed stream leads nowhere: the next file would get its number. A character that the terminal lacks (in a
    path, or the micro sign) is shown by its code.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8"))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def drop_output() -> None:
    """What still waits to be written would fail again as Python ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def complain(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def missing(command: str, error: ModuleNotFoundError) -> str:
    """Which package to install for a command."""
    if error.name == module_of(command):
        return f"v2g: {command} is not part of this installation: install v2g-controller again"
    extra = {"amqtt": "demo", "rich": "demo", "matplotlib": "report", "jinja2": "report"}.get(str(error.name))
    what = f"'v2g-controller[{extra}]'" if extra else "v2g-controller"
    return f"v2g {command}: the package {error.name} is missing: pip install {what}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    steady_output()
    command = next((a for a in arguments if not a.startswith("-")), "")
    try:
        args = parser_for(command if command in COMMANDS else None).parse_args(arguments)
        start_logging()
        code = int(args.run(args))
        sys.stdout.flush()  # here, so that a closed pipe is met inside this try
        return code
    except KeyboardInterrupt:
        complain("v2g: stopped by Ctrl-C")
        return EXIT_INTERRUPT
    except BrokenPipeError:  # `v2g check SITE | head`: the reader has enough
        drop_output()
        return EXIT_PIPE
    except (InputError, SettingError, MapError) as error:
        complain(str(error))
        return EXIT_USER
    except DriverError as error:
        complain(str(error))
        return EXIT_DEVICE
    except OSError as error:
        if error.errno in FULL and error.filename is None:
            drop_output()
            complain(f"v2g {command}: the output cannot be written: {error.strerror}")
            return EXIT_USER
        if error.filename is None:  # not a file of the user's: a fault of ours, with its traceback
            raise
        complain(f"v2g {command}: {error.filename}: {error.strerror}")
        return EXIT_USER
    except ModuleNotFoundError as error:
        complain(missing(command, error))
        return EXIT_USER


if __name__ == "__main__":
    sys.exit(main())
