"""docs/conformance.md was made of the procedures and units that are here now."""

from controller.bench.procedurefile import load_all
from tests.conformance.__main__ import PAGE, digest


def test_it_names_these_procedures_and_units() -> None:
    assert f"Procedures and units: {digest()}." in PAGE.read_text(), "make conformance ARGS=--write"


def test_every_procedure_has_a_row() -> None:
    rows = PAGE.read_text().splitlines()
    for procedure in load_all():
        assert any(row.startswith(f"| `{procedure.name}` | {procedure.clause} |") for row in rows)


def test_nothing_fails() -> None:
    verdicts = [row.split("|", 3)[3] for row in PAGE.read_text().splitlines() if row.startswith("| `")]
    assert verdicts
    assert not [row for row in verdicts if "fail" in row or "invalid" in row]
