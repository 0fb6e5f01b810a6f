"""
The lobby's events in VelNet's words.

The order of what a client is told decides whether it goes on: itself, the members and the master
first, then whatever happens in the room, and nothing of the room any more once it has left.  In
any other order it hangs for good.
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
from gameservers.net.outbox import Turn

if TYPE_CHECKING:
    from gameservers.games.velnet.session import Session


class Words:
    """
    Tells VelNet's players, whichever wire format each speaks.

    @ivar feeds: what each room is told.
    """

    def __init__(self, turn: Turn, sessions: Mapping[int, Session]) -> None:
        """@param sessions: those of the players, by their ids."""
        self.feeds: dict[RoomKey, Feed] = {}
        self._turn = turn
        self._sessions = sessions

    def deliver(self, ids: Sequence[int], event: object) -> None:
        """Tell these players of an event; what VelNet has no words for it passes over."""
        match event:
            case RoomOpened(key, members):
                self._welcome(key, members[0].id, members, members[0].id)
            case MemberJoined(key, player, host, members):
                feed = self.feeds.get(key)
                if feed is not None:
                    feed.say(feed.dialect.joined(player, key.name))
                self._welcome(key, player, members, host)
            case MemberLeft(key, gone):
                if gone.id in ids:
                    self._dismiss(key, gone.id)
                feed = self.feeds.get(key)
                if feed is not None:
                    feed.say(feed.dialect.left(gone.id, key.name))
            case HostChanged(key, host):
                feed = self.feeds.get(key)
                if feed is not None:
                    feed.say(feed.dialect.new_master(host))
            case RoomClosed(key):
                for each in ids:
                    self._dismiss(key, each)
            case Expelled(why):
                for each in ids:
                    self._sessions[each].connection.cut(Reason.BANNED, why)

    def leave_feed(self, session: Session) -> None:
        """A player hears no more of its room, but everything up to now."""
        feed, session.feed = session.feed, None
        if feed is not None:
            feed.leave(session.player)
            if not feed.members:
                del self.feeds[feed.key]

    def _welcome(self, key: RoomKey, player: int, members: Sequence[Member], host: int) -> None:
        session = self._sessions.get(player)
        if session is None:  # it has gone meanwhile
            return
        dialect, outbox = session.dialect, session.connection.outbox
        feed = self.feeds.get(key)
        if feed is None:
            feed = self.feeds[key] = Feed(key, dialect, self._turn)
        feed.join(player, outbox)
        session.feed = feed
        ids = [member.id for member in members]
        outbox.send(dialect.welcome(player, ids, key.name, host))

    def _dismiss(self, key: RoomKey, player: int) -> None:
        session = self._sessions.get(player)
        if session is not None:
            self.leave_feed(session)
            session.connection.outbox.send(session.dialect.you_left(player, key.name))
