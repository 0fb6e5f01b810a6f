"""The rules of the arena, and that nothing can be done to it that breaks them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from gameservers.games import utc_now
from gameservers.games.twister import game
from gameservers.games.twister.arena import Arena, Client, RequestDenied, make_map, newest
from gameservers.games.twister.settings import TwisterSettings
from gameservers.games.twister.wire import BUFFER, LIST_FRAME, Credentials, Status
from gameservers.lobby.events import PlayerExited
from gameservers.net.address import Address
from tests.games.twister.house import House

ADMIN = Credentials(None, b"admin")
HERE: Address = ("192.0.2.1", 1)
THERE: Address = ("192.0.2.1", 2)


def arena(now: Callable[[], datetime] = utc_now, **options: Any) -> Arena:
    return Arena(TwisterSettings(**options), "admin", now)


def ids(reply: bytes) -> list[int]:
    return [each["id"] for each in json.loads(reply)["response"]]


def response(reply: bytes) -> Any:
    return json.loads(reply)["response"]


class ClientTests(SynchronousTestCase):
    def crowd(self, size: int, **options: Any) -> Arena:
        """An arena with clients 0, 1, ..., of key C{k<id>} at port 100 + id."""
        made = arena(**options)
        for number in range(size):
            made.connect(number, b"k%d" % number, 0, ("192.0.2.1", 100 + number), 0)
        return made

    def there(self, made: Arena, number: int) -> Client:
        """The client at port 100 + number."""
        client = made.at(("192.0.2.1", 100 + number))
        assert client is not None
        return client

    def test_smallest_free_id(self) -> None:
        crowd = self.crowd(4)
        for gone in (2, 0):
            crowd.remove(self.there(crowd, gone), 0, "disconnected")
        found = [
            (crowd.next_id, crowd.connect(9, b"k", 0, ("192.0.2.9", port), 0).id)
            for port in range(3)
        ]
        self.assertEqual(found, [(0, 0), (2, 2), (4, 4)])

    def test_address_in_use(self) -> None:
        """A client that is silent may have to go, but not for one that has its key."""
        crowd = self.crowd(1)
        address = self.there(crowd, 0).address
        for key, now in ((b"k", 10), (b"k0", 11)):
            error = self.assertRaises(RequestDenied, crowd.make_way, key, address, now)
            self.assertEqual(error.status, Status.ALREADY_CONNECTED)
        self.assertIs(crowd.make_way(b"k", address, 11), self.there(crowd, 0))
        self.assertIsNone(crowd.make_way(b"k", HERE, 11))

    def test_push_and_data(self) -> None:
        crowd = self.crowd(2)
        crowd.push(self.there(crowd, 1), 7, b'{"posx":3}')
        reply = crowd.data(None, BUFFER)
        self.assertEqual(
            response(reply)[1],
            {
                "key": None,
                "id": 1,
                "addres": ["192.0.2.1", 101],
                "client_timeout_ms": 7,
                "player_data": {"posx": 3},
            },
        )

    def test_recognise(self) -> None:
        """A client is known by id and key; an id that was given is known as such."""
        crowd = self.crowd(2)
        crowd.remove(self.there(crowd, 0), 0, "disconnected")
        known = crowd.recognise(Credentials(1, b"k1"), HERE, 5)
        assert known is not None
        self.assertEqual((known.id, known.seen), (1, 5))
        for who in (
            Credentials(1, b"wrong"),
            Credentials(1, None),
            Credentials(0, b"k0"),
            Credentials(2, b"k0"),
            Credentials(-1, b"k1"),
            Credentials(None, b"k1"),
        ):
            self.assertIsNone(crowd.recognise(who, HERE, 9), who)
        self.assertEqual(known.seen, 5)
        asked = (-1, 0, 1, 2, None)
        self.assertEqual([crowd.knows(each) for each in asked], [False, False, True, False, False])
        self.assertEqual(
            [crowd.has_given(each) for each in asked], [False, True, True, False, False]
        )

    def test_moves(self) -> None:
        """A client may go on from another address, which is then its own, and only its own."""
        crowd = self.crowd(2)
        crowd.recognise(Credentials(0, b"k0"), HERE, 0)
        moved = crowd.at(HERE)
        assert moved is not None
        self.assertEqual((moved.id, crowd.at(("192.0.2.1", 100))), (0, None))
        self.assertIn(b'["192.0.2.1",1]', crowd.data(None, BUFFER))
        crowd.recognise(Credentials(1, b"k1"), HERE, 0)
        self.assertIs(crowd.at(HERE), moved)

    def test_hidden_addresses(self) -> None:
        reply = self.crowd(1, hide_addresses=True).data(None, BUFFER)
        self.assertEqual(response(reply)[0]["addres"], ["0.0.0.0", 0])

    def test_silent(self) -> None:
        crowd = self.crowd(3, silence_timeout=60)
        crowd.remove(self.there(crowd, 1), 0, "disconnected")
        self.assertEqual(crowd.silent(59.9), [])
        self.assertEqual([each.id for each in crowd.silent(60)], [0, 2])

    def test_data_in_turns(self) -> None:
        """The asker is always there, and everybody else after as few calls as can be."""
        crowd = self.crowd(30)
        asker = crowd.at(("192.0.2.1", 117))
        seen, calls = set[int](), 0
        while len(seen) < 30:
            found = ids(crowd.data(asker, BUFFER))
            self.assertEqual(found[0], 17)
            self.assertEqual(len(set(found)), len(found))
            seen.update(found)
            calls += 1
        self.assertEqual(calls, -(-29 // (len(found) - 1)))

    def test_data_with_room(self) -> None:
        """Where there is room for all, all are there, in order, no matter which client asks."""
        crowd = self.crowd(30)
        asker = crowd.at(("192.0.2.1", 117))
        reply = crowd.data(asker, 65_507)
        self.assertEqual(ids(reply), list(range(30)))
        self.assertEqual(crowd.data(None, len(reply)), reply)
        self.assertLess(len(ids(crowd.data(asker, len(reply) - 1))), 30)
        self.assertRaises(RequestDenied, crowd.data, None, len(reply) - 1)

    def test_data_after_departures(self) -> None:
        """Those who are gone take no room."""
        crowd = self.crowd(30)
        for number in range(5, 30):
            crowd.remove(self.there(crowd, number), 0, "disconnected")
        for _ in range(10):
            crowd.push(self.there(crowd, 3), 0, b'{"posx":100}')
        reply = crowd.data(self.there(crowd, 3), BUFFER)
        self.assertEqual(ids(reply), [0, 1, 2, 3, 4])


class TalkTests(SynchronousTestCase):
    def test_ring(self) -> None:
        made = arena(chat_size=3)
        for number in range(5):
            made.hear(f"line {number}", "n")
        self.assertEqual(
            response(made.messages(BUFFER)), [[f"line {number}", "n"] for number in (2, 3, 4)]
        )

    def test_no_ring(self) -> None:
        made = arena(chat_size=0)
        made.hear("x", "n")
        self.assertEqual(response(made.messages(BUFFER)), [])

    def test_clear(self) -> None:
        made = arena()
        made.hear("x", "n")
        for who in (Credentials(0, b"wrong"), Credentials(0, None)):
            error = self.assertRaises(RequestDenied, made.clear_chat, who)
            self.assertEqual(error.status, Status.DENIED)
        self.assertEqual(len(response(made.messages(BUFFER))), 1)
        made.clear_chat(ADMIN)
        self.assertEqual(response(made.messages(BUFFER)), [])

    def test_newest(self) -> None:
        """As many of the newest as fit, to the byte, oldest first."""
        lines = [b"111", b"22", b"3"]
        for limit, fits in ((8, lines), (7, lines[1:]), (4, lines[1:]), (3, lines[2:]), (0, [])):
            self.assertEqual(
                newest(lines, LIST_FRAME + limit),
                b'{"status": 0, "response": [%s]}' % b",".join(fits),
            )


class LogTests(SynchronousTestCase):
    def lines(self, made: Arena) -> list[str]:
        lines: list[str] = response(made.logs(ADMIN, 65_507))
        return lines

    def test_what_is_noted(self) -> None:
        moments = iter((0, 1.5, 86_400))
        made = arena(lambda: datetime.fromtimestamp(next(moments), UTC))
        client = made.connect(7, b"secret", 0, HERE, now=1.5)
        made.recognise(Credentials(0, b"secret"), THERE, now=86_400)
        made.remove(client, 86_400, "disconnected")
        self.assertEqual(
            self.lines(made),
            [
                "[1970-01-01 00:00:00,000]-<SERVER>-<INFO> - the arena is open",
                "[1970-01-01 00:00:01,500]-<SERVER>-<INFO> - client 0 at 192.0.2.1:1 connected",
                "[1970-01-02 00:00:00,000]-<SERVER>-<INFO> - client 0 at 192.0.2.1:2 disconnected",
            ],
        )

    def test_ring(self) -> None:
        """The log keeps its last lines, and is never emptied."""
        made = arena()
        for number in range(250):
            made.note("INFO", f"{number}")
        self.assertEqual(
            [line.rpartition(" ")[2] for line in self.lines(made)],
            [str(number) for number in range(150, 250)],
        )

    def test_harmless(self) -> None:
        """Nothing forges a line, and no line is too long."""
        made = arena()
        made.note("ERROR", "a\nb\r\x1b[2J\u2028\N{GRINNING FACE}" + "x" * 1_000)
        line = self.lines(made)[-1]
        self.assertEqual(len(line), 200)
        self.assertTrue(re.fullmatch(r"[ -~]*", line))


class MapTests(SynchronousTestCase):
    def test_shape(self) -> None:
        """Columns of tiles of 64 pixels, each with one of four kinds."""
        records = make_map("seed")
        self.assertEqual(len(records), 12_500)
        tiles = [records[at : at + 5] for at in range(0, len(records), 5)]
        corners = [
            (int.from_bytes(tile[1:3], "big"), int.from_bytes(tile[3:5], "big")) for tile in tiles
        ]
        self.assertEqual(corners, [(64 * x, 64 * y) for x in range(50) for y in range(50)])
        self.assertEqual({tile[0] for tile in tiles}, {0, 1, 2, 3})

    def test_seed(self) -> None:
        self.assertEqual(make_map("a"), make_map("a"))
        self.assertNotEqual(make_map("a"), make_map("b"))
        self.assertNotEqual(make_map(None), make_map(None))
        same = arena(map_seed="a").map_reply
        self.assertEqual(same, arena(map_seed="a").map_reply)
        self.assertNotEqual(arena().map_reply, arena().map_reply)


ports = st.integers(1, 6)
numbers = st.integers(-1, 7)
keys = st.sampled_from(["a", "b"])


class ArenaMachine(RuleBasedStateMachine):
    """A model beside the arena: what must be so, whatever is asked, by anybody, at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.house = House(max_players=5, silence_timeout=60)
        self.model: dict[int, tuple[str, float]] = {}  # id: key, seen
        self.house.lobby.subscribe(self.heard)

    def heard(self, event: object) -> None:
        """Whose client is no longer in the lobby is no longer in the arena."""
        if isinstance(event, PlayerExited):
            del self.model[int(event.name.removeprefix("tank "))]

    def ask(self, port: int, request: str, **members: Any) -> tuple[int, Any]:
        reply = self.house.ask(("192.0.2.1", port), request=request, **members)
        return reply["status"], reply["response"]

    @property
    def now(self) -> float:
        return self.house.clock.seconds()

    @rule(pause=st.sampled_from([0.5, 11, 61]))
    def time_passes(self, pause: float) -> None:
        self.house.clock.advance(pause)
        self.house.session.expire()
        assert all(self.now - seen < 60 for _, seen in self.model.values())

    @rule(key=keys, port=ports)
    def connect(self, key: str, port: int) -> None:
        held = self.house.arena.at(("192.0.2.1", port))
        fresh = held is not None and (self.now - held.seen <= 10 or self.model[held.id][0] == key)
        status, client = self.ask(port, "connect", client_data={"key": key})
        if status:
            assert status == (Status.ALREADY_CONNECTED if fresh else Status.FULL)
            assert fresh or len(self.model) == 5
        else:
            assert not fresh
            assert client == min(set(range(6)) - set(self.model))
            self.model[client] = (key, self.now)

    @rule(number=numbers, key=keys, port=ports, size=st.integers(0, 300))
    def push(self, number: int, key: str, port: int, size: int) -> None:
        right = number in self.model and self.model[number][0] == key
        who = {"id": number, "key": key}
        data = {"pad": "x" * size}
        status, _ = self.ask(port, "push_data", client_data=who, player_data=data)
        if right:
            assert status == Status.OK
            self.model[number] = (key, self.now)
        else:
            assert status in (Status.DENIED, Status.NO_SUCH_ID)

    @rule(number=numbers, key=keys, port=ports)
    def disconnect(self, number: int, key: str, port: int) -> None:
        known = number in self.model
        right = known and self.model[number][0] == key
        status, _ = self.ask(port, "disconnect", client_data={"id": number, "key": key})
        if right:
            assert status == Status.OK
            assert number not in self.model
        else:
            assert status == (Status.WRONG_KEY if known else Status.NO_SUCH_ID)

    @precondition(lambda self: self.model)
    @rule(port=ports)
    def look(self, port: int) -> None:
        asker = self.house.arena.at(("192.0.2.1", port))
        seen: set[int] = set()
        for _ in range(6 if asker is not None else 0):
            reply = self.house.arena.data(asker, BUFFER)
            found = ids(reply)
            assert len(reply) <= BUFFER
            assert asker is not None and asker.id in found
            assert len(set(found)) == len(found)
            seen.update(found)
        assert asker is None or seen == set(self.model)

    @invariant()
    def consistent(self) -> None:
        made = self.house.arena
        clients = list(made)
        assert [client.id for client in clients] == sorted(self.model)
        assert len(made) == len(clients) <= 5
        for client in clients:
            assert made.at(client.address) is client
            assert (client.key.decode(), client.seen) == self.model[client.id]
        assert ids(made.data(None, 65_507)) == sorted(self.model)
        (room,) = self.house.lobby.rooms(game.name)
        assert sorted(each.id for each in room.members) == sorted(c.player for c in clients)
        assert self.house.lobby.present(game.name) == len(clients)


class ArenaMachineTests(SynchronousTestCase):
    def test_whatever_is_asked(self) -> None:
        few = settings(
            deadline=None,
            max_examples=50,
            stateful_step_count=30,
            suppress_health_check=[HealthCheck.too_slow],
        )
        run_state_machine_as_test(ArenaMachine, settings=few)
