"""The codec: requests in, replies out, and nothing that breaks it."""

from __future__ import annotations

import contextlib
import json
import uuid
from dataclasses import fields, replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gameservers.games.twister import wire
from gameservers.games.twister.settings import TwisterSettings
from gameservers.games.twister.wire import (
    BUFFER,
    NOBODY,
    ClearChat,
    Connect,
    Credentials,
    Disconnect,
    GetData,
    GetLogs,
    GetMap,
    GetMessages,
    GetOnline,
    Limits,
    Ping,
    PushData,
    PushMessage,
    Status,
    Unknown,
)
from gameservers.wire import Verdict, WireError

LIMITS = Limits()


def parse(limits: Limits = LIMITS, **request: Any) -> wire.Request:
    return wire.parse(json.dumps(request).encode(), limits)


numbers = st.integers(-(2**53), 2**53) | st.floats(-(2.0**53), 2.0**53)
keys = st.text(min_size=1, max_size=64)
poses = st.fixed_dictionaries(
    {"posx": numbers, "posy": numbers}, optional={"rot": numbers, "turret_rot": numbers}
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
members = st.sampled_from(
    [
        *("request", "client_data", "player_data", "request_body", "key", "id", "max_bytes"),
        *("client_timeout_ms", "posx", "msg_content", "nick"),
    ]
)
names = st.sampled_from(["ping", "get_data", "connect", "push_data", "push_message", "get_logs"])


class RequestTests(SynchronousTestCase):
    def refuse(self, datagram: bytes, limits: Limits = LIMITS) -> None:
        self.assertRaises(WireError, wire.parse, datagram, limits)

    def refuse_request(self, limits: Limits = LIMITS, **request: Any) -> None:
        self.refuse(json.dumps(request).encode(), limits)

    def test_what_needs_nothing(self) -> None:
        """What a request does not read may be missing."""
        self.assertEqual(parse(request="ping"), Ping(NOBODY))
        self.assertEqual(parse(request="get_online"), GetOnline(NOBODY))
        self.assertEqual(parse(request="online"), GetOnline(NOBODY))
        self.assertEqual(parse(request="get_map"), GetMap(NOBODY))
        self.assertEqual(parse(request="get_data"), GetData(NOBODY, None))
        self.assertEqual(parse(request="get_messages"), GetMessages(NOBODY, None))
        self.assertEqual(parse(request="get_logs"), GetLogs(NOBODY, None))
        self.assertEqual(parse(request="clear_chat"), ClearChat(NOBODY))
        self.assertEqual(parse(request="disconnect"), Disconnect(NOBODY))
        self.assertEqual(parse(request="push_data"), PushData(NOBODY, 0, b"{}"))
        self.assertEqual(parse(request="connect", client_data={"key": "k"}), Connect(b"k", ping=0))

    def test_misspelt_member(self) -> None:
        """The API client asks for the map with a colon in a member's name."""
        asked = {"request": "get_map", "client_data": {}, "player_data": {}, "request_body:": {}}
        self.assertEqual(parse(**asked), GetMap(NOBODY))

    def test_always_the_same(self) -> None:
        """What is known by its bytes is what it would be if it were read."""
        for datagram, known in wire._ALWAYS_THE_SAME.items():
            self.assertEqual(wire.parse(datagram, LIMITS), known)
            self.assertEqual(wire.parse(datagram + b" ", LIMITS), known)

    def pushed(self, pose: dict[str, Any], **who: Any) -> tuple[bytes, wire.Request]:
        """A push spelt as the API spells it, and what it is when it is read as any other is."""
        asked = {"request": "push_data", "client_data": who, "player_data": pose}
        datagram = json.dumps({**asked, "request_body": {}}).encode()
        return datagram, wire.parse(b" " + datagram, LIMITS)

    @settings(deadline=None)
    @given(
        st.integers(0, 10_000),
        st.uuids(),
        st.integers(0, 10**15 - 1),
        st.tuples(*[st.integers(-3_200, 3_200) | st.floats(-1e15 + 1, 1e15 - 1)] * 4),
    )
    def test_as_the_api_pushes(
        self, client: int, key: uuid.UUID, ping: int, pose: tuple[float, ...]
    ) -> None:
        """What is known by its shape is what it would be if it were read."""
        datagram, request = self.pushed(
            dict(zip(wire.POSE, pose, strict=True)),
            id=client,
            key=key.hex,
            client_timeout_ms=ping,
        )
        self.assertEqual(wire.parse(datagram, LIMITS), request)
        if "e" not in str(pose):
            self.assertIsNotNone(wire._AS_THE_API_PUSHES(datagram))

    def test_almost_as_the_api_pushes(self) -> None:
        """What has nearly that shape is read, and refused if it would have been."""
        pose = dict.fromkeys(wire.POSE, 1)
        datagram, _ = self.pushed(pose, id=1, key="ab" * 16, client_timeout_ms=1)
        self.assertIsNotNone(wire._AS_THE_API_PUSHES(datagram))
        for word in (b"01", b"1.", b".5", b"+1", b"1e999", b"NaN", b"9007199254740993", b"--1"):
            for member in (b"client_timeout_ms", *(name.encode() for name in wire.POSE)):
                wrong = datagram.replace(b'"%b": 1' % member, b'"%b": %b' % (member, word))
                self.assertNotEqual(wrong, datagram)
                self.refuse(wrong)
        for word, known in (
            (b"-1", -1),
            (b"1.0", None),
            (b"true", None),
            (b"1" * 16, 1111111111111111),
        ):
            request = wire.parse(datagram.replace(b'"id": 1', b'"id": ' + word), LIMITS)
            assert isinstance(request, PushData)
            self.assertEqual(request.who.id, known)
        for cut in range(len(datagram)):
            self.refuse(datagram[:cut])
        for junk in (b"x", b"\0", b"}"):
            self.refuse(datagram + junk)

    def test_the_longest_push_by_shape(self) -> None:
        """What is known by its shape is within all limits, however low they are set."""
        number = b"-" + b"9" * 15 + b"." + b"9" * 20
        datagram, _ = self.pushed(
            dict.fromkeys(wire.POSE, 1), id=1, key="ab" * 16, client_timeout_ms=1
        )
        longest = datagram
        for name in wire.POSE:
            member = b'"%b": ' % name.encode()
            longest = longest.replace(member + b"1", member + number)
            longer = longest.replace(member, member + b"1", 1).replace(b"1-", b"-1", 1)
            self.assertIsNone(wire._AS_THE_API_PUSHES(longer))
        request = wire.parse(longest, LIMITS)
        self.assertIsNotNone(wire._AS_THE_API_PUSHES(longest))
        assert isinstance(request, PushData)
        (shortest,) = [
            each.metadata["option"].minimum
            for each in fields(TwisterSettings)
            if each.name == "max_message"
        ]
        self.assertLessEqual(len(request.player_data), LIMITS.player_data)
        self.assertLessEqual(len(longest), shortest)
        self.assertLessEqual(len(wire.POSE), LIMITS.members)
        self.assertLessEqual(2, LIMITS.nesting)

    def test_unknown(self) -> None:
        for name in ("Ping", "", "bogus\n"):
            self.assertEqual(parse(request=name), Unknown(name))

    def test_no_object(self) -> None:
        for datagram in (b"", b"[]", b"5", b"null", b'"x"', b"{", b"not json", b"\xff\xfe", b"{}"):
            self.refuse(datagram)
        self.refuse_request(request=None)
        self.refuse_request(request=["ping"])
        for name in ("client_data", "player_data", "request_body"):
            for value in (None, [], 5, "x"):
                self.refuse_request(request="ping", **{name: value})

    def test_ids(self) -> None:
        """An id is an integer and nothing that looks like one."""
        for said, known in (
            (0, 0),
            (-1, -1),
            (None, None),
            (True, None),
            ("0", None),
            (0.0, None),
        ):
            request = parse(request="disconnect", client_data={"id": said, "key": "k"})
            self.assertEqual(request, Disconnect(Credentials(known, b"k")))

    def test_keys(self) -> None:
        for key in ("", "k" * 65, None, 1, ["k"], {}):
            self.refuse_request(request="connect", client_data={"key": key})
        longest = "\N{GREEK SMALL LETTER PI}" * 64
        request = parse(request="connect", client_data={"key": longest})
        self.assertEqual(request, Connect(longest.encode(), 0))

    def test_keys_are_not_shown(self) -> None:
        for request in (
            parse(request="connect", client_data={"key": "secret"}),
            parse(request="disconnect", client_data={"key": "secret"}),
            parse(request="push_message", request_body={"msg_content": "secret", "nick": "n"}),
        ):
            self.assertNotIn("secret", repr(request))

    def test_numbers(self) -> None:
        for word in ("NaN", "Infinity", "-Infinity", "1e999", "9007199254740993", "true", '"1"'):
            for data in (
                f'"client_data":{{"client_timeout_ms":{word}}}',
                f'"player_data":{{"posx":{word}}}',
            ):
                self.refuse(b'{"request":"push_data",%s}' % data.encode())
        for word in (b"NaN", b"Infinity", b"-1e999"):
            self.refuse(b'{"request":"push_data","player_data":{"mine":[%s]}}' % word)

    def test_max_bytes(self) -> None:
        body = {"max_bytes": 4_000}
        self.assertEqual(parse(request="get_data", request_body=body), GetData(NOBODY, 4_000))
        for value in ("4000", 4e3, True, []):
            self.refuse_request(request="get_data", request_body={"max_bytes": value})

    def test_longest_request(self) -> None:
        datagram = json.dumps({"request": "ping", "pad": ""}).encode()
        room = LIMITS.request - len(datagram)
        self.assertEqual(
            wire.parse(datagram.replace(b'""', b'"%s"' % (b"x" * room)), LIMITS), Ping(NOBODY)
        )
        self.refuse(datagram.replace(b'""', b'"%s"' % (b"x" * (room + 1))))

    def test_nesting(self) -> None:
        def nested(levels: int) -> bytes:
            return b'{"request":"ping","pad":%s}' % (b"[" * (levels - 1) + b"]" * (levels - 1))

        self.assertEqual(wire.parse(nested(8), LIMITS), Ping(NOBODY))
        self.refuse(nested(9))
        wide = b'{"request":"ping","pad":[%s,[[[[[[]]]]]],{}]}' % b",".join([b"{}"] * 100)
        self.assertEqual(wire.parse(wide, LIMITS), Ping(NOBODY))
        self.refuse(wide.replace(b"[[]]", b"[[[]]]"))
        self.refuse(b"[" * 2_048)
        self.refuse(b'{"a":' * 400)
        brackets_in_text = {"msg_content": "[" * 100, "nick": "{"}
        self.assertIsInstance(
            parse(request="push_message", request_body=brackets_in_text), PushMessage
        )

    def test_player_data(self) -> None:
        limits = replace(LIMITS, members=4, player_data=40)
        fits = {"a": 1, "b": [1, "x", None], "c": {}, "d": "\N{GREEK SMALL LETTER PI}"}
        encoded = b'{"a":1,"b":[1,"x",null],"c":{},"d":"\\u03c0"}'
        limits = replace(limits, player_data=len(encoded))
        self.assertEqual(
            parse(limits, request="push_data", player_data=fits), PushData(NOBODY, 0, encoded)
        )
        self.refuse_request(limits, request="push_data", player_data={**fits, "c": {"": 0}})
        self.refuse_request(limits, request="push_data", player_data=dict.fromkeys("abcde"))

    def test_chat(self) -> None:
        body = {"msg_content": "t" * 300, "nick": "n" * 300}
        said = parse(request="push_message", request_body=body)
        self.assertEqual(said, PushMessage(NOBODY, "t" * 256, "n" * 32))
        for wrong in ({}, {"msg_content": "x"}, {"nick": "n"}, {"msg_content": 5, "nick": "n"}):
            self.refuse_request(request="push_message", request_body=wrong)
        self.refuse_request(request="push_message", request_body={"msg_content": "x", "nick": []})

    @settings(deadline=None)
    @given(st.integers(), keys, numbers, poses)
    def test_push_data(self, client: int, key: str, ping: float, pose: dict[str, float]) -> None:
        """What a client pushes comes out as it went in."""
        request = parse(
            request="push_data",
            client_data={"id": client, "key": key, "client_timeout_ms": ping},
            player_data=pose,
        )
        assert isinstance(request, PushData)
        self.assertEqual(request.who, Credentials(client, key.encode("utf-8", "surrogatepass")))
        self.assertEqual((request.ping, json.loads(request.player_data)), (ping, pose))

    @settings(deadline=None)
    @given(st.binary(max_size=64) | st.text(max_size=64).map(lambda text: text.encode()))
    def test_junk(self, datagram: bytes) -> None:
        """Whatever comes, it is a request or a L{WireError}."""
        with contextlib.suppress(WireError):
            self.assertIsInstance(wire.parse(datagram, LIMITS), wire.MESSAGES)

    @settings(deadline=None, max_examples=50)
    @given(names, st.dictionaries(members, anything | st.dictionaries(members, anything)))
    def test_json_junk(self, name: str, request: dict[str, Any]) -> None:
        try:
            made = wire.parse(json.dumps({"request": name, **request}).encode(), LIMITS)
        except WireError:
            pass
        else:
            self.assertIsInstance(made, wire.MESSAGES)
            if isinstance(made, PushData):
                self.assertLessEqual(len(made.player_data), LIMITS.player_data)

    @settings(deadline=None)
    @given(st.data())
    def test_cut_short(self, data: st.DataObject) -> None:
        """A datagram that lost its end is never taken for a request."""
        who = {"id": 0, "key": "k", "addres": [], "client_timeout_ms": 1}
        whole = json.dumps({"request": "disconnect", "client_data": who}).encode()
        self.refuse(whole[: data.draw(st.integers(0, len(whole) - 1))])

    def test_recognise(self) -> None:
        for datagram in (b"{", b' \r\n\t{"request":"ping"}'):
            self.assertEqual(wire.recognise(datagram), Verdict.YES)
        for datagram in (b"", b" ", b"[{", b"0:name", b"\x00{"):
            self.assertEqual(wire.recognise(datagram), Verdict.NO)


class ReplyTests(SynchronousTestCase):
    def test_plain(self) -> None:
        """Replies without a list are spelt as the original spells them."""
        self.assertEqual(wire.PLAIN[Status.OK], b'{"status": 0, "response": null}')
        self.assertEqual(wire.PLAIN[Status.DENIED], b'{"status": -40, "response": null}')
        self.assertEqual(
            wire.PLAIN[Status.FAILED],
            b'{"status": -127, "err_content": "unknown request", "response": null}',
        )
        self.assertEqual(wire.number(7), b'{"status": 0, "response": 7}')
        self.assertEqual(set(wire.PLAIN), set(Status))

    @settings(deadline=None)
    @given(st.lists(st.text(max_size=5)))
    def test_listing(self, texts: list[str]) -> None:
        reply = wire.listing(map(wire.encoded, texts))
        self.assertEqual(json.loads(reply), {"status": 0, "response": texts})
        items = sum(len(wire.encoded(text)) + 1 for text in texts) - bool(texts)
        self.assertEqual(len(reply), wire.LIST_FRAME + items)

    @settings(deadline=None)
    @given(st.integers(0, 10_000), numbers, poses)
    def test_entry(self, client: int, ping: float, pose: dict[str, float]) -> None:
        """All members are there, in the original's order."""
        entry = wire.entry(client, ("2001:db8::1", 65_535), ping, json.dumps(pose).encode())
        self.assertEqual(
            list(json.loads(entry).items()),
            [
                ("key", None),
                ("id", client),
                ("addres", ["2001:db8::1", 65_535]),
                ("client_timeout_ms", ping),
                ("player_data", pose),
            ],
        )

    def test_two_longest_entries(self) -> None:
        """Two clients always see each other, however much they push."""
        host = "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff%interface012345"
        longest = wire.entry(9_999, (host, 65_535), -1.2345678901234567e-300, b"x" * 320)
        self.assertLessEqual(len(wire.listing([longest, longest])), BUFFER)

    @settings(deadline=None)
    @given(st.text(max_size=400), st.text(max_size=64))
    def test_line(self, text: str, nick: str) -> None:
        """A line is never too long to be read, and nothing is lost without need."""
        line = wire.line(text, nick)
        said, by = json.loads(line)
        self.assertLessEqual(len(wire.listing([line])), BUFFER)
        self.assertEqual(by, nick)
        self.assertTrue(text.startswith(said))
        if said != text:
            longer = wire.encoded(text[: len(said) + 1])
            room = BUFFER - wire.LIST_FRAME - len(b"[,]") - len(wire.encoded(nick))
            self.assertGreater(len(longer), room)

    def test_long_line(self) -> None:
        said, _ = json.loads(wire.line("\N{GRINNING FACE}" * 256, "n"))
        self.assertEqual(
            said, "\N{GRINNING FACE}" * ((BUFFER - wire.LIST_FRAME - 3 - 3 - 2) // 12)
        )

    def test_map(self) -> None:
        reply = wire.map_reply(bytes([3, 0, 64, 12, 64]))
        self.assertEqual(
            reply,
            b'{"status": 0, "response": '
            b'{"checksum":"%s","map":[3,0,64,12,64]}}' % b"2f2e0c19ebe00b3059c1472384e80596",
        )
