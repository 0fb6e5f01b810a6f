"""
VelNet: rooms of 10 and of 50 players, in which one or all send payloads of 100 bytes.

The loop is closed: every sender sends a burst, and the next when the one before last has reached
all players.  The binary form is also measured in WebSockets and in datagrams, which one player
sends.  In addition the latency at a moderate rate (every player of a room of 10 sends 20 payloads
a second) and the memory of 500 idle players are measured.

The driver is one process, so the figures are best on a machine with a processor for it alone. A
peer is any server with one of the forms, which C{--form} chooses.
"""

from __future__ import annotations

import argparse
import select
import socket
import statistics
import struct
import time
from collections.abc import Callable
from contextlib import ExitStack

from benchmarks.common import (
    PATIENCE,
    Benchmark,
    Figures,
    Server,
    arguments,
    gameserver,
    per,
)

PAYLOAD = 100  # bytes
DEPTH = 2  # bursts in flight
SHAPES = ((10, 1), (10, 10), (50, 1), (50, 50))  # players, and how many of them send


class Text:
    """The driver's messages in the text form."""

    login = b"0:driver:\n"
    join = b"2:bench\n"

    @staticmethod
    def connect(server: Server) -> socket.socket:
        return server.connect()

    @staticmethod
    def counter() -> Callable[[bytes], int]:
        """Counts VelNet's own bytes in each chunk that a player receives."""
        return len

    @staticmethod
    def payload(content: bytes) -> bytes:
        return b"3:0:%b\n" % content

    @staticmethod
    def contents(stream: bytes) -> tuple[list[bytes], bytes]:
        """The payloads received, and the incomplete rest."""
        *lines, rest = stream.split(b"\n")
        return [line.split(b":", 2)[2] for line in lines if line.startswith(b"3:")], rest


class Binary(Text):
    """The driver's messages in the binary form, as generation 1."""

    login = b"\x00\x06driver\x05bench"
    join = b"\x02\x05bench"

    @staticmethod
    def payload(content: bytes) -> bytes:
        return b"\x03" + struct.pack(">I", len(content)) + content

    @staticmethod
    def contents(stream: bytes) -> tuple[list[bytes], bytes]:
        found, at = [], 0
        while at + 9 <= len(stream):
            kind, _, size = struct.unpack_from(">BII", stream, at)
            assert kind == 3, "the room is quiet but for payloads"
            if at + 9 + size > len(stream):
                break
            found.append(stream[at + 9 : at + 9 + size])
            at += 9 + size
        return found, stream[at:]


def masked(message: bytes) -> bytes:
    """A client's frame, with a mask that changes nothing."""
    return bytes([0x82, 0x80 | len(message)]) + bytes(4) + message


def frame_head(stream: bytes) -> tuple[int, int] | None:
    """The sizes of a server frame's header and payload, if the header is complete."""
    head = 2 + {126: 2, 127: 8}.get(stream[1], 0) if len(stream) > 1 else 2
    if len(stream) < head:
        return None
    return head, int.from_bytes(stream[2:head], "big") if head > 2 else stream[1]


class WebSocket(Binary):
    """The binary form in a WebSocket, each message in one WebSocket message, as generation 2."""

    login = masked(Binary.login)
    join = masked(Binary.join)

    @staticmethod
    def connect(server: Server) -> socket.socket:
        player = server.connect()
        player.sendall(
            b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert player.recv(4096).startswith(b"HTTP/1.1 101 ")
        return player

    @staticmethod
    def counter() -> Callable[[bytes], int]:
        head, left = b"", 0

        def count(received: bytes) -> int:
            nonlocal head, left
            counted = at = 0
            while at < len(received):
                if not left:
                    head += received[at : at + 1]
                    at += 1
                    if found := frame_head(head):
                        head, left = b"", found[1]
                taken = min(left, len(received) - at)
                counted, at, left = counted + taken, at + taken, left - taken
            return counted

        return count

    @staticmethod
    def payload(content: bytes) -> bytes:
        return masked(Binary.payload(content))

    @staticmethod
    def contents(stream: bytes) -> tuple[list[bytes], bytes]:
        found: list[bytes] = []
        while (sizes := frame_head(stream)) and len(stream) >= sum(sizes):
            found += Binary.contents(stream[sizes[0] : sum(sizes)])[0]
            stream = stream[sum(sizes) :]
        return found, stream


Form = type[Text]

FORMS: dict[str, Form] = {"binary": Binary, "text": Text, "websocket": WebSocket}

DATAGRAMS = "datagrams"

#: Datagrams that are sent at once; the kernel's buffer holds this many for a late reader.
FEW = 8

#: Time after which a datagram counts as lost, in seconds.
LOST = 0.5


def settle(connections: list[socket.socket], quiet: float = 0.3) -> None:
    """Read until nothing arrives any more."""
    while True:
        ready, _, _ = select.select(connections, [], [], quiet)
        if not ready:
            return
        for connection in ready:
            if not connection.recv(1 << 20):
                raise SystemExit("The server closed a connection.")


def room(server: Server, form: Form, size: int) -> list[socket.socket]:
    players = []
    for _ in range(size):
        players.append(player := form.connect(server))
        player.sendall(form.login)
    settle(players)
    for player in players:
        player.sendall(form.join)
    settle(players)
    return players


def relayed_sizes(players: list[socket.socket], senders: int, form: Form) -> list[int]:
    """The size of each sender's payload as it is received, in bytes."""
    sizes = []
    for player in players[:senders]:
        player.sendall(form.payload(b"x" * PAYLOAD))
        hearer = players[0] if player is not players[0] else players[1]
        sizes.append(form.counter()(hearer.recv(1 << 16)))
        settle(players, 0.02)
    return sizes


def throughput(
    server: Server, form: Form, size: int, senders: int, burst: int, seconds: float
) -> tuple[float, float]:
    """Payloads delivered per second, and per second of the server's processor time."""
    players = room(server, form, size)
    sizes = relayed_sizes(players, senders, form)
    per_round = sum(sizes) * burst * (size - 1)
    delivered_per_round = senders * burst * (size - 1)
    message = form.payload(b"x" * PAYLOAD) * burst
    poll = select.epoll()
    by_fd = {player.fileno(): player for player in players}
    for player in players:
        player.setblocking(False)
        poll.register(player, select.EPOLLIN)
    counters = {fd: form.counter() for fd in by_fd}
    unsent: dict[socket.socket, bytes] = {}
    heard = rounds = 0
    start, cpu = time.perf_counter(), server.cpu_seconds()
    end = start + seconds
    while heard < rounds * per_round or time.perf_counter() < end:
        while rounds * per_round - heard <= (DEPTH - 1) * per_round and time.perf_counter() < end:
            rounds += 1
            for player in players[:senders]:
                rest = unsent.pop(player, b"") + message
                try:
                    sent = player.send(rest)
                except BlockingIOError:
                    sent = 0
                if sent < len(rest):
                    unsent[player] = rest[sent:]
        for player in list(unsent):
            try:
                rest = unsent.pop(player)
                sent = player.send(rest)
            except BlockingIOError:
                sent = 0
            if sent < len(rest):
                unsent[player] = rest[sent:]
        for fd, _ in poll.poll(0.001 if unsent else 5):
            received = by_fd[fd].recv(1 << 20)
            if not received:
                raise SystemExit("The server closed a connection.")
            heard += counters[fd](received)
    took, used = time.perf_counter() - start, server.cpu_seconds() - cpu
    for player in players:
        player.close()
    time.sleep(0.3)
    delivered = rounds * delivered_per_round
    return per(delivered, took), per(delivered, used)


def latency(server: Server, form: Form, seconds: float) -> tuple[float, float]:
    """The median and the 99th percentile of the latency, in ms."""
    players = room(server, form, 10)
    streams = dict.fromkeys(players, b"")
    due = [(time.perf_counter() + index * 0.005, player) for index, player in enumerate(players)]
    end = time.perf_counter() + seconds
    times = []
    while due[0][0] < end:
        when, player = due[0]
        ready, _, _ = select.select(players, [], [], max(0, when - time.perf_counter()))
        for each in ready:
            contents, streams[each] = form.contents(streams[each] + each.recv(1 << 16))
            now = time.perf_counter()
            times += [now - float(content.rstrip(b"x")) for content in contents]
        if time.perf_counter() >= when:
            due = [*due[1:], (when + 0.05, player)]
            player.sendall(form.payload(b"%.7f" % time.perf_counter() + b"x" * 80))
    for player in players:
        player.close()
    cuts = statistics.quantiles(times, n=100)
    return cuts[49] * 1000, cuts[98] * 1000


def datagrams(server: Server, size: int, burst: int, seconds: float) -> tuple[float, float]:
    """Datagrams delivered per second, and per second of the server's processor time."""
    hello = struct.Struct(">BI")
    players, sockets, ids = [], [], []
    with ExitStack() as stack:
        poll = stack.enter_context(select.epoll())
        for _ in range(size):
            players.append(player := stack.enter_context(server.connect()))
            player.sendall(Binary.login)
            ids.append(hello.unpack(player.recv(hello.size))[1])
            udp = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
            udp.settimeout(PATIENCE)
            udp.connect((server.host, server.port))
            udp.send(hello.pack(0, ids[-1]))
            assert udp.recv(16) == b"\0", "a hello is answered"
            sockets.append(udp)
        for player in players:
            player.sendall(Binary.join)
        settle(players)
        by_fd = {udp.fileno(): udp for udp in sockets[1:]}
        for fd in by_fd:
            poll.register(fd, select.EPOLLIN)
        message = hello.pack(3, ids[0]) + b"x" * PAYLOAD
        heard = 0
        start, cpu = time.perf_counter(), server.cpu_seconds()
        end = start + seconds
        while time.perf_counter() < end:
            for _ in range(burst):
                sockets[0].send(message)
            missing = burst * (size - 1)
            while missing and (events := poll.poll(LOST)):
                for fd, _ in events:
                    by_fd[fd].recv(1500)
                missing -= len(events)
                heard += len(events)
        took, used = time.perf_counter() - start, server.cpu_seconds() - cpu
    time.sleep(0.3)
    return per(heard, took), per(heard, used)


def memory(server: Server, form: Form, players: int) -> float:
    """The server's memory for this many silent players, in MB."""
    before = server.resident()
    idle = [form.connect(server) for _ in range(players)]
    for player in idle:
        player.sendall(form.login)
    settle(idle)
    used = server.resident() - before
    for player in idle:
        player.close()
    time.sleep(0.5)
    return used


def measure(server: Server, parsed: argparse.Namespace) -> Figures:
    figures: Figures = {}
    for name in parsed.form or [*FORMS, DATAGRAMS]:
        form = FORMS.get(name)
        if form and parsed.idle:
            figures[f"{name}, MB for {parsed.idle} idle players"] = memory(
                server, form, parsed.idle
            )
        if form and parsed.moderate:
            median, late = latency(server, form, parsed.moderate)
            figures[f"{name}, moderate rate, p50 in ms"] = median
            figures[f"{name}, moderate rate, p99 in ms"] = late
        for size, senders in SHAPES:
            if form:
                rate, per_cpu = throughput(
                    server, form, size, senders, parsed.burst, parsed.seconds
                )
            elif senders == 1:
                rate, per_cpu = datagrams(server, size, FEW, parsed.seconds)
            else:
                continue
            shape = f"{name}, room of {size}, {senders} sending"
            figures[f"{shape}: delivered/s"] = rate
            figures[f"{shape}: per CPU second"] = per_cpu
    return figures


parser = arguments(__doc__)
parser.add_argument("--form", choices=[*FORMS, DATAGRAMS], action="append", help="only this one")
parser.add_argument("--seconds", type=float, default=3.0, help="for each figure (%(default)s)")
parser.add_argument("--burst", type=int, default=32, help="payloads at once (%(default)s)")
parser.add_argument("--moderate", type=float, default=3.0, help="seconds at a moderate rate, or 0")
parser.add_argument("--idle", type=int, default=500, help="silent players, or 0 (%(default)s)")

BENCHMARK = Benchmark(parser, lambda tree, parsed: gameserver(tree, game="velnet"), measure)

if __name__ == "__main__":
    BENCHMARK.main()
