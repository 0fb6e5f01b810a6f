"""What a supervisor and logrotate do to the server: a real process."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

from tests.integration.clients import VelNetText
from tests.integration.processes import DEFAULTS, PATIENCE, ProcessTestCase, free_port

#: How many clients flood.
FLOODERS = 50

#: What a client floods with: messages of a room, each of which goes to its sender as well.
FLOOD = b"3:1:flood\n" * 6_000


class SignalTests(ProcessTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.port = free_port()
        self.where = (f"--port={self.port}", "--interface=127.0.0.1")

    def connect(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
        self.addCleanup(connection.close)
        return connection

    def test_in_the_foreground(self) -> None:
        """SIGUSR1 and SIGHUP do not end it; SIGHUP reads the configuration again."""
        config = self.directory / "config.toml"
        config.write_text("max-connections = 100")
        process, _ = self.started(*self.where, "--config=config.toml")
        process.send_signal(signal.SIGUSR1)
        process.send_signal(signal.SIGHUP)
        self.read_until("The configuration has not changed", process)
        config.write_text("max-connections = 99\nvelnet-max-players = 7")
        process.send_signal(signal.SIGHUP)
        self.read_until("max-connections is 99 now; it was 100", process)
        self.read_until("velnet-max-players = 7 needs a restart; it stays 5000", process)
        config.write_text("max-connections = -1")
        process.send_signal(signal.SIGHUP)
        self.read_until("The configuration stays as it was: max-connections in ", process)
        self.stop(process)

    def test_logrotate(self) -> None:
        """As a daemon: rename, SIGUSR1, and the log goes on in a new file of the old name."""
        log, pid_file = (self.directory.absolute() / name for name in ("games.log", "games.pid"))
        files = (f"--logfile={log}", f"--pidfile={pid_file}")
        self.twistd(*files, "gameserver", *DEFAULTS, *self.where)
        pid = int(pid_file.read_text())
        try:
            self.wait(log, "is ready")
            rotated = log.with_name("games.log.1")
            log.rename(rotated)
            os.kill(pid, signal.SIGUSR1)
            self.wait(log, "")
            os.kill(pid, signal.SIGHUP)
            self.wait(log, "The configuration has not changed")
            self.assertNotIn("The configuration", rotated.read_text())
            for file in (log, rotated):
                self.assertEqual(file.stat().st_mode & 0o777 & ~0o640, 0)
        finally:
            os.kill(pid, signal.SIGTERM)
        self.wait(log, "Server Shut Down.")

    def wait(self, path: Path, words: str) -> None:
        """Until a file is there and has these words."""
        end = time.monotonic() + PATIENCE
        while not (path.exists() and words in path.read_text()):
            if time.monotonic() > end:
                self.fail(f"{path} has no {words!r}")
            time.sleep(0.02)

    def test_sigterm_in_a_flood(self) -> None:
        """Fifty clients that send all they can, and read nothing, do not hold it up."""
        process, _ = self.started(*self.where)
        flooders = [VelNetText(self.connect, f"flooder{n}").socket for n in range(FLOODERS)]
        for each in flooders:
            each.setblocking(False)
            try:
                while each.send(FLOOD):
                    """As much as the kernel takes."""
            except OSError:
                """It takes no more, or the server has cut it off."""
        began = time.monotonic()
        self.stop(process)
        self.assertLess(time.monotonic() - began, 10)

    def test_sigterm_at_the_start(self) -> None:
        """It is heard as soon as Python runs."""
        process = self.start(*DEFAULTS, *self.where)
        self.read_until("starting up.", process)
        self.stop(process)
