"""The demonstrations of the system tests: started two at a time, ahead of the tests that wait for them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.demos import Demos, Play, Played


def play_of(item: pytest.Item) -> Play | None:
    """What a test is parametrized with as `played`."""
    call = getattr(item, "callspec", None)
    found = None if call is None else call.params.get("played")
    return found if isinstance(found, Play) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of demonstrations first: when they are over, nothing of them runs beside the rigs of the others."""
    items.sort(key=lambda item: play_of(item) is None)


@pytest.fixture(scope="session")
def demos(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demos]:
    """Every play that a test of this run names as `played`, in the order of the tests."""
    plays = [play for item in request.session.items if (play := play_of(item)) is not None]
    running = Demos(tmp_path_factory.mktemp("demos"), plays)
    yield running
    running.close()


@pytest.fixture
def played(request: pytest.FixtureRequest, demos: Demos) -> Played:
    """`@pytest.mark.parametrize("played", [Play(...)], indirect=True)` -> that run, over."""
    return demos.of(request.param)
