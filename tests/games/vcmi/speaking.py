"""How a client speaks VCMI's wire formats, for the promises that hold for all of them."""

from __future__ import annotations

from gameservers.games import Carriage
from gameservers.games.vcmi.session import TABLE
from tests.games.vcmi.clients import frame


class TextLobby:
    """A launcher of protocol 4."""

    name = "text lobby"
    game = "vcmi"
    carriage = Carriage.STREAM
    options: tuple[str, ...] = ()
    junk = b"\xff\xff\xff\xff"
    full = b":>>ERROR:The lobby is full, please try again later"
    farewell = b":>>MSG:System:The server is shutting down"
    tables = TABLE

    def log_in(self, name: str) -> list[bytes]:
        return [frame(b"\x04\x04utf8<GREETINGS>%s<VER>VCMI 1.3.2" % name.encode())]

    def answered(self, name: str) -> bytes:
        return b":>>MSG:System:Here available"

    def talk(self, number: int) -> bytes:
        return frame(b"<MSG>hello %d" % number)

    def heard(self, number: int) -> bytes:
        return b":hello %d" % number

    def provoke(self) -> bytes:
        return frame(b"<MSG>@nobody hello")


FORMS = (TextLobby(),)
