"""
Chat: some of the players in a VCMI lobby send lines, and all of them receive them.

The loop is closed: each sender keeps C{--window} lines in flight.  A line is one delivery per
player.
"""

from __future__ import annotations

import argparse
import os
import select
import socket
import time

from benchmarks.common import Benchmark, Figures, Server, arguments, gameserver, per
from benchmarks.vcmi import log_in, say

TEXT = "a line of chat, of some forty characters"


def measure(server: Server, parsed: argparse.Namespace) -> Figures:
    players, window = parsed.players, parsed.window
    names = [f"c{os.getpid():07}-{number:04}" for number in range(players)]
    sockets: dict[int, socket.socket] = {}
    owners: dict[int, bytes] = {}  # how each sender's own lines begin
    tails: dict[int, bytes] = {}  # its last bytes, for beginnings that were split
    poll = select.epoll()
    for name in names:
        player = log_in(server, name)
        player.setblocking(False)
        poll.register(player, select.EPOLLIN)
        sockets[player.fileno()] = player
        if len(owners) < parsed.senders:
            owners[player.fileno()] = f":>>MSG:{name}:".encode()
            tails[player.fileno()] = b""
    while events := poll.poll(0.5):  # until nothing is sent any more
        for fd, _ in events:
            sockets[fd].recv(65536)
    line = say(f"<MSG>{TEXT}")
    size = len(f":>>MSG:{names[0]}:{TEXT}".encode())
    into = bytearray(256 * 1024)
    view = memoryview(into)
    sent = received = 0
    begin, cpu = time.monotonic(), server.cpu_seconds()
    deadline = begin + parsed.seconds
    for fd in owners:
        sockets[fd].sendall(line * window)
        sent += window
    while received < sent * players * size:
        events = poll.poll(10)
        if not events:
            raise TimeoutError(f"{sent * players * size - received} bytes are missing")
        talking = time.monotonic() < deadline
        for fd, _ in events:
            count = sockets[fd].recv_into(into)
            if not count:
                raise ConnectionError("a player was cut off")
            received += count
            owner = owners.get(fd)
            if owner is not None and talking:
                heard = tails[fd] + view[:count]
                tails[fd] = heard[1 - len(owner) :]
                if back := heard.count(owner):
                    sockets[fd].sendall(line * back)
                    sent += back
    elapsed, cpu = time.monotonic() - begin, server.cpu_seconds() - cpu
    poll.close()
    for player in sockets.values():
        player.close()
    deliveries = sent * players
    return {
        "deliveries per server CPU second": per(deliveries, cpu),
        "deliveries/s": deliveries / elapsed,
        "server CPU": cpu / elapsed,
    }


parser = arguments(__doc__)
parser.add_argument("--players", type=int, default=40)
parser.add_argument("--senders", type=int, default=10)
parser.add_argument("--window", type=int, default=16, help="lines in flight per sender")
parser.add_argument("--seconds", type=float, default=3.0)

BENCHMARK = Benchmark(
    parser, lambda tree, parsed: gameserver(tree, f"--capacity={2 * parsed.players}"), measure
)

if __name__ == "__main__":
    BENCHMARK.main()
