"""The web site of a real process: what clients make it hold that do not read or send too much."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.integration.processes import PATIENCE, ProcessTestCase, free_port

PAGE = b"GET /page.js HTTP/1.1\r\nHost: here\r\n\r\n"

UPLOAD = b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 629145600\r\n\r\n"


class BoundsTests(ProcessTestCase):
    def setUp(self) -> None:
        super().setUp()
        if sys.platform != "linux":
            self.skipTest("what a process holds is read from Linux's /proc")
        self.temporary = self.directory.absolute() / "temporary"
        self.temporary.mkdir()
        self.environment["TMPDIR"] = str(self.temporary)
        self.port = free_port()
        self.server, _ = self.started(f"--port={self.port}", "--interface=127.0.0.1")
        self.proc = Path("/proc", str(self.server.pid))

    def connect(self) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
        self.addCleanup(client.close)
        return client

    def look_on(self) -> None:
        """Somebody else is answered, often enough for the server to have heard everybody."""
        with self.connect() as client:
            for _ in range(50):
                client.sendall(PAGE)
                answer = b""
                while b"\r\n\r\n" not in answer:
                    answer += client.recv(65_536)
                head, _, body = answer.partition(b"\r\n\r\n")
                found = re.search(rb"Content-Length: (\d+)", head, re.I)
                assert found is not None
                while len(body) < int(found[1]):
                    body += client.recv(65_536)

    def peak(self) -> int:
        """The most memory that the process has had, in MiB."""
        found = re.search(r"VmHWM:\s+(\d+) kB", (self.proc / "status").read_text())
        assert found is not None
        return int(found[1]) // 1024

    def files(self) -> Iterator[str]:
        """What the process has open."""
        for each in (self.proc / "fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                yield os.readlink(each)

    def test_answers_that_are_not_read(self) -> None:
        """Thirty clients that send 63 KiB of requests and do not read take little memory."""
        self.look_on()
        before = self.peak()
        for _ in range(30):
            self.connect().sendall(PAGE * (63 * 1024 // len(PAGE)))
        self.look_on()
        self.assertLess(self.peak() - before, 30)
        self.stop(self.server)

    def test_bodies(self) -> None:
        """Nothing of a body that nobody expects is stored; its sender is told so."""
        clients = [self.connect() for _ in range(5)]
        for client in clients:
            client.sendall(UPLOAD + b"x" * 100_000)
        self.look_on()
        self.assertEqual([each for each in self.files() if str(self.temporary) in each], [])
        for client in clients:
            answer = b""
            while more := client.recv(65_536):
                answer += more
            self.assertTrue(answer.startswith(b"HTTP/1.1 413 Request Entity Too Large\r\n"))
        self.stop(self.server)
