"""The wall clock is stepped while the server runs, by an hour: nobody notices."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from wsproto.events import TextMessage

from tests.integration.clients import STREAMS, Connect, Stream, TicTacToe, VcmiLauncher, WebPage
from tests.integration.processes import PATIENCE, ProcessTestCase, free_port
from tests.integration.test_tilegame import RealClient

HOUR = 3600

#: Time limits that an hour would exceed, and that nobody reaches on a busy machine, in seconds.
LIMITS = (
    "--first-byte-timeout=1800",
    "--tictactoe-ping-interval=1800",
    "--tilegame-silence-timeout=1800",
    "--vcmi-ping-interval=1800",
    "--velnet-silence-timeout=1800",
)

#: How many states of Tile-Game are enough to tell that they go on.
ENOUGH = 40


class Browser(TicTacToe):
    """One that is not logged in."""

    def __init__(self, connect: Connect, name: str) -> None:
        self._connect = connect
        super().__init__(connect, name)

    def greet(self) -> None:
        """It says nothing yet."""

    def log_in(self, password: str) -> dict[str, Any]:
        request = {"type": "login", "data": {"name": self.name, "pw": password}}
        self.send(TextMessage(json.dumps(request)))
        answer: dict[str, Any] = json.loads(self.message().data)
        return answer["data"]

    def fail(self, password: str) -> str:
        """The message to a log-in, on a connection of its own."""
        return str(Browser(self._connect, self.name).log_in(password)["msg"])


class WallClockTests(ProcessTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.offset = (self.directory / "offset").absolute()
        self.step(0)
        self.command = ("-m", "tests.integration.stepped", str(self.offset))

    def step(self, seconds: int) -> None:
        new = Path(f"{self.offset}.new")
        new.write_text(str(seconds))
        new.rename(self.offset)

    def serve(self, *arguments: str) -> None:
        self.port = free_port()
        where = (f"--port={self.port}", "--interface=127.0.0.1")
        self.process, _ = self.started("--tilegame-new-world", *where, *arguments)

    def connect(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
        self.addCleanup(connection.close)
        return connection

    def enter(self) -> list[Stream]:
        """A client of each kind that stays."""
        kinds = [kind for kind in STREAMS if kind is not WebPage]
        return [kind(self.connect, f"player{number}") for number, kind in enumerate(kinds)]

    def test_forward(self) -> None:
        """No time limit ends early, whether of a player or of a connection without a log-in."""
        self.serve(*LIMITS)
        stranger = self.connect()
        launcher = self.connect()
        players = self.enter()
        self.step(HOUR)
        WebPage(self.connect, "after")  # by its end all timers of that turn have fired
        for each in (stranger, launcher, *(player.socket for player in players)):
            each.setblocking(False)
            with self.assertRaises(BlockingIOError, msg=f"{each} was cut off"):
                while each.recv(65_536):
                    """What was sent before is of no interest."""
        log = self.stop(self.process)
        self.assertNotIn("silent", log)

    def test_back(self) -> None:
        """Time limits, health checks and Tile-Game's states go on; nobody waits for an hour."""
        self.serve(
            "--first-byte-timeout=1", "--vcmi-ping-interval=1", "--tictactoe-login-attempts=1"
        )
        browser = Browser(self.connect, "cid")
        self.assertTrue(browser.log_in("secret")["success"])
        throttled = ""
        while not throttled.startswith("too many"):
            throttled = browser.fail("wrong")
        player = RealClient(self.port, "ann")
        self.addCleanup(player.socket.close)
        self.assertEqual(player.join(), "SUCCESS")
        launcher = VcmiLauncher(self.connect, "bob")
        self.step(-HOUR)
        throttled = browser.fail("wrong")
        self.assertLessEqual(int(throttled.split()[-2]), 60, throttled)
        stranger = self.connect()
        with self.assertRaises(ConnectionResetError):  # its time was up
            stranger.recv(1)
        for _ in range(3):
            launcher.wait(b":>>HEALTH:")
            launcher.say(b"<ALIVE>")
        player.play(lambda: player.states >= ENOUGH)
        self.stop(self.process)
