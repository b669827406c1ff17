"""Columns: whatever 64 bits stand in a row, they come back; a quiet column is 17 bytes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from controller.columns import pack, unpack

Words = NDArray[np.int64]
BIG, SMALL = np.iinfo(np.int64).max, np.iinfo(np.int64).min
NAN_BITS = int(np.array([np.nan]).view(np.int64)[0])
HEAD = 17


def every(rows: Words) -> Words:
    return np.arange(rows.shape[1])


def again(rows: Words, at: Words) -> Words:
    packed = pack(rows.tobytes(), at, rows.shape[1])
    return np.frombuffer(unpack(packed, at, rows.shape[1], len(rows)), dtype=np.int64).reshape(rows.shape)


# fmt: off
COLUMNS = [
    # one column                  bytes      why
    ([5],                         HEAD,      "one row"),
    ([5, 5, 5, 5],                HEAD,      "it stands still"),
    ([5, 15, 25, 35],             HEAD,      "it goes evenly: the time of a step"),
    ([NAN_BITS] * 4,              HEAD,      "never measured"),
    ([0, 0, 127, 127],            HEAD + 3,  "distances 0, 127, 0 -> 0, 254, 0: one plane of three"),
    ([0, 0, -128, -128],          HEAD + 3,  "-128 -> 255: the largest of one plane"),
    ([0, 0, 128, 128],            HEAD + 3,  "256: the second plane alone"),
    ([0, 0, 129, 129],            HEAD + 6,  "258: both"),
    ([0, 0, 1 << 40, 1 << 40],    HEAD + 3,  "one high bit: the planes below it are 0"),
    ([7, 7, 5],                   HEAD + 2,  "the last row counts"),
    ([SMALL, BIG, SMALL, BIG],    HEAD + 3,  "differences wrap: -1, 1, -1, from -1: 0, 2, 0"),
]
# fmt: on


@pytest.mark.parametrize(("column", "n_bytes", "why"), COLUMNS, ids=[c[-1] for c in COLUMNS])
def test_size_and_return_of_a_column(column: list[int], n_bytes: int, why: str) -> None:
    rows = np.array(column, dtype=np.int64)[:, None]
    assert len(pack(rows.tobytes(), every(rows), 1)) == n_bytes, why
    assert np.array_equal(again(rows, every(rows)), rows)


@given(arrays(np.int64, st.tuples(st.integers(1, 12), st.integers(1, 6))))
def test_every_bit_comes_back(rows: Words) -> None:
    assert np.array_equal(again(rows, every(rows)), rows)


def test_what_is_not_packed_is_0() -> None:
    rows = np.array([[1, 2, 3], [4, 5, 6]], dtype=np.int64)
    assert again(rows, np.array([2, 0])).tolist() == [[1, 0, 3], [4, 0, 6]]


ROWS = np.arange(6, dtype=np.int64).reshape(3, 2) ** 5
PACKED = pack(ROWS.tobytes(), every(ROWS), 2)
# fmt: off
WRONG = [
    # what                                                            message                          why
    (lambda: unpack(PACKED[:-1], every(ROWS), 2, 3),                  "bytes are not 3 rows of 2",     "cut off"),
    (lambda: unpack(PACKED + b"\0", every(ROWS), 2, 3),               "bytes are not 3 rows of 2",     "too long"),
    (lambda: unpack(PACKED, every(ROWS), 2, 4),                       "bytes are not 4 rows of 2",     "other rows"),
    (lambda: unpack(b"", every(ROWS), 2, 3),                          "0 bytes are not 3 rows of 2",   "nothing"),
    (lambda: unpack(PACKED, every(ROWS), 2, 0),                       "0 bytes are not whole rows",    "no row"),
    (lambda: pack(ROWS.tobytes()[:-1], every(ROWS), 2),               "47 bytes are not whole rows",   "half a word"),
    (lambda: pack(ROWS.tobytes(), np.array([0, 2]), 2),               "a column at word 2 of rows of", "beyond a row"),
    (lambda: pack(ROWS.tobytes(), np.array([-1]), 2),                 "a column at word -1",           "before a row"),
    (lambda: pack(bytes(8 * 129), np.arange(129), 129),               "129 columns; 128 at most",      "too many"),
]
# fmt: on


@pytest.mark.parametrize(("what", "message", "why"), WRONG, ids=[c[-1] for c in WRONG])
def test_what_is_no_column_is_refused(what: object, message: str, why: str) -> None:
    assert callable(what)
    with pytest.raises(ValueError, match=message):
        what()
