"""The simulated grid simulator's process: SCPI over TCP, and what is at the terminals into the bar, as the grid does.

It takes the grid's place: one bar has either of them. A stiff source: the unit's power does not move its voltage.
"""

from __future__ import annotations

from argparse import Namespace
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Lock, Thread
from time import monotonic

from drivers.sim.bar import Bar
from drivers.sim.endpoint import StartError
from drivers.sim.process import Tick, run, write_whole
from drivers.sim.scpi_source import ScpiGridSource

ONCE = ("hangup", "error")  # faults of one message; the others stay


class ScpiServer(ThreadingTCPServer):
    """Lines in, lines out, for any number of connections. serving() listens until it is left."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, host: str, port: int, source: ScpiGridSource) -> None:
        self.source, self.lock = source, Lock()
        try:
            super().__init__((host, port), Handler)
        except OSError as error:
            raise StartError(f"{host}:{port}: {error.strerror}; allowed: a free --port, or 0 for any") from None

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def step(self, dt_s: float) -> None:
        with self.lock:
            self.source.step(dt_s)

    def __enter__(self) -> ScpiServer:
        Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_args: object) -> None:
        self.shutdown()
        self.server_close()


class Handler(StreamRequestHandler):
    """One connection."""

    server: ScpiServer

    def handle(self) -> None:
        for raw in self.rfile:
            with self.server.lock:
                source = self.server.source
                fault = source.fault
                if fault in ONCE:
                    source.fault = ""
                if fault == "hangup":
                    return
                if fault == "error":
                    source.complain('-300,"Device-specific error;simulated"')
                response = source.answer(raw.decode("ascii", "replace").strip())
            if response is None or fault == "silent":
                continue
            whole = f"{response}\n".encode()
            self.wfile.write(whole[: len(whole) // 2] if fault == "half" else whole)


class SourceProcess:
    """tick() moves the output and writes it into the bar."""

    def __init__(self, args: Namespace, bar: Bar, server: ScpiServer) -> None:
        self.phases, self.bar, self.server = args.phases, bar, server
        bar.update(play=0.0, play_s=0.0, ended=0.0, t_s=0.0)
        bar.update(**{f"share{i}": 1.0 / self.phases if i <= self.phases else 0.0 for i in (1, 2, 3)})

    def tick(self, dt_s: float) -> None:
        self.server.step(dt_s)
        source = self.server.source
        volts = [v if i < self.phases else 0.0 for i, v in enumerate(source.out_v)]
        f_hz = source.out_hz if source.closed else 0.0
        self.bar.update(f_hz=f_hz, source_v=volts[0], v1_v=volts[0], v2_v=volts[1], v3_v=volts[2], grid_s=monotonic())


async def serve_source(args: Namespace) -> None:
    source = ScpiGridSource(slew_v_s=args.slew_v_s, slew_hz_s=args.slew_hz_s)
    if args.port_file:
        args.port_file.unlink(missing_ok=True)  # of an earlier run: nobody must connect there
    with ScpiServer(args.host, args.port, source) as server:
        process: Tick = SourceProcess(args, Bar(args.bar), server).tick
        process(0.0)
        if args.port_file:
            write_whole(args.port_file, f"{server.port}\n")
        await run(process, args.period_s, args.parent)
