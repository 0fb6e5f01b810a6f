"""The arena on its port."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gameservers.games.twister import game
from gameservers.games.twister.protocol import TwisterProtocol
from gameservers.net.datagrams import RETRY
from tests.games.twister.house import ALICE, BOB, House

PING = b'{"request":"ping","client_data":{}}'
PONG = b'{"status": 0, "response": null}'


class PortTests(SynchronousTestCase):
    def test_bytes_are_counted(self) -> None:
        house = House()
        self.assertEqual(house.exchange(PING), PONG)
        self.assertEqual(
            (house.session.received, house.protocol.bytes_sent), (len(PING), len(PONG))
        )

    def test_no_way_back(self) -> None:
        """A reply that cannot be sent is nobody else's trouble."""
        house = House()
        house.socket.error = OSError(101, "Network is unreachable")
        self.assertIsNone(house.exchange(PING))
        self.assertEqual(house.metrics.datagrams_dropped[game.name, "unreachable"], 1)
        self.assertEqual(house.protocol.bytes_sent, 0)

    def test_full_network(self) -> None:
        """A reply for which the network has no room waits a little, but not without end."""
        house = House()
        self.patch(TwisterProtocol, "max_waiting", 2)
        house.socket.full = True
        for address in (ALICE, ALICE, BOB):
            self.assertIsNone(house.exchange(PING, address))
        self.assertEqual(house.metrics.datagrams_dropped[game.name, "congested"], 1)
        house.socket.full = False
        house.clock.advance(RETRY)
        self.assertEqual(house.socket.sent, [(PONG, ALICE), (PONG, BOB)])
