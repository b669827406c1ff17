"""The unit of a rig in real time: `v2g run` of a site, reached as its operator reaches it.

Settings  handed over as `v2g reload` does, in force between two steps; what is read back are those of the newest step.
          Permit and power limit are settings too (enter_service.permit, active_limit). The site file stays as it is.
Demand    a wish of the bench in the controller's mailbox, renewed long before it runs out.
Errors    RigError, DriverError: the controller ended, refuses the settings or does not take them over.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from math import isclose
from pathlib import Path

from controller.bench.between import Between
from controller.bench.plan import Eut, Value
from controller.bench.ports import NAN, RigError
from controller.bench.unitsettings import grouped, rating_of
from controller.build import build_id
from controller.errors import InputError
from controller.handover import hand_over, in_force, ring_of, steps_since
from controller.lifetime import lock_folder
from controller.processes import Family, ProcessError
from controller.services.wishes import Wishes
from controller.site import Site, load_site
from controller.sitewrite import site_text
from cython_core.quantities import SettingError
from cython_core.records import Wish, WishSource
from cython_core.settings import Settings, digest, to_mapping
from drivers.base import DriverError

START_S = 30.0
LIFE_S = 10.0  # of a wish: a dead bench is forgotten soon
SAME_SHARE = 1e-3  # of a number on the nameplate: as people round it


class ControllerUnit:
    """start() and stop() around everything else; keep() at least every few seconds. settings: the rig's own.

    between: devices that the bench has started. Then the site file is the bench's own, too, and the controller, killed
    and started again, finds the case's settings in it.
    """

    def __init__(
        self, site: Path, eut: Eut, logs: Path, settings: Mapping[str, Value], between: Between | None = None
    ) -> None:
        self.site = load_site(site)
        self.family = Family(logs)
        self.rating = self.site.settings.rating
        wrong = others(self.site, eut)
        if wrong:
            where = self.site.where("settings.rating", "rating")
            raise InputError(f"{where}: not the nameplate of the rig's eut: {', '.join(wrong)}")
        self.between = between
        if between is not None:
            between.life = self
        self.rigs, self.given = settings, dict(settings)  # what every case has; what the unit has by now
        self.demand_w: float | None = None
        self.wished_s = 0.0

    def start(self) -> None:
        begin_ns = time.monotonic_ns()
        self.start_part("controller")
        if self.between is not None and self.between.broker is not None:
            self.start_part("telemetry")
        try:
            self.family.wait_until(lambda: steps_since(self.site, begin_ns), "the controller's first step", START_S)
        except ProcessError as error:
            raise RigError(f"{error}; its last line: {self.family.last_line('controller')}") from None

    def start_part(self, part: str) -> None:
        name = "run" if part == "controller" else part
        self.family.start(part, "controller.cli", name, str(self.site.path), "--parent-death")

    def stop(self) -> None:
        self.family.stop()

    # ---- its life, for the faults of a rig ----

    def kill(self, part: str) -> None:
        self.family.kill(part)

    def restart(self, part: str) -> None:
        """Not waited for."""
        settings = Settings.from_mapping(grouped({**own_of(self.site), **self.given}))
        self.site.path.write_text(site_text(replace(self.site, settings=settings)), encoding="utf-8")
        self.start_part(part)

    def freeze(self, part: str) -> None:
        self.family.freeze(part)

    def thaw(self, part: str) -> None:
        self.family.thaw(part)

    # ---- the port ----

    def identity(self) -> str:
        name = f"{digest(self.site.settings, self.site.period_ms * 1_000_000):016x}"
        return f"v2g run {build_id()}, site {self.site.name}, settings {name}, step {self.site.period_ms} ms"

    def begin(self) -> None:
        """Permit and limit are settings: the next write() has the site's own again."""
        self.given = dict(self.rigs)

    def write(self, settings: Mapping[str, Value]) -> Mapping[str, Value]:
        wanted = {**self.given, **settings}
        hand(self.site, wanted)
        self.given = wanted
        held = to_mapping(in_force(self.site, ring_of(self.site)))
        return {name: held[name.partition(".")[0]][name.partition(".")[2]] for name in settings}

    def demand(self, p_w: float) -> None:
        self.demand_w = p_w
        self.wish()

    def permit(self, allowed: bool) -> None:
        self.write({"enter_service.permit": allowed})

    def limit(self, ap_limit_pu: float) -> None:
        off = ap_limit_pu != ap_limit_pu
        self.write({"active_limit.enable": not off, "active_limit.limit_pu": 1.0 if off else ap_limit_pu})

    def fault(self, line: str) -> None:
        if self.between is None:
            raise RigError(f"'{line}': between these devices nothing of ours stands that could show it")
        self.between.fault(line)

    def keep(self) -> None:
        """Alive, faults on their way, the wish renewed."""
        if self.between is not None:
            self.between.advance()
        try:
            self.family.check()
        except ProcessError as error:
            raise RigError(str(error)) from None
        if self.demand_w is not None and time.monotonic() - self.wished_s > LIFE_S / 4:
            self.wish()

    def wish(self) -> None:
        assert self.demand_w is not None
        now_ns, self.wished_s = time.monotonic_ns(), time.monotonic()
        Wishes(self.site.runtime_dir / "wishes").put(
            Wish(
                int(WishSource.BENCH), -self.rating.p_charge_rated_w, self.rating.p_rated_w, self.demand_w, NAN,
                now_ns, now_ns + round(LIFE_S * 1e9),
            )
        )  # fmt: skip


def others(site: Site, eut: Eut) -> list[str]:
    """Numbers of the nameplate in which both differ; the charging power of a unit that cannot charge is none."""
    own, known = own_of(site), rating_of(eut)
    if eut.p_charge_rated_w == 0.0:
        del known["rating.p_charge_rated_w"]
    return [
        f"{name.removeprefix('rating.')} = {own[name]:g} (rig: {number:g})"
        for name, number in known.items()
        if isinstance(number, float) and not isclose(number, float(own[name]), rel_tol=SAME_SHARE)
    ]


def hand(site: Site, values: Mapping[str, Value]) -> None:
    """These settings beside the site's own, in force when it returns."""
    try:
        settings = Settings.from_mapping(grouped({**own_of(site), **values}))
        hand_over(replace(site, settings=settings), ring_of(site))
    except (SettingError, InputError) as error:
        raise RigError(f"the unit refuses the settings: {error}") from None


def own_of(site: Site) -> dict[str, Value]:
    """{"limits.ramp_pu_s": 0.2, ...}"""
    groups = to_mapping(site.settings)
    return {f"{group}.{key}": value for group, keys in groups.items() for key, value in keys.items()}


def withdraw(site: str) -> None:
    """Permit service off, by whoever can still do it: the guard of a bench that was killed.

    A controller ends with its bench, and hands back as it ends: then nothing has permission any more.
    """
    found = load_site(Path(site))
    try:
        now = in_force(found, ring_of(found))
        hand(replace(found, settings=now), {"enter_service.permit": False})
    except (DriverError, InputError):
        lock = lock_folder(found.runtime_dir, "core")
        if lock is None:  # it runs, and has not obeyed
            raise
        lock.close()
