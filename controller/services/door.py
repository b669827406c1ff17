"""The door of remote commands: who has sent one, and what he may ask for. Pure.

Wire     a signed command is the JSON text of an unsigned one with "key", a name of the site file, among its keys and
         "sig" as its last: 64 bytes in base64url without padding. What is signed is CONTEXT, the site and the command,
         each with a line's end, and then the text as it is sent, without `,"sig":"..."`: source, seq, issue and expiry
         are in it, and no two programs can differ on what was signed. Ed25519, RFC 8032.
Bounds   a key has its own inside the site's: whatever is signed, bounds are only ever narrowed here.
Errors   Refused: unsigned, signature, rights, and those of command.parse.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from controller.security import verify
from controller.services.command import Bounds, Command, Refused, parse

CONTEXT = b"v2g-command 1\n"
TAIL = re.compile(rb',\s?"sig":\s?"([A-Za-z0-9_-]{86})"\}\Z')
TAIL_BYTES = 100  # the longest such tail has 97


@dataclass(frozen=True, slots=True)
class Key:
    """One public key of 32 bytes: whose commands it signs, which of them, and how far."""

    public: bytes
    sources: tuple[str, ...]
    commands: tuple[str, ...]
    p_min_w: float
    p_max_w: float

    def inside(self, site: Bounds) -> Bounds:
        """Its bounds, never beyond the site's; an end beyond the site's other end is that end."""
        lo_w = min(max(self.p_min_w, site.p_min_w), site.p_max_w)
        hi_w = max(min(self.p_max_w, site.p_max_w), site.p_min_w)
        return replace(site, sources=tuple(s for s in site.sources if s in self.sources), p_min_w=lo_w, p_max_w=hi_w)


@dataclass(frozen=True, slots=True)
class Door:
    """Of one site. unsigned: the sources that are believed without a signature."""

    site: str
    bounds: Bounds
    unsigned: tuple[str, ...]
    keys: Mapping[str, Key]

    def enter(self, name: str, payload: bytes) -> tuple[Command, Bounds]:
        """What is commanded, and the bounds of whoever does. name: the topic's last part. Raises Refused."""
        text, signature = split(payload)
        command = parse(name, text)
        if signature is None:
            return command, self._unsigned(command)
        key = self.keys.get(command.key or "")
        if key is None:
            raise Refused(
                "signature", f"signed with key {command.key}; this site knows {', '.join(self.keys) or 'none'}"
            )
        if not verify(key.public, signature, signed_bytes(self.site, name, text)):
            raise Refused("signature", f"the signature is not of key {command.key} for this site, command and text")
        if command.source not in key.sources or name not in key.commands:
            may = f"{', '.join(key.commands)} of {', '.join(key.sources)}"
            raise Refused("rights", f"key {command.key} signs {may}; this is {name} of {command.source}")
        return command, key.inside(self.bounds)

    def _unsigned(self, command: Command) -> Bounds:
        if command.key is not None:
            raise Refused("signature", f'key {command.key} is named, and "sig" is not the last key of the message')
        if command.source in self.bounds.sources and command.source not in self.unsigned:
            raise Refused("unsigned", f"{command.source} must sign its commands here")
        return self.bounds


def split(payload: bytes) -> tuple[bytes, bytes | None]:
    """(the text that was signed, the signature); None: there is none."""
    tail = TAIL.search(payload, max(0, len(payload) - TAIL_BYTES))
    if tail is None:
        return payload, None
    return payload[: tail.start()] + b"}", base64.urlsafe_b64decode(tail[1] + b"==")


def with_signature(text: bytes, signature: bytes) -> bytes:
    """What split() takes apart."""
    return text[:-1] + b',"sig":"' + base64.urlsafe_b64encode(signature).rstrip(b"=") + b'"}'


def signed_bytes(site: str, name: str, text: bytes) -> bytes:
    """What the signature is over."""
    return CONTEXT + f"{site}\n{name}\n".encode() + text
