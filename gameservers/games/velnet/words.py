"""
The lobby's events as VelNet's messages.

A client relies on their order: first itself, the members and the master, then everything that
happens in the room, and nothing of the room any more once it has left.  In any other order it
hangs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from gameservers.games.velnet.feed import Feed
from gameservers.lobby import Member, RoomKey
from gameservers.lobby.events import (
    Expelled,
    HostChanged,
    MemberJoined,
    MemberLeft,
    RoomClosed,
    RoomOpened,
)
from gameservers.net.connection import Reason
from gameservers.net.turn import Turn

if TYPE_CHECKING:
    from gameservers.games.velnet.session import Session


class Words:
    """
    Sends the lobby's events to VelNet's players, in their wire formats.

    @ivar feeds: the feed of each room.
    """

    def __init__(self, turn: Turn, sessions: Mapping[int, Session]) -> None:
        """Use these sessions, which are given by player id."""
        self.feeds: dict[RoomKey, Feed] = {}
        self._turn = turn
        self._sessions = sessions

    def deliver(self, ids: Sequence[int], event: object) -> None:
        """Send an event to these players; an event for which VelNet has no message is ignored."""
        match event:
            case RoomOpened(key, members):
                self._welcome(key, members[0].id, members, members[0].id)
            case MemberJoined(key, player, host, members):
                feed = self.feeds.get(key)
                if feed is not None:
                    feed.say(feed.codec.joined(player, key.name))
                self._welcome(key, player, members, host)
            case MemberLeft(key, gone):
                if gone.id in ids:
                    self._dismiss(key, gone.id)
                feed = self.feeds.get(key)
                if feed is not None:
                    feed.say(feed.codec.left(gone.id, key.name))
            case HostChanged(key, host):
                feed = self.feeds.get(key)
                if feed is not None:
                    feed.say(feed.codec.new_master(host))
            case RoomClosed(key):
                for each in ids:
                    self._dismiss(key, each)
            case Expelled(why):
                for each in ids:
                    self._sessions[each].connection.cut(Reason.BANNED, why)

    def leave_feed(self, session: Session) -> None:
        """End a player's feed, after everything up to now."""
        feed, session.feed = session.feed, None
        if feed is not None:
            feed.leave(session.player)
            if not feed.members:
                del self.feeds[feed.key]

    def _welcome(self, key: RoomKey, player: int, members: Sequence[Member], host: int) -> None:
        session = self._sessions.get(player)
        if session is None:  # it has left meanwhile
            return
        codec, outbox = session.codec, session.connection.outbox
        feed = self.feeds.get(key)
        if feed is None:
            feed = self.feeds[key] = Feed(key, codec, self._turn)
        feed.join(player, outbox)
        session.feed = feed
        ids = [member.id for member in members]
        outbox.send(codec.welcome(player, ids, key.name, host))

    def _dismiss(self, key: RoomKey, player: int) -> None:
        session = self._sessions.get(player)
        if session is not None:
            self.leave_feed(session)
            session.connection.outbox.send(session.codec.you_left(player, key.name))
