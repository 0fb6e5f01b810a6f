"""What is said on this game's wire, for the promises that hold on every wire."""

from __future__ import annotations

import json
import re

from gameservers.games import Carriage
from gameservers.games.tictactoe import game, session, wire, words


def _message(kind: str, **data: str) -> bytes:
    return json.dumps({"type": kind, "data": data}).encode()


class Json:
    """Guests: they need no password."""

    name = "tictactoe"
    game = game.name
    carriage = Carriage.TEXT
    options: tuple[str, ...] = ()
    tables = session.TABLE
    junk = b"[" * (wire.MAX_MESSAGE + 1)  # anything smaller is ignored after the log-in
    full = words.LOBBY_FULL.encode()
    farewell = b""  # the code of the close frame

    def log_in(self, name: str) -> list[bytes]:
        """Log in; names are padded to three characters."""
        return [_message("login", name=f"{name:_<3}", pw="")]

    def answered(self, name: str) -> bytes:
        return words.TEMPORARY.format(f"{name:_<3}").encode()

    def talk(self, number: int) -> bytes:
        """There is no chat."""
        return b""

    def heard(self, number: int) -> bytes:
        return b""

    def same(self, answer: bytes) -> bytes:
        """Without the session's id."""
        return re.sub(rb"[0-9a-f]{32}", b"#", answer)

    def provoke(self) -> bytes:
        """A guest cannot have friends, and is told so."""
        return _message("friend_request", user="nobody")


FORMS = (Json(),)
