"""
The VCMI text lobby, protocols 1 to 5 (VCMI 1.1 to 1.4): bytes to commands, messages to bytes.

Client to server
================

A stream of frames::

    u32 little-endian   length in bytes
    bytes               the frame

The first frame greets the lobby, unless it is the magic of a game pipe
(L{gameservers.games.vcmi.wires.pipe})::

    u8       protocol version, 1..5
    u8       length of the encoding's name, 0 means UTF-8
    bytes    the encoding's name, ASCII (L{ENCODINGS})
    text     <GREETINGS>name<VER>version of the program

Only the first frame has this header.  Every frame's text, in the connection's encoding, is a
row of commands, C{<TAG>value}: tags are upper-case, and the value ends where the next C{<}
begins; text before the first tag is skipped.  In chat (C{<MSG>}) only a known tag ends
the text, so that C{a<5} stays unchanged.  Bytes that cannot be decoded become U+FFFD.

Server to client
================

No length: a message is ``:>>NAME:argument:argument...`` and ends where the next ``:>>`` begins.
The client takes the result of one read of its socket as whole messages, so each message is written
in one piece and a burst is split between messages.

Arguments may not contain a colon, except the last one of MSG, MSGCH and ERROR, where the client
drops colons.  No argument can produce ``:>>``: see L{harmless} and L{field}.

Messages by protocol version: MODS from protocol 2; MODSOTHER from 3; USERS, HEALTH and GAMEMODE
from 4; CHANNEL and MSGCH from 5.  A text is sent to each receiver in its own encoding; characters
that it lacks become C{?}.

Errors
======

L{gameservers.wire.WireError} means that the frame breaks this format; its text is sent to the
client in ERROR before the connection ends.  A request that the rules forbid is not a WireError.

Source: the VCMI launchers of 1.1.0 to 1.4.0 and vcmi/proxy-server 0.4 to 0.6.2, observed.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from encodings.aliases import aliases
from typing import NamedTuple

from gameservers.games.vcmi.wires import pipe
from gameservers.wire import Verdict, WireError

#: Supported protocol versions.
VERSIONS = range(1, 6)

#: The protocol version from which a client understands a message.
SINCE_MODS = 2
SINCE_MODSOTHER = 3
SINCE_USERS = 4
SINCE_HEALTH = 4
SINCE_GAMEMODE = 4
SINCE_CHANNELS = 5

INCOMPATIBLE = "Cannot connect to remote server due to protocol incompatibility"
MALFORMED = "Protocol error or incorrect encoding"
TOO_SHORT = "Too short username"

_CODECS = [
    "utf_8",
    "ascii",
    "latin_1",
    "iso8859_2",
    "iso8859_3",
    "iso8859_4",
    "iso8859_5",
    "iso8859_6",
    "iso8859_7",
    "iso8859_8",
    "iso8859_9",
    "iso8859_10",
    "iso8859_11",
    "iso8859_13",
    "iso8859_14",
    "iso8859_15",
    "iso8859_16",
    "cp1250",
    "cp1251",
    "cp1252",
    "cp1253",
    "cp1254",
    "cp1255",
    "cp1256",
    "cp1257",
    "cp1258",
    "cp437",
    "cp850",
    "cp852",
    "cp866",
    "koi8_r",
    "koi8_u",
    "gbk",
    "gb2312",
    "gb18030",
    "big5",
    "euc_jp",
    "euc_kr",
    "cp949",
    "cp932",
    "shift_jis",
]

#: The encodings a client may choose, all supersets of ASCII: name to Python codec.
ENCODINGS = {codec: codec for codec in _CODECS} | {
    alias: codec for alias, codec in aliases.items() if codec in _CODECS
}

#: Every tag a client may use.
MESSAGES = (
    "GREETINGS",
    "VER",
    "MSG",
    "NEW",
    "PSWD",
    "COUNT",
    "MODS",
    "JOIN",
    "LEAVE",
    "READY",
    "KICK",
    "FORCESTART",
    "HOSTMODE",
    "CHANNEL",
    "HERE",
    "ROOT",
    "ALIVE",
)

_TAG = re.compile(f"<({'|'.join(MESSAGES)})>")

#: The keep-alive of another game's client, which would be a frame of ten bytes here.
_KEEP_ALIVE = b"\x0a\x00\x00\x00\x09"


class Command(NamedTuple):
    """One C{<TAG>value} of a frame."""

    tag: str
    value: str


@dataclass(frozen=True, eq=False, slots=True)
class Dialect:
    """A client's protocol version and encoding."""

    version: int
    codec: str

    def decode(self, frame: bytes) -> str:
        return frame.decode(self.codec, "replace")

    def encode(self, message: str) -> bytes:
        return message.encode(self.codec, "replace")


#: One dialect object per version and codec, so that a message is encoded once for all who
#: share it.
DIALECTS = {(version, codec): Dialect(version, codec) for version in VERSIONS for codec in _CODECS}


def recognises(first: bytes) -> Verdict:
    r"""
    Whether a connection that begins like this is a lobby client, of any version.

    The first frame is shorter than 64 KiB.  If it begins with C{\{} it is for the JSON lobby of
    later VCMI versions.
    """
    if any(first[2:4]) or first[:5] == _KEEP_ALIVE or first[4:5] == b"{":
        return Verdict.NO
    return alone(first) if len(first) >= 5 else Verdict.MORE


def alone(first: bytes) -> Verdict:
    """The same on VCMI's own port: everything that is not a game pipe."""
    match pipe.recognises(first):
        case Verdict.YES:
            return Verdict.NO
        case Verdict.NO:
            return Verdict.YES
        case undecided:
            return undecided


def greeting(frame: bytes) -> tuple[Dialect, bytes]:
    """
    Read the header of the first frame.

    @return: the client's dialect, and the frame without its header.
    @raise WireError: with the original server's text.
    """
    if len(frame) < 2:
        raise WireError(TOO_SHORT)
    version, length = frame[0], frame[1]
    if version not in VERSIONS:
        raise WireError(INCOMPATIBLE)
    name = frame[2 : 2 + length]
    if len(name) < length:
        raise WireError(MALFORMED)
    wanted = name.decode("ascii", "replace").lower().replace("-", "_") or "utf_8"
    codec = ENCODINGS.get(wanted)
    if codec is None:
        raise WireError(MALFORMED)
    return DIALECTS[version, codec], frame[2 + length :]


def commands(text: str, most: int) -> list[Command]:
    """
    Parse a frame's text.

    @param most: maximum number of commands.
    @raise WireError: there are more.
    """
    if text.startswith("<MSG>") and "<" not in text[5:]:  # nearly every frame is chat
        return [Command("MSG", text[5:])]
    pieces = _TAG.split(text, most + 1)
    if len(pieces) > 2 * most + 1:
        raise WireError(MALFORMED)
    found = []
    for at in range(1, len(pieces), 2):
        tag, value = pieces[at], pieces[at + 1]
        found.append(Command(tag, value if tag == "MSG" else value.partition("<")[0]))
    return found


def mods(value: str, most: int) -> dict[str, str]:
    """
    Read C{name&version;name&version}: mod name to version, at most C{most} of them.

    Colons are removed from names and versions.
    """
    found: dict[str, str] = {}
    for entry in value.split(";", most)[:most]:
        name, _, version = entry.partition("&")
        if name := field(name):
            found[name] = field(version)
    return found


def harmless(text: str) -> str:
    """Escape a last argument, so that nothing in it looks like the beginning of a message."""
    if ">>" not in text:
        return text
    text = text.replace(":>>", ": >>")
    return " " + text if text.startswith(">>") else text


def field(text: str) -> str:
    """Escape any other argument: no colon, and nothing like the beginning of a message."""
    return harmless(text.replace(":", ""))


def error(text: str) -> str:
    return f":>>ERROR:{text}"


def msg(sender: str, text: str) -> str:
    return f":>>MSG:{sender}:{harmless(text)}"


def msgch(sender: str, channel: str, text: str) -> str:
    return f":>>MSGCH:{sender}:{channel}:{harmless(text)}"


def system(text: str) -> str:
    """A chat line from the lobby itself."""
    return msg("System", text)


def sessions(rooms: Sequence[tuple[str, int, int, bool]]) -> str:
    """The room list: name, players inside, places, whether a password is needed."""
    listed = "".join(
        f":{name}:{inside}:{places}:{protected}" for name, inside, places, protected in rooms
    )
    return f":>>SESSIONS:{len(rooms)}{listed}"


def users(names: Collection[str]) -> str:
    return _list("USERS", names)


def created(room: str) -> str:
    return f":>>CREATED:{room}"


def join(room: str, user: str) -> str:
    return f":>>JOIN:{room}:{user}"


def kick(room: str, user: str) -> str:
    return f":>>KICK:{room}:{user}"


def status(members: Iterable[tuple[str, bool]]) -> str:
    """The members of a room, and whether they are ready."""
    return _list("STATUS", [f"{name}:{ready}" for name, ready in members])


def mods_of_room(listed: dict[str, str]) -> str:
    return _list("MODS", [f"{name}:{version}" for name, version in listed.items()])


def mods_of_other(user: str, listed: dict[str, str]) -> str:
    return _list(f"MODSOTHER:{user}", [f"{name}:{version}" for name, version in listed.items()])


def gamemode(mode: int) -> str:
    return f":>>GAMEMODE:{mode}"


def channel(name: str) -> str:
    return f":>>CHANNEL:{name}"


def host(uuid: str, connections: int) -> str:
    return f":>>HOST:{uuid}:{connections}"


def start(uuid: str) -> str:
    return f":>>START:{uuid}"


#: The question that real clients of protocol 4 and later answer with C{<ALIVE>}.
HEALTH = ":>>HEALTH:"


def _list(name: str, items: Collection[str]) -> str:
    return ":".join((f":>>{name}:{len(items)}", *items))
