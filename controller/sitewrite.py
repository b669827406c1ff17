"""Site -> the text of a site file that load_site reads back as the same site; and every setting there is, as comments.

site_text()       for a program that changes an address or a folder and starts processes on the result: demo, bench.
reference_text()  the second half of config/site.example.yaml: each group and key with its default and range.
                  `python -m controller.sitewrite` writes it anew; a test keeps it equal to the settings.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from controller.sitedata import Site, WireSite
from controller.sitewires import unused_keys
from cython_core.quantities import range_of
from cython_core.settings import RatingSettings, Settings, to_mapping
from drivers.yamlkeys import Meta, allowed

MARK = "# ---- every setting; default and range of Category B and III at 60 Hz. Take off `#: `, put below settings ----"
COLUMN = 32
WIDTH = 120


def site_text(site: Site) -> str:
    """YAML. Ages are written as they stand: after a change of poll_ms or timeout_ms they are no longer derived."""
    tree = plain(site) | {"settings": to_mapping(site.settings)}
    if site.accepted:
        tree["i_accept"] = list(site.accepted)
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)


def plain(group: Any) -> dict[str, Any]:
    """The keys of a group and of the groups in it; what is absent is left out."""
    tree: dict[str, Any] = {}
    unused = unused_keys(group) if isinstance(group, WireSite) else ()
    for f in fields(group):
        value = getattr(group, f.name)
        if f.name in unused:
            continue
        if is_dataclass(value) and f.name not in ("settings", "card"):
            tree[f.name] = plain(value)
        elif isinstance(value, Mapping) and f.name == "keys" and value:
            tree[f.name] = {name: plain(key) for name, key in value.items()}
        elif f.metadata and value not in (None, ()):
            tree[f.name] = str(value) if isinstance(value, Path) else written_list(value)
    return tree


def written_list(value: Any) -> Any:
    """A list of its own for each tuple: YAML would write one that comes twice as an alias."""
    return list(value) if isinstance(value, tuple) else value


def reference_text() -> str:
    """Commented lines, `#: ` in front: taken off, they are the groups below `settings:`."""
    return "\n".join([MARK, *reference_lines(Settings())]) + "\n"


def reference_lines(settings: Settings) -> Iterator[str]:
    for group in fields(settings):
        chosen = getattr(settings, group.name)
        yield f"#: {group.name}:"
        for f in fields(chosen):
            first, *more = textwrap.wrap(allowed(of_unit(f.metadata, settings.rating), brief=True), WIDTH - COLUMN - 2)
            yield f"{f'#:   {f.name}: {written(getattr(chosen, f.name))}':<{COLUMN}}# {first}"
            yield from (f"#:{'':<{COLUMN - 2}}# {line}" for line in more)


def of_unit(meta: Meta, rating: RatingSettings) -> Meta:
    """A setting's range in this unit's categories and at its frequency, where that is narrower."""
    if not (meta.get("by") or meta.get("at_60_hz")):
        return meta
    _, low, high = range_of(meta, rating.normal_category, rating.abnormal_category, rating.f_nom_hz)
    return {**meta, "low": low, "high": high}


def written(value: Any) -> str:
    """As a site file has it: plain decimals, no quotes."""
    return (
        str(value).lower() if isinstance(value, bool) else f"{value:.12g}" if isinstance(value, float) else str(value)
    )


def main() -> None:
    """Write the example's second half anew."""
    path = Path(str(resources.files("config"))) / "site.example.yaml"
    head, mark, _ = path.read_text(encoding="utf-8").partition(MARK)
    assert mark, f"{path}: the line {MARK!r} is not there"
    path.write_text(head + reference_text(), encoding="utf-8")


if __name__ == "__main__":
    main()
