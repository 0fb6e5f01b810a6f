"""Logging in: many VCMI launchers connect, greet and wait for their welcome."""

from __future__ import annotations

import argparse
import os
import select
import socket
import time

from benchmarks.common import Benchmark, Figures, Server, arguments, gameserver, per
from benchmarks.vcmi import WELCOME, greeting


def measure(server: Server, parsed: argparse.Namespace) -> Figures:
    players = parsed.players
    poll = select.epoll()
    waiting: dict[int, bytes] = {}  # the last bytes heard by those that log in
    sockets: dict[int, socket.socket] = {}
    received = 0
    begin, cpu = time.monotonic(), server.cpu_seconds()
    while len(sockets) < players or waiting:
        while len(sockets) < players and len(waiting) < parsed.at_once:
            player = server.connect()
            player.sendall(greeting(f"p{os.getpid()}-{len(sockets)}"))
            player.setblocking(False)
            sockets[player.fileno()] = player
            waiting[player.fileno()] = b""
            poll.register(player, select.EPOLLIN)
        events = poll.poll(10)
        if not events:
            raise TimeoutError(f"{len(waiting)} players wait for their welcome")
        for fd, _ in events:
            heard = sockets[fd].recv(1024 * 1024)
            if not heard:
                raise ConnectionError("a player was refused")
            received += len(heard)
            if fd in waiting:
                if WELCOME in waiting[fd] + heard:
                    del waiting[fd]
                else:
                    waiting[fd] = (waiting[fd] + heard)[-len(WELCOME) :]
    elapsed, cpu = time.monotonic() - begin, server.cpu_seconds() - cpu
    poll.close()
    for player in sockets.values():
        player.close()
    time.sleep(1.0)  # let the server notice their end
    return {
        "logins per server CPU second": per(players, cpu),
        "logins per second": players / elapsed,
        "MB received": received / 1e6,
    }


parser = arguments(__doc__)
parser.add_argument("--players", type=int, default=500)
parser.add_argument("--at-once", type=int, default=40, help="logins in flight")

BENCHMARK = Benchmark(
    parser, lambda tree, parsed: gameserver(tree, f"--capacity={2 * parsed.players}"), measure
)

if __name__ == "__main__":
    BENCHMARK.main()
