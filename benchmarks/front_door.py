"""
The front door: what it costs to come in by it, and that it costs nothing from then on.

One server, one game (VelNet's text form), by turns through the front door and through the game's
own port.  A message makes a round trip from one player of a room to the other and back; a
connection is made, logs in and is closed.
"""

from __future__ import annotations

import socket
import time

from benchmarks.common import (
    Figures,
    Server,
    arguments,
    compare,
    free_port,
    gameserver,
    per,
    started,
)


def read_line(player: socket.socket) -> bytes:
    heard = b""
    while not heard.endswith(b"\n"):
        data = player.recv(4096)
        if not data:
            raise SystemExit("The server closed a connection.")
        heard += data
    return heard


def enter(server: Server) -> socket.socket:
    player = server.connect()
    player.sendall(b"0:driver:\n")
    read_line(player)
    return player


def join(server: Server) -> list[socket.socket]:
    players = [enter(server) for _ in range(2)]
    for player in players:
        player.sendall(b"2:bench\n")
    for player in players:
        player.settimeout(0.2)
        try:
            while True:
                read_line(player)
        except TimeoutError:
            player.settimeout(None)
    return players


def measure(server: Server, trips: int, connections: int) -> Figures:
    a, b = join(server)
    message = b"3:0:%b\n" % (b"x" * 64)
    cpu, begin = server.cpu_seconds(), time.perf_counter()
    for _ in range(trips):
        a.sendall(message)
        read_line(b)
        b.sendall(message)
        read_line(a)
    trip_seconds, trip_cpu = time.perf_counter() - begin, server.cpu_seconds() - cpu
    a.close()
    b.close()
    cpu, begin = server.cpu_seconds(), time.perf_counter()
    for _ in range(connections):
        enter(server).close()
    made_seconds, made_cpu = time.perf_counter() - begin, server.cpu_seconds() - cpu
    return {
        "messages per second": per(2 * trips, trip_seconds),
        "messages per server CPU second": per(2 * trips, trip_cpu),
        "connections per second": per(connections, made_seconds),
        "connections per server CPU second": per(connections, made_cpu),
    }


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--trips", type=int, default=5_000)
    parser.add_argument("--connections", type=int, default=1_000)
    parsed = parser.parse_args()
    own = free_port()
    command, port = gameserver(f"--velnet-port={own}")
    with started("front door", command, port) as front:
        servers = [front, Server("own port", own, front.pid), *parsed.peer]
        compare(
            servers,
            lambda server: measure(server, parsed.trips, parsed.connections),
            parsed.rounds,
        )


if __name__ == "__main__":
    main()
