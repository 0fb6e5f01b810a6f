"""
The Twisted protocol of TwisteR tanks: a datagram in, at most one datagram back.
"""

from __future__ import annotations

from gameservers.games.twister.service import TwisterService
from gameservers.net.address import Address
from gameservers.net.datagrams import Datagrams


class TwisterProtocol(Datagrams):
    """
    The wire format on one port.

    The API client waits for its reply forever, so a reply that the network does not take is queued
    instead of being dropped.
    """

    max_waiting = 100

    def __init__(self, service: TwisterService) -> None:
        super().__init__(service.game, service.clock, service.metrics)
        self._session = service.session
        service.ports.append(self)

    def knows(self, address: Address) -> bool:
        return self._session.knows(address)

    def received(self, datagram: bytes, address: Address) -> None:
        reply = self._session.answer(datagram, address)
        if reply:
            self.send(reply, address)
