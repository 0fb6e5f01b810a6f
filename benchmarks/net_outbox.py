"""
The outbox alone: what telling one line to one of forty players costs the server.

The lines of a batch are said in one turn.  C{outbox} is cut at the connection's segment,
C{outbox, 1400} where a usual path's segment would end.  C{one write per line} is
C{transport.write} (uncut) without what the reactor takes to send what was written.
"""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.tcp import Server as Transport
from twisted.internet.testing import MemoryReactor

from gameservers.net.bypass import SAFE_SEGMENT, make_prompt, segment_size
from gameservers.net.outbox import Audience, Outbox, Turn

PLAYERS = 40
BATCHES = (1, 4, 16, 64, 256)  # lines per turn
DELIVERIES = 200_000
LINE = b":>>MSG:a player:a line of chat, of some forty characters"


@contextmanager
def players() -> Iterator[list[Transport]]:
    """Transports whose other ends are read by a process of its own."""
    reactor = MemoryReactor()
    ends, transports = [], []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        for number in range(PLAYERS):
            ends.append(socket.create_connection(listener.getsockname()))
            accepted, address = listener.accept()
            transport = Transport(accepted, Protocol(), address, None, number, reactor)
            make_prompt(transport)
            transports.append(transport)
    child = os.fork()
    if not child:
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


def microseconds(turn: Callable[[int], None], batch: int) -> float:
    """Processor time per delivery."""
    turns = max(DELIVERIES // PLAYERS // batch, 1)
    begin = time.process_time()
    for _ in range(turns):
        turn(batch)
    return (time.process_time() - begin) / (turns * batch * PLAYERS) * 1e6


def outbox(transports: list[Transport], cut: int) -> Callable[[int], None]:
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


def writes(transports: list[Transport]) -> Callable[[int], None]:
    def turn(batch: int) -> None:
        for _ in range(batch):
            for transport in transports:
                transport.write(LINE)
        for transport in transports:
            while transport._tempDataBuffer or transport.dataBuffer:
                transport.doWrite()

    return turn


def main() -> None:
    print(f"{'us per delivery':<20}", *(f"{batch:>8}" for batch in BATCHES), "lines per turn")
    for name, make in (
        ("outbox", lambda them: outbox(them, segment_size(them[0]))),
        ("outbox, 1400", lambda them: outbox(them, SAFE_SEGMENT)),
        ("one write per line", writes),
    ):
        with players() as transports:
            turn = make(transports)
            costs = [microseconds(turn, batch) for batch in BATCHES]
        print(f"{name:<20}", *(f"{cost:8.3f}" for cost in costs))


if __name__ == "__main__":
    main()
