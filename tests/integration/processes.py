"""Servers as an operator starts them: real processes, real ports."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import gameservers

#: Seconds that any of these processes, or an answer of theirs, may take on a busy machine.
PATIENCE = 30

#: What holds unless a test says otherwise.  Games listen nowhere, for their own ports may be
#: somebody else's here, and nothing is kept.
DEFAULTS = (
    "--tictactoe-port=0",
    "--tilegame-port=0",
    "--twister-port=0",
    "--velnet-port=0",
    "--database=memory",
)


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A TCP port (or, of this kind, a UDP port) that nobody had a moment ago."""
    with socket.socket(type=kind) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class ProcessTestCase(SynchronousTestCase):
    """Tests that start C{gameserver} in a directory of their own."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        root = Path(gameservers.__file__).parent.parent
        path = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
        self.environment = os.environ | {"PYTHONPATH": path}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start C{gameserver} with these arguments."""
        process = subprocess.Popen(
            [sys.executable, "-m", "gameservers", *arguments],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(self.end, process)
        return process

    def started(self, *arguments: str) -> tuple[subprocess.Popen[str], str]:
        """Start C{gameserver} and wait until it is ready: the process, its log so far."""
        said = {each.partition("=")[0] for each in arguments}
        unsaid = [each for each in DEFAULTS if each.partition("=")[0] not in said]
        process = self.start(*unsaid, *arguments)
        assert process.stdout is not None
        log = ""
        while "is ready" not in log:
            line = process.stdout.readline()
            if not line:
                self.fail(f"it ended instead of being ready: {log}{process.communicate()}")
            log += line
        return process, log

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
