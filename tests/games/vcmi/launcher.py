"""
A model of the launcher: how it reads what it is told, and what it knows from that.

It holds what every launcher of this wire relies on, without looking at the server: messages it
can take apart and knows, rooms it has heard of before somebody leaves them, and games that
somebody has started.
"""

from __future__ import annotations

from collections.abc import Collection

from tests.games.vcmi.clients import Client


class ProtocolError(Exception):
    """The launcher shows this to the player."""


def read(data: bytes, codec: str = "utf8") -> list[list[str]]:
    """What the launcher makes of one read of its socket."""
    text = data.decode(codec)
    if not text.startswith(":>>"):
        raise ProtocolError(text)
    commands = [piece.split(":") for piece in text.split(":>>")[1:]]
    for command in commands:
        if len(command) < 2 or not command[0].isupper():
            raise ProtocolError(text)
    return commands


#: Every command: the protocol version that knows it first, how many arguments stand before a
#: count, how many follow for each that it counts (0: there is no count), and whether more may
#: come.
ARGUMENTS = {
    "ERROR": (1, 1, 0, True),
    "CREATED": (1, 1, 0, False),
    "SESSIONS": (1, 0, 4, False),
    "JOIN": (1, 2, 0, False),
    "KICK": (1, 2, 0, False),
    "STATUS": (1, 0, 2, False),
    "HOST": (1, 2, 0, False),
    "START": (1, 1, 0, False),
    "MSG": (1, 2, 0, True),
    "MODS": (2, 0, 2, False),
    "MODSOTHER": (3, 1, 2, False),
    "USERS": (4, 0, 1, False),
    "HEALTH": (4, 1, 0, False),
    "GAMEMODE": (4, 1, 0, False),
    "CHANNEL": (5, 1, 0, False),
    "MSGCH": (5, 3, 0, True),
}


def check(command: list[str], version: int) -> None:
    """Whether a launcher of this version knows the command and the number of its arguments."""
    name, *arguments = command
    if name not in ARGUMENTS:
        raise ProtocolError(command)
    since, fixed, repeated, more = ARGUMENTS[name]
    expected = fixed
    if repeated:
        expected += 1 + repeated * int(arguments[fixed])
    if version < since or len(arguments) < expected or (len(arguments) > expected and not more):
        raise ProtocolError(command)


class Launcher:
    """
    One launcher.

    @ivar name: the name it greets with.
    @ivar inside: the room it was told it is in.
    @ivar members: who it was told is in that room, the host first, and whether it is ready.
    @ivar users: the list of users it was told last.
    @ivar sessions: the list of rooms it was told last: names and players inside.
    @ivar uuids: what it was given to play with: the role, and the uuid.
    """

    def __init__(self, client: Client, version: int, codec: str) -> None:
        self.client = client
        self.version = version
        self.codec = codec
        self.name = ""
        self.authorised = False
        self.inside: str | None = None
        self.members: dict[str, bool] = {}
        self.users: list[str] = []
        self.sessions: list[tuple[str, int]] = []
        self.uuids: list[tuple[str, str]] = []
        self.asked = False
        self._next: str | None = None  # the command that must come next

    @property
    def here(self) -> bool:
        return self.authorised and self.client.connected

    @property
    def hosting(self) -> bool:
        return self.inside is not None and next(iter(self.members)) == self.name

    def look(self, starters: Collection[str]) -> None:
        """
        Read what came.

        @param starters: the hosts who have just asked for a start, if they may.
        """
        for data in self.client.writes:
            for command in read(data, self.codec):
                check(command, self.version)
                self._obey(command, starters)
        assert self._next is None
        self.client.forget()

    def _obey(self, command: list[str], starters: Collection[str]) -> None:
        kind = command[0]
        assert self._next in (None, kind), command
        self._next = None
        assert not any(role == "client" for role, _ in self.uuids), "told after START"
        if kind != "ERROR" and not self.authorised:
            self.authorised = True
        match command:
            case ["USERS", _, *names]:
                self.users = names
            case ["SESSIONS", _, *fields]:
                for at in range(0, len(fields), 4):
                    assert 1 <= int(fields[at + 1]) <= int(fields[at + 2]) <= 8
                    assert fields[at + 3] in ("True", "False")
                self.sessions = [
                    (fields[at], int(fields[at + 1])) for at in range(0, len(fields), 4)
                ]
            case ["CREATED", _]:
                assert self.inside is None
                self._next = "JOIN"
            case ["JOIN", room, self.name]:
                assert self.inside is None, "joined twice"
                self.inside, self.members = room, {}
                self._next = "STATUS"
            case ["JOIN", room, name]:
                assert room == self.inside and name not in self.members, command
                self.members[name] = False
                self._next = "STATUS"
            case ["STATUS", _, *fields]:
                told = {
                    name: ready == "True"
                    for name, ready in zip(fields[::2], fields[1::2], strict=True)
                }
                assert self.inside is not None and self.name in told, command
                assert not self.members or list(told) == list(self.members), command
                self.members = told
            case ["KICK", _, self.name] if self.inside is None:
                self._next = "ERROR"  # the room it wanted to make is not made
            case ["KICK", room, name]:
                assert room == self.inside and name in self.members, command
                del self.members[name]
                if name == self.name:
                    self.inside = None
                else:
                    self._next = "STATUS"
            case ["MODS", *_]:
                assert self.inside is not None
            case ["MODSOTHER", name, *_]:
                assert self.hosting and name in self.members, command
            case ["GAMEMODE", mode]:
                assert self.inside is not None and mode in ("0", "1"), command
            case ["CHANNEL", channel] | ["MSGCH", _, channel, *_]:
                assert channel in ("global", "room"), command
            case ["HEALTH", _]:
                self.asked = True
            case ["HOST", uuid, number]:
                assert self.hosting and int(number) == len(self.members) - 1, command
                self.uuids.append(("server", uuid))
                self._next = "START"
            case ["START", uuid]:
                host = next(iter(self.members))
                everybody = len(self.members) > 1 and all(self.members.values())
                assert everybody or host in starters, "nobody has started"
                assert self.hosting == bool(self.uuids), "the host alone is told HOST"
                self.uuids.append(("client", uuid))
                self.inside = None
