"""
What is weak in the original server, row by row of the wire's page, and what happens here.
"""

from __future__ import annotations

import json
import re
from typing import Any

from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from gameservers.games.twister import wire
from gameservers.games.twister.wire import BUFFER, LARGEST_REPLY
from gameservers.net.address import Address
from tests.games.twister.api import ServerError
from tests.games.twister.house import ADMIN_KEY, ALICE, BOB, CAROL, LOOPBACK, House

LOOPBACK_ALICE: Address = (LOOPBACK, 40_001)


class WeaknessTests(SynchronousTestCase):
    def test_ids_shift(self) -> None:
        """When somebody leaves, nobody else's id changes, and nobody gets one in use."""
        house = House()
        alice, bob, carol = (house.client(each) for each in (ALICE, BOB, CAROL))
        alice.disconnect()
        bob.push_data(1, 1, 1, 1)
        carol.push_data(2, 2, 2, 2)
        dave = house.client(("192.0.2.4", 40004))
        self.assertEqual((bob.id, carol.id, dave.id), (1, 2, 0))
        self.assertEqual([each["id"] for each in dave.get_data()], [0, 1, 2])
        carol.disconnect()
        bob.disconnect()
        self.assertEqual(dave.online, 1)

    def test_disconnect_from_another_address(self) -> None:
        """Id and key count from anywhere, and the old address is free again."""
        house = House()
        alice = house.client(ALICE)
        who = {"id": alice.id, "key": alice.key}
        self.assertEqual(house.status(BOB, request="disconnect", client_data=who), 0)
        self.assertEqual(alice.online, 0)
        alice.connect()

    def test_rebinding(self) -> None:
        """A client that goes on from another address is found there, and only there."""
        house = House()
        alice = house.client(ALICE)
        who = {"id": alice.id, "key": alice.key}
        self.assertEqual(house.status(BOB, request="push_data", client_data=who), 0)
        self.assertRaises(PermissionError, alice.get_data)
        (seen,) = house.client(BOB, connected=False).get_data()
        self.assertEqual(seen["addres"], list(BOB))
        self.assertEqual(house.status(BOB, request="connect", client_data={"key": "k"}), -22)
        self.assertEqual(house.status(ALICE, request="connect", client_data={"key": "k"}), 0)

    def test_no_timeouts(self) -> None:
        """Who is silent is removed in the end; keyed requests count, others do not."""
        house = House(silence_timeout=60)
        house.service.startService()
        pushes, talks, reads, polls = (house.client(("192.0.2.9", port)) for port in (1, 2, 3, 4))
        for _ in range(8):
            polls.get_data()
            polls.ping()
            house.clock.pump([1.0] * 8)
            pushes.push_data(0, 0, 0, 0)
            talks.push_message("hello", "t")
            reads.get_messages()
        self.assertEqual([each["id"] for each in pushes.get_data()], [0, 1, 2])
        self.assertRaises(PermissionError, polls.get_data)
        self.assertRaises(PermissionError, polls.push_data, 0, 0, 0, 0)
        self.assertEqual(str(self.assertRaises(ServerError, polls.disconnect)), "Invalid id")
        polls.connect()
        self.assertEqual(polls.id, 3)
        house.service.stopService()

    def test_any_keyed_request_is_a_sign_of_life(self) -> None:
        """Who says who he is stays, whatever he asks for, and wherever he asks from."""
        for request in ("ping", "get_online", "online", "get_data", "get_map", "get_messages"):
            house = House(silence_timeout=60)
            house.service.startService()
            alice = house.client(ALICE)
            house.clock.advance(59)
            wrong = {"id": alice.id, "key": "wrong"}
            house.ask(CAROL, request=request, client_data=wrong)
            house.ask(BOB, request=request, client_data={"id": alice.id, "key": alice.key})
            house.clock.advance(59)
            seen = house.client(BOB, connected=False).get_data()
            self.assertEqual([each["addres"] for each in seen], [list(BOB)], request)
            house.service.stopService()

    def test_restart_on_the_same_port(self) -> None:
        """A crashed client's address is another's once the client has been silent for a while."""
        house = House()
        crashed = house.client(ALICE)
        again = house.client(ALICE, connected=False)
        house.clock.advance(10)
        self.assertRaises(ServerError, again.connect)
        house.clock.advance(0.1)
        error = self.assertRaises(ServerError, crashed.connect)
        self.assertEqual(str(error), "Client already connected")
        again.connect()
        self.assertEqual((again.id, again.online), (0, 1))
        self.assertRaises(PermissionError, crashed.push_data, 0, 0, 0, 0)

    def test_keys(self) -> None:
        """A key is a text of 1 to 64 characters, and nobody is ever told one."""
        house = House(console=True)
        carol = house.client(CAROL)
        for key in (None, 1, "", "k" * 65, ["k"]):
            asked = {"request": "connect", "client_data": {"key": key}}
            self.assertEqual(house.status(CAROL, **asked), -3)
            self.assertIsNone(house.exchange(json.dumps(asked).encode(), ALICE))
        carol.disconnect()
        with capturedLogs() as events:
            alice = house.client(ALICE)
            alice.push_data(1, 2, 3, 4)
            alice.disconnect()
            alice.connect()
        told = [reply for reply, _ in house.socket.sent]
        self.assertNotIn(alice.key, repr(events))
        self.assertNotIn(alice.key, repr(told))
        self.assertIsNone(alice.get_data()[0]["key"])

    def test_amplification(self) -> None:
        """A connected client gets two maps and a bit, then one every few seconds."""
        house = House(max_burst_per_address=LARGEST_REPLY, max_rate_per_address=6_400)
        small = json.dumps({"request": "get_map", "client_data": {}}).encode()
        victim = house.client(ALICE)

        def maps() -> int:
            """How many maps are sent before the request is refused."""
            for sent in range(100):
                reply = house.exchange(small, ALICE)
                assert reply is not None
                if len(reply) <= len(small):
                    self.assertEqual(reply, b'{"status": -40, "response": null}')
                    return sent
            raise AssertionError("no end of maps")

        self.assertEqual(maps(), 2)
        self.assertRaises(PermissionError, victim.get_map)
        victim.ping()  # whose reply is shorter, and so always sent
        house.clock.advance(5.1)
        self.assertEqual(maps(), 1)
        other_port = house.exchange(small, (ALICE[0], 5))
        assert other_port is not None
        self.assertLess(len(other_port), len(small))
        self.assertEqual(len(house.client(BOB).get_map()), 12_500)

    def test_amplification_in_total(self) -> None:
        """However many clients there are, all of them together get no more than one budget."""
        house = House(max_burst=100_000, max_rate=10_000, max_players=500)
        small = b'{"request":"get_map"}'
        sent = 0
        for second in range(10):
            for host in range(50):
                house.client((f"198.51.{second}.{host}", 1))
                reply = house.exchange(small, (f"198.51.{second}.{host}", 1))
                sent += 0 if reply is None else len(reply)
            house.clock.advance(1)
        self.assertLessEqual(sent, 100_000 + 9 * 10_000)
        self.assertGreater(sent, 100_000)

    def test_amplification_of_strangers(self) -> None:
        """Where no client is connected, nothing is sent that is larger than what came."""
        house = House()
        house.client(ALICE).push_message("hello", "alice")
        for name in ("ping", "get_online", "get_map", "get_data", "get_messages", "bogus"):
            for asked in (
                {"request": name},
                {"request": name, "client_data": {}},
                {"request": name, "request_body": {"max_bytes": LARGEST_REPLY}},
                {"request": name, "client_data": {}, "player_data": {}, "request_body": {}},
                {"request": name, "client_data": {"id": 0, "key": "wrong"}},
            ):
                for host in (BOB[0], LOOPBACK):
                    datagram = json.dumps(asked).encode()
                    reply = house.exchange(datagram, (host, 9))
                    self.assertLessEqual(len(reply or b""), len(datagram), asked)
        for datagram in (b"{", b"{}", b"{}" * 50, b'{"request": 1}', b'{"request": {}}' * 9):
            self.assertIsNone(house.exchange(datagram, BOB))

    def test_first_map(self) -> None:
        """It is sent to who has connected, and to nobody else."""
        house = House()
        alice = house.client(ALICE, connected=False)
        self.assertRaises(PermissionError, alice.get_map)
        alice.connect()
        self.assertEqual(len(alice.get_map()), 12_500)

    def test_complaints(self) -> None:
        """They are for connected clients, within their budget, and never larger than what came."""
        house = House(max_burst_per_address=LARGEST_REPLY, max_rate_per_address=1_024)
        house.client(ALICE)
        bogus = json.dumps({"request": "bogus", "client_data": {}, "pad": "x" * 60}).encode()
        wrong = json.dumps({"request": "ping", "client_data": [], "pad": "x" * 60}).encode()
        for datagram in (bogus, wrong):
            self.assertIsNotNone(house.exchange(datagram, ALICE))
            self.assertIsNone(house.exchange(datagram, BOB))
        for datagram in (b'{"request":"?"}', b'{"request":"ping","client_data":0}'):
            reply = house.exchange(datagram, ALICE)
            self.assertLessEqual(len(reply or b""), len(datagram))
        answered = sum(house.exchange(bogus, ALICE) is not None for _ in range(5_000))
        self.assertLess(answered, LARGEST_REPLY // 60)

    def test_replies_are_not_answered(self) -> None:
        """Two servers whose addresses are forged do not talk to each other, whatever is said."""
        house = House(max_players=2)
        alice = house.client(ALICE)  # the other server, connected by a forged request
        alice.push_message("hello", "alice")
        replies = [
            *wire.PLAIN.values(),
            wire.INTERNAL_ERROR,
            wire.number(0),
            house.arena.map_reply,
            house.arena.data(None, LARGEST_REPLY),
            house.arena.messages(LARGEST_REPLY),
            b'{"status": -127, "err_content": "KeyError(\'request\')", "response": null}',
        ]
        for reply in replies:
            self.assertIsNone(house.exchange(reply, ALICE), reply)

    def test_forged_as_the_server(self) -> None:
        """A request that seems to come from the server itself is dropped unseen."""
        house = House()
        self.assertIsNone(house.exchange(b'{"request":"ping"}'.ljust(99), (LOOPBACK, 9265)))
        self.assertEqual(house.session.received, 0)
        self.assertEqual(house.metrics.datagrams_dropped, {("twister", "forged"): 1})

    def test_get_logs_is_the_admins(self) -> None:
        """The log is for who has the admin key; it keeps its newest lines."""
        house = House()
        alice = house.client(ALICE)
        for who in ({}, {"key": alice.key, "id": alice.id}, {"key": None}):
            self.assertEqual(
                house.status(LOOPBACK_ALICE, request="get_logs", client_data=who), -40
            )
        for _ in range(150):
            house.ask(LOOPBACK_ALICE, request="bogus", client_data={"pad": "x" * 60})
        admin = {"key": ADMIN_KEY}
        body = {"max_bytes": LARGEST_REPLY}
        asked = {"request": "get_logs", "client_data": admin, "request_body": body}
        lines = house.ask(LOOPBACK_ALICE, **asked)["response"]
        self.assertEqual(len(lines), 100)
        for line in lines:
            self.assertTrue(re.fullmatch(r"\[[0-9 :,-]{23}\]-<SERVER>-<[A-Z]+> - [ -~]*", line))

    def test_log_injection(self) -> None:
        """No request makes a line of its own in the log, or a long one."""
        house = House()
        house.client()
        house.ask(request="x\n[2026-01-01]-<SERVER>-<INFO> - all is well" + "x" * 500)
        asked = {"request": "get_logs", "client_data": {"key": ADMIN_KEY}}
        *_, forged = house.ask(**asked)["response"]
        self.assertIn("unknown request", forged)
        self.assertNotIn("\n", forged)
        self.assertEqual(len(forged), 200)

    def test_exception_texts(self) -> None:
        """A failure has a fixed word and nothing of the request, a fault of ours as well."""
        house = House()
        house.client()
        reply = house.ask(request="<b>bogus</b>", client_data={"pad": "x" * 60})
        self.assertEqual(
            reply, {"status": -127, "err_content": "unknown request", "response": None}
        )
        self.patch(house.arena, "messages", lambda limit: 1 / 0)
        who = {"key": "secret", "pad": "x" * 60}
        reply = house.ask(request="get_messages", client_data=who)
        self.assertEqual(
            reply, {"status": -127, "err_content": "internal error", "response": None}
        )
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(house.status(request="ping"), 0)

    def test_undecodable(self) -> None:
        """What is no request is not answered, wherever it comes from."""
        house = House()
        house.client(ALICE)
        for datagram in (b"not json", b"\xff\xfe", b"[" * 1_000, b"{" * 2_048, b"x" * 8_192):
            for address in (ALICE, BOB):
                self.assertIsNone(house.exchange(datagram, address))
        self.assertEqual(house.metrics.datagrams_dropped["twister", "malformed"], 10)

    def test_odd_json(self) -> None:
        """What is infinite, huge or nested too deep is refused and not kept."""
        house = House()
        alice = house.client(ALICE)
        known = b'"client_data":{"id":0,"key":"%s"}' % alice.key.encode()
        for data in (
            b'{"posx":NaN}',
            b'{"mine":Infinity}',
            b'{"mine":1e999}',
            b'{"posx":"1"}',
            b'{"turret_rot":null}',
            b'{"posx":%s}' % (b"9" * 100),
            b'{"mine":[[[[[[[[]]]]]]]]}',
            b'{"mine":"%s"}' % (b"x" * 320),
            b"{%s}" % b",".join(b'"%d":0' % number for number in range(17)),
            b"[]",
        ):
            reply = house.exchange(b'{"request":"push_data",%s,"player_data":%s}' % (known, data))
            self.assertEqual(reply, b'{"status": -3, "response": null}', data)
        self.assertEqual(alice.get_data()[0]["player_data"], {})

    def test_odd_chat(self) -> None:
        """Lines are texts of a length; an empty one is no error, and never a bare null."""
        house = House()
        alice = house.client(ALICE)
        alice.push_message("", "n")
        self.assertEqual(alice.get_messages(), [])
        for wrong in (5, None, ["x"], {"a": 1}):
            body: dict[str, Any] = {"msg_content": wrong, "nick": "n"}
            self.assertEqual(house.status(request="push_message", request_body=body), -3)
            body = {"msg_content": "x", "nick": wrong}
            self.assertEqual(house.status(request="push_message", request_body=body), -3)
        alice.push_message("x" * 500, "n" * 500)
        self.assertEqual(alice.get_messages(), [["x" * 256, "n" * 32]])

    def test_get_data_over_1024(self) -> None:
        """The API client sees everybody in turn, and itself always."""
        house = House()
        clients = [house.client((LOOPBACK, 40_000 + number)) for number in range(100)]
        for each in clients:
            each.push_data(-12345, 67890, 123.4567890123, -123.4567890123)
        seen: set[int] = set()
        for _ in range(20):
            entries = clients[42].get_data()
            self.assertIn(42, [each["id"] for each in entries])
            seen.update(each["id"] for each in entries)
        self.assertEqual(seen, set(range(100)))

    def test_get_messages_over_1024(self) -> None:
        """The newest lines that fit."""
        house = House()
        alice = house.client(ALICE)
        for number in range(10):
            alice.push_message(f"{number}" * 200, "alice")
        lines = alice.get_messages()
        self.assertEqual([text[0] for text, _ in lines], ["6", "7", "8", "9"])
        alice.push_message("\N{GRINNING FACE}" * 100, "\N{GRINNING FACE}" * 32)
        ((text, _),) = alice.get_messages()
        self.assertTrue(text)

    def test_slow_get_data(self) -> None:
        """An entry is encoded when somebody asks after its client changed, and then once."""
        house = House()
        encoded: list[int] = []
        entry = house.arena._describe
        self.patch(
            house.arena, "_describe", lambda client: (encoded.append(client.id), entry(client))
        )
        clients = [house.client((LOOPBACK, 40_000 + number)) for number in range(100)]
        self.assertEqual(encoded, [])
        for each in clients:
            each.get_data()
        self.assertEqual(sorted(encoded), list(range(100)))
        for x in range(3):
            clients[7].push_data(x, 2, 3, 4)
        self.assertEqual(len(encoded), 100)
        for each in clients:
            each.get_data()
        self.assertEqual(encoded[100:], [7])

    def test_console_shows_no_keys(self) -> None:
        """The table has neither the clients' keys nor the admin's."""
        house = House(console=True)
        alice = house.client(ALICE)
        table = house.service.console._draw()
        self.assertIn("192.0.2.1:40001", table)
        self.assertNotIn(alice.key, table)
        self.assertNotIn(ADMIN_KEY, table)

    def test_spoofing(self) -> None:
        """Who forges a client's address but has no key changes nothing."""
        house = House()
        alice = house.client(ALICE)
        for who in ({"id": 0, "key": "guess"}, {"id": 0}, {}):
            for request in ("push_data", "disconnect", "clear_chat", "get_logs"):
                self.assertIn(
                    house.status(ALICE, request=request, client_data=who), (-20, -21, -40)
                )
        self.assertEqual(house.status(ALICE, request="connect", client_data={"key": "k"}), -22)
        alice.push_data(1, 2, 3, 4)

    def test_nobody_there(self) -> None:
        """A datagram whose reply would go to many, or to none, is dropped."""
        house = House()
        nobody: tuple[Address, ...] = (
            ("192.0.2.1", 0),
            ("224.0.0.1", 5),
            ("255.255.255.255", 5),
            ("0.0.0.0", 5),
            ("ff02::1", 5),
            ("::ffff:239.1.1.1", 5),
        )
        for address in nobody:
            self.assertIsNone(house.exchange(b'{"request":"ping"}', address), address)
        self.assertEqual(house.session.received, 0)


class BufferTests(SynchronousTestCase):
    """How a client that can take more than the API's gets it."""

    def crowded(self, **options: Any) -> House:
        house = House(**options)
        for number in range(100):
            house.client((LOOPBACK, 40_000 + number)).push_message("x" * 100, "n")
        return house

    def reply(self, house: House, **request: Any) -> bytes:
        reply = house.exchange(json.dumps(request).encode(), LOOPBACK_ALICE)
        assert reply is not None
        return reply

    def test_default(self) -> None:
        house = self.crowded()
        for request in ("get_data", "get_messages"):
            self.assertLessEqual(len(self.reply(house, request=request)), BUFFER)

    def test_max_bytes(self) -> None:
        house = self.crowded()
        for request, wanted in (("get_data", 100), ("get_messages", 10)):
            more = {"max_bytes": 20_000}
            reply = self.reply(house, request=request, request_body=more)
            self.assertEqual(len(json.loads(reply)["response"]), wanted)

    def test_max_bytes_has_bounds(self) -> None:
        house = self.crowded(max_players=1_000)
        for number in range(100, 1_000):
            house.client((LOOPBACK, 40_000 + number))
        for asked, least, most in ((10**9, 65_400, 65_507), (0, 900, 1_024), (-1, 900, 1_024)):
            reply = self.reply(house, request="get_data", request_body={"max_bytes": asked})
            self.assertTrue(least < len(reply) <= most, len(reply))

    def test_operator_allows_more(self) -> None:
        house = self.crowded(max_reply=LARGEST_REPLY)
        reply = self.reply(house, request="get_data")
        self.assertEqual(len(json.loads(reply)["response"]), 100)
