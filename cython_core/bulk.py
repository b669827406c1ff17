"""The records as NumPy dtypes: arrays in, arrays out. Never imported by the running core.

dtype(StepRecord) has the fields of records.StepRecord in order; raw records view as rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cython_core.records import StepRecord, kinds


def dtype(record: type[Any]) -> np.dtype[Any]:
    """The NumPy dtype of one record type: int64 and float64 fields, little-endian, no padding."""
    names = [f.name for f in fields(record)]
    return np.dtype([(n, "<f8" if k == "d" else "<i8") for n, k in zip(names, kinds(record), strict=True)])


STEP = dtype(StepRecord)


def stack(records: Iterable[StepRecord]) -> NDArray[Any]:
    """StepRecords -> structured array, one row a record."""
    return np.array([tuple(getattr(r, n) for n in STEP.names or ()) for r in records], dtype=STEP)


def from_bytes(payload: bytes) -> NDArray[Any]:
    """Raw step records, end to end -> structured array (a copy)."""
    return np.frombuffer(payload, dtype=STEP).copy()
