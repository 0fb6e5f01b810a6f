"""
The lobby's events as messages of the text lobby.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from gameservers.games.vcmi import rules
from gameservers.games.vcmi.wires import text
from gameservers.lobby import Departure, Member, events
from gameservers.net.connection import Reason
from gameservers.net.outbox import Audience, Outbox, Topic

if TYPE_CHECKING:
    from gameservers.games.vcmi.service import VcmiService
    from gameservers.games.vcmi.session import TextSession

TOO_MANY_GAMES = "Too many games have been started, please try again later"

#: Maximum number of groups of players that are cached, as the same groups recur.
REMEMBERED = 100


class TextWords:
    """
    Sends messages to the launchers in the text lobby.

    @ivar sessions: those of all players in the lobby, by player id.
    @ivar users: the list of users, for clients that support it.
    @ivar rooms: the list of rooms.
    """

    def __init__(self, service: VcmiService) -> None:
        self._game = service.game
        self._games = service.games
        self._lobby = service.lobby
        self._place_of = service.place_of
        self.sessions: dict[int, TextSession] = {}
        self.users: Topic[str] = Topic(service.turn, self._render_users)
        self.rooms: Topic[str] = Topic(service.turn, self._render_rooms)
        self._names: dict[int, str] = {}  # of all players, whatever their wire format
        self._old: dict[int, None] = {}  # the ids of those that do not support USERS
        self._known: dict[tuple[int, ...], list[tuple[text.Dialect, Audience]]] = {}
        self._lobby.subscribe(self._lobby_changed)

    def welcome(self, session: TextSession) -> None:
        """Add a player that has entered, and send it the lists."""
        codec, outbox = session.dialect.codec, session.connection.outbox
        self.sessions[session.id] = session
        self._lobby.listen(session.id, rules.GLOBAL)
        self.rooms.subscribe(outbox, codec)
        knows_users = session.dialect.version >= text.SINCE_USERS
        if knows_users:
            self.users.subscribe(outbox, codec)
            self.users.tell(outbox)
        else:
            self._old[session.id] = None
        self.rooms.tell(outbox)
        if knows_users:
            self.users.tell(outbox)
        others = self._lobby.present(self._game) - 1
        line = f"Here available {others} users, currently playing {self._games.playing}"
        if not knows_users:
            line += "\n Send <HERE> to see people names in the chat"
        session.say(text.system(line))

    def forget(self, session: TextSession) -> None:
        """Remove a player that leaves the lobby."""
        del self.sessions[session.id]
        self._known.clear()
        self._old.pop(session.id, None)
        self.rooms.unsubscribe(session.connection.outbox)
        self.users.unsubscribe(session.connection.outbox)

    def update_channel(self, player: int) -> None:
        """Subscribe a player to the channel of those in no room, or unsubscribe it."""
        now = self._lobby.player(player)
        if now.traits[rules.CHANNEL] == rules.ROOM and now.room is None:
            self._lobby.listen(player, rules.ROOM)
        else:
            self._lobby.unlisten(player, rules.ROOM)

    def say_farewell(self) -> None:
        self.tell(self.sessions, text.system("The server is shutting down"))

    def deliver(self, ids: Sequence[int], event: object) -> None:
        """Send an event to these players."""
        match event:
            case events.ChatSaid():
                self._tell_chat(ids, event)
            case events.MemberJoined(key, player, _, members):
                name = next(member.name for member in members if member.id == player)
                self.tell(ids, text.join(key.name, name), _status(members))
                self.update_channel(player)
            case events.ReadinessChanged(_, _, members):
                self.tell(ids, _status(members))
            case events.MemberLeft(key, gone, why, _, members):
                self.tell(ids, text.kick(key.name, gone.name))
                self.tell([each for each in ids if each != gone.id], _status(members))
                if why is not Departure.LOST:
                    self.update_channel(gone.id)
            case events.RoomOpened(key, members):
                name = members[0].name
                self.tell(ids, text.created(key.name), text.join(key.name, name), _status(members))
                self.update_channel(members[0].id)
            case events.RoomClosed(key):
                for each in ids:
                    self.tell((each,), text.kick(key.name, self._lobby.player(each).name))
                    self.update_channel(each)
            case events.PropertyChanged(_, rules.MODE, mode):
                self.tell(ids, text.gamemode(mode), since=text.SINCE_GAMEMODE)
            case events.RoomStarted(key, host, members):
                self._start(key.name, host, members)
            case events.Announced(line):
                self.tell(ids, text.system(line))
            case events.Expelled(why):
                for each in ids:
                    session = self.sessions[each]
                    last = session.dialect.encode(text.system(why))
                    session.connection.cut(Reason.BANNED, why, last)

    def tell(self, ids: Iterable[int], *messages: str, since: int = 1) -> None:
        """Send messages to players whose protocol version is at least C{since}."""
        for dialect, audience in self._audiences(tuple(ids)):
            if dialect.version >= since:
                for message in messages:
                    audience.send(dialect.encode(message))

    def _tell_chat(self, ids: Sequence[int], said: events.ChatSaid) -> None:
        in_channel = said.traits[rules.VERSION] >= text.SINCE_CHANNELS
        hearers = self._audiences(tuple(ids))
        sender = self.sessions.get(said.sender)
        if sender is not None:
            sender.connection.spread(1, [audience for _, audience in hearers])
        for dialect, audience in hearers:
            if in_channel and dialect.version >= text.SINCE_CHANNELS:
                line = text.msgch(said.name, said.channel or rules.ROOM, said.text)
            else:
                line = text.msg(said.name, said.text)
            audience.send(dialect.encode(line))

    def _audiences(self, ids: tuple[int, ...]) -> list[tuple[text.Dialect, Audience]]:
        """These players by dialect; cached, because the same groups recur."""
        found = self._known.get(ids)
        if found is None:
            by_dialect: dict[text.Dialect, list[Outbox]] = {}
            for each in ids:
                session = self.sessions[each]
                by_dialect.setdefault(session.dialect, []).append(session.connection.outbox)
            found = [(dialect, Audience(them)) for dialect, them in by_dialect.items()]
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[ids] = found
        return found

    def _start(self, room: str, host: int, members: Sequence[Member]) -> None:
        place = self._place_of(self._lobby.player(host).address)
        if self._games.full(place):  # all were ready before, and now somebody has left
            for member in members:
                self.tell((member.id,), text.kick(room, member.name), text.error(TOO_MANY_GAMES))
                self.update_channel(member.id)
            return
        started = self._games.open(len(members), place)
        self.sessions[host].say(text.host(started.host, len(members) - 1))
        for member, uuid in zip(members, started.clients, strict=True):
            session = self.sessions[member.id]
            session.say(text.start(uuid))
            session.connection.close()

    def _lobby_changed(self, event: object) -> None:
        match event:
            case events.PlayerEntered(player, name, game) if game == self._game:
                self._names[player] = name
                self.users.touch()
                others = [each for each in self._old if each != player]
                self.tell(others, text.system(f"{name} is here"))
            case events.PlayerExited(player, _, game) if game == self._game:
                del self._names[player]
                self.users.touch()
            case events.RoomChanged(key) if key.game == self._game:
                self.rooms.touch()

    def _render_users(self, codec: str) -> bytes:
        return text.users(self._names.values()).encode(codec, "replace")

    def _render_rooms(self, codec: str) -> bytes:
        rooms = [
            (room.key.name, len(room.members), room.capacity, room.protected)
            for room in self._lobby.rooms(self._game)
            if room.visible
        ]
        return text.sessions(rooms).encode(codec, "replace")


def _status(members: Iterable[Member]) -> str:
    return text.status([(member.name, member.ready) for member in members])
