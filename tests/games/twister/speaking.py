"""How a tank speaks, for L{tests.promises}."""

from __future__ import annotations

import json
from typing import Any

from gameservers.games import Carriage
from gameservers.games.twister import game, session


class Json:
    """Requests as the API client spells them."""

    name = "JSON"
    game = game.name
    carriage = Carriage.DATAGRAM
    options = ("--twister-admin-key-file=",)
    junk = b'{"request": "ping", "client_data": {'
    full = b'{"status": -1, "response": null}'
    farewell = b""
    tables = session.TABLE

    def _request(self, name: str, **client_data: Any) -> bytes:
        asked = {"client_data": client_data, "player_data": {}, "request_body": {}}
        return json.dumps({"request": name, **asked}).encode()

    def log_in(self, name: str) -> list[bytes]:
        return [self._request("connect", key=name, id=None, addres=[], client_timeout_ms=0)]

    def answered(self, name: str) -> bytes:
        return b'{"status": 0, "response": '

    def talk(self, number: int) -> bytes:
        """The wire pushes nothing."""
        return b""

    def heard(self, number: int) -> bytes:
        return b""

    def provoke(self) -> bytes:
        return self._request("get_data")


FORMS = (Json(),)
