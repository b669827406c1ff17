"""A set through a free place into force: order of the frames, and every way in which a device may not take it over."""

from __future__ import annotations

import pytest

import drivers.sim.sunspec_curves
from drivers.base import DiscoveryError
from drivers.sunspec.adopt import AdoptionError, adopt, free_set, set_points, write_points
from drivers.sunspec.chain import Model
from drivers.sunspec.points import Table
from tests.drivers.sunspec_face import Face


def bring(face: Face, model: int, points: dict[str, int]) -> Table:
    return adopt(face, face.tables()[model], points, 10.0, face.now, face.sleep)


def test_order_of_the_frames() -> None:
    face = Face()
    table = face.tables()[711]
    after = bring(face, 711, {"KOf": 40})
    at = table.address
    # K_SF -3, Db_SF -3, RspTms_SF -1; what is not named is as in set 1: 0.036 Hz, 5 s, -100 %
    assert face.writes == [
        (at("Ctl.1.DbOf"), (0, 36, 0, 36, 40, 50, 0, 50, 0xFF9C)),
        (at("AdptCtlReq"), (2,)),
    ]
    assert after.number("Ctl.0.KOf") == 40


def test_a_curve_keeps_out_of_read_only_points() -> None:
    face = Face()
    bring(face, 705, {"Pt.0.V": 900})
    image = face.unit.image
    written = {address - 40000 + i for address, words in face.writes for i in range(len(words))}
    for point in ("Crv.1.VRefAuto", "Crv.1.ReadOnly", "Crv.0.ActPt"):
        assert image.points[f"705.{point}"].at not in written
    assert face.get("705.Crv.0.Pt.0.V") == 90.0


def test_a_failed_adoption_says_that_the_old_points_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drivers.sim.sunspec_curves, "is_followable", lambda *_: False)
    face = Face()
    with pytest.raises(AdoptionError) as error:
        bring(face, 711, {"KOf": 40})
    assert str(error.value) == ("model 711: it refuses set 2 (AdptCtlRslt = 2); the points before are still in force")
    assert face.get("711.Ctl.0.KOf") == 0.05


def test_a_device_that_never_answers_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drivers.sim.sunspec_curves, "ADOPT_S", 1e9)
    face = Face()
    with pytest.raises(
        AdoptionError, match=r"^model 711: no adoption within 10 s; the points before are still in force$"
    ):
        bring(face, 711, {"KOf": 40})
    assert 10.0 <= face.now_s < 11.0


def test_completed_of_the_request_before_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that leaves the result at 1 while it works."""
    monkeypatch.setattr(drivers.sim.sunspec_curves, "IN_PROGRESS", 1)
    face = Face()
    bring(face, 711, {"KOf": 40})
    assert face.now_s > 0.2
    assert face.get("711.Ctl.0.KOf") == 0.04


def test_a_device_that_takes_over_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    face = Face()
    sets = face.unit.own.sets[711]
    take_over = sets.adopt

    def spoilt(i: int) -> None:
        take_over(i)
        face.unit.image.put("711.Ctl.0.KUf", 0.5)

    monkeypatch.setattr(sets, "adopt", spoilt)
    with pytest.raises(AdoptionError, match="no adoption within 10 s; AND OTHER POINTS THAN BEFORE ARE IN FORCE"):
        bring(face, 711, {"KOf": 40})


def test_a_place_that_does_not_hold_what_was_written_is_not_asked_for() -> None:
    face = Face()
    write, address = face.write, face.tables()[711].address("Ctl.1.DbOf")

    def lossy(at: int, words: list[int]) -> None:
        write(at, [*words[:4], 41, *words[5:]] if at == address else words)

    face.write = lossy  # type: ignore[method-assign,assignment]  # this device loses a write
    with pytest.raises(AdoptionError, match=r"^model 711: Ctl\.1\.KOf reads 41 after 40 was written$"):
        bring(face, 711, {"KOf": 40})
    assert face.get("711.AdptCtlReq") == 0


def test_the_first_place_that_may_be_written_and_is_not_the_one_to_revert_to() -> None:
    face = Face()
    assert free_set(face.tables()[705]) == 1
    face.unit.image.put("705.RvrtCrv", 2)
    assert free_set(face.tables()[705]) == 2
    for i in (1, 2):
        face.unit.image.put(f"705.Crv.{i}.ReadOnly", 1)
    with pytest.raises(AdoptionError, match=r"^model 705: none of its 3 sets can be written \(Crv\.ReadOnly\)$"):
        free_set(face.tables()[705])


def test_neighbours_go_in_one_request_and_no_point_in_two() -> None:
    face = Face()
    table = face.tables()[709]
    values = {f"Crv.1.{c}.Pt.{i}.{p}": 5000 for c in ("MustTrip", "MayTrip", "MomCess") for i in range(5)
              for p in ("Hz", "Tms")}  # fmt: skip
    values |= {f"Crv.1.{c}.ActPt": 5 for c in ("MustTrip", "MayTrip", "MomCess")}
    write_points(face, table, values)
    assert [len(words) for _, words in face.writes] == [63]
    face.writes.clear()
    write_points(face, table, values | {f"Crv.2.{p[6:]}": v for p, v in values.items()})
    assert [len(words) for _, words in face.writes] == [63, 63]  # ReadOnly stands between


def test_points_are_read_back() -> None:
    face = Face()
    assert set_points(face, face.tables()[704], {"PFWInjEna": 1}).number("PFWInjEna") == 1


def test_a_model_whose_length_is_not_that_of_its_points() -> None:
    face = Face()
    model = face.tables()[705].model
    words = {model.at + i: w for i, w in enumerate(face.read(model.at, 40))}
    with pytest.raises(DiscoveryError, match=r"^model 705 at \d+ has length 80; its points .* have 79 words$"):
        Table(Model(705, model.at, 80), words | {model.at + i: 0 for i in range(40, 90)})
