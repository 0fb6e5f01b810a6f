"""
The protocol of a client on a WebSocket.
"""

from __future__ import annotations

from http import HTTPStatus

from gameservers.games.tictactoe.service import TicTacToeService
from gameservers.games.tictactoe.session import TicTacToeSession
from gameservers.net.connection import Reason
from gameservers.net.websocket import CODES, CloseReason, Upgrade, WebSocket


class TicTacToeProtocol(WebSocket):
    """
    One client, which sends JSON in text or binary messages.

    A connection that is replaced by another one of the same user gets the normal close code.
    """

    codes = CODES | dict.fromkeys((Reason.REFUSED, Reason.CROWDED), CloseReason.NORMAL_CLOSURE)

    def __init__(self, service: TicTacToeService) -> None:
        super().__init__(service.connections)
        self.max_message = service.settings.max_message
        self.ping_interval = service.settings.ping_interval
        self._origins = service.settings.origins
        self._session = TicTacToeSession(service, self)

    def status(self, upgrade: Upgrade) -> int:
        """Refuse pages of other sites, if there is a list of allowed origins."""
        foreign = self._origins and not upgrade.is_same_origin
        if foreign and upgrade.headers["origin"] not in self._origins:
            return HTTPStatus.FORBIDDEN
        return super().status(upgrade)

    def messageReceived(self, message: str | bytes) -> None:
        self._session.received(message)

    def left(self) -> None:
        self._session.left()
