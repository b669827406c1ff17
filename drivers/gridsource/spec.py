"""From what a rig file says of its source to the source.

Errors   ProfileError: the profile is wrong or not accepted; SourceError: address or phases.
"""

from __future__ import annotations

from dataclasses import dataclass

from drivers.gridsource.manual import ManualSource
from drivers.gridsource.point import GridPoint, GridSource
from drivers.gridsource.profile import ProfileError, load_profile, refusal
from drivers.gridsource.scpi import ScpiSource
from drivers.gridsource.wire import ALLOWED, wire_of
from drivers.yamlkeys import choice, integer, text


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSpec:
    """The keys of `source:` in a rig file. All plain values: it can be handed to another process."""

    kind: str = choice(("scpi", "manual"), "how it is told")
    phases: int = integer("", 1, 3, "1 or 3")
    profile: str = text("name of a profile, or the path of your own", "")
    address: str = text(ALLOWED, "")
    visa_library: str = text("PyVISA's backend, like @py", "")
    rest: str = choice(("off", "nominal"), "where it goes when something is wrong", "off")
    accept_unverified: str = text("the profile's name again, if it is unverified", "")


def open_source(spec: SourceSpec, nominal: GridPoint) -> GridSource:
    """Not connected yet: the first call does that. nominal: where `rest: nominal` is."""
    if spec.kind == "manual":
        return ManualSource(spec.phases)
    if not (spec.profile and spec.address):
        raise ProfileError("a source of kind scpi needs `profile` and `address`")
    profile = load_profile(spec.profile)
    refused = refusal(profile, spec.accept_unverified)
    if refused:
        raise ProfileError(refused)
    wire = wire_of(spec.address, profile.timeout_s, spec.visa_library)
    return ScpiSource(profile, wire, spec.phases, nominal if spec.rest == "nominal" else None)


def banner(spec: SourceSpec) -> str:
    """The line to show before an unverified source is used; empty: it is not."""
    if spec.kind == "manual" or load_profile(spec.profile).proven == "document":
        return ""
    return f"UNVERIFIED GRID SIMULATOR PROFILE {spec.profile}, accepted by the rig file: its words are not proven"
