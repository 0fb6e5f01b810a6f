"""
The ways to misbehave of L{benchmarks.fairness}, and the process in which the attackers live.

An attack is a coroutine that is decorated with L{attack}: it connects, logs in, waits in
L{Attacker.go} until all attackers are ready, and then misbehaves until it is cut off, after which
it starts again.  Its docstring is its description.  What it sends is made beforehand, so that the
attackers cost little processor time; besides, their process runs with the lowest claim to the
processor that still makes them fast (C{nice}), because it shares the machine with the bystanders
and the server.

Each attacker has an address of its own, so that no limit per address joins them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import resource
import secrets
import socket
import struct
import sys
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from benchmarks import tictactoe, vcmi, velnet
from benchmarks.bystanders import ACCOUNTS, KEEP_ALIVE
from benchmarks.common import PATIENCE, Server
from benchmarks.tilegame import position
from benchmarks.twister import asked
from gameservers.games.tilegame import wire

#: What is sent at once, in bytes.
BURST = 64 * 1024

#: Datagrams per second of one attacker, and of all together: no receiver's buffer holds what
#: fifty could send.
DATAGRAMS = 8_000
ALL_DATAGRAMS = 40_000

#: Single bytes per second of all attackers together that drip: their process sends no more.
ALL_DRIPS = 10_000

#: Time until an attacker that was cut off comes back, in seconds.
PAUSE = 0.02

#: How long the attackers may take to get ready, and their process lives at most, in seconds.
READY = 30.0
LONGEST = 300.0

#: How much less of the processor the attackers get than the server and the bystanders.
NICE = 10

Attack = Callable[["Attacker"], Coroutine[Any, Any, None]]

ATTACKS: dict[str, Attack] = {}


def attack(function: Attack) -> Attack:
    """Make a coroutine an attack, which has its name."""
    ATTACKS[function.__name__.replace("_", "-")] = function
    return function


def described(function: Attack) -> str:
    """One sentence on an attack."""
    return " ".join((function.__doc__ or "").split())


@dataclass
class Squad:
    """
    The attackers of one process.

    @ivar sent: what they have sent since the start signal, in bytes.
    @ivar cuts: how often they were cut off or refused since then.
    @ivar error: why the last of them was cut off.
    """

    server: Server
    size: int
    sent: int = 0
    cuts: int = 0
    error: str = "nothing was answered"

    def __post_init__(self) -> None:
        self.ready = asyncio.Semaphore(0)
        self.started = asyncio.Event()


class Attacker:
    """
    One attacker.

    @ivar number: from 0.
    """

    def __init__(self, squad: Squad, number: int) -> None:
        self.squad = squad
        self.number = number
        self.server = replace(squad.server, source=f"127.1.0.{number + 1}")
        self._names = count()
        self._loop = asyncio.get_running_loop()
        self._open: list[socket.socket] = []

    @property
    def name(self) -> str:
        """A name that nobody has used."""
        return f"m{self.number}-{next(self._names)}"

    async def run(self, function: Attack) -> None:
        """Attack, again and again."""
        while True:
            try:
                await function(self)
            except (OSError, EOFError) as error:
                self.squad.error = str(error) or type(error).__name__
                if self.squad.started.is_set():
                    self.squad.cuts += 1
            finally:
                while self._open:
                    self._open.pop().close()
            await asyncio.sleep(PAUSE)

    async def go(self) -> None:
        """Wait for the start signal."""
        self.squad.ready.release()
        await self.squad.started.wait()

    async def connect(self, source: str = "") -> socket.socket:
        """A new connection, which is closed when the attack ends."""
        connection = socket.socket()
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.bind((source or self.server.source, 0))
        self._open.append(connection)
        await self._loop.sock_connect(connection, (self.server.host, self.server.port))
        return connection

    def close(self, connection: socket.socket) -> None:
        """Close one before."""
        self._open.remove(connection)
        connection.close()

    def reset(self, connection: socket.socket) -> None:
        """Close one with a reset, which leaves no port in use."""
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close(connection)

    def datagrams(self, source: str = "") -> socket.socket:
        """A UDP socket, connected to the front door."""
        udp = socket.socket(type=socket.SOCK_DGRAM)
        udp.setblocking(False)
        udp.bind((source or self.server.source, 0))
        udp.connect((self.server.host, self.server.port))
        self._open.append(udp)
        return udp

    async def send(self, connection: socket.socket, data: bytes) -> None:
        await self._loop.sock_sendall(connection, data)
        if self.squad.started.is_set():
            self.squad.sent += len(data)

    async def expect(self, connection: socket.socket, *what: bytes) -> bytes:
        """Read until one of these has come; return all that was read."""
        heard = b""
        while not any(each in heard for each in what):
            more = await asyncio.wait_for(self._loop.sock_recv(connection, BURST), PATIENCE)
            if not more:
                raise ConnectionError(f"closed before {what!r}, after {heard[-200:]!r}")
            heard += more
        return heard

    async def drain(self, connection: socket.socket) -> None:
        """
        Read and forget what comes.

        @raise ConnectionError: it was closed.
        """
        into = bytearray(16 * BURST)
        while await self._loop.sock_recv_into(connection, into):
            pass
        raise ConnectionError("closed")

    async def flood(self, connection: socket.socket, burst: bytes) -> None:
        """
        Send without pause, and read all answers.

        @raise OSError: it was cut off.
        """

        async def send() -> None:
            while True:
                await self.send(connection, burst)
                await asyncio.sleep(0)

        await both(send(), self.drain(connection))

    async def spray(self, datagrams: list[bytes], *sockets: socket.socket) -> None:
        """Send datagrams from these sockets in turn, at the rate of this attacker."""
        rate = min(DATAGRAMS, ALL_DATAGRAMS / self.squad.size)
        last, sent = self._loop.time(), 0
        while True:
            await asyncio.sleep(0.002)
            now = self._loop.time()
            due = min(round((now - last) * rate), DATAGRAMS // 100)  # what was missed is lost
            last = now
            for number in range(sent, sent + due):
                udp = sockets[number % len(sockets)]
                with contextlib.suppress(OSError):
                    self.squad.sent += udp.send(datagrams[number % len(datagrams)])
                with contextlib.suppress(OSError):
                    udp.recv(BURST)
            sent += due

    async def velnet_text(self, room: str = "") -> socket.socket:
        """A VelNet player of the text form."""
        player = await self.connect()
        await self.send(player, b"0:m:\n")
        await self.expect(player, b"\n")
        if room:
            await self.send(player, f"2:{room}\n".encode())
        return player

    async def velnet_binary(self, room: str = "", source: str = "") -> tuple[socket.socket, int]:
        """A VelNet player of the binary form, and its id."""
        player = await self.connect(source)
        await self.send(player, velnet.Binary.login + KEEP_ALIVE)
        answer = await self.expect(player, KEEP_ALIVE[5:])
        if room:
            await self.send(player, struct.pack("BB", 2, len(room)) + room.encode())
        return player, int.from_bytes(answer[1:5], "big")

    async def websocket(self) -> socket.socket:
        """A stranger with a WebSocket."""
        stranger = await self.connect()
        await self.send(stranger, UPGRADE)
        await self.expect(stranger, b"\r\n\r\n")
        return stranger

    async def tictactoe(self, password: str = "") -> socket.socket:
        """A tic-tac-toe player, temporary unless there is a password."""
        player = await self.websocket()
        name = f"m{self.number}-{secrets.token_hex(4)}"
        await self.send(player, said("login", name=name, pw=password))
        await self.expect(player, b'"friends_update"')
        return player

    async def vcmi(self) -> socket.socket:
        """A VCMI launcher."""
        launcher = await self.connect()
        await self.send(launcher, vcmi.greeting(f"mallory{self.name}"))
        await self.expect(launcher, vcmi.WELCOME)
        return launcher

    async def tilegame(self) -> tuple[socket.socket, str]:
        """
        A Tile-Game player, and its name.

        @raise ConnectionError: the game is full.
        """
        player = await self.connect()
        name = self.name
        for request, end in (
            (wire.RECOGNITION_REQ, wire.RECOGNITION_RES),
            (wire.MAPDATA_REQ, wire.MAPDATA_EOS),
            (wire.PLAYERJOIN_REQ, wire.PLAYERJOIN_RES),
        ):
            await self.send(player, request)
            await self.expect(player, end)
        await self.send(player, name.encode())
        if (
            await self.expect(player, wire.PLAYEROBJ_RES, wire.MAXPLAYERS_ERR)
            != wire.PLAYEROBJ_RES
        ):
            raise ConnectionError("Tile-Game is full")
        return player, name


async def both(*attempts: Awaitable[None]) -> None:
    """Do these at the same time until one ends or fails."""
    tasks = [asyncio.ensure_future(each) for each in attempts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def burst(message: bytes, size: int = BURST) -> bytes:
    """As many of these as fit."""
    return message * (size // len(message))


def said(kind: str, **data: object) -> bytes:
    """A message of tic-tac-toe, in a frame."""
    return tictactoe.frame({"type": kind, "data": data})


UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)

#: An empty ping of a WebSocket client.
PING = b"\x89\x80" + bytes(4)

PAYLOAD = b"\x00\x00\x00\x01x"


@attack
async def velnet_text(attacker: Attacker) -> None:
    """C{3:0:x} and C{3:1:x} in turn, then a room list, in bursts of 64 kB."""
    player = await attacker.velnet_text("noise")
    await attacker.go()
    await attacker.flood(player, burst(b"3:0:x\n3:1:x\n", BURST - 2) + b"1\n")


@attack
async def velnet_binary(attacker: Attacker) -> None:
    """Messages of types 3 and 7 in turn, then one of type 10, in bursts of 64 kB."""
    player, _ = await attacker.velnet_binary("noise")
    await attacker.go()
    messages = b"\x03" + PAYLOAD + b"\x07" + PAYLOAD
    await attacker.flood(player, burst(messages, BURST - 6) + b"\x0a" + PAYLOAD)


@attack
async def velnet_websocket(attacker: Attacker) -> None:
    """Tiny room messages, each in a WebSocket frame of its own."""
    player = await attacker.websocket()
    await attacker.send(player, velnet.masked(velnet.Binary.login))
    await attacker.send(player, velnet.masked(velnet.Binary.join.replace(b"bench", b"noise")))
    await attacker.expect(player, b"noise")
    await attacker.go()
    await attacker.flood(player, burst(velnet.masked(b"\x03" + PAYLOAD)))


@attack
async def velnet_logins(attacker: Attacker) -> None:
    """Log-ins of VelNet's binary form, one after the other, on one connection."""
    player, _ = await attacker.velnet_binary()
    await attacker.go()
    await attacker.flood(player, burst(velnet.Binary.login))


@attack
async def velnet_lists(attacker: Attacker) -> None:
    """Requests for VelNet's list of rooms."""
    player = await attacker.velnet_text("noise")
    await attacker.go()
    await attacker.flood(player, burst(b"1\n"))


@attack
async def velnet_joins(attacker: Attacker) -> None:
    """A VelNet room is joined and left."""
    player, _ = await attacker.velnet_binary("noise")
    await attacker.go()
    await attacker.flood(player, burst(b"\x02\x05noise\x02\x00"))


@attack
async def velnet_datagrams(attacker: Attacker) -> None:
    """8,000 small datagrams a second to a VelNet room of 50, through the front door."""
    head = struct.Struct(">BI")
    for member in range(50 - attacker.squad.size if attacker.number == 0 else 0, -1, -1):
        source = f"127.1.1.{member}" if member else attacker.server.source
        player, number = await attacker.velnet_binary("crowd", source)
        udp = attacker.datagrams(source)
        udp.send(head.pack(0, number))
        await attacker.expect(udp, b"\0")
    await attacker.go()
    message = head.pack(3, number) + b"x"
    await both(attacker.spray([message], udp), attacker.drain(player))


@attack
async def velnet_never_reading(attacker: Attacker) -> None:
    """A VelNet player makes noise in a room in which another never reads."""
    player, _ = await attacker.velnet_binary("noise")
    await attacker.velnet_binary("noise")
    await attacker.go()
    message = b"\x03" + struct.pack(">I", 1000) + bytes(1000)
    await attacker.flood(player, burst(message))


@attack
async def junk_datagrams(attacker: Attacker) -> None:
    """Datagrams that belong to no game."""
    udp = attacker.datagrams()
    await attacker.go()
    junk = [b"\xff" * 40, b"{", b"3:0:x", b"\x03" + bytes(20), b"[" * 200]
    await attacker.spray(junk, udp)


@attack
async def websocket_pings_of_strangers(attacker: Attacker) -> None:
    """Pings right after a WebSocket's upgrade."""
    stranger = await attacker.websocket()
    await attacker.go()
    await attacker.flood(stranger, burst(PING))


@attack
async def websocket_pings(attacker: Attacker) -> None:
    """Pings of somebody who is logged in to tic-tac-toe."""
    player = await attacker.tictactoe()
    await attacker.go()
    await attacker.flood(player, burst(PING))


@attack
async def websocket_drip(attacker: Attacker) -> None:
    """Pings byte by byte, up to 460 a second, on eight WebSockets without a log-in."""
    strangers = [await attacker.websocket() for _ in range(8)]
    pause = max(1 / 460, attacker.squad.size * len(strangers) / ALL_DRIPS)
    await attacker.go()

    async def drip(stranger: socket.socket) -> None:
        await attacker.send(stranger, burst(PING, 8 * 1024))
        for number in count():
            await attacker.send(stranger, PING[number % 6 :][:1])
            await asyncio.sleep(pause)

    parts = [each for one in strangers for each in (drip(one), attacker.drain(one))]
    await both(*parts)


@attack
async def websocket_continuations(attacker: Attacker) -> None:
    """A message that goes on with empty frames and never ends."""
    player = await attacker.tictactoe()
    await attacker.go()
    await attacker.send(player, b"\x01\x80" + bytes(4))
    await attacker.flood(player, burst(b"\x00\x80" + bytes(4)))


@attack
async def tictactoe_end_game(attacker: Attacker) -> None:
    """C{end_game} of tic-tac-toe, which the server ignores."""
    player = await attacker.tictactoe()
    await attacker.go()
    await attacker.flood(player, burst(said("end_game", msg="x")))


@attack
async def tictactoe_states(attacker: Attacker) -> None:
    """C{match_states_request} of tic-tac-toe."""
    player = await attacker.tictactoe()
    await attacker.go()
    await attacker.flood(player, burst(said("match_states_request")))


@attack
async def tictactoe_friends(attacker: Attacker) -> None:
    """C{friend_request} of tic-tac-toe, for somebody who is not there."""
    player = await attacker.tictactoe("secret")
    await attacker.go()
    await attacker.flood(player, burst(said("friend_request", user="nobody-at-all")))


@attack
async def wrong_passwords(attacker: Attacker) -> None:
    """Log-ins to tic-tac-toe with a wrong password, for names of bystanders."""
    await attacker.go()
    for name in ACCOUNTS:
        guesser = await attacker.websocket()
        await attacker.send(guesser, said("login", name=name, pw="guessed"))
        await attacker.expect(guesser, b'"login_response"')
        attacker.close(guesser)


@attack
async def vcmi_chat(attacker: Attacker) -> None:
    """Lines of 1,000 characters in the VCMI lobby."""
    launcher = await attacker.vcmi()
    await attacker.go()
    await attacker.flood(launcher, burst(vcmi.say("<MSG>" + "x" * 1000)))


@attack
async def vcmi_rooms(attacker: Attacker) -> None:
    """A VCMI room is made and left."""
    launcher = await attacker.vcmi()
    room = f"room{attacker.number}"
    await attacker.go()
    made = vcmi.say(f"<NEW>{room}<PSWD><COUNT>2<MODS>")
    await attacker.flood(launcher, burst(made + vcmi.say(f"<LEAVE>{room}")))


@attack
async def vcmi_commands(attacker: Attacker) -> None:
    """99 commands in one VCMI frame."""
    launcher = await attacker.vcmi()
    room = f"room{attacker.number}"
    await attacker.go()
    commands = f"<NEW>{room}<PSWD><COUNT>2<MODS><LEAVE>{room}" * 19 + "<HERE>" * 4
    await attacker.flood(launcher, burst(vcmi.say(commands)))


@attack
async def vcmi_lists(attacker: Attacker) -> None:
    """Requests for the list of who is in the VCMI lobby."""
    launcher = await attacker.vcmi()
    await attacker.go()
    await attacker.flood(launcher, burst(vcmi.say("<HERE>")))


@attack
async def vcmi_games(attacker: Attacker) -> None:
    """A launcher makes a VCMI room, starts the game alone, is sent away and comes again."""
    await attacker.go()
    launcher = await attacker.vcmi()
    room = f"room{attacker.number}"
    made = vcmi.say(f"<NEW>{room}<PSWD><COUNT>2<MODS>")
    await attacker.send(launcher, made + vcmi.say(f"<FORCESTART>{room}"))
    await attacker.expect(launcher, b":>>START:", b":>>ERROR:")


@attack
async def first_bytes(attacker: Attacker) -> None:
    """120 connections of each attacker that send one byte and wait."""

    async def wait() -> None:
        while True:
            with contextlib.suppress(OSError):
                stranger = await attacker.connect()
                try:
                    await attacker.send(stranger, b"G")
                    await attacker.drain(stranger)
                finally:
                    attacker.close(stranger)
            attacker.squad.cuts += attacker.squad.started.is_set()
            await asyncio.sleep(PAUSE)

    await attacker.go()
    await both(*(wait() for _ in range(120)))


@attack
async def connections(attacker: Attacker) -> None:
    """Connections that are made and closed at once."""
    await attacker.go()
    for turn in range(1000):
        stranger = await attacker.connect()
        if turn % 2:
            await attacker.send(stranger, b"0:m:\n")
        attacker.reset(stranger)


@attack
async def http_pipelining(attacker: Attacker) -> None:
    """63 KiB of requests for a script of the page at once; the answers are not read."""
    await attacker.go()
    stranger = await attacker.connect()
    request = b"GET /page.js HTTP/1.1\r\nHost: bench\r\n\r\n"
    await attacker.send(stranger, burst(request, 63 * 1024))
    await asyncio.sleep(1)


@attack
async def http_bodies(attacker: Attacker) -> None:
    """A request with a body of 1 GB."""
    stranger = await attacker.connect()
    await attacker.go()
    await attacker.send(
        stranger, b"POST / HTTP/1.1\r\nHost: bench\r\nContent-Length: 1000000000\r\n\r\n"
    )
    await attacker.flood(stranger, bytes(BURST))


@attack
async def tilegame_packets(attacker: Attacker) -> None:
    """Walks, digs and requests for the state in Tile-Game."""
    await attacker.go()
    player, name = await attacker.tilegame()
    walk = position(name, 10, 10)
    content = b"\x1e%b\x01%b" % (wire.encode_name(name), bytes([32, 32]))
    dig = wire.fill(b"SGPKT" + len(content).to_bytes(2, "big") + content)
    await attacker.flood(player, burst(walk + dig + wire.GLGAME_REQ))


@attack
async def tilegame_joins(attacker: Attacker) -> None:
    """Tile-Game is joined and left."""
    await attacker.go()
    while True:
        player, _ = await attacker.tilegame()
        await attacker.send(player, wire.DISCONNECT_REQ)
        attacker.close(player)


@attack
async def twister_data(attacker: Attacker) -> None:
    """Requests for the poses of all tanks, from an address without one."""
    udp = attacker.datagrams()
    await attacker.go()
    await attacker.spray([asked("get_data", {})], udp)


@attack
async def twister_connects(attacker: Attacker) -> None:
    """Tanks that connect, from 100 ports of each attacker, with ever new keys."""
    sockets = [attacker.datagrams() for _ in range(100)]
    keys = (f"m{attacker.number}-{number}" for number in range(999))
    who = ({"key": key, "id": None, "client_timeout_ms": 0} for key in keys)
    requests = [asked("connect", each) for each in who]
    await attacker.go()
    await attacker.spray(requests, *sockets)


async def next_line() -> None:
    """The next line of standard input, or its end."""
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)


def answer(**said: object) -> None:
    print(json.dumps(said), flush=True)


async def serve(server: Server, function: Attack, size: int) -> None:
    """
    Take each step when a line says so: get ready, attack, report; attack on until the input ends.

    The first and the last step are answered with a line of JSON.
    """
    squad = Squad(server, size)
    await next_line()
    running = [
        asyncio.create_task(Attacker(squad, number).run(function)) for number in range(size)
    ]

    async def all_ready() -> None:
        for _ in running:
            await squad.ready.acquire()

    try:
        await asyncio.wait_for(both(all_ready(), *map(asyncio.shield, running)), READY)
    except TimeoutError:
        answer(failed=squad.error)
    else:
        answer()
        await next_line()
        squad.started.set()
        await next_line()
        answer(sent=squad.sent, cuts=squad.cuts)
        await next_line()
    for task in running:
        task.cancel()


def main() -> None:
    parser = argparse.ArgumentParser(description="The attackers of benchmarks.fairness.")
    parser.add_argument("attack", choices=ATTACKS)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--attackers", type=int, default=1)
    parsed = parser.parse_args()
    os.nice(NICE)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    serving = serve(Server("", parsed.port), ATTACKS[parsed.attack], parsed.attackers)
    asyncio.run(asyncio.wait_for(serving, LONGEST))


if __name__ == "__main__":
    main()
