"""The measurements of a byte pipe, for any protocol."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

from benchmarks.common import PATIENCE, Figures, Server, per

WRITE = 64 * 1024  # bytes
MESSAGE = 64  # bytes
TRIPS = 5000


def one_way(server: Server, a: socket.socket, b: socket.socket, seconds: float) -> Figures:
    """Write as fast as the other side reads."""
    sent = 0

    def write() -> None:
        nonlocal sent
        block = bytes(WRITE)
        while time.monotonic() < deadline:
            a.sendall(block)
            sent += len(block)

    begin, cpu = time.monotonic(), server.cpu_seconds()
    deadline = begin + seconds
    writer = threading.Thread(target=write)
    writer.start()
    received = 0
    into = bytearray(1024 * 1024)
    b.settimeout(0.1)
    while writer.is_alive() or received < sent:
        with contextlib.suppress(TimeoutError):
            # The kernel discards the bytes, because reading them is not measured.
            received += b.recv_into(into, len(into), socket.MSG_TRUNC)
            end = time.monotonic()
    b.settimeout(PATIENCE)
    elapsed, cpu = end - begin, server.cpu_seconds() - cpu
    return {
        "one way, GB per server CPU second": per(received / 1e9, cpu),
        "one way, GB/s": received / 1e9 / elapsed,
        "one way, server CPU": cpu / elapsed,
    }


def round_trips(server: Server, a: socket.socket, b: socket.socket) -> Figures:
    """Send a small message there and back again."""
    message = bytes(MESSAGE)
    times = []
    cpu = server.cpu_seconds()
    for _ in range(TRIPS):
        begin = time.perf_counter()
        for source, sink in ((a, b), (b, a)):
            source.sendall(message)
            missing = MESSAGE
            while missing:
                missing -= len(sink.recv(missing))
        times.append(time.perf_counter() - begin)
    cpu = server.cpu_seconds() - cpu
    times.sort()
    return {
        "round trip p50, us": times[TRIPS // 2] * 1e6,
        "round trip p99, us": times[TRIPS * 99 // 100] * 1e6,
        "round trips per server CPU second": per(TRIPS, cpu),
    }


def measure(server: Server, a: socket.socket, b: socket.socket, seconds: float) -> Figures:
    with a, b:
        return {**one_way(server, a, b, seconds), **round_trips(server, a, b)}
