"""Whatever the level, no password, key, session id or chat line gets into the log."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from twisted.logger import capturedLogs, eventAsText
from twisted.trial.unittest import SynchronousTestCase

from gameservers.games.twister import session as twister
from tests.games.vcmi.clients import frame
from tests.house import House

PASSWORD = "wonderland"
GUESS = "looking-glass"
KEY = "c0ffee" * 5
CHAT = "a line for friends"


def request(name: str, **members: Any) -> bytes:
    """One of the tank arena."""
    return json.dumps({"request": name, "client_data": {}, **members}).encode()


class SecretsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.key_file = Path(self.mktemp())

    def play(self) -> list[str]:
        """
        Let clients of all games come, be refused, and meet bugs.

        @return: the secrets that there were.
        """
        house = House(
            self,
            f"--velnet-auth=memory:anna:{PASSWORD}",
            f"--twister-admin-key-file={self.key_file}",
        )
        secrets = [PASSWORD, GUESS, KEY, CHAT, self.key_file.read_text().strip()]
        for password in (PASSWORD, GUESS):
            house.connect().send(f"0:anna:{password}\n2:den:{password}\n3:0:{CHAT}\n".encode())
        tank = ("192.0.2.1", 40_000)
        who = {"id": 0, "key": KEY}
        body = {"msg_content": CHAT, "nick": "anna"}
        for datagram in (
            request("connect", client_data=who),
            request("push_message", client_data=who, request_body=body),
            request("push_data", client_data=who, player_data={"posx": KEY}),
            request(KEY, client_data=who),
            request("clear_chat", client_data={"key": secrets[-1]}),
            request("get_logs", client_data={"key": GUESS}),
        ):
            house.datagram(datagram, tank)
        socket = house.open_socket()
        login = {"type": "login", "data": {"name": "guest", "pw": ""}}
        socket.peer.send(socket.framed(json.dumps(login)))
        house.turn(1)
        (session,) = re.findall(r'"id": ?"([0-9a-f]{32})"', "".join(map(str, socket.received())))
        secrets.append(session)
        again = house.open_socket()
        reconnect = {"type": "reconnect", "data": {"id": session}}
        again.peer.send(again.framed(json.dumps(reconnect)))
        launcher = house.connect()
        launcher.send(frame(b"\x04\x04utf8<GREETINGS>anna<VER>VCMI 1.3.2"))
        launcher.send(frame(f"<MSG>{CHAT}".encode()))

        def fails(*_: object) -> None:
            raise RuntimeError("a bug")

        self.patch(twister.Session, "answer", fails)
        house.datagram(request("push_message", client_data=who, request_body=body), tank)
        house.turn(60)
        house.stop()
        return secrets

    def test_nothing_is_logged(self) -> None:
        with capturedLogs() as events:
            secrets = self.play()
        log = "\n".join(f"{eventAsText(event)} {event}" for event in events)
        self.assertIn("a bug", log)
        for number, secret in enumerate(secrets):
            self.assertNotIn(secret, log, f"secret {number}")
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
