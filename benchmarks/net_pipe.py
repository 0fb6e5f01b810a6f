"""
The byte pipe alone: a relay that couples every two connections, in three ways.

C{spliced} is what plain TCP gets, C{coupled} what everything else gets, and C{plain} is two
Twisted protocols that write to each other's transport.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack

from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure

from benchmarks import streams
from benchmarks.common import Figures, Server, arguments, compare, free_port, started
from gameservers.net import pipe

KINDS = ("spliced", "coupled", "plain")


class Side(Protocol):
    """One side of a pipe."""

    end: pipe.End | None = None

    def connectionMade(self) -> None:
        self.early = b""
        self.factory.arrived(self)

    def dataReceived(self, data: bytes) -> None:
        if self.end is None:
            self.early += data
        else:
            self.end.received(data)

    def connectionLost(self, reason: Failure) -> None:
        if self.end is None:
            self.factory.waiting.remove(self)
        else:
            self.end.lost(reason)


class Relay(Factory):
    protocol = Side

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self.waiting: list[Side] = []

    def arrived(self, side: Side) -> None:
        from twisted.internet import reactor

        self.waiting.append(side)
        if len(self.waiting) < 2:
            return
        a, b = self.waiting
        self.waiting.clear()
        made = (pipe.couple if self._kind == "spliced" else pipe.CoupledPipe)(
            a.transport,
            b.transport,
            to_a=b.early,
            to_b=a.early,
            clock=reactor,
            done=lambda ending: None,
            linger=pipe.LINGER,
        )
        a.end, b.end = made.a, made.b
        if self._kind == "plain":
            a.dataReceived = b.transport.write
            b.dataReceived = a.transport.write


def serve(kind: str, port: int) -> None:
    from twisted.internet import reactor

    reactor.listenTCP(port, Relay(kind), interface="127.0.0.1")
    reactor.run()


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="of writing (%(default)s)")
    parser.add_argument("--serve", choices=KINDS, help="be the relay")
    parser.add_argument("--port", type=int)
    parsed = parser.parse_args()
    if parsed.serve:
        serve(parsed.serve, parsed.port)
        return

    def measure(server: Server) -> Figures:
        a, b = server.connect(), server.connect()
        return streams.measure(server, a, b, parsed.seconds)

    with ExitStack() as stack:
        servers = []
        for kind in KINDS:
            port = free_port()
            command = [sys.executable, "-m", "benchmarks.net_pipe"]
            command += [f"--serve={kind}", f"--port={port}"]
            servers.append(stack.enter_context(started(kind, command, port)))
        compare(servers + parsed.peer, measure, parsed.rounds)


if __name__ == "__main__":
    main()
