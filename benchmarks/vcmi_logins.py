"""Logging in: many VCMI launchers connect, greet and wait to be welcomed."""

from __future__ import annotations

import os
import select
import socket
import time

from benchmarks.common import Figures, Server, arguments, run
from benchmarks.vcmi import WELCOME, greeting


def measure(server: Server, players: int, at_once: int) -> Figures:
    """Log in C{players}, of whom C{at_once} are on their way at any time."""
    poll = select.epoll()
    waiting: dict[int, bytes] = {}  # the last bytes heard by those who are not welcome yet
    sockets: dict[int, socket.socket] = {}
    received = 0
    begin, cpu = time.monotonic(), server.cpu_seconds()
    while len(sockets) < players or waiting:
        while len(sockets) < players and len(waiting) < at_once:
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
                raise ConnectionError("a player was not let in")
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
    time.sleep(1.0)  # let the server see them go
    return {
        f"{players} logins, s": elapsed,
        f"{players} logins, server CPU s": cpu,
        "MB received": received / 1e6,
    }


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--players", type=int, default=500)
    parser.add_argument("--at-once", type=int, default=40, help="logins on their way")
    parsed = parser.parse_args()
    run(
        parsed,
        lambda server: measure(server, parsed.players, parsed.at_once),
        f"--capacity={2 * parsed.players}",
    )


if __name__ == "__main__":
    main()
