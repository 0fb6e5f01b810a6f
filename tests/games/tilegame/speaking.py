"""How Tile-Game's clients speak, for L{tests.promises}."""

from __future__ import annotations

from gameservers.games import Carriage
from gameservers.games.tilegame import game
from gameservers.games.tilegame.session import MAX_ODD_PACKETS, TABLE
from tests.games.tilegame.reading import TOKEN, position


class Blocks:
    """
    A client that speaks in blocks of 32 bytes.

    Players hear of each other only when they ask.  A client that does not read is slow when
    C{max_unread} bytes have waited for C{silence_timeout}, in which the others have to say
    something; at this C{pace}, in seconds for each C{provoke}, that is how it goes.
    """

    name = "blocks"
    game = game.name
    carriage = Carriage.STREAM
    options: tuple[str, ...] = ("--tilegame-seed=abc",)
    junk = b"x" * 32 * (MAX_ODD_PACKETS + 1)  # fewer are tolerated
    full = TOKEN["MAXPLAYERS_ERR"]
    farewell = b""
    tables = TABLE
    pace = 0.02

    def log_in(self, name: str) -> list[bytes]:
        steps = ("RECOGNITION_REQ", "MAPDATA_REQ", "PLAYERJOIN_REQ")
        return [*(TOKEN[step] for step in steps), name.encode()]

    def answered(self, name: str) -> bytes:
        return TOKEN["PLAYEROBJ_RES"]

    def talk(self, number: int) -> bytes:
        return b""

    def heard(self, number: int) -> bytes:
        return b""

    def provoke(self) -> bytes:
        return position("anna", 1, 1)


FORMS = (Blocks(),)
