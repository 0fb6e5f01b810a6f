"""
The outbox alone: the cost of sending lines to forty players.

The lines of a batch are sent in one turn, and one line to one player is a delivery.  C{outbox}
sends the lines of a turn in one chunk, C{outbox, 1400} in chunks that fit into the segments of a
usual path, C{one write per line} is C{transport.write}, and C{one write per turn} is the same with
all lines of the turn.  The last two do not include the reactor's time for sending.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.tcp import Server as Transport
from twisted.internet.testing import MemoryReactor

from benchmarks.common import (
    PATIENCE,
    Benchmark,
    Figures,
    Server,
    arguments,
    free_port,
    module,
    started,
)
from gameservers.net.outbox import Audience, Outbox
from gameservers.net.turn import Turn

PLAYERS = 40
BATCHES = (1, 4, 16, 64, 256)  # lines per turn
SEGMENT = 1400  # bytes
LINE = b":>>MSG:a player:a line of chat, of some forty characters"


@contextmanager
def players() -> Iterator[list[Transport]]:
    """Transports whose peers are read by another process."""
    reactor = MemoryReactor()
    ends, transports = [], []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        for number in range(PLAYERS):
            ends.append(socket.create_connection(listener.getsockname()))
            accepted, address = listener.accept()
            transport = Transport(accepted, Protocol(), address, None, number, reactor)
            transport.setTcpNoDelay(True)
            transports.append(transport)
    child = os.fork()
    if not child:
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
        poll = select.epoll()
        for end in ends:
            poll.register(end, select.EPOLLIN)
        into = bytearray(256 * 1024)
        while True:
            for fd, _ in poll.poll():
                os.readv(fd, [into])
    try:
        yield transports
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        for each in ends + [transport.socket for transport in transports]:
            each.close()


def deliveries(turn: Callable[[int], None], batch: int, amount: int) -> float:
    """Deliveries per second of processor time."""
    turns = max(amount // PLAYERS // batch, 1)
    begin = time.process_time()
    for _ in range(turns):
        turn(batch)
    return turns * batch * PLAYERS / (time.process_time() - begin)


def outbox(transports: list[Transport], cut: int | None) -> Callable[[int], None]:
    clock = Clock()
    end = Turn(clock)
    outboxes = [
        Outbox(transport, end, limit=2**30, overflowed=lambda: None, cut=cut)
        for transport in transports
    ]

    everybody = Audience(outboxes)

    def turn(batch: int) -> None:
        for _ in range(batch):
            everybody.send(LINE)
        clock.advance(0)
        while any(each.pending for each in outboxes):
            for transport in transports:
                transport.doWrite()

    return turn


def writes(transports: list[Transport], joined: bool) -> Callable[[int], None]:
    def turn(batch: int) -> None:
        for _ in range(1 if joined else batch):
            for transport in transports:
                transport.write(LINE * batch if joined else LINE)
        for transport in transports:
            while transport._tempDataBuffer or transport.dataBuffer:
                transport.doWrite()

    return turn


WAYS: dict[str, Callable[[list[Transport]], Callable[[int], None]]] = {
    "outbox": lambda transports: outbox(transports, None),
    "outbox, 1400": lambda transports: outbox(transports, SEGMENT),
    "one write per line": lambda transports: writes(transports, joined=False),
    "one write per turn": lambda transports: writes(transports, joined=True),
}


def serve(port: int, amount: int) -> None:
    """Measure once for every connection to this port, and send it the figures."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        while True:
            asker, _ = listener.accept()
            with asker, contextlib.suppress(TimeoutError, ConnectionError):
                asker.settimeout(1)
                if not asker.recv(1):
                    continue
                figures = {}
                for name, make in WAYS.items():
                    with players() as transports:
                        turn = make(transports)
                        for batch in BATCHES:
                            figure = f"deliveries per CPU second, {batch:3} lines a turn, {name}"
                            figures[figure] = deliveries(turn, batch, amount)
                asker.sendall(json.dumps(figures).encode())


@contextmanager
def start(tree: Path, parsed: argparse.Namespace) -> Iterator[Server]:
    port = free_port()
    options = (f"--serve={port}", f"--deliveries={parsed.deliveries}")
    with started(module("benchmarks.net_outbox", tree, *options), tree, port) as pid:
        yield Server(str(tree), port, pid)


def measure(server: Server, parsed: argparse.Namespace) -> Figures:
    with server.connect() as asker:
        asker.settimeout(10 * PATIENCE)
        asker.sendall(b"?")
        answer = b"".join(iter(lambda: asker.recv(65_536), b""))
    return dict(sorted(json.loads(answer).items()))


parser = arguments(__doc__)
parser.add_argument("--deliveries", type=int, default=200_000, help="of each (%(default)s)")
parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)

BENCHMARK = Benchmark(parser, start, measure)

if __name__ == "__main__":
    parsed = parser.parse_args()
    if parsed.serve:
        serve(parsed.serve, parsed.deliveries)
    else:
        BENCHMARK.main()
