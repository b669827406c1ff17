"""Settings to a controller that runs, in force between two of its steps; and which ones are in force there.

Written  the files that controller.nextsettings reads in the core process.
Errors   InputError: no controller of this site and this program runs. DriverError: it did not take them over.
"""

from __future__ import annotations

import json
import marshal
import os
import time
from typing import Any

from controller.departure import mornings
from controller.errors import InputError
from controller.handed import stamp
from controller.nextsettings import ALL, NAME, named
from controller.site import Site
from controller.wholefile import write_whole
from cython_core.compiled import compiled
from cython_core.realtime.ring import RingReader
from cython_core.settings import Settings, digest, to_mapping
from drivers.base import DriverError

TAKEN_S = 5.0
GONE_NS = 2_000_000_000  # without a step: a busy machine may hold one up for a second
KEPT = 50  # files of settings: who reads the ring is seldom more than a minute behind


def ring_of(site: Site) -> RingReader:
    """The ring of the site's controller. InputError: there is none, or not of this program."""
    path = site.runtime_dir / "ring"
    try:
        return RingReader(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no controller of {site.name} is running; start it: v2g run {site.path}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: {error}; restart the controller") from None


def in_force(site: Site, reader: RingReader) -> Settings:
    """The settings of the newest step."""
    record = reader.newest()
    found = reader.info["settings_digest"] if record is None else newest(record)["settings_digest"]
    if found == reader.info["settings_digest"]:
        return Settings.from_mapping(reader.info["settings"])
    text = (site.runtime_dir / named(int(found))).read_text(encoding="utf-8")
    return Settings.from_mapping(json.loads(text)["settings"])


def steps_since(site: Site, t_ns: int) -> bool:
    """A controller of the site has made a step after CLOCK_MONOTONIC t_ns; the ring of an earlier run has none."""
    try:
        record = RingReader(site.runtime_dir / "ring").newest()
    except (OSError, ValueError):
        return False
    return record is not None and int(newest(record)["t_ns"]) > t_ns


def newest(record: bytes) -> Any:
    """One raw step record as a row."""
    from cython_core.bulk import from_bytes

    return from_bytes(record)[0]


def hand_over(site: Site, reader: RingReader) -> int:
    """Put the files there and wait. -> the first step under them. DriverError: nobody took them over."""
    period_ns = site.period_ms * 1_000_000
    wanted, path = digest(site.settings, period_ns), site.runtime_dir / NAME
    write_whole(site.runtime_dir / named(wanted), json.dumps({"v": 1, "settings": to_mapping(site.settings)}))
    times = mornings(site.departure.ready_by, site.departure.timezone, time.time()) if site.departure else []
    known = sorted(site.runtime_dir.glob(ALL), key=lambda file: file.stat().st_mtime)
    for old in known[:-KEPT]:
        old.unlink(missing_ok=True)
    temporary = path.with_name(f"{NAME}.{os.getpid()}")
    temporary.write_bytes(marshal.dumps((stamp(), compiled(site.settings, site.period_ms * 1e-3), times)))
    temporary.replace(path)
    deadline, why = time.monotonic() + TAKEN_S, f"not taken over within {TAKEN_S:g} s: look at the controller's log for"
    while time.monotonic() < deadline:
        record = reader.newest()
        row = None if record is None else newest(record)
        if row is not None and row["settings_digest"] == wanted:
            return first_step(reader, wanted)
        if row is not None and time.monotonic_ns() - row["t_ns"] > GONE_NS:
            why = "no step for 2 s: the controller has ended, or hangs: look at the end of its log, and for"
            break
        time.sleep(0.02)
    path.unlink(missing_ok=True)
    raise DriverError(f"{path}: {why} V2G-RELOAD-REFUSED")


def first_step(reader: RingReader, wanted: int) -> int:
    """Where these settings begin, as far back as the ring goes."""
    from cython_core.bulk import from_bytes

    first = -1
    while raw := reader.read(4096)[0]:
        rows = from_bytes(raw)
        here = rows["n"][rows["settings_digest"] == wanted]
        if first < 0 and len(here):
            first = int(here[0])
        elif not len(here):
            first = -1
    return first
