"""The driver against the simulated source over loopback: what is set arrives, what goes wrong is told in time."""

from __future__ import annotations

import math
import os
import socket
import tty
from collections.abc import Iterator
from threading import Thread
from time import monotonic, monotonic_ns

import pytest

from drivers.gridsource.point import GridPoint, SourceError
from drivers.gridsource.profile import load_profile
from drivers.gridsource.scpi import ScpiSource
from drivers.gridsource.wire import Wire, wire_of
from drivers.sim import scpi_source as source_words
from drivers.sim.scpi_source import ScpiGridSource
from drivers.sim.source_process import ScpiServer

TIMEOUT_S = 0.2
NOMINAL = GridPoint(240.0, 240.0, 240.0, 60.0)
SIMULATED = load_profile("simulated")


@pytest.fixture
def server() -> Iterator[ScpiServer]:
    with ScpiServer("127.0.0.1", 0, ScpiGridSource()) as running:
        yield running


def source_of(server: ScpiServer, phases: int = 1, rest: GridPoint | None = None) -> ScpiSource:
    return ScpiSource(SIMULATED, wire_of(f"tcp://127.0.0.1:{server.port}", TIMEOUT_S), phases, rest)


def teach(monkeypatch: pytest.MonkeyPatch, query: str, answer: str) -> None:
    """The simulated source answers so from now on."""
    word = next(word for word in source_words.WORDS if word.fullmatch(query))
    monkeypatch.setitem(source_words.WORDS, word, (lambda _: answer, None))


def test_a_point_arrives_and_is_read_back(server: ScpiServer) -> None:
    source = source_of(server)
    before_ns = monotonic_ns()
    acknowledged_ns = source.on(NOMINAL)
    assert before_ns < acknowledged_ns < monotonic_ns()
    source.set(GridPoint(248.4, 0.0, 0.0, 60.021))
    server.step(1.0)
    found = source.read()
    assert found is not None
    assert (found.v1_v, found.f_hz) == (248.4, 60.021)
    assert math.isnan(found.v2_v), "a source of one phase says nothing of L2"
    assert server.source.closed


def test_three_phases_with_angles(server: ScpiServer) -> None:
    source = source_of(server, phases=3)
    source.on(GridPoint(256.8, 218.4, 218.41, 60.0, 20.0, -100.0, 140.0))
    server.step(1.0)
    assert server.source.out_v == [256.8, 218.4, 218.41]
    assert server.source.angles == [20.0, 260.0, 140.0]
    found = source.read()
    assert found is not None
    assert (found.v1_v, found.v2_v, found.v3_v) == (256.8, 218.4, 218.41)


# fmt: off
FAULTS = [
    # fault      said                                                        why
    ("silent",   r"'SYST:ERR\?': no answer and no end of line within 0.2 s", "it does not answer any more"),
    ("half",     r"the answer '0,\"No ' and no end of line within 0.2 s",    "half a line and then nothing"),
    ("hangup",   r"closed the connection|reset by peer",                     "it hangs up"),
    ("error",    r'VOLT 250.00;:FREQ 60.000\': -300,"Device-specific error', "it complains: the line and its words"),
]
# fmt: on


@pytest.mark.parametrize(("fault", "said", "why"), FAULTS, ids=[c[-1] for c in FAULTS])
def test_what_goes_wrong_is_told_and_the_next_point_is_set_whole(
    server: ScpiServer, fault: str, said: str, why: str
) -> None:
    source = source_of(server)
    source.on(NOMINAL)
    server.source.fault = fault
    begun = monotonic()
    with pytest.raises(SourceError, match=said):
        source.set(GridPoint(250.0, 0.0, 0.0, 60.0))
    assert monotonic() - begun < 5 * TIMEOUT_S
    server.source.fault = ""
    source.set(GridPoint(251.0, 0.0, 0.0, 60.0))
    assert server.source.volts[0] == 251.0


def test_an_error_queue_that_never_empties_is_no_endless_loop(
    server: ScpiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = source_of(server)
    source.on(NOMINAL)
    teach(monkeypatch, ":SYST:ERR", '-350,"Queue overflow"')
    with pytest.raises(SourceError, match='does not become empty: -350,"Queue overflow"'):
        source.errors()


def test_errors_from_before_are_not_ours(server: ScpiServer) -> None:
    server.source.answer("NONSENSE")
    source_of(server).on(NOMINAL)
    assert server.source.closed


def test_safe_opens_the_output_though_the_connection_had_gone(server: ScpiServer) -> None:
    source = source_of(server)
    source.on(NOMINAL)
    server.source.fault = "hangup"
    source.safe()
    assert not server.source.closed


def test_safe_opens_the_output_though_the_queue_holds_an_old_error(
    server: ScpiServer, capsys: pytest.CaptureFixture[str]
) -> None:
    source = source_of(server)
    source.on(NOMINAL)
    server.source.fault = "error"
    source.safe()
    assert not server.source.closed
    assert capsys.readouterr().err == ""


def test_safe_at_nominal_keeps_the_output_closed(server: ScpiServer) -> None:
    source = source_of(server, rest=NOMINAL)
    source.on(GridPoint(200.0, 0.0, 0.0, 57.0))
    source.safe()
    assert (server.source.closed, server.source.volts[0], server.source.hertz) == (True, 240.0, 60.0)


def test_safe_never_raises_and_says_what_a_person_must_do(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, not listening: refused
        address = f"tcp://127.0.0.1:{unused.getsockname()[1]}"
        ScpiSource(SIMULATED, wire_of(address, TIMEOUT_S), 1).safe()
    told = capsys.readouterr().err
    assert told.startswith(f"V2G-SOURCE-UNSAFE {address}: 'OUTP OFF': ")
    assert "SWITCH THE GRID SIMULATOR OFF BY HAND" in told


class AnsweredLine:
    """A TCP listener that sends what it is given for each line it gets."""

    def __init__(self, answer: bytes) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.answer = answer
        Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        connection, _ = self.listener.accept()
        with connection:
            while connection.recv(4096):
                connection.sendall(self.answer)

    def wire(self) -> Wire:
        return wire_of(f"tcp://127.0.0.1:{self.listener.getsockname()[1]}", TIMEOUT_S)


# fmt: off
ANSWERS = [
    # answer                said                               why
    (b"240.0\n241.0\n",     "and then the answer '241.0",      "two lines for one question: which is it?"),
    (b"24\xb00\n",          "can't decode byte 0xb0",          "no ASCII"),
    (b"9" * 5000,           "more than 4096 bytes",            "an answer without end"),
    (b"",                   "no answer and no end of line",    "nothing"),
]
# fmt: on


@pytest.mark.parametrize(("answer", "said", "why"), ANSWERS, ids=[c[-1] for c in ANSWERS])
def test_answers_that_are_no_answer(answer: bytes, said: str, why: str) -> None:
    with pytest.raises(SourceError, match=said):
        AnsweredLine(answer).wire().ask("MEAS:VOLT?")


# fmt: off
NUMBERS = [
    # what MEAS:VOLT? answers   said                                     why
    ("OVERLOAD",                "'OVERLOAD' is not a number",            "a word"),
    ("9.91E+37",                r"9.91E\+37 means that it has no value", "SCPI's not a number"),
    ("nan",                     "nan means that it has no value",        "and another's"),
]
# fmt: on


@pytest.mark.parametrize(("answer", "said", "why"), NUMBERS, ids=[c[-1] for c in NUMBERS])
def test_readings_that_are_none(
    server: ScpiServer, monkeypatch: pytest.MonkeyPatch, answer: str, said: str, why: str
) -> None:
    source = source_of(server)
    source.on(NOMINAL)
    teach(monkeypatch, ":MEAS:VOLT", answer)
    with pytest.raises(SourceError, match=said):
        source.read()


def test_a_serial_line_speaks_the_same() -> None:
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    simulated = ScpiGridSource()

    def serve() -> None:
        with os.fdopen(ours, "rb", buffering=0, closefd=False) as lines:
            for raw in lines:
                response = simulated.answer(raw.decode().strip())
                if response is not None:
                    os.write(ours, f"{response}\r\n".encode())

    Thread(target=serve, daemon=True).start()
    wire = wire_of(f"serial://{os.ttyname(theirs)}?baud=115200", TIMEOUT_S)
    source = ScpiSource(SIMULATED, wire, 1)
    source.on(NOMINAL)
    assert (simulated.closed, simulated.volts[0]) == (True, 240.0)
    source.close()


def test_a_serial_port_that_is_not_there_is_told() -> None:
    with pytest.raises(SourceError, match=r"serial:///dev/ttyNONE: '\*IDN\?': .*could not open port /dev/ttyNONE"):
        ScpiSource(SIMULATED, wire_of("serial:///dev/ttyNONE"), 1).identity()


# fmt: off
ADDRESSES = ["", "192.168.1.10", "tcp://host", "tcp://:5025", "tcp://host:99999", "serial://", "serial:///dev/x?baud=fast"]
# fmt: on


@pytest.mark.parametrize("address", ADDRESSES)
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(SourceError, match=r"address = .*allowed: tcp://HOST:PORT"):
        wire_of(address)
