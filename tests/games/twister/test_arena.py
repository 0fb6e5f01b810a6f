"""The rules of the arena, and that nothing can be done to it that breaks them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
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

from gameservers.games.twister.arena import Address, Arena, Client, Refused, make_map, newest
from gameservers.games.twister.settings import TwisterSettings
from gameservers.games.twister.wire import BUFFER, LIST_FRAME, Credentials, Status

ADMIN = Credentials(None, b"admin")
HERE: Address = ("192.0.2.1", 1)
THERE: Address = ("192.0.2.1", 2)


def arena(departed: Callable[[Client], None] = lambda client: None, **options: Any) -> Arena:
    return Arena(TwisterSettings(**options), "admin", departed, now=0)


def ids(reply: bytes) -> list[int]:
    return [each["id"] for each in json.loads(reply)["response"]]


def response(reply: bytes) -> Any:
    return json.loads(reply)["response"]


class ClientTests(SynchronousTestCase):
    def refused(self, status: Status, wish: Callable[..., object], *arguments: Any) -> None:
        self.assertEqual(self.assertRaises(Refused, wish, *arguments).status, status)

    def crowd(self, size: int, **options: Any) -> Arena:
        """An arena with clients 0, 1, ..., of key C{k<id>} at port 100 + id."""
        made = arena(**options)
        for number in range(size):
            made.connect(b"k%d" % number, 0, ("192.0.2.1", 100 + number), 0)
        return made

    def test_smallest_free_id(self) -> None:
        crowd = self.crowd(4)
        for gone in (2, 0):
            crowd.disconnect(Credentials(gone, b"k%d" % gone), HERE, 0)
        found = [crowd.connect(b"k", 0, ("192.0.2.9", port), 0).id for port in range(3)]
        self.assertEqual(found, [0, 2, 4])

    def test_full(self) -> None:
        crowd = self.crowd(2, max_players=2)
        self.refused(Status.FULL, crowd.connect, b"k", 0, HERE, 0)
        self.refused(Status.ALREADY_CONNECTED, crowd.connect, b"k", 0, ("192.0.2.1", 100), 0)
        self.refused(Status.FULL, arena(max_players=0).connect, b"k", 0, HERE, 0)

    def test_push_and_data(self) -> None:
        crowd = self.crowd(2)
        crowd.push(Credentials(1, b"k1"), 7, b'{"posx":3}', ("192.0.2.1", 101), 0)
        reply, _ = crowd.data(None, -1, BUFFER)
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

    def test_who_may_push(self) -> None:
        """An id that was given and is lost is another matter than one that never was."""
        crowd = self.crowd(2)
        crowd.disconnect(Credentials(0, b"k0"), HERE, 0)
        for who, status in (
            (Credentials(1, b"wrong"), Status.DENIED),
            (Credentials(1, None), Status.DENIED),
            (Credentials(0, b"k0"), Status.DENIED),
            (Credentials(2, b"k0"), Status.NO_SUCH_ID),
            (Credentials(-1, b"k1"), Status.NO_SUCH_ID),
            (Credentials(None, b"k1"), Status.NO_SUCH_ID),
        ):
            self.refused(status, crowd.push, who, 0, b"{}", HERE, 0)
        self.assertNotIn(b'"posx"', crowd.data(None, -1, BUFFER)[0])

    def test_who_may_disconnect(self) -> None:
        crowd = self.crowd(1)
        self.refused(Status.WRONG_KEY, crowd.disconnect, Credentials(0, b"wrong"), HERE, 0)
        self.refused(Status.WRONG_KEY, crowd.disconnect, Credentials(0, None), HERE, 0)
        self.refused(Status.NO_SUCH_ID, crowd.disconnect, Credentials(1, b"k0"), HERE, 0)
        self.refused(Status.NO_SUCH_ID, crowd.disconnect, Credentials(None, b"k0"), HERE, 0)
        self.assertEqual(len(crowd), 1)

    def test_moves(self) -> None:
        """A client may go on from another address, which is then its own, and only its own."""
        crowd = self.crowd(2)
        crowd.push(Credentials(0, b"k0"), 0, b"{}", HERE, 0)
        moved = crowd.at(HERE)
        assert moved is not None
        self.assertEqual((moved.id, crowd.at(("192.0.2.1", 100))), (0, None))
        self.assertIn(b'["192.0.2.1",1]', crowd.data(None, -1, BUFFER)[0])
        crowd.push(Credentials(1, b"k1"), 0, b"{}", HERE, 0)
        self.assertIs(crowd.at(HERE), moved)

    def test_hidden_addresses(self) -> None:
        reply, _ = self.crowd(1, hide_addresses=True).data(None, -1, BUFFER)
        self.assertEqual(response(reply)[0]["addres"], ["0.0.0.0", 0])

    def test_departures_are_told(self) -> None:
        gone: list[int] = []
        made = arena(lambda client: gone.append(client.id), silence_timeout=60)
        for port in range(3):
            made.connect(b"k", 0, ("192.0.2.1", port), now=0)
        made.disconnect(Credentials(1, b"k"), HERE, 0)
        made.expire(59.9)
        self.assertEqual(gone, [1])
        made.expire(60)
        self.assertEqual(gone, [1, 0, 2])

    def test_data_in_turns(self) -> None:
        """The asker is always there, and everybody else after as few calls as can be."""
        crowd = self.crowd(30)
        asker = crowd.at(("192.0.2.1", 117))
        after, seen, calls = -1, set[int](), 0
        while len(seen) < 30:
            reply, after = crowd.data(asker, after, BUFFER)
            found = ids(reply)
            self.assertEqual(found[0], 17)
            self.assertEqual(len(set(found)), len(found))
            seen.update(found)
            calls += 1
        self.assertEqual(calls, -(-29 // (len(found) - 1)))

    def test_data_with_room(self) -> None:
        """Who has room for all gets all, in order, whoever asks."""
        crowd = self.crowd(30)
        reply, _ = crowd.data(crowd.at(("192.0.2.1", 117)), 5, 65_507)
        self.assertEqual(ids(reply), list(range(30)))
        exactly, _ = crowd.data(None, -1, len(reply))
        self.assertEqual(exactly, reply)
        self.assertLess(len(ids(crowd.data(None, -1, len(reply) - 1)[0])), 30)

    def test_data_after_departures(self) -> None:
        """Those who are gone take no room."""
        crowd = self.crowd(30)
        for number in range(5, 30):
            crowd.disconnect(Credentials(number, b"k%d" % number), HERE, 0)
        for _ in range(10):
            crowd.push(Credentials(3, b"k3"), 0, b'{"posx":100}', HERE, 0)
        reply, _ = crowd.data(crowd.at(HERE), 1, BUFFER)
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
            error = self.assertRaises(Refused, made.clear_chat, who)
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
        made = arena()
        made.connect(b"secret", 0, HERE, now=1.5)
        made.disconnect(Credentials(0, b"secret"), THERE, now=86_400)
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
            made.note(0, "INFO", f"{number}")
        self.assertEqual(
            [line.rpartition(" ")[2] for line in self.lines(made)],
            [str(number) for number in range(150, 250)],
        )

    def test_harmless(self) -> None:
        """Nothing forges a line, and no line is too long."""
        made = arena()
        made.note(0, "ERROR", "a\nb\r\x1b[2J\u2028\N{GRINNING FACE}" + "x" * 1_000)
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
keys = st.sampled_from([b"a", b"b"])


class ArenaMachine(RuleBasedStateMachine):
    """A model beside the arena: what must be so, whoever wishes for what and when."""

    def __init__(self) -> None:
        super().__init__()
        self.gone: list[Client] = []
        self.arena = arena(self.gone.append, max_players=5, silence_timeout=60)
        self.now = 0.0
        self.model: dict[int, tuple[bytes, float]] = {}  # id: key, seen

    def settle(self) -> None:
        for client in self.gone:
            del self.model[client.id]
        self.gone.clear()

    @rule(pause=st.sampled_from([0.5, 11, 61]))
    def time_passes(self, pause: float) -> None:
        self.now += pause
        self.arena.expire(self.now)
        self.settle()
        assert all(self.now - seen < 60 for _, seen in self.model.values())

    @rule(key=keys, port=ports)
    def connect(self, key: bytes, port: int) -> None:
        held = self.arena.at(("192.0.2.1", port))
        try:
            client = self.arena.connect(key, 0, ("192.0.2.1", port), self.now)
        except Refused as refused:
            assert refused.status is (Status.FULL if held is None else Status.ALREADY_CONNECTED)
            assert not self.gone
        else:
            self.settle()
            assert client.id == min(set(range(6)) - set(self.model))
            self.model[client.id] = (key, self.now)

    @rule(number=numbers, key=keys, port=ports, size=st.integers(0, 300))
    def push(self, number: int, key: bytes, port: int, size: int) -> None:
        right = number in self.model and self.model[number][0] == key
        data = b'{"pad":"%s"}' % (b"x" * size)
        try:
            self.arena.push(Credentials(number, key), 0, data, ("192.0.2.1", port), self.now)
        except Refused as refused:
            assert not right
            assert refused.status in (Status.DENIED, Status.NO_SUCH_ID)
        else:
            assert right
            self.model[number] = (key, self.now)

    @rule(number=numbers, key=keys, port=ports)
    def disconnect(self, number: int, key: bytes, port: int) -> None:
        right = number in self.model and self.model[number][0] == key
        try:
            self.arena.disconnect(Credentials(number, key), ("192.0.2.1", port), self.now)
        except Refused as refused:
            known = number in self.model
            assert not right
            assert refused.status is (Status.WRONG_KEY if known else Status.NO_SUCH_ID)
        else:
            assert right
            self.settle()
            assert number not in self.model

    @precondition(lambda self: self.model)
    @rule(after=numbers, port=ports)
    def look(self, after: int, port: int) -> None:
        asker = self.arena.at(("192.0.2.1", port))
        seen: set[int] = set()
        for _ in range(6):
            reply, after = self.arena.data(asker, after, BUFFER)
            found = ids(reply)
            assert len(reply) <= BUFFER
            assert asker is None or asker.id in found
            assert len(set(found)) == len(found)
            seen.update(found)
        assert seen == set(self.model)

    @invariant()
    def consistent(self) -> None:
        clients = list(self.arena)
        assert [client.id for client in clients] == sorted(self.model)
        assert len(self.arena) == len(clients) <= 5
        for client in clients:
            assert self.arena.at(client.address) is client
            assert (client.key, client.seen) == self.model[client.id]
        whole, _ = self.arena.data(None, -1, 65_507)
        assert ids(whole) == sorted(self.model)


class ArenaMachineTests(SynchronousTestCase):
    def test_whatever_is_wished_for(self) -> None:
        few = settings(
            deadline=None,
            max_examples=50,
            stateful_step_count=30,
            suppress_health_check=[HealthCheck.too_slow],
        )
        run_state_machine_as_test(ArenaMachine, settings=few)
