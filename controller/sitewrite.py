"""Site -> the text of a site file that load_site reads back as the same site, every setting written out.

For a program that changes an address or a folder and starts processes on the result: the demonstration, the bench.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import yaml

from controller.sitedata import Site
from cython_core.settings import to_mapping


def site_text(site: Site) -> str:
    """YAML. Ages are written as they stand: after a change of poll_ms or timeout_ms they are no longer derived."""
    tree = plain(site) | {"settings": to_mapping(site.settings)}
    if site.accepted:
        tree["i_accept"] = list(site.accepted)
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)


def plain(group: Any) -> dict[str, Any]:
    """The keys of a group and of the groups in it; what is absent is left out."""
    tree: dict[str, Any] = {}
    for f in fields(group):
        value = getattr(group, f.name)
        if is_dataclass(value) and f.name != "settings":
            tree[f.name] = plain(value)
        elif f.metadata and value is not None:
            tree[f.name] = str(value) if isinstance(value, Path) else value
    return tree
