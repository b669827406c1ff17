"""judgement.json: what a judge found, as a file. Same judgement, same bytes: sorted keys, nine digits, no time of day.

    {"schema": 1, "cases": [{"id", "verdict", "record", "reasons": [...], "checks": [{...}, ...]}, ...]}

Errors   InputError: no such file, not JSON, or of a newer version of this program.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from controller.bench.judgement import CaseJudgement
from controller.bench.planfile import PlanError, decode
from controller.errors import InputError
from controller.response.judge import plain
from controller.wholefile import write_whole

SCHEMA = 1
DIGITS = 9  # the last bits of a power function are the machine's own


def as_text(judgements: Sequence[CaseJudgement]) -> str:
    tree = {"schema": SCHEMA, "cases": [rounded(plain(asdict(j))) for j in judgements]}
    return json.dumps(tree, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: rounded(x) for k, x in value.items()}
    if isinstance(value, list):
        return [rounded(x) for x in value]
    return float(f"{value:.{DIGITS}g}") + 0.0 if isinstance(value, float) else value  # + 0.0: no -0


def write_judgement(path: Path, judgements: Sequence[CaseJudgement]) -> None:
    """Whole or not at all. Raises OSError."""
    write_whole(path, as_text(judgements))


def read_judgement(path: Path) -> tuple[CaseJudgement, ...]:
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        schema = tree["schema"]
        if schema > SCHEMA:
            raise InputError(f"{path}: schema {schema} is newer than this program, which reads up to {SCHEMA}")
        return tuple(decode(CaseJudgement, case, "case") for case in tree["cases"])
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}: `v2g bench judge {path.parent}` writes it") from error
    except (PlanError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: is no judgement: `v2g bench judge {path.parent}` writes it anew") from error
