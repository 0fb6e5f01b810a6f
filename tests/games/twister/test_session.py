"""What is asked of the arena, and the arena in the lobby."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from gameservers.games.twister import budget, game, session, wire
from gameservers.lobby import RoomKey, ToRoom
from gameservers.lobby.events import Change, PlayerEntered, PlayerExited, RoomChanged, Spoken
from tests.games.twister.api import ServerError
from tests.games.twister.house import ADMIN_KEY, ALICE, BOB, CAROL, LOOPBACK, House

GAME = game.name
ROOM = RoomKey(GAME, "", "arena")


class TableTests(SynchronousTestCase):
    def test_every_request(self) -> None:
        """Every request does something, or cannot come, in every phase."""
        for phase in session.Phase:
            does, ignored = session.TABLE[phase].keys(), session.IGNORED[phase]
            self.assertEqual(does | ignored, set(wire.MESSAGES))
            self.assertEqual(does & ignored, set())


class RequestTests(SynchronousTestCase):
    def test_tour(self) -> None:
        """All that the API client can ask."""
        house = House()
        alice, bob = house.client(ALICE, connected=False), house.client(BOB, connected=False)
        self.assertEqual(alice.online, 0)
        alice.connect()
        bob.connect()
        self.assertEqual((alice.id, bob.id, bob.online), (0, 1, 2))
        alice.push_data(10, 20, 90, 180)
        bob.push_data(-5, 3200, 0.5, -1.25)
        self.assertEqual(
            alice.get_data(),
            [
                {
                    "key": None,
                    "id": 0,
                    "addres": list(ALICE),
                    "client_timeout_ms": 0,
                    "player_data": {"posx": 10, "posy": 20, "rot": 90, "turret_rot": 180},
                },
                {
                    "key": None,
                    "id": 1,
                    "addres": list(BOB),
                    "client_timeout_ms": 0,
                    "player_data": {"posx": -5, "posy": 3200, "rot": 0.5, "turret_rot": -1.25},
                },
            ],
        )
        alice.push_message("hello", "alice")
        bob.push_message("при\N{GRINNING FACE}", "böb")
        self.assertEqual(bob.get_messages(), [["hello", "alice"], ["при\N{GRINNING FACE}", "böb"]])
        self.assertRaises(PermissionError, alice.clear_chat)
        bob.disconnect()
        alice.push_data(11, 20, 90, 180)
        alice.disconnect()
        self.assertEqual(alice.online, 0)

    def test_nobody_speaks_as_the_server(self) -> None:
        """Neither a client nor a stranger, in any spelling that looks like it."""
        house = House()
        alice = house.client()
        for nick in (
            "SERVER",
            "Server",
            " server ",
            "S\u0415RVER",  # a Cyrillic E
            "\u0455erver",
            "\uff33ERVER",
            "SER\u200bVER",
            "\u202dSERVER",
        ):
            self.assertRaises(PermissionError, alice.push_message, "hello", nick)
            body = {"msg_content": "hello", "nick": nick}
            self.assertEqual(house.status(request="push_message", request_body=body), -40)
        self.assertEqual(alice.get_messages(), [])
        alice.push_message("hello", "observer")
        self.assertEqual(alice.get_messages(), [["hello", "observer"]])

    def test_chat_is_one_line(self) -> None:
        house = House()
        alice = house.client()
        alice.push_message("a\nSERVER: b\x00\u202e", "al\u200bi\nce\u3164")
        body = {"msg_content": "c\r\nd", "nick": "\u202eeve"}
        self.assertEqual(house.status(request="push_message", request_body=body), 0)
        self.assertEqual(alice.get_messages(), [["a SERVER: b ", "alice"], ["c d", "eve"]])

    def test_admin(self) -> None:
        house = House()
        alice = house.client()
        alice.push_message("hello", "alice")
        admin = {"key": ADMIN_KEY}
        lines = house.ask(request="get_logs", client_data=admin)["response"]
        self.assertTrue(lines[-1].endswith("client 0 at 192.0.2.1:40001 connected"))
        self.assertEqual(house.status(request="clear_chat", client_data=admin), 0)
        self.assertEqual(alice.get_messages(), [])

    def test_map(self) -> None:
        """One map per arena; the same for all, and for all time with a seed."""
        house = House(map_seed="seven")
        records = house.client(ALICE).get_map()
        self.assertEqual(house.client(BOB).get_map(), records)
        digest = hashlib.sha256(records).hexdigest()
        self.assertEqual(
            digest, "ddc502c3f112f3125053f5122e4d770ea9a5f18a941d7a843567ebe5565c8f66"
        )

    def test_online_is_an_alias(self) -> None:
        house = House()
        house.client()
        self.assertEqual(house.ask(request="online"), {"status": 0, "response": 1})

    def test_full(self) -> None:
        house = House(max_players=1)
        house.client(ALICE)
        error = self.assertRaises(ServerError, house.client, BOB)
        self.assertEqual(str(error), "Maximum connected clients to server")

    def test_address_first(self) -> None:
        """A client that is connected is told that, even where nobody else would find room."""
        house = House(max_players=2)
        for address in (ALICE, BOB):
            house.client(address)
        for address, status in (((LOOPBACK, 1), -1), (ALICE, -22)):
            asked = {"request": "connect", "client_data": {"key": "k"}}
            self.assertEqual(house.status(address, **asked), status)
        self.assertEqual(House(max_players=0).status(**asked), -1)

    def test_who_may_push(self) -> None:
        """An id that was given and is lost is another matter than one that never was."""
        house = House()
        alice, bob = house.client(ALICE), house.client(BOB)
        alice.disconnect()
        for who, status in (
            ({"id": 1, "key": "wrong"}, -40),
            ({"id": 1}, -40),
            ({"id": 0, "key": alice.key}, -40),
            ({"id": 2, "key": bob.key}, -20),
            ({"id": -1, "key": bob.key}, -20),
            ({"id": None, "key": bob.key}, -20),
        ):
            asked = {"client_data": who, "player_data": {"posx": 1}}
            self.assertEqual(house.status(request="push_data", **asked), status, who)
        self.assertEqual(bob.get_data()[0]["player_data"], {})

    def test_who_may_disconnect(self) -> None:
        house = House()
        alice = house.client(ALICE)
        for who, status in (
            ({"id": 0, "key": "wrong"}, -21),
            ({"id": 0}, -21),
            ({"id": 1, "key": alice.key}, -20),
            ({"key": alice.key}, -20),
        ):
            self.assertEqual(house.status(request="disconnect", client_data=who), status, who)
        self.assertEqual(alice.online, 1)

    def test_members_only(self) -> None:
        """Lines of those who are not connected are taken, unless the operator says otherwise."""
        body = {"msg_content": "x", "nick": "n"}
        asked: dict[str, Any] = {"request": "push_message", "request_body": body}
        house = House()
        self.assertEqual(house.status(**asked), 0)
        self.assertEqual(house.client().get_messages(), [["x", "n"]])
        house = House(chat_members_only=True)
        alice = house.client()
        for who in ({}, {"id": 0, "key": "wrong"}, {"id": 1, "key": alice.key}):
            self.assertEqual(house.status(client_data=who, **asked), -40)
        alice.push_message("y", "n")
        self.assertEqual(alice.get_messages(), [["y", "n"]])

    def test_limits(self) -> None:
        """Each limit of a request is what its option or constant says, to the byte."""
        house = House(
            max_message=1_024,
            max_chat=5,
            max_name=2,
        )
        alice = house.client()
        ping = json.dumps({"request": "ping"}).encode()
        self.assertEqual(house.exchange(ping.ljust(1_024)), b'{"status": 0, "response": null}')
        self.assertIsNone(house.exchange(ping.ljust(1_025)))
        who = {"id": alice.id, "key": alice.key}
        for data, status in (
            ({"a": [[[[[[]]]]]]}, 0),
            ({"a": [[[[[[[]]]]]]]}, -3),
            (dict.fromkeys("abcdefghijklmnop"), 0),
            (dict.fromkeys("abcdefghijklmnopq"), -3),
            ({"a": "x" * 312}, 0),
            ({"a": "x" * 313}, -3),
        ):
            asked = {"client_data": who, "player_data": data}
            self.assertEqual(house.status(request="push_data", **asked), status, data)
        alice.push_message("123456", "123")
        self.assertEqual(alice.get_messages(), [["12345", "12"]])

    def test_mapped_address(self) -> None:
        """An IPv4 client of an IPv6 port is shown, and kept apart, as an IPv4 client."""
        house = House()
        mapped = house.client(("::ffff:192.0.2.1", 40001))
        self.assertEqual(mapped.get_data()[0]["addres"], ["192.0.2.1", 40001])
        self.assertRaises(ServerError, house.client, ALICE)

    def test_ipv6(self) -> None:
        house = House()
        client = house.client(("fe80::1%eth0", 40001))
        self.assertEqual(client.get_data()[0]["addres"], ["fe80::1%eth0", 40001])

    def test_trusted(self) -> None:
        """A client whose address cannot be forged from outside has no budget."""
        house = House(trusted=("127.0.0.0/8", "2001:db8::/32"), max_burst=65_507)
        for host in (LOOPBACK, "2001:db8::7", "::ffff:127.0.0.9"):
            client = house.client((host, 1))
            for _ in range(10):
                client.get_map()
        alice = house.client(ALICE)
        alice.get_map()
        alice.get_map()
        self.assertRaises(PermissionError, alice.get_map)

    def test_budget_of_connected_clients(self) -> None:
        """Clients on one host have budgets of their own, and moving does not help."""
        house = House(max_burst_per_address=65_507, max_rate_per_address=1_024)
        first, second = (house.client((ALICE[0], port)) for port in (1, 2))
        for each in (first, second):
            for _ in range(2):
                each.get_map()
            self.assertRaises(PermissionError, each.get_map)
        who = {"id": first.id, "key": first.key}
        house.ask((ALICE[0], 3), request="push_data", client_data=who)
        moved = house.client((ALICE[0], 3), connected=False)
        self.assertRaises(PermissionError, moved.get_map)

    def test_budgets_off(self) -> None:
        house = House(max_rate_per_address=0, max_rate=0)
        client = house.client()
        for _ in range(200):
            client.get_map()

    def test_sources_are_bounded(self) -> None:
        """However many addresses ask, no more are remembered than allowed."""
        self.patch(session, "MAX_SENDERS", 16)
        self.patch(budget, "MAX_SENDERS", 16)
        house = House()
        admin = {"key": ADMIN_KEY}
        for host in range(200):
            house.client((f"198.51.100.{host}", 1), connected=False).ping()
        self.assertEqual(len(house.session._budgets), 0)
        for host in range(200):
            house.ask((f"198.51.100.{host}", 1), request="get_logs", client_data=admin)
        self.assertEqual(len(house.session._budgets), 16)
        self.assertEqual(house.session._origin.cache_info().currsize, 16)

    @settings(deadline=None)
    @given(st.lists(st.binary(max_size=40), max_size=10))
    def test_one_odd_packet(self, datagrams: list[bytes]) -> None:
        """Whatever one client sends, another one notices nothing."""
        house = House()
        bob = house.client(BOB)
        bob.push_data(1, 2, 3, 4)
        before = bob.get_data()
        for datagram in datagrams:
            house.exchange(datagram, ALICE)
        self.assertEqual(bob.get_data(), before)
        self.assertEqual(bob.id, 0)


class LobbyTests(SynchronousTestCase):
    """The arena is a room like others, and its clients are players."""

    def test_room(self) -> None:
        house = House(max_players=7)

        def members() -> list[str]:
            room = house.lobby.room(ROOM)
            assert room is not None
            self.assertEqual((room.capacity, room.visible), (7, True))
            return [each.name for each in room.members]

        self.assertEqual(members(), [])
        alice = house.client(ALICE)
        house.client(BOB)
        self.assertEqual(members(), ["tank 0", "tank 1"])
        alice.disconnect()
        self.assertEqual(members(), ["tank 1"])
        self.assertEqual([each.address for each in house.lobby.players(GAME)], [BOB[0]])

    def test_listing(self) -> None:
        house = House()
        house.client(ALICE)
        listing = house.lobby.listing(GAME)
        self.assertEqual([each.key for each in listing.rooms], [ROOM])
        self.assertEqual([each.room for each in listing.players], [ROOM])

    def test_departures_are_told(self) -> None:
        house = House(silence_timeout=60)
        gone: list[str] = []
        house.lobby.subscribe(
            lambda event: gone.append(event.name) if isinstance(event, PlayerExited) else None
        )
        clients = [house.client((LOOPBACK, port)) for port in (1, 2, 3)]
        clients[1].disconnect()
        house.clock.advance(59.9)
        house.session.expire()
        self.assertEqual(gone, ["tank 1"])
        house.clock.advance(0.1)
        house.session.expire()
        self.assertEqual(gone, ["tank 1", "tank 0", "tank 2"])
        self.assertEqual(house.metrics.cuts, {(GAME, "silent"): 2})

    def test_announced(self) -> None:
        """What the server says is a line of the chat."""
        house = House()
        alice = house.client(ALICE)
        house.client(BOB)
        house.lobby.announce("back at eight")
        self.assertEqual(alice.get_messages(), [["back at eight", "SERVER"]])

    def test_expelled(self) -> None:
        """A client that an operator wants gone is no client any more."""
        house = House()
        alice, bob = house.client(ALICE), house.client(BOB)
        first, second = house.lobby.players(GAME)
        house.lobby.expel(first.id, "for ramming")
        self.assertRaises(PermissionError, alice.push_data, 0, 0, 0, 0)
        bob.push_data(1, 2, 3, 4)
        self.assertEqual([each["id"] for each in bob.get_data()], [1])
        self.assertEqual(list(house.lobby.players(GAME)), [second])
        self.assertEqual(house.metrics.cuts, {(GAME, "banned"): 1})
        self.assertEqual(house.client(CAROL).id, 0)

    def test_muted(self) -> None:
        """A player that may not speak is told so."""
        house = House()
        alice = house.client(ALICE)
        (player,) = house.lobby.players(GAME)
        house.lobby.mute(player.id)
        self.assertRaises(PermissionError, alice.push_message, "hello", "alice")
        self.assertEqual(alice.get_messages(), [])
        house.lobby.mute(player.id, False)
        alice.push_message("hello", "alice")
        self.assertEqual(alice.get_messages(), [["hello", "alice"]])

    def test_room_is_full(self) -> None:
        """A player for whom the room has no place is not in the lobby, either."""
        house = House(max_players=1)
        other = house.lobby.enter("other", "another game", lambda ids, event: None)
        house.lobby.join(other.id, ROOM)
        self.assertRaises(ServerError, house.client, ALICE)
        self.assertEqual((house.lobby.present(GAME), len(house.arena)), (0, 0))

    def test_room_stays(self) -> None:
        house = House()
        house.client().disconnect()
        self.assertIsNotNone(house.lobby.room(ROOM))
        house.client()

    def test_removed(self) -> None:
        """A client that falls silent, or is replaced, is gone from the lobby as well."""
        house = House()
        house.client(ALICE)
        house.clock.advance(11)
        house.client(ALICE)
        self.assertEqual(house.lobby.present(GAME), 1)
        house.clock.advance(60)
        house.session.expire()
        self.assertEqual(house.lobby.present(GAME), 0)

    def test_lobby_is_full(self) -> None:
        """Whatever keeps the lobby from taking a player, the arena has no ghost of it."""
        house = House()
        house.lobby.limit(GAME, 1)
        house.client(ALICE)
        error = self.assertRaises(ServerError, house.client, BOB)
        self.assertEqual(str(error), "Maximum connected clients to server")
        self.assertEqual(len(house.arena), 1)
        house.lobby.limit(GAME, 2)
        self.assertEqual(house.client(BOB).id, 1)

    def test_public_stream(self) -> None:
        """The lobby's listeners see tanks come, speak and go, and not what they say."""
        house = House()
        heard: list[object] = []
        house.lobby.subscribe(heard.append)
        alice = house.client()
        alice.push_message("hello", "alice")
        alice.disconnect()
        (player,) = (each.player for each in heard if isinstance(each, PlayerEntered))
        self.assertEqual(
            heard,
            [
                PlayerEntered(player, "tank 0", GAME),
                RoomChanged(ROOM, Change.JOINED, player),
                Spoken(player, GAME, 1),
                RoomChanged(ROOM, Change.LEFT, player),
                PlayerExited(player, "tank 0", GAME),
            ],
        )
        self.assertEqual(house.metrics.chat_lines[GAME], 1)

    def test_talk_from_elsewhere(self) -> None:
        """What somebody else in the room says is read by the tanks."""
        house = House()
        alice = house.client()
        watcher = house.lobby.enter("watcher", GAME, lambda ids, event: None)
        house.lobby.join(watcher.id, ROOM)
        house.lobby.say(watcher.id, "hello", ToRoom())
        self.assertEqual(alice.get_messages(), [["hello", "watcher"]])

    def test_nothing_is_kept(self) -> None:
        """Of clients that are gone, nothing is kept."""
        house = House()
        for _ in range(3):
            alice = house.client()
            alice.push_message("hello", "alice")
            alice.disconnect()
        self.assertEqual((len(house.arena), house.lobby.listing().players), (0, ()))

    def test_counters(self) -> None:
        house = House(max_burst_per_address=65_507, max_rate_per_address=1_024)
        for datagram in (b"?", b'{"request":"bogus"}'):
            house.exchange(datagram)
        self.assertEqual(house.metrics.datagrams_dropped[GAME, "malformed"], 2)
        self.assertEqual(house.status(request="disconnect", client_data={"id": None}), -20)
        self.assertEqual(house.metrics.requests_refused[GAME], 1)
        house.client()
        for _ in range(3):
            house.exchange(b'{"request":"get_map"}')
        self.assertEqual(house.metrics.datagrams_dropped[GAME, "flood"], 1)

    def test_log(self) -> None:
        """Who comes and goes is in the log; what is said is not."""
        with capturedLogs() as events:
            house = House()
            alice = house.client()
            alice.push_message("a private line", "alice")
            alice.disconnect()
        told = [formatEvent(each) for each in events if "game" in each]
        whom = f"{GAME} connection 0 from {ALICE[0]}"
        self.assertEqual(
            told, [f"{whom} has logged in as 'tank 0'", f"{whom} has left: disconnected"]
        )
        self.assertNotIn("private", json.dumps(events, default=repr))
