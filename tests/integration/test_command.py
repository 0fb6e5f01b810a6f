"""The commands as an operator types them: real processes, real ports."""

from __future__ import annotations

import socket

import gameservers
from tests.integration.processes import PATIENCE, ProcessTestCase, free_port


class CommandTests(ProcessTestCase):
    def test_version(self) -> None:
        status, out, err = self.run_to_end("--version")
        self.assertEqual((status, err), (0, ""))
        self.assertTrue(out.startswith(f"gameservers {gameservers.__version__} (Twisted "))

    def test_wrong_value(self) -> None:
        self.assertEqual(
            self.run_to_end("--capacity=x"),
            (
                1,
                "",
                "gameserver: --vcmi-max-players must be a whole number of players from 1 to"
                ' 100000, not "x".\n',
            ),
        )

    def test_port_in_use(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            status, out, err = self.run_to_end(f"--port={port}", "--interface=127.0.0.1")
        sentence = f"Cannot listen on 127.0.0.1:{port}: address already in use."
        self.assertEqual((status, err), (1, f"gameserver: {sentence}\n"))
        self.assertTrue(out.endswith(f"#critical] {sentence}\n"), out)
        self.assertNotIn("Traceback", out)

    def test_from_start_to_sigterm(self) -> None:
        port = free_port()
        process, log = self.started(f"--port={port}", "--interface=127.0.0.1")
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE).close()
        self.stop(process)
        self.assertIn(f"front door listens on TCP 127.0.0.1:{port}\n", log)
        self.assertEqual(list(self.directory.iterdir()), [])
