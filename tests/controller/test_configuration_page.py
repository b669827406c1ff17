"""docs/configuration.md holds every key there is, as it is declared."""

from __future__ import annotations

import re

from controller.redact import KNOWN
from tests.controller.configuration_page import PAGE, page_with


def test_the_page_is_what_the_declarations_are() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == page_with(text), "run: python -m tests.controller.configuration_page"


def test_no_key_is_left_out() -> None:
    """Against a list that is made elsewhere: the keys of a site file that a support bundle keeps."""
    text = PAGE.read_text(encoding="utf-8")
    told = set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) | set(
        re.findall(r"^### `(\w+):`$", text, re.MULTILINE)
    )
    assert told == KNOWN
