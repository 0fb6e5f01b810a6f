"""
A model of the Python API client of TwisteR: it sends what that sends, byte for byte, receives
as little, and breaks where that breaks.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable
from typing import Any

#: Bytes that are received of a reply; of the map, more.
BUFFER = 1_024
MAP_BUFFER = 1_048_576


class ServerError(Exception):
    """The server refused."""


ERRORS: dict[int, Exception] = {
    -1: ServerError("Maximum connected clients to server"),
    -3: ServerError("Invalid packet"),
    -20: ServerError("Invalid id"),
    -21: ServerError("Invalid key"),
    -22: ServerError("Client already connected"),
    -40: PermissionError("permission denied"),
    -127: ServerError("Unknown error!"),
}

#: Sends a datagram and returns so much of the reply.
Exchange = Callable[[bytes, int], bytes]


class Connection:
    """
    One client.

    @ivar ping_ms: what it says of its round trip, as it measured none.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.key = uuid.uuid4().hex
        self.id: int | None = None
        self.ping_ms = 0

    def _ask(
        self,
        request: str,
        client_data: dict[str, Any],
        player_data: dict[str, Any] | None = None,
        body: dict[str, Any] | None = None,
        *,
        body_name: str = "request_body",
        buffer: int = BUFFER,
    ) -> Any:
        asked = {
            "request": request,
            "client_data": client_data,
            "player_data": player_data or {},
            body_name: body or {},
        }
        reply = json.loads(self._exchange(json.dumps(asked).encode(), buffer).decode())
        if reply["status"] < 0:
            raise ERRORS[reply["status"]]
        return reply["response"]

    def _who(self, ping_ms: int) -> dict[str, Any]:
        return {"key": self.key, "id": self.id, "addres": [], "client_timeout_ms": ping_ms}

    def ping(self) -> None:
        self._ask("ping", {})

    @property
    def online(self) -> Any:
        return self._ask("get_online", {})

    def connect(self) -> None:
        self.id = self._ask("connect", self._who(0))

    def disconnect(self) -> None:
        self._ask("disconnect", self._who(-1))

    def push_data(self, x: int, y: int, rot: float, turret_rot: float) -> None:
        self.ping()
        who = {"id": self.id, "key": self.key, "client_timeout_ms": self.ping_ms}
        pose = {"posx": x, "posy": y, "rot": rot, "turret_rot": turret_rot}
        self._ask("push_data", who, pose)

    def get_data(self) -> Any:
        return self._ask("get_data", {})

    def get_map(self) -> bytearray:
        answer = self._ask("get_map", {}, body_name="request_body:", buffer=MAP_BUFFER)
        records = bytearray(answer["map"])
        if hashlib.md5(records).hexdigest() != answer["checksum"]:
            raise TypeError("checksum is invalid")
        return records

    def push_message(self, text: str, nick: str) -> None:
        self.ping()
        body = {"msg_content": text, "nick": nick}
        self._ask("push_message", self._who(self.ping_ms), body=body)

    def get_messages(self) -> Any:
        self.ping()
        return self._ask("get_messages", self._who(self.ping_ms))

    def clear_chat(self) -> None:
        self.ping()
        self._ask("clear_chat", self._who(self.ping_ms))
