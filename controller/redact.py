"""Text without secrets, for what leaves the house. A site file keeps the keys that are known; all else is hidden.

Shapes   hide_site(text) -> Redacted: YAML text and the values that were taken out, which `scrub` takes out elsewhere.
         hide_json(value) -> the same value without what stands under a secret's name.
Rules    A known key of a site file keeps its value, unless its name is a secret's; unknown keys keep their names
         alone; comments are dropped, because passwords are written there too. The path of a secret's file is kept.
Limits   A secret under a harmless name in a harmless place (`name: hunter2`) cannot be told from a name. Whoever sends
         the result looks through it first; the command says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from controller.sitedata import MQTT_KEYS, PROFILE_KEYS, REMOTE_KEYS, SITE_KEYS, TELEMETRY_KEYS, groups
from cython_core.checks import FIELDS
from drivers.yamlkeys import keys_of

HIDDEN = "(hidden)"
SHORTEST = 4  # characters of a hidden value that is looked for elsewhere: `10` stands in too many places
NAME = re.compile(
    r"pass|pwd|secret|token|credential|private|psk|auth|bearer|cookie|(^|[_-]|api)key($|[_-])|^pin$", re.I
)
NAMES_A_FILE = re.compile(r"_(file|path|dir|folder)$")
PATH = re.compile(r"/[\w./@:+-]*")
# fmt: off
IN_TEXT = [
    (re.compile(r"-----BEGIN [A-Z0-9 ]+-----.*?(-----END [A-Z0-9 ]+-----|\Z)", re.S), HIDDEN),  # keys, certificates
    (re.compile(r"(?<=://)[^/\s@'\"]+@"),                                             f"{HIDDEN}@"),  # user:password@
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"),                                      HIDDEN),  # JSON web tokens
    (re.compile(r"\b(Bearer|Basic|Token)\s+[\w+/=.~-]{6,}", re.I),                    rf"\1 {HIDDEN}"),
    (re.compile(r"\b([\w-]*(?:passw(?:or)?d|passphrase|secret|token|api_?key|access_?key|psk))(\s*[=:]\s*)"
                r"(?!/)[^\s,;&'\"]+", re.I),                                          rf"\1\2{HIDDEN}"),
]
# fmt: on
KNOWN = {
    *SITE_KEYS,
    *PROFILE_KEYS,
    *TELEMETRY_KEYS,
    *MQTT_KEYS,
    *REMOTE_KEYS,
    *FIELDS,
    *(key for _, kind in groups() for key in keys_of(kind)),
    *(f for group in FIELDS.values() for f in group),
}  # fmt: skip


@dataclass
class Redacted:
    """Text that may leave, and what was taken out of it."""

    text: str = ""
    secrets: set[str] = field(default_factory=set)


def is_secret(name: str) -> bool:
    """Whether what stands under this name is hidden."""
    return NAME.search(name) is not None


def is_path(name: str, value: str) -> bool:
    """Where a secret lies, not the secret: a token may begin with `/` too, so the name must say so."""
    return NAMES_A_FILE.search(name) is not None and PATH.fullmatch(value) is not None


def hide_site(text: str) -> Redacted:
    """A site file, also one with mistakes. Not YAML at all: nothing of it is kept."""
    hidden = Redacted()
    try:
        refuse_aliases(text)
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        if tree is not None:
            _hide_node(tree, "", hidden)
            hidden.text = yaml.serialize(tree, Dumper=yaml.SafeDumper, allow_unicode=True)
    except (yaml.YAMLError, RecursionError):
        return Redacted(f"# {HIDDEN}: this is no YAML, so that nothing in it can be told apart\n", set(words(text)))
    return hidden


def refuse_aliases(text: str) -> None:
    """A file of a few lines can name itself, or grow without end; a site file has none. Raises yaml.YAMLError."""
    if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text, Loader=yaml.SafeLoader)):
        raise yaml.YAMLError("aliases are not followed")


def _hide_node(node: yaml.Node, key: str, hidden: Redacted) -> None:
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            inner = ""  # of a key that is itself a list or a mapping: nothing of it is kept
            if isinstance(name, yaml.ScalarNode):
                inner = str(name.value)
            else:
                name.value = []
            _hide_node(value, key if is_secret(key) else inner, hidden)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _hide_node(item, key, hidden)
    elif isinstance(node, yaml.ScalarNode):
        kept = (key in KNOWN and not is_secret(key)) or is_path(key, node.value)
        shown = in_text(node.value) if kept else HIDDEN
        if shown != node.value:
            hidden.secrets |= {node.value, *credentials(node.value)}
            node.value, node.tag = shown, "tag:yaml.org,2002:str"


def hide_json(value: Any, key: str = "") -> Any:
    """Lists and mappings are walked; text is cleaned."""
    if isinstance(value, dict):
        return {name: hide_json(v, key if is_secret(key) else str(name)) for name, v in value.items()}
    if isinstance(value, list):
        return [hide_json(v, key) for v in value]
    if is_secret(key) and value is not None and not is_path(key, str(value)):
        return HIDDEN
    return in_text(value) if isinstance(value, str) else value


def in_text(text: str) -> str:
    """Private keys, certificates, passwords in addresses, tokens and `password=...` in any text."""
    for pattern, instead in IN_TEXT:
        text = pattern.sub(instead, text)
    return text


def scrub(text: str, secrets: Iterable[str]) -> str:
    """in_text, and every one of these values wherever it stands."""
    for secret in sorted(telling(secrets), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return in_text(text)


def telling(secrets: Iterable[str]) -> Iterator[str]:
    """Those long enough to be looked for."""
    return (s for s in set(secrets) if len(s) >= SHORTEST and s not in ("true", "false", "null"))


def credentials(text: str) -> Iterator[str]:
    """User, password and both of the addresses in a text."""
    for found in re.findall(r"://([^/\s@'\"]+)@", text):
        yield from (found, *found.split(":"))


def words(text: str) -> Iterator[str]:
    """What a secret in an unreadable text could be: what stands behind the name of one."""
    for name, value in re.findall(r"([\w-]+)\s*[:=]\s*(\S+)", text):
        if is_secret(name):
            yield value.strip("'\"")
