"""
TwisteR tanks push their poses, or request those of all, as fast as they are answered.

Each tank has one request in flight; the datagrams are those of the Python API, byte for byte. The
API receives 1024 bytes of a reply, and a server may send no more: with many tanks C{bytes} shows
how much of get_data was answered.
"""

from __future__ import annotations

import argparse
import json
import select
import socket
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from itertools import count
from typing import Any

from benchmarks.common import (
    PATIENCE,
    Benchmark,
    Figures,
    Server,
    arguments,
    gameserver,
    per,
)

PUSHED = b'{"status": 0, "response": null}'
LISTED = b'{"status": 0, "response": [{"key":'

#: Makes the datagram with this number.
Requests = Callable[[int], bytes]


def asked(request: str, client_data: Any, player_data: Any = None, body: Any = None) -> bytes:
    """A request as the API encodes it."""
    members = {
        "request": request,
        "client_data": client_data,
        "player_data": player_data or {},
        "request_body": body or {},
    }
    return json.dumps(members).encode()


class Tank:
    """A client that is connected until the block ends."""

    def __init__(self, server: Server) -> None:
        self.key = uuid.uuid4().hex
        self.id: int | None = None
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.settimeout(PATIENCE)
        self.socket.bind((server.source, 0))
        self.socket.connect((server.host, server.port))

    def __enter__(self) -> Tank:
        self.enter()
        return self

    def enter(self) -> None:
        self.id = self._ask("connect", 0)

    def __exit__(self, *error: object) -> None:
        with self.socket:
            self._ask("disconnect", -1)

    def _ask(self, request: str, ping: int) -> Any:
        who = {"key": self.key, "id": self.id, "addres": [], "client_timeout_ms": ping}
        self.socket.send(asked(request, who))
        reply = json.loads(self.socket.recv(1_024))
        if reply["status"]:
            raise ConnectionError(f"{request} was answered by {reply}")
        return reply["response"]

    def pushes(self) -> Requests:
        """C{push_data}, with varying poses."""
        who = {"id": self.id, "key": self.key, "client_timeout_ms": 0}
        pose = {"posx": "<%d>", "posy": "<%d>", "rot": "<%d.5>", "turret_rot": "<%d.25>"}
        form = asked("push_data", who, pose).replace(b'"<', b"").replace(b'>"', b"")
        return lambda number: (
            form % (number % 3_137, number % 3_119 - 1_000, number % 360, number % 359)
        )


def load(
    server: Server,
    tanks: dict[int, tuple[socket.socket, Requests]],
    expected: bytes,
    seconds: float,
) -> Figures:
    """Let every tank send its next request when the last one is answered."""
    numbers = count()
    reply = bytearray(65_536)
    size = 0
    times: list[float] = []
    since: dict[int, float] = {}
    now = time.perf_counter
    poll = select.epoll()
    for descriptor in tanks:
        poll.register(descriptor, select.EPOLLIN)
    cpu, begin = server.cpu_seconds(), now()
    end = begin + seconds
    for descriptor, (tank, request) in tanks.items():
        since[descriptor] = now()
        tank.send(request(next(numbers)))
    while since:
        events = poll.poll(PATIENCE)
        if not events:
            raise TimeoutError(f"{len(since)} replies are missing")
        for descriptor, _ in events:
            tank, request = tanks[descriptor]
            size = tank.recv_into(reply)
            moment = now()
            times.append(moment - since[descriptor])
            if not reply.startswith(expected):
                raise ConnectionError(f"a request was answered by {bytes(reply[:200])!r}")
            if moment < end:
                since[descriptor] = moment
                tank.send(request(next(numbers)))
            else:
                del since[descriptor]
    elapsed, cpu = now() - begin, server.cpu_seconds() - cpu
    poll.close()
    times.sort()
    return {
        "per server CPU second": per(len(times), cpu),
        "per second": len(times) / elapsed,
        "p99, ms": times[len(times) * 99 // 100] * 1e3,
        "bytes": size,
    }


def measure(server: Server, parsed: argparse.Namespace) -> Figures:
    figures: Figures = {}
    body = {"max_bytes": parsed.max_bytes} if parsed.max_bytes else {}
    get_data = asked("get_data", {}, body=body)
    for clients in parsed.clients:
        with ExitStack() as stack:
            tanks = [stack.enter_context(Tank(server)) for _ in range(clients)]
            push = {each.socket.fileno(): (each.socket, each.pushes()) for each in tanks}
            get = {fd: (tank, lambda number: get_data) for fd, (tank, _) in push.items()}
            for name, requests, expected in (
                ("push_data", push, PUSHED),
                ("get_data", get, LISTED),
            ):
                for what, value in load(server, requests, expected, parsed.seconds).items():
                    figures[f"{name}, {clients} tanks, {what}"] = value
    return figures


parser = arguments(__doc__)
parser.add_argument("--clients", type=int, nargs="+", default=[1, 10, 100])
parser.add_argument("--seconds", type=float, default=2.0, help="duration of each (%(default)s)")
parser.add_argument(
    "--max-bytes", type=int, help="ask for longer lists than the API does, if that is offered"
)

BENCHMARK = Benchmark(
    parser,
    lambda tree, parsed: gameserver(tree, "--twister-admin-key-file=", game="twister"),
    measure,
)

if __name__ == "__main__":
    BENCHMARK.main()
