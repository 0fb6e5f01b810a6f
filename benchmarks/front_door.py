"""
The front door: the cost of a connection, and of messages after it has been handed over.

One game (VelNet's text form), alternately through the front door and through the game's own
port.  A message makes a round trip from one player of a room to the other and back; a connection
is made, logs in and is closed.
"""

from __future__ import annotations

import argparse
import socket
import time

from benchmarks.common import Benchmark, Figures, Server, arguments, gameserver, per


def read_line(player: socket.socket) -> bytes:
    heard = b""
    while not heard.endswith(b"\n"):
        data = player.recv(4096)
        if not data:
            raise SystemExit("The server closed a connection.")
        heard += data
    return heard


def enter(server: Server, port: int) -> socket.socket:
    player = server.connect(port)
    player.sendall(b"0:driver:\n")
    read_line(player)
    return player


def join(server: Server, port: int) -> list[socket.socket]:
    players = [enter(server, port) for _ in range(2)]
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


def through(server: Server, port: int, trips: int, connections: int) -> Figures:
    a, b = join(server, port)
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
        enter(server, port).close()
    made_seconds, made_cpu = time.perf_counter() - begin, server.cpu_seconds() - cpu
    return {
        "messages per second": per(2 * trips, trip_seconds),
        "messages per server CPU second": per(2 * trips, trip_cpu),
        "connections per second": per(connections, made_seconds),
        "connections per server CPU second": per(connections, made_cpu),
    }


def measure(server: Server, parsed: argparse.Namespace) -> Figures:
    figures = {}
    for name, port in zip(("own port", "front door"), (server.port, *server.others), strict=False):
        for what, value in through(server, port, parsed.trips, parsed.connections).items():
            figures[f"{what}, {name}"] = value
    return dict(sorted(figures.items()))


parser = arguments(__doc__)
parser.add_argument("--trips", type=int, default=5_000)
parser.add_argument("--connections", type=int, default=1_000)

BENCHMARK = Benchmark(parser, lambda tree, parsed: gameserver(tree, game="velnet"), measure)

if __name__ == "__main__":
    BENCHMARK.main()
