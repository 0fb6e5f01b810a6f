"""
Everybody who speaks VelNet: who he is in the lobby, and the lobby's events in VelNet's words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from twisted.internet.interfaces import IReactorTime

from gameservers.games import nobody_asks
from gameservers.games.velnet.feed import Feed
from gameservers.games.velnet.messages import Join
from gameservers.games.velnet.session import Address, SendDatagram, Session
from gameservers.games.velnet.settings import VelNetSettings
from gameservers.lobby import Lobby, Refused, RoomKey, RoomRules, Succession
from gameservers.lobby.events import (
    Expelled,
    HostChanged,
    Member,
    MemberJoined,
    MemberLeft,
    RoomClosed,
    RoomOpened,
)
from gameservers.metrics import Metrics
from gameservers.net.outbox import Turn

#: Short name of the game, for the lobby, counters and logs.
GAME = "velnet"

#: The host of a room is VelNet's master client.
RULES = RoomRules(succession=Succession.OLDEST)


class Relay:
    """
    What the sessions share.

    @ivar sessions: player id to session, of all who have logged in.
    @ivar bound: address to session, of all who have said hello over UDP.
    @ivar logged_in: is told the transports of players.
    """

    def __init__(
        self,
        lobby: Lobby,
        clock: IReactorTime,
        settings: VelNetSettings,
        metrics: Metrics,
        logged_in: Callable[[Any], None] = nobody_asks,
    ) -> None:
        self.logged_in = logged_in
        self.lobby = lobby
        self.metrics = metrics
        self.clock = clock
        self.settings = settings
        self.turn = Turn(clock)
        self.sessions: dict[int, Session] = {}
        self.bound: dict[Address, Session] = {}
        self._feeds: dict[RoomKey, Feed] = {}
        lobby.limit(GAME, settings.max_players)

    def fit(self, *names: str) -> bool:
        """Whether none of these names or passwords is too long."""
        longest = self.settings.max_name
        return all(len(each.encode("utf-8", "surrogateescape")) <= longest for each in names)

    # --- who is here --------------------------------------------------------------------------

    def enter(self, session: Session, name: str) -> int:
        """@raise Refused: the lobby is full."""
        player = self.lobby.enter(
            name, GAME, self.deliver, address=session.address, unique=False
        ).id
        self.sessions[player] = session
        return player

    def rename(self, session: Session, name: str) -> None:
        self.lobby.rename(session.player, name)

    def exit(self, session: Session) -> None:
        """A player who was let in is gone; he hears nothing more."""
        self._leave_feed(session)
        self.unbind(session)
        del self.sessions[session.player]
        self.lobby.exit(session.player)

    def bind(self, session: Session, address: Address, send: SendDatagram, *, seed: bool) -> None:
        """Datagrams from this address are this player's from now on, and his go there."""
        owner = self.bound.get(address)
        if owner is not None:
            self.unbind(owner)
        self.unbind(session)
        self.bound[address] = session
        session.udp = address
        session.send_datagram = send
        session.seed = seed
        session.say_hello()

    def unbind(self, session: Session) -> None:
        address, session.udp = session.udp, None
        if address is not None:
            del self.bound[address]

    # --- rooms --------------------------------------------------------------------------------

    def join(self, session: Session, wish: Join) -> None:
        """
        A player leaves his room and joins another, or opens it.

        It is one step: who may not join stays where he is.  The wire has no word for a
        refusal, so he is not told.
        """
        if not self.fit(wish.room, wish.password):
            return
        try:
            self.lobby.move(
                session.player,
                RoomKey(GAME, session.scope, wish.room),
                RULES,
                capacity=self.settings.room_size,
                password=wish.password,
                visible=not wish.password,
            )
        except Refused:
            self.metrics.wishes_refused[GAME] += 1

    def leave(self, session: Session) -> None:
        with suppress(Refused):  # who is in no room
            self.lobby.leave_room(session.player)

    def room_of(self, session: Session) -> str | None:
        """The name of the room a player is in."""
        room = self.lobby.room_of(session.player)
        return None if room is None else room.key.name

    def rooms(self, scope: str, password: str) -> list[tuple[str, int]]:
        """The rooms somebody with this password may see, and how many players are in each."""
        return [
            (room.key.name, len(room.members))
            for room in self.lobby.rooms(GAME, scope, password=password)
        ]

    def members(self, scope: str, name: str) -> list[tuple[int, str]]:
        """Who is in a room, unless it is private: ids and names."""
        room = self.lobby.room(RoomKey(GAME, scope, name))
        if room is None or room.protected:
            return []
        return [(member.id, member.name) for member in room.members]

    def count_cut(self, why: str) -> None:
        self.metrics.cuts[GAME, why] += 1

    def count_payloads(self, number: int, hearers: int) -> None:
        self.metrics.messages_relayed[GAME] += number
        self.metrics.messages_delivered[GAME] += number * hearers

    # --- the lobby's events in VelNet's words -------------------------------------------------

    def deliver(self, ids: Sequence[int], event: object) -> None:
        """
        Tell these players of an event of theirs.

        The order of what a client is told is a matter of life and death for it: himself, the
        members and the master first, then whatever happens in the room, and nothing of it any
        more once he has left.
        """
        match event:
            case RoomOpened(key, members):
                self._welcome(key, members[0].id, members, members[0].id)
            case MemberJoined(key, player, host, members):
                feed = self._feeds.get(key)
                if feed is not None:
                    feed.say(feed.dialect.joined(player, key.name))
                self._welcome(key, player, members, host)
            case MemberLeft(key, gone):
                if gone.id in ids:
                    self._dismiss(key, gone.id)
                feed = self._feeds.get(key)
                if feed is not None:
                    feed.say(feed.dialect.left(gone.id, key.name))
            case HostChanged(key, host):
                feed = self._feeds.get(key)
                if feed is not None:
                    feed.say(feed.dialect.new_master(host))
            case RoomClosed(key):
                for each in ids:
                    self._dismiss(key, each)
            case Expelled():
                for each in ids:
                    self.sessions[each].outbox.abort()

    def _welcome(self, key: RoomKey, player: int, members: Sequence[Member], host: int) -> None:
        session = self.sessions.get(player)
        if session is None:
            return
        dialect = session.dialect
        feed = self._feeds.get(key)
        if feed is None:
            feed = self._feeds[key] = Feed(key, dialect, self.turn)
        feed.join(player, session.outbox)
        session.feed = feed
        ids = [member.id for member in members]
        session.outbox.send(dialect.welcome(player, ids, key.name, host))

    def _dismiss(self, key: RoomKey, player: int) -> None:
        session = self.sessions.get(player)
        if session is not None:
            self._leave_feed(session)
            session.outbox.send(session.dialect.you_left(player, key.name))

    def _leave_feed(self, session: Session) -> None:
        feed, session.feed = session.feed, None
        if feed is not None:
            feed.leave(session.player)
            if not feed.members:
                del self._feeds[feed.key]
