"""The demonstrations of the system tests: started two at a time, ahead of the tests that wait for them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.demos import Demos, Play, Played


@pytest.fixture(scope="session")
def demos(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demos]:
    """Every play that a test of this run names as `played`, in the order of the tests."""
    calls = (getattr(item, "callspec", None) for item in request.session.items)
    plays = [call.params["played"] for call in calls if call is not None and "played" in call.params]
    running = Demos(tmp_path_factory.mktemp("demos"), [play for play in plays if isinstance(play, Play)])
    yield running
    running.close()


@pytest.fixture
def played(request: pytest.FixtureRequest, demos: Demos) -> Played:
    """`@pytest.mark.parametrize("played", [Play(...)], indirect=True)` -> that run, over."""
    return demos.of(request.param)
