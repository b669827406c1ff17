"""What a run found as JUnit XML, for the machines that build: a procedure is a suite, a case a test case. Pure.

fail = failure, invalid = error (the rig, not the unit), skipped = skipped. A warning stands in the case's system-out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from controller.bench.judgement import CaseJudgement, Verdict
from controller.bench.plan import Plan
from controller.bench.report.results import Found, found

TAGS = {Verdict.FAIL: "failure", Verdict.INVALID: "error", Verdict.SKIPPED: "skipped"}
COUNTS = {Verdict.FAIL: "failures", Verdict.INVALID: "errors", Verdict.SKIPPED: "skipped"}
NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, 2.2


def as_junit(plan: Plan, judgements: Sequence[CaseJudgement], seconds: Mapping[str, float]) -> str:
    """junit.xml. seconds: how long each case lasted, of the bench's clock; absent: it was not run."""
    suites: dict[str, list[Found]] = {}
    for row in found(plan, judgements):
        suites.setdefault(row[0].procedure, []).append(row)
    root = Element("testsuites", name=_text(plan.eut.name))
    for procedure, rows in suites.items():
        root.append(_suite(procedure, rows, seconds))
    indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _suite(procedure: str, rows: Sequence[Found], seconds: Mapping[str, float]) -> Element:
    numbers = {name: str(sum(j.verdict is v for _, j in rows)) for v, name in COUNTS.items()}
    total_s = sum(seconds.get(case.id, 0.0) for case, _ in rows)
    suite = Element("testsuite", {"name": procedure, "tests": str(len(rows)), "time": f"{total_s:.3f}"} | numbers)
    for case, judgement in rows:
        element = SubElement(
            suite, "testcase", classname=procedure, name=_text(case.id), time=f"{seconds.get(case.id, 0.0):.3f}"
        )
        _say(element, judgement)
    return suite


def _say(element: Element, judgement: CaseJudgement) -> None:
    worse = [f"{c.step}: {c.reason}" for c in judgement.checks if c.verdict is judgement.verdict]
    if judgement.verdict is not Verdict.PASS:
        lines = [*judgement.reasons, *worse] or [judgement.verdict.value]
        said = SubElement(element, TAGS[judgement.verdict], message=_text(lines[0]))
        said.text = _text("\n".join(lines))
    warned = [f"warning: {c.step}: {c.reason}" for c in judgement.checks if c.warning]
    if warned:
        SubElement(element, "system-out").text = _text("\n".join(warned))


def _text(words: str) -> str:
    return NOT_IN_XML.sub("\N{REPLACEMENT CHARACTER}", words)
