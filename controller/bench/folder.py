"""The folder of one bench run: what was planned, what the rig was, and the record of each case.

    plan.json                       the plan, every number resolved (planfile.py)
    rig.json                        the rig: its file, what it can do, the program; in real time when it was begun
    cases/<case id>/samples.csv     one line a reading, SAMPLE's columns; absent is empty
    cases/<case id>/events.jsonl    one JSON object a line: t_ns, kind, data

Killed   only whole lines count: a last line without its end is not read. A case counts when its last event is `done`.
Errors   InputError: a folder is there already, or is none of a run; the text says which file.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, get_args

import numpy as np

from controller.bench.plan import Plan
from controller.bench.planfile import read_plan, write_plan
from controller.bench.record import SAMPLE, CaseRecord, Event, EventKind
from controller.errors import InputError
from controller.wholefile import write_whole

HEADER = ",".join(SAMPLE.names or ()) + "\n"
KINDS = get_args(EventKind)
KEYS = {"step": ("name",), "arrived": ("name",), "end": ("name",), "settings": ("wanted", "read")}  # what is read of it
FLUSH_S = 1.0  # of real time: what a killed bench may lose


class RunFolder:
    """Reader of a run, and where its writers come from."""

    def __init__(self, path: Path) -> None:
        if not (path / "plan.json").is_file():
            raise InputError(f"{path}: no bench run: plan.json is missing")
        self.path = path

    @classmethod
    def create(cls, path: Path, plan: Plan, rig: Mapping[str, Any]) -> RunFolder:
        """A new run; a folder that holds anything is left alone."""
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise InputError(f"{path}: is there already: choose another --out, or `v2g bench resume {path}`")
        (path / "cases").mkdir(parents=True, exist_ok=True)
        write_whole(path / "rig.json", json.dumps(dict(rig), indent=1, sort_keys=True) + "\n")
        write_plan(path / "plan.json", plan)
        return cls(path)

    def plan(self) -> Plan:
        return read_plan(self.path / "plan.json")

    def rig(self) -> dict[str, Any]:
        path = self.path / "rig.json"
        try:
            found: dict[str, Any] = dict(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError):
            raise InputError(f"{path}: is no JSON object: the run cannot be resumed or reported without it") from None
        return found

    def case(self, case_id: str) -> Path:
        return self.path / "cases" / case_id

    def record(self, case_id: str) -> CaseRecord | None:
        """What is known of a case, however it ended; None: it was never begun."""
        folder = self.case(case_id)
        if not (folder / "events.jsonl").is_file():
            return None
        return CaseRecord(read_samples(folder / "samples.csv"), tuple(read_events(folder / "events.jsonl")))

    def digest(self, case_id: str) -> str:
        """SHA-256 of what lies there of a case's record; empty: it was never begun."""
        folder = self.case(case_id)
        if not folder.is_dir():
            return ""
        return sha256(b"".join(f.read_bytes() for f in sorted(folder.iterdir()))).hexdigest()

    def done(self, case_id: str) -> bool:
        """It was run to its end; rig trouble, a killed bench and a spoiled record leave it to be run again."""
        try:
            found = self.record(case_id)
        except InputError:
            return False
        return found is not None and bool(found.events) and found.events[-1].kind == "done"

    def open_case(self, case_id: str) -> CaseWriter:
        """An empty record; what an earlier try has left is thrown away."""
        folder = self.case(case_id)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return CaseWriter(folder)


class CaseWriter:
    """Appends to one case's record. Whole lines reach the files at least every FLUSH_S, and all of them in close()."""

    def __init__(self, folder: Path) -> None:
        self._samples = (folder / "samples.csv").open("ab", buffering=0)
        self._events = (folder / "events.jsonl").open("ab", buffering=0)
        self._waiting: list[str] = [HEADER]
        self._flushed_s = time.monotonic()

    def sample(self, row: Sequence[float]) -> None:
        """One row of SAMPLE: t_ns as int, then floats, NaN for absent."""
        self._waiting.append(",".join(["" if x != x else repr(x) for x in row]) + "\n")
        if time.monotonic() - self._flushed_s > FLUSH_S:
            self._flush()

    def event(self, event: Event) -> None:
        """At once in the file, behind the samples taken before it."""
        self._flush()
        line = json.dumps({"t_ns": event.t_ns, "kind": event.kind, "data": event.data}, sort_keys=True)
        write_all(self._events, line + "\n")

    def close(self) -> None:
        try:
            self._flush()
        finally:
            self._samples.close()
            self._events.close()

    def _flush(self) -> None:
        text, self._waiting = "".join(self._waiting), []
        self._flushed_s = time.monotonic()
        write_all(self._samples, text)

    def __enter__(self) -> CaseWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def write_all(file: BinaryIO, text: str) -> None:
    """Without a buffer between: a killed process leaves what was written."""
    rest = memoryview(text.encode("ascii"))
    while rest:
        rest = rest[file.write(rest) :]


def whole_lines(path: Path) -> bytes:
    """The file up to its last line end."""
    text = path.read_bytes()
    return text[: text.rfind(b"\n") + 1]


def read_events(path: Path) -> Iterator[Event]:
    """InputError: a line that no bench has written."""
    for n, line in enumerate(whole_lines(path).splitlines(), start=1):
        try:
            one = json.loads(line)
            event = Event(int(one["t_ns"]), str(one["kind"]), dict(one["data"]))  # type: ignore[arg-type]  # KINDS below
            good = is_known(event)
        except (ValueError, KeyError, TypeError, OverflowError):
            good = False
        if not good:
            raise InputError(
                f"{path}:{n}: no event of a bench: the record is spoiled, `v2g bench resume` makes it anew"
            )
        yield event


def is_known(event: Event) -> bool:
    """What is read of an event later is there, and is what it should be."""
    data = event.data
    if event.kind not in KINDS or not set(KEYS.get(event.kind, ())) <= set(data):
        return False
    if event.kind == "settings":
        return all(
            isinstance(value, (str, int, float)) for key in KEYS["settings"] for value in dict(data[key]).values()
        )
    return isinstance(data.get("sent_ns", 0), int)


def read_samples(path: Path) -> np.ndarray[Any, np.dtype[Any]]:
    """SAMPLE rows. InputError: the columns are others, or a line that no bench has written."""
    header, _, rows = (whole_lines(path) if path.is_file() else b"").partition(b"\n")
    if header and header.decode("ascii", "replace") != HEADER.strip():
        raise InputError(f"{path}:1: the columns are {header.decode('ascii', 'replace')}; known: {HEADER.strip()}")
    if not rows:
        return np.zeros(0, SAMPLE)
    # twice: the first pass leaves every second of several empty fields in a row
    full = rows.replace(b",,", b",nan,").replace(b",,", b",nan,").replace(b",\n", b",nan\n")
    try:
        return np.atleast_1d(np.loadtxt(BytesIO(full), SAMPLE, delimiter=",", comments=None))
    except ValueError:
        at = f"{path}:{first_wrong(rows)}"
        raise InputError(
            f"{at}: no sample of a bench: the record is spoiled, `v2g bench resume` makes it anew"
        ) from None


def first_wrong(rows: bytes) -> int:
    """The number of the first line that is no sample, below a header."""
    for n, line in enumerate(rows.splitlines(), start=2):
        time_ns, *values = line.split(b",")
        try:
            int(time_ns)
            if [float(value or "nan") for value in values] and len(values) == len(SAMPLE.names or ()) - 1:
                continue
        except ValueError:
            pass
        return n
    return 1
