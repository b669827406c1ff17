"""One vocabulary, three shapes: dataclass = C struct = NumPy dtype, field by field, every field one 64-bit word."""

from __future__ import annotations

import re
import struct
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from cython_core.bulk import STEP, dtype, from_bytes, stack
from cython_core.records import (
    RECORDS,
    DeviceState,
    Measurement,
    Order,
    Reason,
    StepRecord,
    Wish,
    kinds,
    layout_hash,
    reasons_text,
)

STRUCTS = (Path(__file__).parents[1] / "cython_core" / "structs.pxd").read_text()
C_TYPES = {"int64_t": "q", "double": "d"}


def c_name(record: type[Any]) -> str:
    """DeviceState -> device_state_t"""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", record.__name__).lower() + "_t"


def c_struct(name: str) -> list[tuple[str, str]]:
    """The (type, field) pairs of one struct of structs.pxd, in order."""
    body = re.search(rf"^cdef struct {name}:[^\n]*\n((?:[ ]+[^\n]*\n|\n(?=[ ]))+)", STRUCTS + "\n", re.MULTILINE)
    assert body, f"structs.pxd has no struct {name}"
    lines = (line.split("#")[0].split() for line in body[1].splitlines())
    return [(line[0], line[1]) for line in lines if line]


@pytest.mark.parametrize("record", RECORDS, ids=lambda r: r.__name__)
def test_struct_equals_dataclass(record: type[Any]) -> None:
    ours = list(zip(kinds(record), (f.name for f in fields(record)), strict=True))
    theirs = [(C_TYPES[kind], name) for kind, name in c_struct(c_name(record))]
    assert theirs == ours


@pytest.mark.parametrize("record", RECORDS, ids=lambda r: r.__name__)
def test_dtype_equals_dataclass(record: type[Any]) -> None:
    shape = dtype(record)
    assert list(shape.names or ()) == [f.name for f in fields(record)]
    assert [shape[n].str for n in shape.names or ()] == [{"q": "<i8", "d": "<f8"}[k] for k in kinds(record)]
    assert shape.itemsize == 8 * len(fields(record))  # no padding


def test_every_record_has_its_struct_and_no_struct_is_left_over() -> None:
    declared = set(re.findall(r"^cdef struct (\w+):", STRUCTS, re.MULTILINE))
    assert declared == {c_name(r) for r in RECORDS} | {"inputs_t"}  # inputs_t: four records side by side


def test_the_inputs_stand_side_by_side_in_the_step_record() -> None:
    """One copy takes them all, and a replay reads them in place."""
    names = [f.name for f in fields(StepRecord)]
    side_by_side = [
        prefix + f.name
        for prefix, record in (("m_", Measurement), ("d_", DeviceState), ("o_", Order), ("i_", Wish))
        for f in fields(record)
    ]
    begin = names.index("m_t_f_ns")
    assert names[begin : begin + len(side_by_side)] == side_by_side
    assert c_struct("inputs_t") == [
        ("measurement_t", "meter"), ("device_state_t", "device"), ("order_t", "order"), ("wish_t", "wish")
    ]  # fmt: skip


def test_raw_bytes_become_rows() -> None:
    """Each field gets its own number; a swap anywhere shows."""
    names = [f.name for f in fields(StepRecord)]
    values = [i + 1 if kind == "q" else i + 1.5 for i, kind in enumerate(kinds(StepRecord))]
    raw = struct.pack("<" + kinds(StepRecord), *values)
    rows = from_bytes(raw + raw)
    assert rows.shape == (2,)
    assert [rows[name][1] for name in names] == values
    record: dict[str, Any] = dict(zip(names, values, strict=True))
    assert stack([StepRecord(**record)]).tobytes() == raw  # and back


def test_step_is_the_dtype_of_the_step_record() -> None:
    assert dtype(StepRecord) == STEP


def test_layout_hash_sees_a_changed_field(monkeypatch: pytest.MonkeyPatch) -> None:
    before = layout_hash()
    assert before == layout_hash()
    monkeypatch.setattr("cython_core.records.RECORDS", RECORDS[:-1])
    assert layout_hash() != before


def test_every_reason_is_one_bit_with_one_sentence() -> None:
    for reason in Reason:
        assert reason.value & (reason.value - 1) == 0, reason
        assert len(reasons_text(reason.value)) == 1, reason
    assert max(Reason).value < 1 << 62  # a signed word of the record holds them all
