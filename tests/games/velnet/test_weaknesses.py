"""
The known weaknesses of the original servers, one test each: what they did is in the name, what
is safe is in the test.
"""

from __future__ import annotations

import tracemalloc

from twisted.trial.unittest import SynchronousTestCase

from tests.games.velnet.clients import BinaryClient, TextClient
from tests.games.velnet.world import (
    KEEP_ALIVE,
    Peer,
    World,
    binary_player,
    data,
    join,
    log_in,
    text,
    text_player,
    u32,
)


class TextOriginalTests(SynchronousTestCase):
    """The text server in threads."""

    def setUp(self) -> None:
        self.world = World()

    def test_leaving_no_room_opened_a_room_of_that_name(self) -> None:
        peer = text_player(self.world)
        self.assertEqual(peer.ask(b"2:-1\n1:\n"), b"1:\n")

    def test_joining_together_was_announced_twice(self) -> None:
        peers = [text_player(self.world) for _ in range(20)]
        for peer in peers:
            peer.say(b"2:r1\n")
        for peer in peers:
            client = TextClient()
            client.me = peers.index(peer) + 1
            client.receive(peer.hear())
            self.assertEqual(sorted(client.players), list(range(1, 21)))

    def test_bytes_that_are_not_utf8_left_a_ghost(self) -> None:
        one, two = text_player(self.world, "r1"), text_player(self.world, "r1")
        self.assertEqual(one.ask(b"3:1:\xff\xfe\n"), b"2:2:r1\n3:1:\xff\xfe\n")
        one.drop()
        self.assertEqual(two.hear(), b"3:1:\xff\xfe\n2:1:\n4:2\n")

    def test_split_utf8_character_left_a_ghost(self) -> None:
        peer = text_player(self.world, "r1")
        peer.ask(b"3:1:caf\xc3")
        self.assertEqual(peer.ask(b"\xa9\n"), b"3:1:caf\xc3\xa9\n")

    def test_one_who_does_not_read_stalled_the_sender(self) -> None:
        world = World(max_unread=65_536, rate=0)
        sender, slow, other = (text_player(world, "r1") for _ in range(3))
        other.hear()
        slow.stop_reading()
        line = b"3:0:" + b"x" * 996 + b"\n"
        for _ in range(200):
            sender.say(line)
            world.turn()
        self.assertFalse(slow.connected)
        self.assertEqual(world.cuts("slow"), 1)
        heard = other.hear()
        self.assertEqual(heard.count(b"x" * 996), 200)
        self.assertEqual(heard.count(b"2:2:\n"), 1)

    def test_line_without_end(self) -> None:
        peer = text_player(self.world)
        peer.ask(b"3:0:" + b"x" * 65_532)
        self.assertTrue(peer.connected)
        peer.ask(b"x")
        peer.ask(b"x")
        self.assertFalse(peer.connected)
        self.assertEqual(self.world.cuts("malformed"), 1)

    def test_comma_and_dash_in_a_room_name_made_the_list_ambiguous(self) -> None:
        peer = text_player(self.world)
        self.assertEqual(peer.ask(b"2:a,b\n2:a\x00b\n1:\n"), b"1:\n")
        peer.ask(b"2:a-b\r\n")
        self.assertEqual(peer.ask(b"1:\n"), b"1:a-b-1\n")

    def test_colon_cut_a_message(self) -> None:
        peer = text_player(self.world, "r1")
        self.assertEqual(peer.ask(b"3:1:with:colon\n"), b"3:1:with:colon\n")

    def test_line_feed_in_a_datagram_injected_lines(self) -> None:
        one, two = text_player(self.world, "r1"), text_player(self.world, "r1")
        for peer, player in ((one, b"1"), (two, b"2")):
            peer.fly(player + b":0:Hello")
            peer.caught()
        one.fly(b"1:3:0:a\n4:9")
        one.fly(b"1:3:0:end\n")
        self.assertEqual(two.caught(), [b"3:1:end"])
        self.assertEqual(two.hear(), b"")

    def test_leaving_twice_was_announced_twice(self) -> None:
        one, two = text_player(self.world, "r1"), text_player(self.world, "r1")
        two.ask(b"2:-1\n2:-1\n")
        self.assertEqual(one.hear(), b"2:2:r1\n2:2:\n")

    def test_threads_for_every_client(self) -> None:
        """Nothing runs for an idle player but the limit on its silence."""
        self.world.turn()
        for _ in range(20):
            text_player(self.world)
        self.assertEqual(self.world.network.getDelayedCalls(), [])

    def test_anybody_could_list_and_join_any_room(self) -> None:
        text_player(self.world).ask(b"2:den:secret\n")
        other = text_player(self.world)
        self.assertEqual(other.ask(b"1:\n1:wrong\n2:den\n2:den:wrong\n"), b"1:\n1:\n")
        self.assertEqual(
            other.ask(b"1:secret\n2:den:secret\n"), b"1:den-1\n2:2:den\n2:1:den\n4:1\n"
        )

    def test_anybody_could_write_anothers_id(self) -> None:
        one, two = text_player(self.world, "r1"), text_player(self.world, "r1")
        stranger = self.world.connect("192.0.2.66")
        self.assertEqual(self.world.datagram(b"1:0:Hello", stranger.udp), [])
        for peer, player in ((one, b"1"), (two, b"2")):
            peer.fly(player + b":0:Hello")
            peer.caught()
        for datagram in (b"1:3:1:as one", b"2:3:1:as two"):
            stranger.fly(datagram)
        two.fly(b"1:3:1:as one, by two")
        self.assertEqual(one.caught() + two.caught(), [])

    def test_members_were_skipped_while_others_left(self) -> None:
        peers = [text_player(self.world, "r1") for _ in range(5)]
        for peer in peers:
            peer.hear()
        peers[0].say(b"3:0:a\n")
        peers[1].say(b"2:-1\n")
        peers[0].say(b"3:0:b\n")
        for peer in peers[2:]:
            self.assertEqual(peer.hear(), b"3:1:a\n2:2:\n3:1:b\n")
        self.assertEqual(peers[1].hear(), b"3:1:a\n2:2:\n")

    def test_order_was_locked_for_types_2_and_3_alone(self) -> None:
        one, two = text_player(self.world, "r1"), text_player(self.world, "r1")
        one.hear()
        one.say(b"3:0:a\n3:3:b\n3:2:c\n3:1:d\n")
        self.assertEqual(two.hear(), b"3:1:a\n3:1:b\n3:1:c\n3:1:d\n")
        self.assertEqual(one.hear(), b"3:1:b\n3:1:d\n")

    def test_connections_that_never_logged_in_stayed(self) -> None:
        silent, half = self.world.connect(), self.world.connect()
        half.ask(b"0:name")
        self.world.turn(9)
        self.assertTrue(silent.connected and half.connected)
        self.world.turn(1)
        self.assertFalse(silent.connected or half.connected)
        cuts = (self.world.cuts("silent"), self.world.cuts("silent", by="door"))
        self.assertEqual(cuts, (1, 1))


class RustServerTests(SynchronousTestCase):
    """The public binary server."""

    def setUp(self) -> None:
        self.world = World(generation="2")

    def pair(self) -> tuple[Peer, Peer]:
        one, two = binary_player(self.world, "r1"), binary_player(self.world, "r1")
        one.hear()
        return one, two

    def test_datagram_for_one_without_udp_kicked_it(self) -> None:
        one, two = self.pair()
        one.fly(b"\x00" + u32(1))
        one.fly(b"\x03" + u32(1) + b"hi")
        self.assertEqual(two.hear(), b"\x03" + u32(1) + data(b"hi"))
        self.assertTrue(two.connected)

    def test_group_of_odd_length_ended_the_server(self) -> None:
        one, two = self.pair()
        for odd in range(1, 4):
            one.say(b"\x06" + text("g") + data(u32(2) + b"x" * odd))
            one.ask(b"\x05" + data(b"hi") + text("g"))
            self.assertEqual(two.hear(), b"\x03" + u32(1) + data(b"hi"))

    def test_short_datagram_ended_the_server(self) -> None:
        one, _two = self.pair()
        one.fly(b"\x00" + u32(1))
        one.caught()
        for datagram in (
            b"\x05" + u32(1),
            b"\x05" + u32(1) + b"\xff",
            b"\x05" + u32(1) + b"\x05abc",
            b"\x05" + u32(1) + b"\x01\xff",
            b"\x03",
            b"\x03" + u32(1),
            b"",
        ):
            one.fly(datagram)
        one.fly(b"\x0a" + u32(1) + b"still here")
        self.assertEqual(one.caught(), [b"\x03" + u32(1) + b"still here"])

    def test_huge_length_was_allocated(self) -> None:
        for start in (b"\x03", b"\x0a", b"\x05", b"\x06\x01g"):
            peer = binary_player(self.world, "r1")
            tracemalloc.start()
            peer.say(start + u32(0xFFFFFFFF))
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            peer.hear()
            self.assertLess(peak, 1_000_000)
            self.assertFalse(peer.connected)
        self.assertEqual(self.world.cuts("malformed"), 4)

    def test_partial_write_lost_the_rest(self) -> None:
        """See also the outbox's own tests: what is not taken now is sent later."""
        one, two = self.pair()
        two.end.stall(100)
        one.say(b"".join(b"\x03" + data(b"%03d" % each * 20) for each in range(100)))
        self.world.turn()
        self.assertEqual(len(two.end.socket.outgoing), 100)
        two.end.read_on()
        client = BinaryClient(2)
        client.receive(two.hear())
        self.assertEqual(
            [payload[:3] for _, payload in client.heard], [b"%03d" % n for n in range(100)]
        )

    def test_send_queue_was_unbounded(self) -> None:
        world = World(generation="2", max_unread=65_536, rate=0)
        self.world = world
        one, two = self.pair()
        two.stop_reading()
        for _ in range(70):
            one.ask(b"\x03" + data(b"x" * 1000))
        self.assertFalse(two.connected)
        self.assertEqual(world.cuts("slow"), 1)
        self.assertTrue(one.connected)

    def test_groups_kept_the_dead_alive(self) -> None:
        one, two = self.pair()
        one.say(b"\x06" + text("g") + data(u32(2)))
        two.drop()
        one.ask(b"\x05" + data(b"hi") + text("g"))
        self.assertEqual(list(self.world.service.sessions), [1])

    def test_room_list_showed_rooms_of_other_applications(self) -> None:
        binary_player(self.world, "other", application="AB")
        binary_player(self.world, "b_c", application="A")
        peer = binary_player(self.world, "c", application="A_b")
        self.assertEqual(peer.ask(b"\x01"), b"\x01" + data(b"c:1"))
        peer = binary_player(self.world, application="A")
        self.assertEqual(peer.ask(b"\x01"), b"\x01" + data(b"b_c:1"))
        peer = binary_player(self.world, "r", application="zoë")
        self.assertEqual(peer.ask(b"\x01"), b"\x01" + data(b"r:1"))

    def test_long_names_put_streams_out_of_step(self) -> None:
        long = "x" * 255
        one = binary_player(self.world, application=long)
        two = binary_player(self.world, application=long)
        for peer in (one, two):
            peer.ask(join(long))
        one.hear()
        self.assertEqual(two.ask(b"\x02\x00"), b"\x07" + text(long))
        self.assertEqual(one.hear(), b"\x06" + u32(2) + text(long))

    def test_anybody_could_speak_as_anybody_over_udp(self) -> None:
        one, two = self.pair()
        stranger = self.world.connect("192.0.2.66")
        self.assertEqual(self.world.datagram(b"\x00" + u32(1), stranger.udp), [])
        stranger.fly(b"\x03" + u32(1) + b"hi")
        one.fly(b"\x03" + u32(1) + b"before hello")
        two.fly(b"\x00" + u32(2))
        two.fly(b"\x03" + u32(1) + b"as one")
        self.assertEqual(one.hear() + two.hear(), b"")

    def test_nothing_asked_for_a_log_in(self) -> None:
        peer = self.world.connect()
        self.assertEqual(peer.ask(b"\x01" + join("r1") + b"\x09\x02r1" + KEEP_ALIVE), b"")
        self.assertEqual(list(self.world.lobby.rooms()), [])
        self.assertTrue(peer.connected)

    def test_groups_crossed_applications(self) -> None:
        one = binary_player(self.world, "r1", application="A")
        two = binary_player(self.world, "r2", application="A")
        three = binary_player(self.world, "r1", application="B")
        one.say(b"\x06" + text("g") + data(u32(2, 3)))
        one.ask(b"\x05" + data(b"hi") + text("g"))
        self.assertEqual(two.hear(), b"\x03" + u32(1) + data(b"hi"))
        self.assertEqual(three.hear(), b"")

    def test_text_that_is_not_utf8_closes(self) -> None:
        peer = binary_player(self.world)
        peer.ask(b"\x02\x01\xff")
        self.assertFalse(peer.connected)
        self.assertEqual(self.world.cuts("malformed"), 1)

    def test_blank_names_leave(self) -> None:
        for blank in ("", "   ", "\u2003", "-1"):
            peer = binary_player(self.world, "r1")
            self.assertEqual(peer.ask(join(blank)), b"\x07" + text("r1"))
            self.assertEqual(peer.ask(join(blank)), b"")

    def test_unknown_type_closes(self) -> None:
        peer = binary_player(self.world)
        peer.ask(b"\x0b")
        self.assertFalse(peer.connected)

    def test_time_stamp_after_type_1_is_not_supported(self) -> None:
        """One client of one day puts its stream out of step; it is closed or ignored."""
        peer = binary_player(self.world)
        peer.ask(b"\x01" + b"\xda\x2c\x47\xdf\x48\x00\x00\x00")
        self.assertFalse(peer.connected)

    def test_ids_start_at_1(self) -> None:
        peer = self.world.connect()
        self.assertEqual(peer.ask(log_in()), b"\x00" + u32(1, 2))

    def test_empty_payloads_wedged_the_hearers(self) -> None:
        one, two = self.pair()
        for request in (b"\x03", b"\x04", b"\x07", b"\x08"):
            one.say(request + u32(0))
        one.say(b"\x06" + text("g") + data(u32(2)) + b"\x05" + u32(0) + text("g"))
        self.assertEqual(one.hear() + two.hear(), b"")
