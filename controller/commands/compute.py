"""Answer a table of grid values in virtual time: CSV in, CSV out."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from numpy.typing import NDArray

from controller.errors import InputError
from controller.site import load_settings
from controller.table import Table, hold, read_table, steps_in
from cython_core.records import State, reasons_text
from cython_core.settings import Settings
from cython_core.step import Core

CHUNK = 20_000  # steps at a time: a step record is about 1 kB
MAX_STEPS = 50_000_000
PERIOD_MS = 10
# column of the answer -> field of the step record
COLUMNS = {
    "p_w": "p_cmd_w",
    "q_var": "q_cmd_var",
    "p_wish_w": "p_wish_w",
    "p_pre_w": "p_pre_w",
    "dp_target_w": "dp_target_w",
    "dp_w": "dp_w",
    "q_target_var": "q_target_var",
}
GIVEN = ("f_hz", "v_pu", "p_demand_w")
HEADER = ("t_s", *GIVEN, *COLUMNS, "state", "reasons", "reasons_text")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--settings",
        type=Path,
        required=True,
        metavar="FILE",
        help="YAML: groups of settings, a profile (also by name) or a whole site file",
    )
    parser.add_argument(
        "--input",
        type=Path,
        required=True,
        metavar="FILE.csv",
        help="t_s, f_hz, v_pu, p_demand_w; optional permit (0|1), ap_limit_pu (empty: no order)",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.csv", help="one row a step; - for stdout")
    parser.add_argument(
        "--period-ms", type=int, metavar="N", help="time of one step, 1 ... 100; default: the site file's, else 10"
    )


def run(args: argparse.Namespace) -> int:
    """Every row of the input is held until the next; the unit starts in service at the first demand."""
    settings, site_period_ms = load_settings(args.settings)
    period_ms = args.period_ms if args.period_ms is not None else site_period_ms or PERIOD_MS
    if not 1 <= period_ms <= 100:
        raise InputError(f"--period-ms = {period_ms} is outside 1 ... 100 ms")
    if args.out.exists() and any(args.out.samefile(given) for given in (args.input, args.settings) if given.exists()):
        raise InputError(f"--out {args.out} would overwrite an input: name another file")
    table = read_table(args.input)
    steps = steps_in(table, period_ms)
    if steps > MAX_STEPS:
        raise InputError(
            f"{args.input}: {steps:.9g} steps of {period_ms} ms, at most {MAX_STEPS}: is t_s in seconds? "
            "Else cut the table or raise --period-ms"
        )
    with output(args.out) as out:
        write_answer(settings, table, period_ms, out, Progress(steps))
    span = f"t_s {table['t_s'][0]:.12g} ... {table['t_s'][-1]:.12g}"
    told = sys.stderr if str(args.out) == "-" else sys.stdout
    print(f"{args.out}: {steps} steps of {period_ms} ms, {span}", file=told)
    return 0


def write_answer(settings: Settings, table: Table, period_ms: int, out: TextIO, progress: Progress) -> None:
    """Header and one row a step, chunk by chunk: the core keeps its state between chunks."""
    # a table may hold one value for hours; that is no frozen meter
    settings = replace(settings, fail_safe=replace(settings.fail_safe, frozen_after_s=0.0))
    core = Core(settings, period_ms / 1000.0, in_service=True)
    print(",".join(HEADER), file=out)
    steps = steps_in(table, period_ms)
    for first in range(0, steps, CHUNK):
        inputs = hold(table, period_ms, first, min(CHUNK, steps - first))
        out.writelines(answer_lines(inputs, core.run(inputs)))
        progress.show(first + len(inputs["t_s"]))


def answer_lines(inputs: Table, records: NDArray[Any]) -> Iterator[str]:
    """Rows for people and spreadsheets: ten digits, the state by name, the reasons as bits and as sentences."""
    numbers = [inputs[name].tolist() for name in GIVEN] + [records[field].tolist() for field in COLUMNS.values()]
    form = ",".join(["%.10g"] * len(numbers))
    ends: dict[tuple[int, int], str] = {}
    why = zip(records["state"].tolist(), records["reasons"].tolist(), strict=True)
    for t_s, end, *row in zip(inputs["t_s"].tolist(), why, *numbers, strict=True):
        if end not in ends:
            ends[end] = line_end(*end)
        yield f"{round(t_s, 6):.15g},{form % tuple(row)},{ends[end]}"


def line_end(state: int, reasons: int) -> str:
    text = "; ".join(reasons_text(reasons))
    return f'{State(state).name.lower()},{reasons},"{text}"\n' if text else f"{State(state).name.lower()},0,\n"


@contextmanager
def output(path: Path) -> Iterator[TextIO]:
    """The file, complete or not there at all; `-` is stdout."""
    if str(path) == "-":
        yield sys.stdout
        return
    part = path.with_name(path.name + ".part")
    try:
        with part.open("w", encoding="utf-8", newline="") as stream:
            yield stream
        part.replace(path)
    except OSError as error:
        raise InputError(f"--out {path}: cannot be written: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)


class Progress:
    """Says how far it is, on stderr, once it takes longer than 2 s, and then at most every 2 s."""

    def __init__(self, steps: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.steps, self.clock = steps, clock
        self.said_s = clock()

    def show(self, done: int) -> None:
        now_s = self.clock()
        if now_s - self.said_s > 2.0 and done < self.steps:
            self.said_s = now_s
            print(f"compute: {100 * done // self.steps} % of {self.steps} steps", file=sys.stderr, flush=True)
