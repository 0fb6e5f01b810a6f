"""Tests for VelNet's datagrams."""

from __future__ import annotations

from errno import EHOSTUNREACH, EMSGSIZE
from typing import Any
from unittest.mock import patch

from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from gameservers.games.velnet.protocol import VelNetBinaryDatagrams, VelNetDatagrams
from gameservers.games.velnet.settings import VelNetSettings
from gameservers.net.datagrams import RETRY
from gameservers.net.fair_queue import MAX_AHEAD, SHARE
from tests.games.velnet.world import (
    Peer,
    World,
    binary_player,
    data,
    log_in,
    text,
    text_player,
    u32,
)

#: How long a player's address must have been silent before another takes its place.
TAKEOVER = VelNetSettings().takeover_timeout


def voices(world: World) -> list[Peer]:
    """Three players of generation 2 in one room; the third has no UDP."""
    peers = [binary_player(world, "r1") for _ in range(3)]
    for player, peer in enumerate(peers[:2], 1):
        peer.fly(b"\x00" + u32(player))
        assert peer.caught() == [b"\x00"]
    for peer in peers:
        peer.hear()
    return peers


class BinaryDatagramTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World(generation="2")

    def test_to_the_room(self) -> None:
        """Over UDP to those that have it, over the stream to the others."""
        one, two, three = voices(self.world)
        heard = b"\x03" + u32(1)
        for kind, echo in ((3, False), (7, False), (4, True), (8, True)):
            one.fly(bytes([kind]) + u32(1) + b"voice")
            self.assertEqual(one.caught(), [heard + b"voice"] * echo)
            self.assertEqual(two.caught(), [heard + b"voice"])
            self.assertEqual(three.hear(), heard + data(b"voice"))
            self.assertEqual(one.hear() + two.hear(), b"")

    def test_by_the_port_of_the_hello(self) -> None:
        """A player that said hello to another port hears by that one."""
        one, two, _ = voices(self.world)
        port = self.world.listen()
        port.socket.incoming.append((b"\x00" + u32(2), two.udp))
        port.doRead()
        one.fly(b"\x03" + u32(1) + b"voice")
        heard = b"\x03" + u32(1) + b"voice"
        self.assertEqual(port.socket.sent, [(b"\x00", two.udp), (heard, two.udp)])
        self.assertEqual(two.caught(), [])

    def test_to_a_group_and_to_oneself(self) -> None:
        one, two, three = voices(self.world)
        one.say(b"\x06" + text("g") + data(u32(1, 2, 1, 3, 99)))
        one.fly(b"\x05" + u32(1) + text("g") + b"voice")
        heard = b"\x03" + u32(1) + b"voice"
        self.assertEqual((one.caught(), two.caught()), ([heard], [heard]))
        self.assertEqual(three.hear(), b"\x03" + u32(1) + data(b"voice"))
        one.fly(b"\x0a" + u32(1) + b"me")
        self.assertEqual(one.caught(), [b"\x03" + u32(1) + b"me"])

    def test_order_with_the_stream(self) -> None:
        """What comes over the stream instead keeps its place in it."""
        one, _, three = voices(self.world)
        one.say(b"\x03" + data(b"before"))
        one.fly(b"\x03" + u32(1) + b"voice")
        one.say(b"\x03" + data(b"after"))
        heard = b"\x03" + u32(1)
        self.assertEqual(
            three.hear(), heard + data(b"before") + heard + data(b"voice") + heard + data(b"after")
        )

    def test_sizes(self) -> None:
        """1400 bytes go to generation 2 and 1024 to generation 1, more goes over the stream."""
        for generation, limit in (("1", 1024), ("2", 1400)):
            self.world = World(generation=generation)
            one, two, _ = voices(self.world)
            fits = b"\x03" + u32(1) + b"x" * (limit - 5)
            one.fly(fits)
            self.assertEqual((two.caught(), two.hear()), ([fits], b""))
            one.fly(fits + b"x")
            self.assertEqual(two.caught(), [])
            self.assertEqual(two.hear(), b"\x03" + u32(1) + data(b"x" * (limit - 4)))

    def test_new_hello(self) -> None:
        """A player whose address changes says hello again; the old one must be silent."""
        one, two, _ = voices(self.world)
        old, one.udp = one.udp, (one.udp[0], 9)
        one.fly(b"\x03" + u32(1) + b"too early")
        self.assertEqual(two.caught(), [])
        self.world.turn(TAKEOVER)
        with capturedLogs() as events:
            one.fly(b"\x00" + u32(1))
        self.assertEqual(one.caught(), [b"\x00"])
        self.assertEqual([each["address"] for each in events], [f"{one.udp[0]}:9"])
        self.assertEqual(self.world.metrics.datagram_addresses_changed, {"velnet": 1})
        two.fly(b"\x03" + u32(2) + b"voice")
        self.assertEqual(one.caught(), [b"\x03" + u32(2) + b"voice"])
        self.assertEqual(self.world.datagram(b"\x0a" + u32(1) + b"old", old), [])

    def test_takeover(self) -> None:
        """As long as a player speaks, a hello from elsewhere on its host is refused and noted."""
        self.world = World(generation="2", silence_timeout=0.0)
        one, two, _ = voices(self.world)
        thief = (one.udp[0], 9)
        with capturedLogs() as events:
            for sign in (b"\x03" + u32(1) + b"voice", b"\x00" + u32(1)):
                for _ in range(10):
                    self.world.turn(TAKEOVER - 0.1)
                    self.assertEqual(self.world.datagram(b"\x00" + u32(1), thief), [])
                    one.fly(sign)
        one.caught()
        two.fly(b"\x03" + u32(2) + b"voice")
        self.assertEqual(one.caught(), [b"\x03" + u32(2) + b"voice"])
        self.assertEqual(self.world.metrics.datagrams_dropped, {("velnet", "refused"): 20})
        self.assertEqual([each["address"] for each in events], [f"{thief[0]}:9"])

    def test_connected_anew(self) -> None:
        """A client that connects again keeps its address, which is its new player's then."""
        one, _, _ = voices(self.world)
        again = binary_player(self.world)
        again.udp = one.udp
        again.fly(b"\x00" + u32(4))
        self.assertEqual(again.caught(), [b"\x00"])
        self.assertEqual(self.world.metrics.datagram_addresses_changed, {"velnet": 1})

    def test_address_of_another(self) -> None:
        """An address belongs to the player that said hello from it last."""
        one, _two, _ = voices(self.world)
        self.world.turn(TAKEOVER)
        one.fly(b"\x00" + u32(2))
        one.caught()
        one.fly(b"\x03" + u32(1) + b"as one")
        one.fly(b"\x0a" + u32(2) + b"as two")
        self.assertEqual(one.caught(), [b"\x03" + u32(2) + b"as two"])
        self.assertEqual(len(self.world.service.bound), 1)

    def test_gone(self) -> None:
        """An address is forgotten with its player."""
        one, two, _ = voices(self.world)
        one.drop()
        one.fly(b"\x0a" + u32(1) + b"ghost")
        two.fly(b"\x03" + u32(2) + b"voice")
        self.assertEqual(one.caught(), [])
        self.assertEqual(list(self.world.service.bound), [two.udp])

    def test_other_host(self) -> None:
        """Only by an option may datagrams come from elsewhere."""
        for anywhere in (False, True):
            world = World(generation="2", any_address=anywhere)
            binary_player(world)
            answer = world.datagram(b"\x00" + u32(1), ("198.51.100.1", 5))
            self.assertEqual(answer, [b"\x00"] * anywhere)

    def test_ipv4_over_ipv6(self) -> None:
        world = self.world
        world.connect("::ffff:192.0.2.1").ask(log_in())
        self.assertEqual(world.datagram(b"\x00" + u32(1), ("::ffff:192.0.2.1", 5)), [b"\x00"])

    def test_before_the_log_in(self) -> None:
        peer = self.world.connect()
        self.assertEqual(self.world.datagram(b"\x00" + u32(1), peer.udp), [])

    def test_the_other_form(self) -> None:
        """A player is spoken to in the form of its stream, and must speak it."""
        text_player(self.world)
        peer = binary_player(self.world)
        self.assertEqual(self.world.datagram(b"\x00" + u32(1), peer.udp), [])
        self.assertEqual(self.world.datagram(b"2:0:Hello", peer.udp), [])
        peer.fly(b"\x00" + u32(2))
        peer.caught()
        peer.fly(b"2:3:1:text")
        self.assertEqual(peer.caught(), [])


class TextDatagramTests(SynchronousTestCase):
    def test_arrives_as_it_was_sent(self) -> None:
        """A player without UDP does not hear what is said in datagrams."""
        world = World()
        one, two, three = (text_player(world, "r1") for _ in range(3))
        one.fly(b"1:0:Hello")
        two.fly(b"0:2")
        self.assertEqual((one.caught(), two.caught()), ([b"0:1:connected"], [b"0:2:connected"]))
        for peer in (one, two, three):
            peer.hear()
        one.fly(b"1:3:0:to others")
        two.fly(b"3:1:to all")
        self.assertEqual(one.caught(), [b"3:2:to all"])
        self.assertEqual(two.caught(), [b"3:1:to others", b"3:2:to all"])
        self.assertEqual(three.hear(), b"")

    def test_size(self) -> None:
        world = World()
        one, two = text_player(world, "r1"), text_player(world, "r1")
        one.fly(b"1:0:Hello")
        two.fly(b"2:0:Hello")
        two.caught()
        one.fly(b"1:3:0:" + b"x" * 1020)
        one.fly(b"1:3:0:" + b"y" * 1021)
        self.assertEqual(two.caught(), [b"3:1:" + b"x" * 1020])


class CongestionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(VelNetDatagrams, "max_waiting", 3)
        self.world = World(generation="2")
        self.one, self.two, _ = voices(self.world)

    def speak(self, *words: bytes) -> None:
        for word in words:
            self.one.fly(b"\x03" + u32(1) + word)

    def heard(self) -> list[bytes]:
        return [each[5:] for each in self.two.caught()]

    def dropped(self, why: str) -> int:
        return self.world.metrics.datagrams_dropped["velnet", why]

    def test_the_oldest_gives_way(self) -> None:
        """Voice that is late is worth less than voice that is not."""
        self.world.port.socket.full = True
        self.speak(b"a", b"b", b"c", b"d", b"e")
        self.assertEqual(self.heard(), [])
        self.world.turn(RETRY)
        self.world.port.socket.full = False
        self.speak(b"f")
        self.world.turn(RETRY)
        self.assertEqual(self.heard(), [b"d", b"e", b"f"])
        self.assertEqual(self.dropped("congested"), 3)
        self.speak(b"g")
        self.assertEqual(self.heard(), [b"g"])

    def test_unreachable(self) -> None:
        """What cannot be sent is dropped, and nobody else's voice is."""
        (protocol,) = (
            each for each in self.world.datagrams if isinstance(each, VelNetBinaryDatagrams)
        )
        for error in (EHOSTUNREACH, EMSGSIZE):
            with patch.object(protocol, "_put", side_effect=OSError(error, "no")):
                self.speak(b"lost")
            self.speak(b"heard")
            self.assertEqual(self.heard(), [b"heard"])
        self.assertEqual(self.dropped("unreachable"), 2)

    def test_flood(self) -> None:
        """A member that floods a room delays another member by no more than a few turns."""
        service, network = self.world.service, self.world.network
        relay = service.tell_by_datagram

        times = {}

        def costly(ids: Any, head: bytes, payload: bytes) -> None:
            network.rightNow += 0.00031  # what a room of 50 costs
            times[payload] = network.seconds()
            relay(ids, head, payload)

        self.patch(service, "tell_by_datagram", costly)
        since = network.seconds()
        incoming = self.world.port.socket.incoming
        incoming += [(b"\x03" + u32(1) + b"noise", self.one.udp)] * 1_500
        incoming.append((b"\x0a" + u32(2) + b"voice", self.two.udp))
        self.world.turn()
        self.assertEqual(self.heard()[-1], b"noise")
        self.assertLess(times[b"voice"] - since, 2 * SHARE)
        self.assertGreater(times[b"noise"] - since, 10 * SHARE)
        self.assertEqual(self.dropped("flood"), 1_500 - 10 - MAX_AHEAD - 500)

    def test_stop(self) -> None:
        network = self.world.port.socket
        network.full = True
        self.speak(b"a")
        self.world.port.stopListening()
        network.full = False
        self.world.turn(RETRY)
        self.assertEqual(network.sent, [])
