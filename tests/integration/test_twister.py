"""Twenty tanks at full pace on a real server, through real ports."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.games.twister.api import Connection
from tests.integration.processes import PATIENCE, ProcessTestCase, free_port

TANKS = 20
SECONDS = 10

HOST = "127.0.0.1"


class Tank:
    """The API client on a socket of its own; where that would wait for ever, this one fails."""

    def __init__(self, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.settimeout(PATIENCE)
        self._server = (HOST, port)
        self.api = Connection(self._exchange)

    def _exchange(self, datagram: bytes, buffer: int) -> bytes:
        self._socket.sendto(datagram, self._server)
        reply, source = self._socket.recvfrom(buffer)
        assert source == self._server, source
        return reply

    def close(self) -> None:
        self._socket.close()

    def drive(self, until: float) -> int:
        """Push and poll; whatever the pace, a tank always sees itself as it just pushed."""
        rounds = 0
        api = self.api
        while time.monotonic() < until:
            rounds += 1
            api.push_data(rounds, -rounds, rounds / 7, -rounds / 7)
            (own,) = (each for each in api.get_data() if each["id"] == api.id)
            assert own["player_data"]["posx"] == rounds, (own, rounds)
            if rounds % 20 == 0:
                api.push_message(f"round {rounds}", f"tank {api.id}")
                assert api.get_messages()
        return rounds

    def see(self) -> dict[int, Any]:
        """Everybody's pose, in as many polls as it takes."""
        seen: dict[int, Any] = {}
        for _ in range(TANKS):
            seen.update((each["id"], each["player_data"]) for each in self.api.get_data())
        return seen


class TanksTests(ProcessTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.port = free_port()
        self.server, self.log = self.started(
            f"--port={free_port()}", f"--interface={HOST}", f"--twister-port={self.port}"
        )

    def tank(self) -> Tank:
        made = Tank(self.port)
        self.addCleanup(made.close)
        return made

    def test_full_pace(self) -> None:
        """All push and poll for ten seconds; nothing is lost, and all agree in the end."""
        tanks = [self.tank() for _ in range(TANKS)]
        for each in tanks:
            each.api.connect()
        self.assertEqual([each.api.id for each in tanks], list(range(TANKS)))
        with ThreadPoolExecutor(TANKS) as drivers:
            until = time.monotonic() + SECONDS
            rounds = list(drivers.map(lambda tank: tank.drive(until), tanks))
        self.assertGreater(min(rounds), SECONDS)
        (everybody,) = {repr(sorted(each.see().items())) for each in tanks}
        self.assertEqual(
            everybody,
            repr(
                [
                    (number, {"posx": n, "posy": -n, "rot": n / 7, "turret_rot": -n / 7})
                    for number, n in enumerate(rounds)
                ]
            ),
        )
        self.assertEqual(len({bytes(each.api.get_map()) for each in tanks}), 1)
        for each in tanks[:-1]:
            each.api.disconnect()
        self.assertEqual(tanks[-1].api.online, 1)

        key = (self.directory / "twister-admin-key").read_text().strip()
        self.assertEqual(self.log.count(key), 0)
        self.stop(self.server)
        left = [each.name for each in self.directory.iterdir()]
        self.assertEqual([name for name in left if name.startswith("twister")], [])
