"""
The byte pipe alone: a relay that couples every two connections, in three ways.

C{spliced} is used for plain TCP, C{coupled} for everything else.  C{plain} is two Twisted
protocols that write to each other's transport: a slow reader does not slow its writer there.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure

from benchmarks import streams
from benchmarks.common import (
    Benchmark,
    Figures,
    Server,
    arguments,
    free_port,
    module,
    started,
)
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


def serve(ports: list[int]) -> None:
    from twisted.internet import reactor

    for kind, port in zip(KINDS, ports, strict=True):
        reactor.listenTCP(port, Relay(kind), interface="127.0.0.1")
    reactor.run()


@contextmanager
def start(tree: Path, parsed: argparse.Namespace) -> Iterator[Server]:
    """Run a process with a relay of each kind, on different ports."""
    ports = [free_port() for _ in KINDS]
    command = module("benchmarks.net_pipe", tree, "--serve", *map(str, ports))
    with started(command, tree, ports[-1]) as pid:
        yield Server(str(tree), ports[0], pid, others=tuple(ports[1:]))


def measure(server: Server, parsed: argparse.Namespace) -> Figures:
    figures = {}
    for kind, port in zip(KINDS, (server.port, *server.others), strict=False):
        a, b = server.connect(port), server.connect(port)
        for what, value in streams.measure(server, a, b, parsed.seconds).items():
            figures[f"{what}, {kind}"] = value
    return dict(sorted(figures.items()))


parser = arguments(__doc__)
parser.add_argument("--seconds", type=float, default=2.0, help="duration of writing (%(default)s)")
parser.add_argument("--serve", type=int, nargs="+", help=argparse.SUPPRESS)

BENCHMARK = Benchmark(parser, start, measure)

if __name__ == "__main__":
    parsed = parser.parse_args()
    if parsed.serve:
        serve(parsed.serve)
    else:
        BENCHMARK.main()
