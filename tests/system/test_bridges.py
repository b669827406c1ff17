"""Two bridges of one share_group on a real Mosquitto: they divide the messages, and lose none when one dies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.system.chain import Chain
from tests.system.servers import Influx1, Mosquitto, wait_for
from tests.system.test_stores import EVENTS, FRAMES, TOTAL, seqs


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Influx1]:
    database = Influx1(tmp_path / "database")
    database.start()
    yield database
    database.stop()


@pytest.fixture
def chain(tmp_path: Path, database: Influx1, request: pytest.FixtureRequest) -> Iterator[Chain]:
    """share_group: the parameter, or none."""
    broker = Mosquitto(tmp_path / "broker")
    group = {"share_group": request.param} if request.param else {}
    with closing(Chain(tmp_path, broker.port, database.keys, **group)) as chain:
        chain.v2g("bridge", str(chain.site), "--setup")
        yield chain
    broker.stop()


def assert_each_row_once(database: Influx1) -> None:
    assert (seqs(database, "v2g_live"), seqs(database, "v2g_event")) == (FRAMES, EVENTS)


@pytest.mark.parametrize("chain", ["bridges"], indirect=True)
def test_two_bridges_of_a_group_divide_the_messages(chain: Chain, database: Influx1) -> None:
    one, two = chain.start_bridge("one"), chain.start_bridge("two")
    assert chain.start_publisher(TOTAL).wait(60.0) == 0
    received = [chain.end_bridge(child, name)["received"] for child, name in ((one, "one"), (two, "two"))]
    assert sum(received) == TOTAL  # nothing came to both
    assert min(received) >= TOTAL // 4, received
    assert_each_row_once(database)


@pytest.mark.nightly
@pytest.mark.parametrize("chain", [None], indirect=True)
def test_without_a_group_both_store_all_and_the_database_keeps_each_row_once(chain: Chain, database: Influx1) -> None:
    one, two = chain.start_bridge("one"), chain.start_bridge("two")
    assert chain.start_publisher(TOTAL).wait(60.0) == 0
    wait_for(lambda: len(seqs(database, "v2g_live")) >= len(FRAMES), "all frames stored")
    received = [chain.end_bridge(child, name)["received"] for child, name in ((one, "one"), (two, "two"))]
    assert min(received) >= TOTAL * 9 // 10, received
    assert_each_row_once(database)


@pytest.mark.parametrize("chain", ["bridges"], indirect=True)
def test_one_of_a_group_is_killed_the_other_brings_its_rows(chain: Chain, database: Influx1) -> None:
    """What the dead one had in hand, its publisher sends again; from then on all goes to the other."""
    one, two = chain.start_bridge("one"), chain.start_bridge("two")
    publisher = chain.start_publisher(TOTAL)
    wait_for(lambda: chain.acknowledged() >= TOTAL // 4, "a quarter of the rows stored")
    one.kill()
    one.wait()
    assert publisher.wait(60.0) == 0
    assert chain.end_bridge(two, "two")["stored"] > 0
    assert_each_row_once(database)


@pytest.mark.parametrize("chain", [None], indirect=True)
def test_two_bridges_of_one_name_are_refused(chain: Chain) -> None:
    chain.start_bridge("one")
    second = chain.v2g("bridge", str(chain.site), "--name", "one")
    assert second.returncode == 2
    assert second.stderr.count("\n") == 1
    assert "another bridge with the name one is running; --name gives it another" in second.stderr
