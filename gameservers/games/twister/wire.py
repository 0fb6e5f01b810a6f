"""
The wire of TwisteR tanks: one JSON object (UTF-8) per UDP datagram, both ways.

A request has at most one reply, which goes to the sender's address and port; there are no request
numbers and nothing is ever pushed.  The API client never resends and never times out.

A request has the members C{request} (a name), C{client_data}, C{player_data} and C{request_body}
(objects).  Members that a request does not use may be missing; a missing object counts as C{{}};
unknown members are ignored::

    request               reads                                     reply on success
    ping                  client_data.id, .key?                     null
    get_online, online    client_data.id, .key?                     number of clients
    get_data              client_data.id, .key?, max_bytes?         list of entries
    get_messages          client_data.id, .key?, max_bytes?         list of [text, nick]
    get_map               client_data.id, .key?                     {"checksum", "map"}
    get_logs              client_data.key (the admin key), max_bytes?   list of lines
    connect               client_data.key, .client_timeout_ms       the new id
    push_data             client_data.id, .key, .client_timeout_ms, player_data   null
    push_message          request_body.msg_content, .nick; client_data.id, .key?  null
    clear_chat            client_data.key (the admin key)           null
    disconnect            client_data.id, .key                      null

An optional id and key (C{?}) show that the client is alive, if they are right, and do nothing
else; C{max_bytes} is in C{request_body}.

A reply is C{{"status": <int>, "response": <any>}}, with exactly these blanks; the response itself
is encoded without any.  A failure (-127) has C{"err_content"}, a fixed text, between the two.  See
L{Status} for the codes: a client of the API breaks on any other negative one.

An entry of C{get_data} is a client, with its members in this order, and without its key::

    {"key":null,"id":0,"addres":["192.0.2.1",40000],"client_timeout_ms":5,"player_data":{...}}

The map is 50 x 50 tiles of 64 pixels, column by column: records of 5 bytes, tile id (0 to 3),
x and y of its corner in pixels (u16 big-endian); 12500 bytes, sent as a list of integers, with
their MD5 as 32 lower-case hexadecimal digits.

Not a request, and never answered, because it may be the reply of another server: anything that is
not a JSON object with a text as its C{request}, is not UTF-8, or is longer than L{Limits.request}
bytes.  A malformed request is answered with -3: one that is nested deeper than L{Limits.nesting},
has objects or texts that are something else, a time or a pose beyond 2**53, C{NaN} or C{Infinity}.
An unknown one is answered with -127.  An id that is not an integer counts as none, and so does a
key that is not a text.

The API receives at most L{BUFFER} bytes of any reply but the map.  Lists are therefore truncated
to that; C{request_body.max_bytes} allows longer ones, up to L{LARGEST_REPLY}.
"""

from __future__ import annotations

import enum
import hashlib
import json
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar, get_args

from gameservers.wire import Verdict, WireError

#: Bytes of a reply that the API receives.
BUFFER = 1_024

#: Maximum size of a UDP datagram over IPv4, in bytes.
LARGEST_REPLY = 65_507

#: Longest key, in characters.
LONGEST_KEY = 64

#: Maximum absolute value of numbers: beyond it not every client has exact integers.
LARGEST_NUMBER = 2**53

#: The members of C{player_data} that all clients use, which are numbers.
POSE = ("posx", "posy", "rot", "turret_rot")


class Status(enum.IntEnum):
    """The status of a reply."""

    OK = 0
    FULL = -1
    INVALID = -3  # a malformed request
    NO_SUCH_ID = -20
    WRONG_KEY = -21
    ALREADY_CONNECTED = -22
    DENIED = -40
    FAILED = -127  # an unknown request, or a bug of the server


class NotARequest(WireError):
    """A datagram that is no request at all."""


class UnknownRequest(WireError):
    """A request with an unknown name."""


@dataclass(frozen=True, slots=True)
class Limits:
    """
    The limits of a request.

    @ivar request: size of a datagram, in bytes.
    @ivar nesting: depth of nested objects and lists, including the request itself.
    @ivar members: number of members of C{player_data}.
    @ivar player_data: size of the encoded C{player_data}, in bytes.
    @ivar text: length of a chat line, in characters; the rest is dropped.
    @ivar nick: length of its nick, in characters; the rest is dropped.
    """

    request: int = 2_048
    nesting: int = 8
    members: int = 16
    player_data: int = 320
    text: int = 256
    nick: int = 32


@dataclass(slots=True)  # a frozen one takes more than twice as long to make
class Credentials:
    """The sender's id and key; L{None} if missing or of the wrong type."""

    id: int | None
    key: bytes | None = field(repr=False)


NOBODY = Credentials(None, None)


@dataclass(frozen=True, slots=True)
class Ping:
    who: Credentials


@dataclass(frozen=True, slots=True)
class GetOnline:
    who: Credentials


@dataclass(frozen=True, slots=True)
class GetMap:
    who: Credentials


@dataclass(frozen=True, slots=True)
class GetData:
    who: Credentials
    max_bytes: int | None


@dataclass(frozen=True, slots=True)
class GetMessages:
    who: Credentials
    max_bytes: int | None


@dataclass(frozen=True, slots=True)
class GetLogs:
    who: Credentials
    max_bytes: int | None


@dataclass(frozen=True, slots=True)
class Connect:
    key: bytes = field(repr=False)
    ping: float  # milliseconds
    who: ClassVar[Credentials] = NOBODY


@dataclass(slots=True)
class PushData:
    who: Credentials
    ping: float  # milliseconds
    player_data: bytes  # JSON


@dataclass(frozen=True, slots=True)
class PushMessage:
    who: Credentials
    text: str = field(repr=False)
    nick: str


@dataclass(frozen=True, slots=True)
class ClearChat:
    who: Credentials


@dataclass(frozen=True, slots=True)
class Disconnect:
    who: Credentials


@dataclass(frozen=True, slots=True)
class Unknown:
    """A request with an unknown name."""

    name: str
    who: ClassVar[Credentials] = NOBODY


Request = (
    Ping
    | GetOnline
    | GetMap
    | GetData
    | GetMessages
    | GetLogs
    | Connect
    | PushData
    | PushMessage
    | ClearChat
    | Disconnect
    | Unknown
)

#: All that a client can send.
MESSAGES: tuple[type[Request], ...] = get_args(Request)


# --- requests --------------------------------------------------------------------------------


def recognise(datagram: bytes) -> Verdict:
    """Whether a datagram begins like a JSON object, after optional blanks."""
    return Verdict.YES if datagram.lstrip(b" \t\r\n").startswith(b"{") else Verdict.NO


def parse(datagram: bytes, limits: Limits) -> Request:
    """
    Decode one request.

    @raise NotARequest: this is none.
    @raise WireError: it is malformed.
    """
    pushed = _AS_THE_API_PUSHES(datagram)
    if pushed is not None:
        client, key, ping, x, y, rot, turret_rot = pushed.groups()
        pose = _POSE_FORM % (x, y, rot, turret_rot)
        return PushData(Credentials(int(client), key), int(ping), pose)
    known = _ALWAYS_THE_SAME.get(datagram)
    if known is not None:
        return known
    if len(datagram) > limits.request:
        raise NotARequest("too long")
    try:
        request = _decoder.decode(datagram.decode("utf-8"))
    except (ValueError, RecursionError):
        raise NotARequest("not JSON") from None
    name = request.get("request") if isinstance(request, dict) else None
    if not isinstance(name, str):
        raise NotARequest("no request name")
    if datagram.count(b"{") + datagram.count(b"[") > limits.nesting < _depth(request):
        raise WireError("nested too deep")
    read = _READERS.get(name)
    if read is None:
        return Unknown(name)
    client = _object(request, "client_data")
    player = _object(request, "player_data")
    body = _object(request, "request_body")
    return read(client, player, body, limits)


_decoder = json.JSONDecoder()
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def _depth(outermost: dict[str, Any]) -> int:
    """The depth of nested objects and lists."""
    depth = 0
    level: list[Any] = [outermost]
    while level:
        depth += 1
        level = [
            inner
            for each in level
            for inner in (each.values() if isinstance(each, dict) else each)
            if isinstance(inner, dict | list)
        ]
    return depth


def _object(request: dict[str, Any], name: str) -> dict[str, Any]:
    value = request.get(name, _NOTHING)
    if not isinstance(value, dict):
        raise WireError(f"{name} is not an object")
    return value


_NOTHING: dict[str, Any] = {}


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not abs(value) <= LARGEST_NUMBER:
        raise WireError("not a number within bounds")
    number: float = value
    return number


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise WireError("not a text")
    return value


def _key(value: Any) -> bytes | None:
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else None


def _credentials(client: dict[str, Any]) -> Credentials:
    said = client.get("id")
    return Credentials(said if type(said) is int else None, _key(client.get("key")))


def _max_bytes(body: dict[str, Any]) -> int | None:
    value = body.get("max_bytes")
    if value is not None and type(value) is not int:
        raise WireError("max_bytes is not a whole number")
    return value


def _connect(client: dict[str, Any]) -> Connect:
    text = _text(client.get("key"))
    key = _key(text)
    if not key or len(text) > LONGEST_KEY:
        raise WireError("not a key")
    return Connect(key, _number(client.get("client_timeout_ms", 0)))


def _push_data(client: dict[str, Any], player: dict[str, Any], limits: Limits) -> PushData:
    ping = _number(client.get("client_timeout_ms", 0))
    for name in POSE:
        _number(player.get(name, 0))
    if len(player) > limits.members:
        raise WireError("player_data has too many members")
    try:
        data = _encode(player).encode("ascii")
    except ValueError:  # it contains a number like 1e999, which is infinite
        raise WireError("not a number within bounds") from None
    if len(data) > limits.player_data:
        raise WireError("player_data is too long")
    return PushData(_credentials(client), ping, data)


def _push_message(client: dict[str, Any], body: dict[str, Any], limits: Limits) -> PushMessage:
    text = _text(body.get("msg_content"))[: limits.text]
    nick = _text(body.get("nick"))[: limits.nick]
    return PushMessage(_credentials(client), text, nick)


_Reader = Callable[[dict[str, Any], dict[str, Any], dict[str, Any], Limits], Request]


def _bare(kind: Callable[[Credentials], Request]) -> _Reader:
    """Read a request that has only credentials."""
    return lambda client, player, body, limits: kind(_credentials(client))


def _list(kind: Callable[[Credentials, int | None], Request]) -> _Reader:
    """Read a request for a list."""
    return lambda client, player, body, limits: kind(_credentials(client), _max_bytes(body))


#: How each request is read from client_data, player_data and request_body.
_READERS: dict[str, _Reader] = {
    "ping": _bare(Ping),
    "get_online": _bare(GetOnline),
    "online": _bare(GetOnline),
    "get_map": _bare(GetMap),
    "get_data": _list(GetData),
    "get_messages": _list(GetMessages),
    "get_logs": _list(GetLogs),
    "connect": lambda client, player, body, limits: _connect(client),
    "push_data": lambda client, player, body, limits: _push_data(client, player, limits),
    "push_message": lambda client, player, body, limits: _push_message(client, body, limits),
    "clear_chat": _bare(ClearChat),
    "disconnect": _bare(Disconnect),
}


#: The API client's most frequent requests, byte for byte: a look-up takes 0.2 us, parsing 6 us.
_ALWAYS_THE_SAME: dict[bytes, Request] = {
    b'{"request": "%s", "client_data": {}, "player_data": {}, "request_body": {}}' % name: read
    for name, read in ((b"ping", Ping(NOBODY)), (b"get_data", GetData(NOBODY, None)))
}


#: A pose as the API client pushes it, the most frequent request: matching takes 3 us, parsing 15
#: us (C{python -m benchmarks.twister}).  The pattern itself keeps numbers and lengths within the
#: limits, so nothing is left to check.
_WHOLE = rb"(0|[1-9][0-9]{0,14})"
_NUMBER = rb"(-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,20})?)"
_AS_THE_API_PUSHES = re.compile(
    rb'\{"request": "push_data", '
    rb'"client_data": \{"id": %b, "key": "([0-9a-f]{32})", "client_timeout_ms": %b\}, '
    rb'"player_data": \{"posx": %b, "posy": %b, "rot": %b, "turret_rot": %b\}, '
    rb'"request_body": \{\}\}' % (_WHOLE, _WHOLE, _NUMBER, _NUMBER, _NUMBER, _NUMBER)
).fullmatch
_POSE_FORM = b'{"posx":%b,"posy":%b,"rot":%b,"turret_rot":%b}'


# --- replies ---------------------------------------------------------------------------------


def encoded(text: str) -> bytes:
    """Encode a text as JSON."""
    return _encode(text).encode("ascii")


def reply(status: Status, response: bytes = b"null") -> bytes:
    """A reply; C{response} is JSON already."""
    return b'{"status": %d, "response": %s}' % (status, response)


def failure(word: str) -> bytes:
    """The reply to an unknown request, or after a bug of the server."""
    return b'{"status": %d, "err_content": %s, "response": null}' % (Status.FAILED, encoded(word))


#: The replies that consist of their status.
PLAIN: dict[Status, bytes] = {
    **{status: reply(status) for status in Status},
    Status.FAILED: failure("unknown request"),
}

DONE = PLAIN[Status.OK]

INTERNAL_ERROR = failure("internal error")

#: Size of a list reply without the items and commas, in bytes.
LIST_FRAME = len(reply(Status.OK, b"[]"))


def number(value: int) -> bytes:
    """The reply with a number: an id, or the number of clients."""
    return reply(Status.OK, b"%d" % value)


def listing(items: Iterable[bytes]) -> bytes:
    """The reply with a list; C{items} are JSON already."""
    return reply(Status.OK, b"[%s]" % b",".join(items))


def entry(client: int, address: tuple[str, int], ping: float, player_data: bytes) -> bytes:
    """Encode a client's entry."""
    host, port = address
    return b'{"key":null,"id":%d,"addres":[%s,%d],"client_timeout_ms":%a,"player_data":%s}' % (
        client,
        encoded(host),
        port,
        ping,
        player_data,
    )


def line(text: str, nick: str) -> bytes:
    """Encode a chat line, truncated to fit into a reply of L{BUFFER} bytes."""
    name = encoded(nick)
    room = BUFFER - LIST_FRAME - len(b"[,]") - len(name)
    said = encoded(text)
    if len(said) > room:
        fits = bisect_right(
            range(len(text) + 1), room, key=lambda length: len(encoded(text[:length]))
        )
        said = encoded(text[: fits - 1])
    return b"[%s,%s]" % (said, name)


def map_reply(records: bytes) -> bytes:
    """The reply with the map."""
    checksum = hashlib.md5(records, usedforsecurity=False).hexdigest()
    tiles = ",".join(map(str, records))
    return reply(Status.OK, f'{{"checksum":"{checksum}","map":[{tiles}]}}'.encode("ascii"))
