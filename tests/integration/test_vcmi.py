"""VCMI from end to end: the real process, launchers of four protocols, a game through pipes."""

from __future__ import annotations

import hashlib
import re
import socket
import struct
from concurrent.futures import Future, ThreadPoolExecutor

from tests.games.vcmi.clients import frame
from tests.integration.processes import PATIENCE, ProcessTestCase, free_port

MIB = 1024 * 1024

#: What each side of a pipe sends in all, in bytes.
AMOUNT = 64 * MIB


class Launcher:
    """A launcher's lobby connection."""

    def __init__(self, port: int, name: str, version: int) -> None:
        self.name = name
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.heard = ""
        greeting = f"<GREETINGS>{name}<VER>VCMI 1.{version}.0".encode()
        self.socket.sendall(frame(bytes((version, 4)) + b"utf8" + greeting))
        self.wait(":>>MSG:System:Here available")

    def send(self, text: str) -> None:
        self.socket.sendall(frame(text.encode()))

    def wait(self, for_this: str) -> str:
        """Read until this was received; what was received up to and including it is returned."""
        while for_this not in self.heard:
            data = self.socket.recv(65536).decode()
            if not data:
                raise AssertionError(f"{self.name} waits for {for_this!r}, has {self.heard!r}")
            if not data.startswith(":>>"):
                raise AssertionError(f"{self.name} reads half a message: {data!r}")
            self.heard += data
        before, found, self.heard = self.heard.partition(for_this)
        return before + found

    def rest(self) -> str:
        """Everything up to the end of the connection."""
        heard = self.heard
        while data := self.socket.recv(65536):
            heard += data.decode()
        self.socket.close()
        return heard


class GameConnection:
    """One side of a game pipe, with the very writes of VCMI."""

    def __init__(self, port: int, role: str, uuid: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.role, self.uuid = role, uuid
        for text in (b"Aiya!\n", f"VCMI 1.3.2 ({role})".encode(), uuid.encode()):
            self.socket.sendall(struct.pack("<I", len(text)))
            self.socket.sendall(text)
        self.socket.sendall(b"\x01")

    def handshake(self) -> tuple[str, str]:
        """What the partner said of itself, and the uuid that came with it."""
        words = []
        for _ in range(3):
            (length,) = struct.unpack("<I", self.exactly(4))
            words.append(self.exactly(length).decode())
        assert words[0] == "Aiya!\n", words
        assert self.exactly(1) == b"\x01"
        return words[1], words[2]

    def send(self, seed: bytes) -> bytes:
        """Send L{AMOUNT} bytes: their digest."""
        block = hashlib.shake_256(seed).digest(MIB)
        digest = hashlib.blake2b()
        for number in range(AMOUNT // MIB):
            piece = struct.pack("<I", number) + block[4:]
            digest.update(piece)
            self.socket.sendall(piece)
        return digest.digest()

    def receive(self) -> bytes:
        """Receive L{AMOUNT} bytes: their digest."""
        digest = hashlib.blake2b()
        left = AMOUNT
        into = memoryview(bytearray(MIB))
        while left:
            count = self.socket.recv_into(into[: min(left, MIB)])
            assert count, "the pipe ended too early"
            digest.update(into[:count])
            left -= count
        return digest.digest()

    def exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            assert more, "the pipe ended in the handshake"
            data += more
        return data


class VcmiTests(ProcessTestCase):
    def test_from_the_lobby_to_the_end_of_the_game(self) -> None:
        port = free_port()
        process, _ = self.started(f"--port={port}")
        host = Launcher(port, "host", 4)
        guests = [Launcher(port, f"guest{version}", version) for version in (2, 3, 5)]
        watcher = Launcher(port, "watcher", 1)

        host.send("<NEW>The Room<PSWD>secret<COUNT>4<MODS>vcmi&1.3")
        host.wait(":>>MODSOTHER:host:1:vcmi:1.3")
        for guest in guests:
            guest.wait(":>>SESSIONS:1:The Room:")
            guest.send("<JOIN>The Room<PSWD>secret<MODS>vcmi&1.3")
            guest.wait(f":>>JOIN:The Room:{guest.name}")
            host.wait(f":>>MODSOTHER:{guest.name}:1:vcmi:1.3")
        guests[2].send("<CHANNEL>room")
        guests[2].wait(":>>CHANNEL:room")
        guests[2].send("<MSG>hello 12<3")
        for each in (host, guests[0], guests[1]):
            each.wait(":>>MSG:guest5:hello 12<3")
        guests[2].wait(":>>MSGCH:guest5:room:hello 12<3")
        guests[0].send("<MSG>@all good evening")
        watcher.wait(":>>MSG:guest2:good evening")

        for each in (host, *guests):
            each.send("<READY>The Room")
        endings = [each.rest() for each in (host, *guests)]
        (host_uuid,) = re.findall(":>>HOST:([0-9a-f-]{36}):3:>>START:", endings[0])
        uuids = [re.findall(":>>START:([0-9a-f-]{36})", ending)[0] for ending in endings]
        self.assertEqual(len({host_uuid, *uuids}), 5)
        watcher.wait(":>>SESSIONS:0")

        self.play(port, host_uuid, uuids[1:])

        watcher.send("<ROOT>connections")
        watcher.wait(":>>MSG:System:3")
        log = self.stop(process)
        self.assertIn(":>>MSG:System:The server is shutting down", watcher.rest())
        self.assertNotIn("hello", log)

    def test_a_side_that_ends_unread(self) -> None:
        """What was too much to be kept is forgotten with the side that sent it and went."""
        port = free_port()
        process, _ = self.started(f"--port={port}")
        host, guest = Launcher(port, "host", 4), Launcher(port, "guest", 4)
        host.send("<NEW>Room<PSWD><COUNT>2<MODS>")
        host.wait(":>>MODSOTHER:")
        guest.send("<JOIN>Room<PSWD><MODS>")
        host.wait(":>>MODSOTHER:guest")
        host.send("<FORCESTART>Room")
        (host_uuid,) = re.findall(":>>HOST:([0-9a-f-]{36}):1", host.rest())
        (uuid,) = re.findall(":>>START:([0-9a-f-]{36})", guest.rest())
        gone = GameConnection(port, "server", host_uuid)
        gone.socket.sendall(bytes(100_000))
        gone.socket.close()
        client = GameConnection(port, "client", uuid)
        server = GameConnection(port, "server", host_uuid)
        self.assertEqual(server.handshake(), ("VCMI 1.3.2 (client)", host_uuid))
        self.assertEqual(client.handshake(), ("VCMI 1.3.2 (server)", uuid))
        server.socket.sendall(b"good evening")
        self.assertEqual(client.exactly(12), b"good evening")
        client.socket.close()
        server.socket.close()
        self.stop(process)

    def play(self, port: int, host_uuid: str, uuids: list[str]) -> None:
        """Three guests and as many connections of the host's server, one after another."""
        guests = [GameConnection(port, "client", uuid) for uuid in uuids]
        servers = []
        for guest in guests:
            server = GameConnection(port, "server", host_uuid)
            self.assertEqual(server.handshake(), ("VCMI 1.3.2 (client)", host_uuid))
            self.assertEqual(guest.handshake(), ("VCMI 1.3.2 (server)", guest.uuid))
            servers.append(server)
        sides = [*guests, *servers]
        partners = [*servers, *guests]
        with ThreadPoolExecutor(2 * len(sides)) as threads:
            sent: list[Future[bytes]] = [
                threads.submit(side.send, b"%d" % number) for number, side in enumerate(sides)
            ]
            received = [threads.submit(partner.receive) for partner in partners]
            for then, now in zip(sent, received, strict=True):
                self.assertEqual(then.result(), now.result())
        for side, partner in zip(guests, servers, strict=True):
            side.socket.sendall(b"last words")
            side.socket.close()
            self.assertEqual(partner.exactly(10), b"last words")
            self.assertEqual(partner.socket.recv(100), b"")
            partner.socket.close()
