"""Servers as an operator starts them: real processes, real ports."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from threading import Timer

from twisted.trial.unittest import SynchronousTestCase

import gameservers

#: Seconds that any of these processes, or an answer of theirs, may take on a busy machine.
PATIENCE = 30

#: What Python is given to run C{twistd}.
TWISTD = "from twisted.scripts.twistd import run; run()"

#: What holds unless a test says otherwise.  Games listen nowhere, for their own ports may be
#: somebody else's here, and nothing is kept.
DEFAULTS = (
    "--tictactoe-port=0",
    "--tilegame-port=0",
    "--twister-port=0",
    "--velnet-port=0",
    "--database=memory",
)


#: Systems give ports above these to outgoing connections, any of which could take a port between
#: the moment it is chosen and the moment its server listens.
PORTS = range(12_000, 32_000)

_chosen: set[int] = set()


def free_port() -> int:
    """A port that nobody has for TCP or for UDP, and that was not chosen before."""
    while True:
        port = secrets.choice(PORTS)
        if port not in _chosen and is_free(port):
            _chosen.add(port)
            return port


def is_free(port: int) -> bool:
    with (
        socket.socket(type=socket.SOCK_STREAM) as tcp,
        socket.socket(type=socket.SOCK_DGRAM) as udp,
    ):
        try:
            for probe in (tcp, udp):
                probe.bind(("", port))
        except OSError:
            return False
    return True


class ProcessTestCase(SynchronousTestCase):
    """
    Tests that start C{gameserver} in a directory of their own.

    @ivar command: what Python is given to run it.
    """

    command: Sequence[str] = ("-m", "gameservers")

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        root = Path(gameservers.__file__).parent.parent
        path = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
        self.environment = os.environ | {"PYTHONPATH": path}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start C{gameserver} with these arguments."""
        process = subprocess.Popen(
            [sys.executable, *self.command, *arguments],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(self.end, process)
        return process

    def run_to_end(self, *arguments: str) -> tuple[int, str, str]:
        """Exit status, standard output and standard error of C{gameserver}."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=PATIENCE)
        return process.returncode, out, err

    def twistd(self, *arguments: str) -> str:
        """Standard output of C{twistd}, which ends without an error."""
        done = subprocess.run(
            [sys.executable, "-c", TWISTD, *arguments],
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def started(self, *arguments: str) -> tuple[subprocess.Popen[str], str]:
        """Start C{gameserver} and wait until it is ready: the process, its log so far."""
        said = {each.partition("=")[0] for each in arguments}
        unsaid = [each for each in DEFAULTS if each.partition("=")[0] not in said]
        process = self.start(*unsaid, *arguments)
        return process, self.read_until("is ready", process)

    def read_until(self, words: str, process: subprocess.Popen[str]) -> str:
        """Read its log until it has these words: what was read."""
        assert process.stdout is not None
        log = ""
        too_late = Timer(PATIENCE, process.kill)  # which ends its log as well
        too_late.start()
        self.addCleanup(too_late.cancel)
        while words not in log:
            line = process.stdout.readline()
            if not line:
                self.fail(f"it ended before {words!r}: {log}{process.communicate()}")
            log += line
        too_late.cancel()
        return log

    def stop(self, process: subprocess.Popen[str]) -> str:
        """End it with SIGTERM, which it must do cleanly: the rest of its log."""
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=PATIENCE)
        self.assertEqual((process.returncode, err), (0, ""), out)
        self.assertNotIn("Traceback", out)
        return out

    def end(self, process: subprocess.Popen[str]) -> None:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=PATIENCE)
