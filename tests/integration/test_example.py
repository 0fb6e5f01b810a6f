"""A game of somebody else's: installed beside the server, and played."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import gameservers
from tests.integration.clients import VelNetText
from tests.integration.processes import PATIENCE, ProcessTestCase, free_port

EXAMPLE = Path(gameservers.__file__).parent.parent / "examples" / "dice-room"


class Dice:
    """A client of the dice room."""

    def __init__(self, port: int, name: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.lines = self.socket.makefile("rb")
        self.say(f"DICE {name}")

    def say(self, line: str) -> None:
        self.socket.sendall(line.encode() + b"\n")

    def hear(self) -> str:
        return self.lines.readline().decode().rstrip("\n")

    def close(self) -> None:
        self.lines.close()
        self.socket.close()


class DiceRoomTests(ProcessTestCase):
    def setUp(self) -> None:
        if not EXAMPLE.exists():
            self.skipTest("these tests run beside an installed package, not in its source tree")
        super().setUp()
        self.install()

    def install(self) -> None:
        """Install the example with pip into a directory of its own, on the server's path."""
        copy, site = (Path(self.mktemp()).absolute() for _ in range(2))
        shutil.copytree(EXAMPLE, copy)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
        done = subprocess.run(
            [*pip, "--no-build-isolation", "--target", str(site), str(copy)],
            capture_output=True,
            text=True,
            timeout=4 * PATIENCE,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        path = os.pathsep.join([str(site), self.environment["PYTHONPATH"]])
        self.environment["PYTHONPATH"] = path

    def client(self, port: int, name: str) -> Dice:
        client = Dice(port, name)
        self.addCleanup(client.close)
        return client

    def test_front_door_and_own_port(self) -> None:
        """Players of both doors sit at one table; the game's options are options."""
        front, own = free_port(), free_port()
        process, _ = self.started(
            f"--port={front}", f"--dice-port={own}", "--dice-max-players=2", "--login-timeout=5"
        )
        zoe = self.client(front, "zoë")
        self.assertEqual(zoe.hear(), "zoë is here")
        bob = self.client(own, "bob")
        self.assertEqual((zoe.hear(), bob.hear()), ("bob is here", "bob is here"))
        self.assertEqual(self.client(own, "carol").hear(), "! the lobby is full")
        bob.say("ROLL 6")
        rolled = bob.hear()
        self.assertRegex(rolled, "^bob rolls [1-6]$")
        self.assertEqual(zoe.hear(), rolled)
        bob.close()
        self.assertEqual(zoe.hear(), "bob is gone")

        # The other games have noticed nothing.
        VelNetText(lambda: socket.create_connection(("127.0.0.1", front)), "dora").close()

        # A stranger is cut off by the door, which the game has not been written for.
        stranger = self.client(own, "zoë")
        self.assertEqual(stranger.hear(), "! this name is taken")
        with self.assertRaises(ConnectionError):
            stranger.hear()
        zoe.say("ROLL 2")
        self.assertIn("zoë rolls", zoe.hear())
        self.stop(process)
        self.assertEqual(zoe.hear(), "* the table closes")

    def test_high_score(self) -> None:
        """The game's own table is made, and the best roll outlives a restart."""
        best, rolled = "0 by nobody", []
        for rolls in (20, 0):
            front = free_port()
            process, _ = self.started(
                f"--port={front}", f"--database=sqlite:///{self.directory}/dice.sqlite3"
            )
            zoe = self.client(front, "zoë")
            self.assertEqual(zoe.hear(), "zoë is here")
            zoe.say("BEST")
            self.assertEqual(zoe.hear(), f"the best is {best}")
            for _ in range(rolls):
                zoe.say("ROLL 100")
                rolled.append(int(zoe.hear().removeprefix("zoë rolls ")))
            best = f"{max(rolled)} by zoë"
            self.stop(process)
