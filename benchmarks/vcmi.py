"""A minimal VCMI launcher of protocol 4, and a minimal VCMI game, for load."""

from __future__ import annotations

import re
import socket
import struct

from benchmarks.common import PATIENCE, Server

#: The last message to a client that has logged in.
WELCOME = b"Here available"

PROTOCOL = 4


def frame(payload: bytes) -> bytes:
    return struct.pack("<I", len(payload)) + payload


def greeting(name: str) -> bytes:
    text = f"<GREETINGS>{name}<VER>VCMI 1.3.2".encode()
    return frame(bytes([PROTOCOL, 4]) + b"utf8" + text)


def say(text: str) -> bytes:
    return frame(text.encode())


def read_until(player: socket.socket, pattern: bytes) -> re.Match[bytes]:
    """Read until C{pattern} is in what was read."""
    player.settimeout(PATIENCE)
    heard = b""
    while not (match := re.search(pattern, heard)):
        chunk = player.recv(65536)
        if not chunk:
            raise ConnectionError(f"closed while waiting for {pattern!r}; heard {heard[-300:]!r}")
        heard += chunk
    return match


def log_in(server: Server, name: str) -> socket.socket:
    player = server.connect()
    player.sendall(greeting(name))
    read_until(player, WELCOME)
    return player


UUID = rb"([0-9a-f-]{36})"


def start_session(server: Server, room: str) -> tuple[str, str]:
    """Have two players start a game; return the uuids of the game's server and client."""
    with log_in(server, f"{room}-host") as host, log_in(server, f"{room}-guest") as guest:
        host.sendall(say(f"<NEW>{room}<PSWD><COUNT>2<MODS>"))
        read_until(host, rb":>>CREATED:")
        guest.sendall(say(f"<JOIN>{room}<PSWD><MODS>"))
        read_until(guest, rb":>>JOIN:")
        guest.sendall(say(f"<READY>{room}"))
        host.sendall(say(f"<READY>{room}"))
        of_server = read_until(host, rb":>>HOST:" + UUID + rb":1")[1]
        of_client = read_until(guest, rb":>>START:" + UUID)[1]
    return of_server.decode(), of_client.decode()


def handshake(role: str, uuid: str) -> bytes:
    fields = (b"Aiya!\n", f"VCMI 1.3.2 ({role})".encode(), uuid.encode())
    return b"".join(map(frame, fields)) + b"\x01"


def start_pipe(server: Server, room: str) -> tuple[socket.socket, socket.socket]:
    """Connect the two sides of a new game pipe."""
    sides = []
    for role, uuid in zip(("server", "client"), start_session(server, room), strict=True):
        side = server.connect()
        side.sendall(handshake(role, uuid))
        sides.append(side)
    size = len(handshake("server", "0" * 36))  # the same for both roles
    for side in sides:
        missing = size
        while missing:
            chunk = side.recv(missing)
            if not chunk:
                raise ConnectionError("the pipe was closed during the handshake")
            missing -= len(chunk)
    return sides[0], sides[1]
