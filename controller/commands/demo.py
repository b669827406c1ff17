"""Play a grid event against simulated devices; judge the answer."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

from controller.commands.report import lines
from controller.demo import FAULT_TEXT, Demo, Now, Plan
from controller.errors import InputError
from controller.processes import ProcessError
from controller.report.make import as_json
from controller.telemetry.broker import BrokerError
from drivers.sim.clock import ClockError
from drivers.sim.faultscript import Action, ScriptError, parse
from drivers.sim.proxy import ProxyError
from drivers.sim.scenario import TraceError, load_builtin, load_trace

BUILTIN = "gb_2019-08-09"
BUILTIN_START_S = 55.0  # 5 s before the fault
TITLE = "Great Britain, 9 August 2019 (reconstruction)"
LONGEST_S = 3600.0
FRAME_S = 0.25


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """[--trace FILE] [--start S] [--duration S] [--fault NAME] [--faults FILE] [--folder DIR] [--plain] [--json]"""
    parser.add_argument("--trace", type=Path, help="CSV t_s,f_hz[,v_pu]; default: the GB event of 2019-08-09")
    parser.add_argument("--start", type=float, help="second of the trace to begin with")
    parser.add_argument("--duration", type=float, default=60.0, help="seconds to play (default 60)")
    parser.add_argument("--fault", choices=sorted(FAULT_TEXT), help="inject a fault: the verdict must be fail")
    parser.add_argument("--faults", type=Path, metavar="FILE", help="play these faults; see docs/faults.md")
    parser.add_argument("--folder", type=Path, help="where to keep the run; default v2g-demo/<time>")
    parser.add_argument("--plain", action="store_true", help="one line a second instead of the picture")
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON on stdout")


def plan_of(args: argparse.Namespace) -> Plan:
    """Options -> Plan. Raises InputError."""
    if not 5.0 <= args.duration <= LONGEST_S:
        raise InputError(f"--duration {args.duration:g} is outside 5 ... {LONGEST_S:g} s")
    try:
        trace = load_trace(args.trace) if args.trace else load_builtin(BUILTIN)
    except TraceError as error:
        raise InputError(str(error)) from None
    start_s = args.start if args.start is not None else (0.0 if args.trace else BUILTIN_START_S)
    if not 0.0 <= start_s < trace.duration_s:
        raise InputError(f"--start {start_s:g} is outside 0 ... {trace.duration_s:g} s, the length of the trace")
    where = ("--trace", str(args.trace.resolve())) if args.trace else ("--scenario", BUILTIN)
    duration_s = min(args.duration, trace.duration_s - start_s)
    script = script_of(args.faults) if args.faults else ()
    if late := [action for action in script if action.at_s >= duration_s]:
        raise InputError(f"{late[0].place}: at {late[0].at_s:g} s, but only {duration_s:g} s are played")
    title = args.trace.name if args.trace else TITLE
    return Plan(trace, where, title, start_s, duration_s, args.fault or "", script)


def script_of(path: Path) -> tuple[Action, ...]:
    """The faults of a file. Raises InputError."""
    try:
        return parse(path.read_text(encoding="utf-8-sig"), str(path))
    except UnicodeDecodeError:
        raise InputError(f"{path}:1: is not UTF-8 text; allowed: lines like `at 12s: meter.freeze 3s`") from None
    except ScriptError as error:
        raise InputError(str(error)) from None


class View:
    """The picture in a terminal, or one line a second in a pipe; both say DEMO."""

    def __init__(self, demo: Demo, plain: bool) -> None:
        from rich.console import Console
        from rich.live import Live

        from controller import live

        self.demo, self.live_module = demo, live
        self.console = Console(stderr=True)
        self.plain = plain or live.is_plain(sys.stderr)
        self.live = None if self.plain else Live(console=self.console, auto_refresh=False, transient=False)

    def say(self, text: str) -> None:
        """One line of progress before and after the picture."""
        print(f"DEMO {text}", file=sys.stderr, flush=True)

    def show(self, now: Now) -> None:
        """Draw the newest state."""
        if not len(now.history):
            return
        broker = self.demo.broker.name if self.demo.broker is not None else "no broker"
        plan = self.demo.plan
        title = f"{plan.title}, FAULT {now.faults}" if now.faults else plan.title
        snapshot = self.live_module.build(
            now.history, now.info, now.telemetry, now.elapsed_s, plan.duration_s, title, broker
        )
        if self.live is None:
            fault = f"  FAULT {now.faults}" if now.faults else ""
            print(self.live_module.plain_line(snapshot) + fault, file=sys.stderr, flush=True)
        else:
            width = min(shutil.get_terminal_size().columns, 160)
            self.live.update(self.live_module.render(snapshot, width), refresh=True)

    def run(self) -> None:
        """Until everything was played."""
        if self.live is None:
            while not self.demo.is_over():
                self.show(self.demo.now())
                self.demo.rest(1.0)
            return
        with self.live:
            while not self.demo.is_over():
                self.show(self.demo.now())
                self.demo.rest(FRAME_S)


def run(args: argparse.Namespace) -> int:
    """Exit 0 pass, 1 fail, 2 an option or trace is wrong, 3 a process did not start, 143 ended by SIGTERM."""
    plan = plan_of(args)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # by way of `finally`, as Ctrl-C does
    folder = args.folder or Path("v2g-demo") / datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    demo = Demo(plan, folder)
    view = View(demo, args.plain or args.json)
    try:
        demo.start(view.say)
        demo.play()
        view.run()
        judged, report = demo.finish(view.say)
    except (ProcessError, BrokerError, ClockError, ProxyError) as error:
        print(f"v2g demo: {error}", file=sys.stderr)
        return 3
    finally:
        demo.stop()
    faults = [action.text for action in plan.script]
    if args.json:
        print(json.dumps(as_json(judged, report) | ({"faults": faults} if faults else {})))
    else:
        played = [f"faults played: {'; '.join(faults)}"] if faults else []
        print("\n".join([*played, *lines(judged), f"report: {report}"]))
    return 0 if judged.verdict.passed else 1
