"""The order of memory in mailbox and ring, read in their sources: no run on x86 can show that a fence is missing.

A processor that reorders stores and loads (ARM) needs each of these. Writer: the mark that a value is being written
comes before its words (release fence), the mark that it is whole after them (store release). Reader: the mark is
looked at before the words (load acquire) and again after them (acquire fence, then a load).
Source   H.-J. Boehm, "Can seqlocks get along with programming language memory models?", MSPC 2012.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import cython_core.realtime

SOURCES = Path(next(iter(cython_core.realtime.__path__)))
# and at last who sleeps is looked at, after the new sequence: two stores, two loads, each side a full fence between
WRITES, READS = "store fence_release store+ store_release", "load_acquire load+ fence_acquire load"

# fmt: off
FUNCTIONS = [
    # file       function          order                      why
    ("mailbox",  "mailbox_put",    f"load {WRITES} fence load futex_wake", "odd, words, even; then who sleeps"),
    ("mailbox",  "mailbox_wait",   "store fence load futex_wait store", "I sleep; then the sequence"),
    ("mailbox",  "mailbox_get",    READS,                   "the same even sequence before and after"),
    ("ring",     "ring_push",      f"{WRITES} store_release", "negative, words, positive; then the count of steps"),
    ("ring",     "copy_slot",      READS,                     "the step's own sequence before and after"),
    ("ring",     "ring_snapshot",  f"load {WRITES}",          "as a mailbox"),
]
# fmt: on


def accesses(source: str, function: str) -> str:
    """Every access of a function to shared words in the order of its lines, as words; repeated ones as `store+`."""
    body = re.search(rf"^cdef \w+ {function}\([^\n]*\n(.*?)(?=^\S|\Z)", source, re.MULTILINE | re.DOTALL)
    assert body is not None, f"no {function}"
    text = body[1].replace("copy_in(", "v2g_store(").replace("copy_out(", "v2g_load(")
    return " ".join(re.findall(r"v2g_(\w+)\(", text))


@pytest.mark.parametrize(("file", "function", "order", "why"), FUNCTIONS, ids=[c[1] for c in FUNCTIONS])
def test_order(file: str, function: str, order: str, why: str) -> None:
    found = accesses((SOURCES / f"{file}.pyx").read_text(), function)
    pattern = re.sub(r"(\w+)\+", r"\1(?: \1)*", order)
    assert re.fullmatch(pattern, found), f"{why}: {found}"


def test_the_helpers_of_the_ring_move_words_one_by_one() -> None:
    source = (SOURCES / "ring.pyx").read_text()
    assert (accesses(source, "copy_in"), accesses(source, "copy_out")) == ("store", "load")


# fmt: off
WRONG = [
    # lines of a writer                                                            why
    ("v2g_store(s); copy_in(w); v2g_store_release(s)",                             "no fence between mark and words"),
    ("v2g_store(s); v2g_fence_release(); copy_in(w); v2g_store(s)",                "the end may come before the words"),
    ("v2g_fence_release(); v2g_store(s); copy_in(w); v2g_store_release(s)",        "the fence before the mark"),
    ("v2g_store(s); v2g_fence_release(); v2g_store_release(s); copy_in(w)",        "words after the end"),
]
# fmt: on


@pytest.mark.parametrize(("body", "why"), WRONG, ids=[c[-1] for c in WRONG])
def test_a_wrong_order_is_seen(body: str, why: str) -> None:
    found = accesses(f"cdef void f() noexcept nogil:\n    {body}\n\n\ncdef void g():\n    v2g_fence_release()\n", "f")
    assert not re.fullmatch(re.sub(r"(\w+)\+", r"\1(?: \1)*", WRITES), found), why
