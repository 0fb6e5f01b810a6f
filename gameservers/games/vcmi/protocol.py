"""
VCMI's lobby on the wire: one L{LobbyProtocol} per launcher, one L{VcmiFactory} for all.

A connection's phases::

    NEW      nothing said; the first frame is a greeting's or a game pipe's
    GREETING the header was good, but no name yet has been
    LOBBY    a player of the lobby
    LEAVING  what was said to him is on its way, he is not listened to any more
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IReactorTime,
    ITCPTransport,
)
from twisted.internet.protocol import ServerFactory, connectionDone
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.protocols.basic import Int32StringReceiver
from twisted.protocols.policies import TimeoutMixin
from twisted.python.failure import Failure

from gameservers.games import nobody_asks
from gameservers.games.vcmi import rules, wire
from gameservers.games.vcmi.pipe import GameSessions, PipeProtocol
from gameservers.games.vcmi.settings import VcmiSettings
from gameservers.lobby import (
    Departure,
    Lobby,
    Player,
    Refused,
    Room,
    ToChannel,
    ToPlayer,
    ToRoom,
    Why,
)
from gameservers.lobby.events import (
    Announced,
    ChatSaid,
    Expelled,
    Member,
    MemberJoined,
    MemberLeft,
    PlayerEntered,
    PlayerExited,
    PropertyChanged,
    ReadinessChanged,
    RoomChanged,
    RoomClosed,
    RoomOpened,
    RoomStarted,
)
from gameservers.metrics import Metrics
from gameservers.net.address import host_of
from gameservers.net.bypass import make_prompt, segment_size
from gameservers.net.handover import hand_over
from gameservers.net.outbox import Audience, Outbox, Topic, Turn

TO_ALL = ToChannel(rules.GLOBAL)
TO_ROOM = ToRoom()

#: Commands in one frame; with more it is malformed.
MAX_COMMANDS = 100

#: Mods that one player may name; further ones are left out.
MAX_MODS = 1_000

#: Groups of players that are kept in mind because they are told the same things.
REMEMBERED = 100

#: Names, and addresses, that are remembered to count them; further ones are not counted.
MAX_DISTINCT = 100_000

#: Seconds that players and pipes are given to read what they are still owed at the end.
FAREWELL = 3.0


class Phase(enum.Enum):
    NEW = "new"
    GREETING = "greeting"
    LOBBY = "lobby"
    LEAVING = "leaving"


class Standing(enum.Enum):
    """What a command needs; one that lacks it is ignored, save where a refusal is worded."""

    GREETED = "a name"
    INSIDE = "a room"
    HOST = "a room of his own"


@dataclass(slots=True)
class Draft:
    """A room that was named but not yet given its number of players: nobody sees it."""

    name: str
    password: str = ""


@dataclass(frozen=True, slots=True)
class Joining:
    """A room somebody wants to join and has not yet given the password for: grants nothing."""

    name: str


@dataclass(frozen=True, slots=True)
class Declined:
    """NEW or JOIN was refused: the PSWD that follows it in the same frame means nothing."""


class LobbyProtocol(TimeoutMixin, Int32StringReceiver):
    """
    One launcher in the lobby (or, until its first frame, anybody at the door).

    @ivar dialect: how to speak to him.
    @ivar player: who he is in the lobby, once he is greeted.
    @ivar channel: where a client of protocol 5 speaks.
    @ivar asked: whether a health check waits for any sign of life.
    """

    structFormat = "<I"
    _log = Logger()

    transport: ITCPTransport
    outbox: Outbox
    dialect: wire.Dialect
    player: Player

    def __init__(self, factory: VcmiFactory) -> None:
        self._factory = factory
        self._lobby = factory.lobby
        self._settings = factory.settings
        self._phase = Phase.NEW
        self._wish: Draft | Joining | Declined | None = None
        self.channel = rules.GLOBAL
        self.asked = False
        self.MAX_LENGTH = factory.settings.max_message

    # --- the connection -----------------------------------------------------------------------

    def callLater(self, period: float, func: Callable[[], None]) -> IDelayedCall:
        return self._factory.clock.callLater(period, func)

    def connectionMade(self) -> None:
        make_prompt(self.transport)
        self.outbox = Outbox(
            self.transport,
            self._factory.turn,
            limit=self._settings.max_unread,
            overflowed=self._overflowed,
            cut=segment_size(self.transport),
        )
        self._factory.connected(self)
        self.setTimeout(self._settings.login_timeout)

    def timeoutConnection(self) -> None:
        self.cut("silent")

    def lengthLimitExceeded(self, length: int) -> None:
        self._end(wire.MALFORMED, "long")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.setTimeout(None)
        self._exit()
        self.outbox.lost()
        self._factory.disconnected(self)

    def dataReceived(self, data: bytes) -> None:
        """Every byte is a sign of life; those after the end are not even collected."""
        self.asked = False
        if self._phase is not Phase.LEAVING:
            super().dataReceived(data)

    def stringReceived(self, frame: bytes) -> None:
        if not frame or self._phase is Phase.LEAVING:
            return
        if self._phase is Phase.NEW:
            if frame in wire.MAGICS:
                self._become_pipe(frame)
                return
            try:
                self.dialect, frame = wire.greeting(frame)
            except wire.WireError as fault:
                self._end(str(fault), "incompatible")
                return
            self._phase = Phase.GREETING
        try:
            commands = wire.commands(self.dialect.decode(frame), MAX_COMMANDS)
        except wire.WireError as fault:
            self._end(str(fault), "malformed")
            return
        last = len(commands) - 1
        for index, (tag, value) in enumerate(commands):
            # Users type <HERE> into the chat line: the program puts an empty MSG before it.
            if tag != "MSG" or value or index == last:
                self._obey(tag, value)
        if isinstance(self._wish, Declined):
            self._wish = None

    def say(self, *messages: str) -> None:
        for message in messages:
            self.outbox.send(self.dialect.encode(message))

    def refuse(self, text: str) -> None:
        """Tell him in ERROR, which ends nothing."""
        self.say(wire.error(wire.field(text)))

    def leave(self, linger: float = FAREWELL) -> None:
        """Close the connection after everything that was said to him has been delivered."""
        self._exit()
        self._phase = Phase.LEAVING
        self.setTimeout(None)
        self.outbox.close(linger)

    def cut(self, why: str) -> None:
        """End the connection now, for a reason that is counted."""
        self._count_cut(why)
        self.outbox.abort()

    def _end(self, text: str, why: str) -> None:
        if self._phase is Phase.LEAVING:
            return
        self._count_cut(why)
        self.outbox.send(wire.error(text).encode("ascii"))
        self.leave()

    def _overflowed(self) -> None:
        self._count_cut("slow")
        self.transport.abortConnection()

    def _count_cut(self, why: str) -> None:
        self._factory.metrics.cuts[rules.GAME, why] += 1
        self._log.info(
            "A VCMI client at {address} is cut off: {why}",
            address=host_of(self.transport),
            why=why,
        )

    def _exit(self) -> None:
        if self._phase is Phase.LOBBY:
            self._phase = Phase.LEAVING
            self._factory.exit(self)

    def _become_pipe(self, magic: bytes) -> None:
        rest, self.recvd = self.recvd, b""
        self.setTimeout(None)
        self._factory.disconnected(self)
        pipe = PipeProtocol(self._factory.games, self._factory.clock, self._settings, magic)
        hand_over(self.transport, pipe, rest)

    # --- commands -----------------------------------------------------------------------------

    def _obey(self, tag: str, value: str) -> None:
        if tag != "PSWD" and isinstance(self._wish, Joining):
            self._wish = None
        if self._phase is Phase.GREETING:
            if tag == "GREETINGS":
                self._greet(value)
        elif self._phase is Phase.LOBBY:
            standing, command = COMMANDS[tag]
            room = None if standing is Standing.GREETED else self._room
            if standing is Standing.GREETED or (
                room is not None and (standing is Standing.INSIDE or room.host == self.player.id)
            ):
                command(self, value)
            elif standing is Standing.HOST and room is not None:
                self.refuse("Insuficcient permissions")

    def _greet(self, name: str) -> None:
        fault = rules.user_name_fault(name, self._settings.max_name)
        if fault is not None:
            self.refuse(fault)
            return
        try:
            self.player = self._lobby.enter(
                name,
                rules.GAME,
                self._factory.deliver,
                address=host_of(self.transport),
                traits={rules.VERSION: self.dialect.version, rules.PROGRAM: ""},
            )
        except Refused as refusal:
            if refusal.why is Why.LOBBY_FULL:
                self._end("The lobby is full, please try again later", "full")
            else:
                self.refuse(f"Can't connect with the name {name}. This login is already occpupied")
            return
        self._phase = Phase.LOBBY
        self.setTimeout(None)
        self._factory.welcome(self)

    def _greet_again(self, value: str) -> None:
        self.refuse("User already authorized")

    def _ver(self, program: str) -> None:
        program = program[: self._settings.max_name]
        self._lobby.set_trait(self.player.id, rules.PROGRAM, program)

    def _msg(self, text: str) -> None:
        text = text[: self._settings.max_chat]
        to: ToRoom | ToChannel | ToPlayer
        if self.dialect.version < wire.SINCE_CHANNELS:
            to = TO_ALL if self._room is None else TO_ROOM
            if text.startswith("@") and not text.startswith("@ "):
                name, _, text = text[1:].partition(" ")
                if name == "all":
                    to = TO_ALL
                elif name != "room":
                    to = ToPlayer(name, to)
        elif self.channel == rules.ROOM and self._room is not None:
            to = TO_ROOM
        else:
            to = ToChannel(self.channel)
        try:
            self._lobby.say(self.player.id, text, to)
        except Refused as refusal:
            if isinstance(to, ToPlayer) and refusal.why is Why.NO_SUCH_PLAYER:
                self.say(wire.system(f"{wire.field(to.name)} is not here"))
            else:
                self.say(wire.system(refusal.why.value))

    def _new(self, name: str) -> None:
        self._wish = Declined()
        if self._room is not None:
            return
        fault = rules.room_name_fault(name, self._settings.max_name)
        if fault is not None:
            self.refuse(fault)
        elif self._lobby.room(rules.room_key(name)) is not None:
            self._refuse_room(name)
        else:
            self._wish = Draft(name)

    def _refuse_room(self, name: str) -> None:
        self.refuse(
            f"Cannot create session with name {name}, session with this name already exists"
        )

    def _pswd(self, password: str) -> None:
        password = password[: self._settings.max_name]
        match self._wish:
            case Draft():
                self._wish.password = password
            case Joining(name):
                self._wish = None
                self._join_room(name, password)
            case None if self._hosting():
                self._lobby.set_password(self.player.id, password)

    def _count(self, value: str) -> None:
        if isinstance(self._wish, Draft):
            draft, self._wish = self._wish, None
            self._open_room(draft, rules.places(value))
        elif self._hosting():
            self.refuse("Changing amount of players is not possible for existing session")

    def _open_room(self, draft: Draft, places: int | None) -> None:
        if places is None:
            self.say(wire.kick(draft.name, self.player.name))
            self.refuse("Cannot create room with invalid amount of players")
            return
        try:
            self._lobby.open_room(
                self.player.id,
                rules.room_key(draft.name),
                rules.ROOM_RULES,
                capacity=places,
                password=draft.password,
            )
        except Refused:
            self._refuse_room(draft.name)
            return
        self.say(ROOM_CHAT)

    def _mods(self, value: str) -> None:
        room = self._room
        assert room is not None
        if self.dialect.version < wire.SINCE_MODS:
            return
        mods = wire.mods(value, MAX_MODS)
        if self._hosting():
            self._lobby.set_property(self.player.id, rules.MODS, mods)
            room = self._room
            assert room is not None
        self.say(wire.mods_of_room(room.properties.get(rules.MODS, {})))
        others = wire.mods_of_other(self.player.name, mods)
        self._factory.tell((room.host,), others, since=wire.SINCE_MODSOTHER)

    def _join(self, name: str) -> None:
        self._wish = Declined()
        if self._room is not None:
            return
        room = self._lobby.room(rules.room_key(name))
        if room is None:
            self._refuse_to_join(Why.NO_SUCH_ROOM, name)
        elif room.full:
            self._refuse_to_join(Why.ROOM_FULL, name)
        else:
            self._wish = Joining(name)

    def _join_room(self, name: str, password: str) -> None:
        try:
            room = self._lobby.join(self.player.id, rules.room_key(name), password)
        except Refused as refusal:
            self._refuse_to_join(refusal.why, name)
            return
        if self.dialect.version >= wire.SINCE_GAMEMODE:
            self.say(wire.gamemode(room.properties.get(rules.MODE, 0)))
        if self.dialect.version < wire.SINCE_CHANNELS:
            self.say(ROOM_CHAT)
        own, hosts = (
            self._lobby.player(each).traits[rules.PROGRAM] for each in (self.player.id, room.host)
        )
        if own != hosts:
            self.say(
                wire.system(
                    f"Your VCMI version {own} differs from host version {hosts},"
                    " which may cause problems"
                )
            )

    def _refuse_to_join(self, why: Why, name: str) -> None:
        self.refuse(NOT_JOINED[why].format(name[: self._settings.max_name]))

    def _leave(self, name: str) -> None:
        if isinstance(self._wish, Draft):
            self._wish = None
        elif self._in_room(name):
            self._lobby.leave_room(self.player.id)

    def _ready(self, name: str) -> None:
        room = self._room
        if room is None or not self._in_room(name):
            return
        me = self.player.id
        at_once = room.host == me and self.dialect.version in rules.STARTS_AT_ONCE
        self._lobby.set_ready(me, not room.member(me).ready)
        if at_once and self._lobby.room(room.key) is not None:  # and has not started by it
            self._lobby.start(me)

    def _kick(self, name: str) -> None:
        target = self._lobby.find(rules.GAME, name)
        if target is not None:
            with suppress(Refused):
                self._lobby.kick(self.player.id, target.id)

    def _forcestart(self, name: str) -> None:
        if self._in_room(name):
            self._lobby.start(self.player.id)

    def _hostmode(self, value: str) -> None:
        if value in rules.MODES:
            self._lobby.set_property(self.player.id, rules.MODE, rules.MODES[value])

    def _channel(self, name: str) -> None:
        if self.dialect.version < wire.SINCE_CHANNELS:
            return
        if name not in (rules.GLOBAL, rules.ROOM):
            self._refuse_room(name[: self._settings.max_name])
        elif name != self.channel:
            self.channel = name
            self.tune()
            self.say(wire.channel(name))

    def tune(self) -> None:
        """Hear the roomless among those who speak to their room, or no longer."""
        if self.channel == rules.ROOM and self._room is None:
            self._lobby.listen(self.player.id, rules.ROOM)
        else:
            self._lobby.unlisten(self.player.id, rules.ROOM)

    def _here(self, value: str) -> None:
        if self.dialect.version >= wire.SINCE_USERS:
            self._factory.users.tell(self.outbox)
            return
        lines = ["People in lobby"]
        for each in self._lobby.players(rules.GAME):
            room = each.room
            lines.append(each.name if room is None else f"{each.name}[room {room.name}]")
        self.say(wire.system("\n".join(lines)))

    def _root(self, field: str) -> None:
        figure = self._factory.statistics().get(field)
        if figure is not None:
            self.say(wire.system(str(figure)))

    def _alive(self, value: str) -> None:
        """Any frame is a sign of life; this one has no other meaning."""

    @property
    def _room(self) -> Room | None:
        return self._lobby.room_of(self.player.id)

    def _hosting(self) -> bool:
        room = self._room
        return room is not None and room.host == self.player.id

    def _in_room(self, name: str) -> bool:
        room = self._room
        return room is not None and room.key.name == name


#: Every command: what it needs, and what it does.
COMMANDS: dict[str, tuple[Standing, Callable[[LobbyProtocol, str], None]]] = {
    "GREETINGS": (Standing.GREETED, LobbyProtocol._greet_again),
    "VER": (Standing.GREETED, LobbyProtocol._ver),
    "MSG": (Standing.GREETED, LobbyProtocol._msg),
    "NEW": (Standing.GREETED, LobbyProtocol._new),
    "PSWD": (Standing.GREETED, LobbyProtocol._pswd),
    "COUNT": (Standing.GREETED, LobbyProtocol._count),
    "JOIN": (Standing.GREETED, LobbyProtocol._join),
    "LEAVE": (Standing.GREETED, LobbyProtocol._leave),
    "CHANNEL": (Standing.GREETED, LobbyProtocol._channel),
    "HERE": (Standing.GREETED, LobbyProtocol._here),
    "ROOT": (Standing.GREETED, LobbyProtocol._root),
    "ALIVE": (Standing.GREETED, LobbyProtocol._alive),
    "MODS": (Standing.INSIDE, LobbyProtocol._mods),
    "READY": (Standing.INSIDE, LobbyProtocol._ready),
    "KICK": (Standing.HOST, LobbyProtocol._kick),
    "FORCESTART": (Standing.HOST, LobbyProtocol._forcestart),
    "HOSTMODE": (Standing.HOST, LobbyProtocol._hostmode),
}

ROOM_CHAT = wire.system("You are in the room chat.")

#: What somebody is told who could not join.
NOT_JOINED = {
    Why.NO_SUCH_ROOM: "Room with name {} doesn't exist",
    Why.ROOM_FULL: "Room {} is full",
    Why.WRONG_PASSWORD: "Incorrect password",
}


class VcmiFactory(ServerFactory):
    """
    Everybody who speaks VCMI: it puts the lobby's events into VCMI's words.

    @ivar launchers: player id to connection, of all who are in the lobby.
    @ivar games: the games that were started and whose pipes may meet here.
    """

    noisy = False
    _log = Logger()

    def __init__(
        self,
        lobby: Lobby,
        clock: IReactorTime,
        settings: VcmiSettings,
        metrics: Metrics,
        logged_in: Callable[[Any], None] = nobody_asks,
    ) -> None:
        """@param logged_in: is told the transports of launchers and pipes that may stay."""
        self.lobby = lobby
        self.metrics = metrics
        self.logged_in = logged_in
        self.clock = clock
        self.settings = settings
        self.turn = Turn(clock)
        self.games = GameSessions(clock, settings, metrics, self._settle_goodbye, logged_in)
        self.users: Topic[str] = Topic(self.turn, self._render_users)
        self.sessions: Topic[str] = Topic(self.turn, self._render_sessions)
        self.launchers: dict[int, LobbyProtocol] = {}
        self._old: dict[int, LobbyProtocol] = {}  # those who do not know USERS
        self._connections: set[LobbyProtocol] = set()
        self._spoken_to: dict[tuple[int, ...], list[tuple[wire.Dialect, Audience]]] = {}
        self._goodbye: Deferred[None] | None = None
        self._logins = 0
        self._addresses: set[str] = set()
        self._names: set[str] = set()
        lobby.limit(rules.GAME, settings.max_players)
        lobby.subscribe(self._lobby_changed)

    def buildProtocol(self, addr: IAddress | None) -> LobbyProtocol:
        self._logins += 1
        return LobbyProtocol(self)

    def connected(self, launcher: LobbyProtocol) -> None:
        self._connections.add(launcher)
        _remember(self._addresses, host_of(launcher.transport))

    def disconnected(self, launcher: LobbyProtocol) -> None:
        self._connections.discard(launcher)
        self._settle_goodbye()

    def welcome(self, launcher: LobbyProtocol) -> None:
        """Somebody has been greeted: he is told at once what is to be known."""
        self.logged_in(launcher.transport)
        player, codec = launcher.player, launcher.dialect.codec
        _remember(self._names, player.name)
        outbox = launcher.outbox
        self.launchers[player.id] = launcher
        self.lobby.listen(player.id, rules.GLOBAL)
        self.sessions.subscribe(outbox, codec)
        knows_users = launcher.dialect.version >= wire.SINCE_USERS
        if knows_users:
            self.users.subscribe(outbox, codec)
            self.users.tell(outbox)
        else:
            self._old[player.id] = launcher
        self.sessions.tell(outbox)
        if knows_users:
            self.users.tell(outbox)
        others = self.lobby.present(rules.GAME) - 1
        text = f"Here available {others} users, currently playing {self.games.playing}"
        if not knows_users:
            text += "\n Send <HERE> to see people names in the chat"
        launcher.say(wire.system(text))

    def exit(self, launcher: LobbyProtocol) -> None:
        """A launcher leaves the lobby."""
        del self.launchers[launcher.player.id]
        self._spoken_to.clear()
        self._old.pop(launcher.player.id, None)
        self.sessions.unsubscribe(launcher.outbox)
        self.users.unsubscribe(launcher.outbox)
        self.lobby.exit(launcher.player.id)

    def statistics(self) -> dict[str, int]:
        """The figures that C{<ROOT>} gives, by the names it asks for."""
        metrics = self.metrics
        return {
            "uniques": len(self._addresses),
            "users": len(self._names),
            "logins": self._logins,
            "rooms": metrics.rooms_opened[rules.GAME],
            "sessions": metrics.rooms_started[rules.GAME],
            "clients": metrics.pipes_opened[rules.GAME],
            "connections": metrics.pipes_paired[rules.GAME],
        }

    def check_health(self) -> None:
        """Ask everybody who can answer for a sign of life; who gave none since is lost."""
        for launcher in tuple(self.launchers.values()):
            if launcher.dialect.version >= wire.SINCE_HEALTH:
                if launcher.asked:
                    launcher.cut("dead")
                else:
                    launcher.asked = True
                    launcher.say(wire.HEALTH)

    def say_goodbye(self) -> Deferred[None]:
        """
        The server ends: tell everybody, close what is open.

        @return: fires when all connections are closed, L{FAREWELL} seconds later at most.
        """
        self.games.end()
        for launcher in tuple(self.launchers.values()):
            launcher.say(wire.system("The server is shutting down"))
        for connection in tuple(self._connections):
            connection.leave()
        goodbye: Deferred[None] = Deferred()
        self._goodbye = goodbye
        goodbye.addTimeout(FAREWELL, self.clock, lambda _, __: None)
        self._settle_goodbye()
        return goodbye

    def _settle_goodbye(self) -> None:
        goodbye = self._goodbye
        if goodbye is not None and not self._connections and not self.games.playing:
            self._goodbye = None
            goodbye.callback(None)

    # --- the lobby's events in VCMI's words ---------------------------------------------------

    def deliver(self, ids: Sequence[int], event: object) -> None:
        """Tell these players of an event of theirs."""
        match event:
            case ChatSaid():
                self._tell_chat(ids, event)
            case MemberJoined(key, player, _, members):
                name = _name(player, members)
                self.tell(ids, wire.join(key.name, name), _status(members))
                self._tune(player)
            case ReadinessChanged(_, _, members):
                self.tell(ids, _status(members))
            case MemberLeft(key, gone, why, _, members):
                self.tell(ids, wire.kick(key.name, gone.name))
                self.tell([each for each in ids if each != gone.id], _status(members))
                if why is not Departure.LOST:
                    self._tune(gone.id)
            case RoomOpened(key, members):
                name = members[0].name
                self.tell(ids, wire.created(key.name), wire.join(key.name, name), _status(members))
                self._tune(members[0].id)
            case RoomClosed(key):
                for each in ids:
                    self.tell((each,), wire.kick(key.name, self.launchers[each].player.name))
                    self._tune(each)
            case PropertyChanged(_, rules.MODE, mode):
                self.tell(ids, wire.gamemode(mode), since=wire.SINCE_GAMEMODE)
            case RoomStarted(_, host, members):
                self._start(host, members)
            case Announced(text):
                self.tell(ids, wire.system(text))
            case Expelled(why):
                for each in ids:
                    self.launchers[each].say(wire.system(why))
                    self.launchers[each].leave()

    def _lobby_changed(self, event: object) -> None:
        match event:
            case PlayerEntered(player, name, rules.GAME):
                self.users.touch()
                self.tell(
                    [each for each in self._old if each != player], wire.system(f"{name} is here")
                )
            case PlayerExited(_, _, rules.GAME):
                self.users.touch()
            case RoomChanged(key) if key.game == rules.GAME:
                self.sessions.touch()

    def tell(self, ids: Iterable[int], *messages: str, since: int = 1) -> None:
        for dialect, audience in self._audiences(tuple(ids)):
            if dialect.version >= since:
                for message in messages:
                    audience.send(dialect.encode(message))

    def _tell_chat(self, ids: Sequence[int], said: ChatSaid) -> None:
        in_channel = said.traits[rules.VERSION] >= wire.SINCE_CHANNELS
        for dialect, audience in self._audiences(tuple(ids)):
            if in_channel and dialect.version >= wire.SINCE_CHANNELS:
                line = wire.msgch(said.name, said.channel or rules.ROOM, said.text)
            else:
                line = wire.msg(said.name, said.text)
            audience.send(dialect.encode(line))

    def _audiences(self, ids: tuple[int, ...]) -> list[tuple[wire.Dialect, Audience]]:
        """These players by dialect; kept, because the same are spoken to again and again."""
        found = self._spoken_to.get(ids)
        if found is None:
            by_dialect: dict[wire.Dialect, list[Outbox]] = {}
            for each in ids:
                launcher = self.launchers[each]
                by_dialect.setdefault(launcher.dialect, []).append(launcher.outbox)
            found = [(dialect, Audience(them)) for dialect, them in by_dialect.items()]
            if len(self._spoken_to) >= REMEMBERED:
                self._spoken_to.clear()
            self._spoken_to[ids] = found
        return found

    def _start(self, host: int, members: Sequence[Member]) -> None:
        game = self.games.open(len(members))
        self.launchers[host].say(wire.host(game.host, len(members) - 1))
        for member, uuid in zip(members, game.clients, strict=True):
            launcher = self.launchers[member.id]
            launcher.say(wire.start(uuid))
            launcher.leave()

    def _tune(self, player: int) -> None:
        launcher = self.launchers.get(player)
        if launcher is not None and launcher.channel != rules.GLOBAL:
            launcher.tune()

    def _render_users(self, codec: str) -> bytes:
        names = [player.name for player in self.lobby.players(rules.GAME)]
        return wire.users(names).encode(codec, "replace")

    def _render_sessions(self, codec: str) -> bytes:
        rooms = [
            (room.key.name, len(room.members), room.capacity, room.protected)
            for room in self.lobby.rooms(rules.GAME)
            if room.visible
        ]
        return wire.sessions(rooms).encode(codec, "replace")


class VcmiService(Service):
    """What VCMI does by the clock: health checks while the server runs, a farewell at its end."""

    def __init__(self, factory: VcmiFactory) -> None:
        self._factory = factory
        self._checks = LoopingCall(factory.check_health)
        self._checks.clock = factory.clock

    def startService(self) -> None:
        super().startService()
        every = self._factory.settings.ping_interval
        if every:
            self._checks.start(every, now=False)

    def stopService(self) -> Deferred[None]:
        super().stopService()
        if self._checks.running:
            self._checks.stop()
        return self._factory.say_goodbye()


def _remember(seen: set[str], value: str) -> None:
    if len(seen) < MAX_DISTINCT:
        seen.add(value)


def _status(members: Iterable[Member]) -> str:
    return wire.status([(member.name, member.ready) for member in members])


def _name(player: int, members: Iterable[Member]) -> str:
    return next(member.name for member in members if member.id == player)
