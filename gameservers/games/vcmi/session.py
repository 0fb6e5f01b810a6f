"""
The session of a launcher in the text lobby: handles its commands.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gameservers import names
from gameservers.games import NO_PLACE
from gameservers.games.vcmi import rules
from gameservers.games.vcmi.wires import text
from gameservers.games.vcmi.words import TOO_MANY_GAMES
from gameservers.lobby import Refused, Room, RoomKey, ToChannel, ToPlayer, ToRoom, Why
from gameservers.net.connection import Connection, Reason

if TYPE_CHECKING:
    from gameservers.games.vcmi.service import VcmiService

#: Maximum number of commands in one frame; with more it is malformed.
MAX_COMMANDS = 100

#: Maximum number of mods of a player; further ones are ignored.
MAX_MODS = 1_000

TO_ALL = ToChannel(rules.GLOBAL)
TO_ROOM = ToRoom()

ROOM_CHAT = text.system("You are in the room chat.")

#: The texts for a player that could not join.
NOT_JOINED = {
    Why.NO_SUCH_ROOM: "Room with name {} doesn't exist",
    Why.ROOM_FULL: "Room {} is full",
    Why.WRONG_PASSWORD: "Incorrect password",
}


class Phase(enum.Enum):
    GREETING = "it has no name yet"
    LOBBY = "it is in no room"
    GUEST = "it is in another's room"
    HOST = "it is in its own room"


@dataclass(slots=True)
class Draft:
    """A room that has a name but no capacity yet, and does not exist for others."""

    name: str
    password: str = ""


@dataclass(frozen=True, slots=True)
class Joining:
    """A room that a player tries to join, until its password arrives."""

    name: str


@dataclass(frozen=True, slots=True)
class Declined:
    """NEW or JOIN was refused: the PSWD that follows in the same frame is ignored."""


class TextSession:
    """
    The session of one launcher.

    @ivar id: the player id, once it is in the lobby.
    @ivar dialect: the client's protocol version and encoding.
    @ivar asked: whether a health check has not been answered.
    """

    def __init__(
        self, connection: Connection, service: VcmiService, dialect: text.Dialect
    ) -> None:
        self.connection = connection
        self.dialect = dialect
        self.id = 0
        self.asked = False
        self._is_old = dialect.version < text.SINCE_CHANNELS  # older protocols have no channels
        self._service = service
        self._lobby = service.lobby
        self._settings = service.settings
        self._commands: deque[tuple[str, str]] = deque()
        self._wish: Draft | Joining | Declined | None = None

    @property
    def phase(self) -> Phase:
        if not self.id:
            return Phase.GREETING
        room = self._room
        if room is None:
            return Phase.LOBBY
        return Phase.HOST if room.host == self.id else Phase.GUEST

    def received(self, frame: bytes) -> None:
        """Handle the commands of a frame."""
        self._commands.extend(text.commands(self.dialect.decode(frame), MAX_COMMANDS))
        self.go_on()

    def go_on(self) -> None:
        """Handle the commands of a frame that have not been handled, until others have a turn."""
        commands, connection = self._commands, self.connection
        while commands and not connection.paused:
            tag, value = commands.popleft()
            # Users type <HERE> into the chat: the program sends an empty MSG before it.
            if tag != "MSG" or value or not commands:
                self._handle(tag, value)
                if connection.ended:
                    commands.clear()
                connection.handled()
        if not commands and isinstance(self._wish, Declined):
            self._wish = None

    def _handle(self, tag: str, value: str) -> None:
        if tag != "PSWD" and isinstance(self._wish, Joining):
            self._wish = None
        command = TABLE[self.phase].get(tag)
        if command is not None:
            command(self, value)

    def say(self, *messages: str) -> None:
        for message in messages:
            self.connection.outbox.send(self.dialect.encode(message))

    def check_health(self) -> None:
        """
        Send a health check, if the protocol has one; cut a client that did not answer the last
        one.
        """
        if self.dialect.version < text.SINCE_HEALTH:
            return
        if self.asked:
            self.connection.cut(Reason.SILENT, "no sign of life")
        else:
            self.asked = True
            self.say(text.HEALTH)

    def left(self) -> None:
        """Remove the player, as its connection has ended."""
        if self.id:
            self._service.text_words.forget(self)
            self._lobby.exit(self.id)

    # --- greeting -----------------------------------------------------------------------------

    def _greet(self, name: str) -> None:
        fault = rules.user_name_fault(name, self._settings.max_name)
        if fault is not None:
            self._refuse(fault)
            return
        traits = {
            rules.VERSION: self.dialect.version,
            rules.PROGRAM: "",
            rules.CHANNEL: rules.GLOBAL,
        }
        words = self._service.text_words
        try:
            player = self._lobby.enter(
                name,
                self._service.game,
                words.deliver,
                address=self.connection.address,
                traits=traits,
            )
        except Refused as refusal:
            if refusal.why in NO_PLACE:
                full = text.error("The lobby is full, please try again later")
                self.connection.cut(NO_PLACE[refusal.why], str(refusal), full.encode("ascii"))
            else:
                self._refuse(
                    f"Can't connect with the name {name}. This login is already occpupied"
                )
            return
        self.id = player.id
        self.connection.logged_in(name)
        self.connection.time_limit(None)
        self._service.count_name(name)
        words.welcome(self)

    def _greet_again(self, value: str) -> None:
        self._refuse("User already authorized")

    def _ver(self, program: str) -> None:
        self._lobby.set_trait(
            self.id, rules.PROGRAM, names.one_line(program[: self._settings.max_name])
        )

    # --- chat ---------------------------------------------------------------------------------

    def _talk(self, line: str) -> None:
        self._say(line, TO_ALL if self._is_old else ToChannel(self._channel))

    def _talk_inside(self, line: str) -> None:
        in_room = self._is_old or self._channel == rules.ROOM
        self._say(line, TO_ROOM if in_room else TO_ALL)

    def _say(self, line: str, audience: ToRoom | ToChannel) -> None:
        line = names.one_line(line[: self._settings.max_chat])
        to: ToRoom | ToChannel | ToPlayer = audience
        if self._is_old and line.startswith("@") and not line.startswith("@ "):
            name, _, line = line[1:].partition(" ")
            if name == "all":
                to = TO_ALL
            elif name != "room":
                to = ToPlayer(name, audience)
        try:
            self._lobby.say(self.id, line, to)
        except Refused as refusal:
            if isinstance(to, ToPlayer) and refusal.why is Why.NO_SUCH_PLAYER:
                self.say(text.system(f"{text.field(to.name)} is not here"))
            else:
                self.say(text.system(refusal.why.value))

    def _choose_channel(self, name: str) -> None:
        if self._is_old:
            return
        if name not in (rules.GLOBAL, rules.ROOM):
            self._refuse_room(name[: self._settings.max_name])
        elif name != self._channel:
            self._lobby.set_trait(self.id, rules.CHANNEL, name)
            self._service.text_words.update_channel(self.id)
            self.say(text.channel(name))

    # --- rooms --------------------------------------------------------------------------------

    def _new(self, name: str) -> None:
        self._wish = Declined()
        fault = rules.room_name_fault(name, self._settings.max_name)
        if fault is not None:
            self._refuse(fault)
        elif self._lobby.room(self._key(name)) is not None:
            self._refuse_room(name)
        else:
            self._wish = Draft(name)

    def _count(self, value: str) -> None:
        if not isinstance(self._wish, Draft):
            return
        draft, self._wish = self._wish, None
        places = rules.places(value)
        if places is None:
            self.say(text.kick(draft.name, self._lobby.player(self.id).name))
            self._refuse("Cannot create room with invalid amount of players")
            return
        try:
            self._lobby.open_room(
                self.id,
                self._key(draft.name),
                rules.ROOM_RULES,
                capacity=places,
                password=draft.password,
            )
        except Refused:
            self._refuse_room(draft.name)
            return
        self.say(ROOM_CHAT)

    def _count_again(self, value: str) -> None:
        self._refuse("Changing amount of players is not possible for existing session")

    def _join(self, name: str) -> None:
        self._wish = Declined()
        room = self._lobby.room(self._key(name))
        if room is None:
            self._refuse_to_join(Why.NO_SUCH_ROOM, name)
        elif room.full:
            self._refuse_to_join(Why.ROOM_FULL, name)
        else:
            self._wish = Joining(name)

    def _decline(self, name: str) -> None:
        self._wish = Declined()

    def _pswd(self, password: str) -> None:
        password = password[: self._settings.max_name]
        match self._wish:
            case Draft():
                self._wish.password = password
            case Joining(name):
                self._wish = None
                self._join_room(name, password)

    def _join_room(self, name: str, password: str) -> None:
        try:
            room = self._lobby.join(self.id, self._key(name), password)
        except Refused as refusal:
            self._refuse_to_join(refusal.why, name)
            return
        if self.dialect.version >= text.SINCE_GAMEMODE:
            self.say(text.gamemode(room.properties.get(rules.MODE, 0)))
        if self._is_old:
            self.say(ROOM_CHAT)
        own, hosts = (
            self._lobby.player(each).traits[rules.PROGRAM] for each in (self.id, room.host)
        )
        if own != hosts:
            self.say(
                text.system(
                    f"Your VCMI version {own} differs from host version {hosts},"
                    " which may cause problems"
                )
            )

    def _change_password(self, password: str) -> None:
        if self._wish is None:
            self._lobby.set_password(self.id, password[: self._settings.max_name])

    def _drop_draft(self, name: str) -> None:
        self._wish = None

    def _leave(self, name: str) -> None:
        if self._is_in(name):
            self._lobby.leave_room(self.id)

    def _mods(self, value: str) -> None:
        if self.dialect.version < text.SINCE_MODS:
            return
        mods = text.mods(names.one_line(value), MAX_MODS)
        if self.phase is Phase.HOST:
            self._lobby.set_property(self.id, rules.MODS, mods)
        room = self._room
        assert room is not None
        self.say(text.mods_of_room(room.properties.get(rules.MODS, {})))
        others = text.mods_of_other(self._lobby.player(self.id).name, mods)
        self._service.text_words.tell((room.host,), others, since=text.SINCE_MODSOTHER)

    def _ready(self, name: str) -> None:
        room = self._room
        if room is None or not self._is_in(name):
            return
        ready = not room.member(self.id).ready
        at_once = room.host == self.id and self.dialect.version in rules.STARTS_AT_ONCE
        if (ready or at_once) and self._no_more_games(room):
            return
        self._lobby.set_ready(self.id, ready)
        if at_once and self._lobby.room(room.key) is not None:  # not started yet
            self._lobby.start(self.id)

    def _kick(self, name: str) -> None:
        target = self._lobby.find(self._service.game, name)
        if target is not None:
            with suppress(Refused):
                self._lobby.kick(self.id, target.id)

    def _forcestart(self, name: str) -> None:
        room = self._room
        if room is not None and self._is_in(name) and not self._no_more_games(room):
            self._lobby.start(self.id)

    def _no_more_games(self, room: Room) -> bool:
        """Whether this room's host may start no other game; if so, say it to this client."""
        place = self._service.place_of(self._lobby.player(room.host).address)
        full = self._service.games.full(place)
        if full:
            self._refuse(TOO_MANY_GAMES)
        return full

    def _hostmode(self, value: str) -> None:
        if value in rules.MODES:
            self._lobby.set_property(self.id, rules.MODE, rules.MODES[value])

    def _forbid(self, value: str) -> None:
        self._refuse("Insuficcient permissions")

    # --- queries ------------------------------------------------------------------------------

    def _here(self, value: str) -> None:
        if self.dialect.version >= text.SINCE_USERS:
            self._service.text_words.users.tell(self.connection.outbox)
            return
        lines = ["People in lobby"]
        for each in self._lobby.players(self._service.game):
            room = each.room
            lines.append(each.name if room is None else f"{each.name}[room {room.name}]")
        self.say(text.system("\n".join(lines)))

    def _root(self, field: str) -> None:
        figure = self._service.statistics().get(field)
        if figure is not None:
            self.say(text.system(str(figure)))

    # --- common parts -------------------------------------------------------------------------

    def _refuse(self, fault: str) -> None:
        """Send an ERROR, without ending the connection."""
        self.say(text.error(text.field(fault)))

    def _refuse_room(self, name: str) -> None:
        self._refuse(
            f"Cannot create session with name {name}, session with this name already exists"
        )

    def _refuse_to_join(self, why: Why, name: str) -> None:
        self._refuse(NOT_JOINED[why].format(name[: self._settings.max_name]))

    def _key(self, name: str) -> RoomKey:
        return RoomKey(self._service.game, "", name)

    def _is_in(self, name: str) -> bool:
        room = self._room
        return room is not None and room.key.name == name

    @property
    def _room(self) -> Room | None:
        return self._lobby.room_of(self.id)

    @property
    def _channel(self) -> str:
        channel: str = self._lobby.player(self.id).traits[rules.CHANNEL]
        return channel


Command = Callable[[TextSession, str], None]

_ANYWHERE: dict[str, Command] = {
    "GREETINGS": TextSession._greet_again,
    "VER": TextSession._ver,
    "CHANNEL": TextSession._choose_channel,
    "HERE": TextSession._here,
    "ROOT": TextSession._root,
}
_INSIDE: dict[str, Command] = {
    **_ANYWHERE,
    "MSG": TextSession._talk_inside,
    "MODS": TextSession._mods,
    "READY": TextSession._ready,
    "LEAVE": TextSession._leave,
}

#: The function for each command, in each phase.
TABLE: dict[Phase, dict[str, Command]] = {
    Phase.GREETING: {"GREETINGS": TextSession._greet},
    Phase.LOBBY: {
        **_ANYWHERE,
        "MSG": TextSession._talk,
        "NEW": TextSession._new,
        "PSWD": TextSession._pswd,
        "COUNT": TextSession._count,
        "JOIN": TextSession._join,
        "LEAVE": TextSession._drop_draft,
    },
    Phase.GUEST: {
        **_INSIDE,
        "KICK": TextSession._forbid,
        "FORCESTART": TextSession._forbid,
        "HOSTMODE": TextSession._forbid,
    },
    Phase.HOST: {
        **_INSIDE,
        "NEW": TextSession._decline,
        "PSWD": TextSession._change_password,
        "COUNT": TextSession._count_again,
        "JOIN": TextSession._decline,
        "KICK": TextSession._kick,
        "FORCESTART": TextSession._forcestart,
        "HOSTMODE": TextSession._hostmode,
    },
}

#: Commands that are ignored.  (Any frame answers a health check; ALIVE does nothing else.)
IGNORED: dict[Phase, frozenset[str]] = {
    Phase.GREETING: frozenset(text.MESSAGES) - {"GREETINGS"},
    Phase.LOBBY: frozenset({"ALIVE", "MODS", "READY", "KICK", "FORCESTART", "HOSTMODE"}),
    Phase.GUEST: frozenset({"ALIVE", "NEW", "PSWD", "COUNT", "JOIN"}),
    Phase.HOST: frozenset({"ALIVE"}),
}
