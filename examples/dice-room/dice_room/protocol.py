"""The protocol of the game's clients."""

from __future__ import annotations

from twisted.protocols.basic import LineReceiver

from dice_room import wire
from dice_room.service import DiceService
from dice_room.session import Session
from gameservers.net.connection import Connection


class DiceProtocol(Connection, LineReceiver):
    delimiter = b"\n"
    MAX_LENGTH = wire.MAX_LINE

    def __init__(self, service: DiceService) -> None:
        super().__init__(service.connections)
        self.session = Session(self, service)

    def lineReceived(self, line: bytes) -> None:
        if not self.ended:
            self.session.handle(wire.parse(line))
            self.handled()

    def lineLengthExceeded(self, line: bytes) -> None:
        self.malformed("line too long")

    def left(self) -> None:
        self.session.left()
