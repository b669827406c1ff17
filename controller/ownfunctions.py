"""The inverter's own grid functions at a site: read over its wire, compared with the settings, mended, a start refused.

Inverter          for as long as somebody looks: compare(), push(), close().
agreed(site)      what a controller that moves real power asks first: each function acts once, as the settings say.
Errors            InputError: the device is not as the settings say, or cannot hold them; another controller is running.
                  AdoptionError: it did not take a set over. BusError: no answer.
"""

from __future__ import annotations

import threading
from time import monotonic, sleep
from typing import Any

from controller.errors import InputError
from controller.lifetime import lock_folder
from controller.settings.sunspec_own import ACTING, INSTALLERS, Difference, compare
from controller.settings.sunspec_push import Wire, push
from controller.site import Site
from drivers.base import BusError
from drivers.mapfile import load_map
from drivers.sunspec.points import Table, read_tables
from drivers.sunspec.wire import Port

MODELS = range(702, 713)
READ_S = 30.0
PUSH_S = 600.0
AGAIN_S = 2.0


class Inverter:
    """One site's inverter. time_s: after this nothing is asked any more."""

    def __init__(self, site: Site, time_s: float = PUSH_S) -> None:
        layout = load_map(site.inverter.map)
        if not layout.models:
            raise InputError(
                f"{site.where('inverter.map')}: map = {site.inverter.map} is no SunSpec inverter: it has no grid "
                "functions of its own that can be read and set; use `owner: controller`"
            )
        self.site, self._max_words = site, layout.max_words
        self.where = f"{site.inverter.link} unit {site.inverter.unit}"
        self._port = Port(site.inverter.link, site.inverter.unit, time_s, site.inverter.timeout_ms)

    def close(self) -> None:
        self._port.close()

    def tables(self) -> dict[int, Table]:
        return read_tables(self._port.read, MODELS, self._max_words)

    def compare(self) -> list[Difference]:
        return compare(self.site.settings, self.tables())

    def push(self, installer: bool) -> list[str]:
        """What was done, a line each. Never beside a controller of this site."""
        folder = self.site.runtime_dir
        lock = lock_folder(folder, "core") if folder.is_dir() else None
        if lock is None and folder.is_dir():
            raise InputError(f"{folder}: a controller of this site is running; stop it first")
        wire = Wire(self._port, monotonic, sleep)
        try:
            return list(push(self.site.settings, self.tables(), wire, installer))
        finally:
            if lock:
                lock.close()


def agreed(site: Site, stopping: threading.Event) -> bool:
    """True when every function acts once and as the settings say; an inverter that does not answer is waited for.

    False: stopped meanwhile. InputError: it is not so; one line a function, with the way out.
    """
    if not load_map(site.inverter.map).models and not owned(site):
        return True
    while not stopping.is_set():
        inverter = Inverter(site, READ_S)
        try:
            found = [d for d in inverter.compare() if d.function in ACTING]
        except BusError:
            stopping.wait(AGAIN_S)
            continue
        finally:
            inverter.close()
        if found:
            raise InputError("\n".join(refusal(site, f, found) for f in ACTING if any(d.function == f for d in found)))
        return True
    return False


def owned(site: Site) -> list[str]:
    """The functions that the settings give to the inverter."""
    return [f for f in ACTING if getattr(site.settings, f).owner == "inverter"]


def refusal(site: Site, function: str, found: list[Difference]) -> str:
    """`site.yaml:8: the inverter's own freq_droop ...: model 711 ..., and 2 more; what to do`."""
    first, *more = [d for d in found if d.function == function]
    what = "is not as the settings say" if function in owned(site) else "acts beside the controller's"
    others = f" (and {len(more)} more)" if more else ""
    return (
        f"{site.where(f'{function}.owner', function)}: the inverter's own {function} {what}: {first}{others}; "
        f"`v2g settings push {site.path} --write` mends it, or change `{function}.owner`"
    )


# ---- what `v2g settings push` prints ----


def page(site: Site, where: str, done: list[str], found: list[Difference]) -> str:
    """Function by function: whose it is, and what differs."""
    lines = [f"inverter {where}", *(f"  done: {line}" for line in done)]
    for function in (*ACTING, *INSTALLERS):
        differing = [d for d in found if d.function == function]
        owner = getattr(site.settings, function).owner
        off = function in ACTING and owner == "controller"
        verdict = "off there, as it must be" if off else "as the settings say"
        if differing:
            verdict = f"{len(differing)} differ"
        note = "; belongs to the certified installer" if differing and function in INSTALLERS else ""
        lines += [f"{function} (owner: {owner}): {verdict}{note}", *(f"  {d}" for d in differing)]
    return "\n".join(lines)


def as_json(where: str, done: list[str], found: list[Difference]) -> dict[str, Any]:
    """The same for a program."""
    rows = [
        {"function": d.function, "place": d.place, "device": d.device, "settings": d.wanted, "setting": d.setting}
        for d in found
    ]
    return {"inverter": where, "done": done, "differences": rows}
