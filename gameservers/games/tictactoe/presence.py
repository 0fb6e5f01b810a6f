"""
Who is here: users, each with any number of connections, and each one player in the lobby.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gameservers.games.tictactoe.records import Session
from gameservers.lobby import Lobby, Player
from gameservers.lobby.events import Expelled

GAME = "tictactoe"


class Farewell(enum.IntEnum):
    """Why we close a connection, as WebSocket numbers it."""

    DONE = 1000
    GOING_AWAY = 1001
    POLICY = 1008
    TOO_BIG = 1009
    NO_PONG = 1011
    TRY_LATER = 1013


class Connection(Protocol):
    """One client's connection, as those see it who have something to say to him."""

    def send(self, message: str) -> None:
        """Say something.  It never fails: what the client cannot hear is lost."""

    def close(self, why: Farewell) -> None:
        """Say farewell, once."""


@dataclass(eq=False, slots=True)
class User:
    """
    Somebody who is logged in.

    @ivar session_id: of the session through which all his connections came.
    @ivar player: who he is in the lobby.
    @ivar connections: the oldest first.
    """

    name: str
    registered: bool
    session_id: str = field(repr=False)
    player: Player
    connections: dict[Connection, None] = field(default_factory=dict, repr=False)

    def send(self, message: str) -> None:
        """Say something on all connections."""
        for connection in tuple(self.connections):
            connection.send(message)


class Superseded(Exception):
    """The session is void: the user has a newer one."""


class Presence:
    """
    All users who are here, by name.

    @ivar lobby: where each of them is one player.
    """

    def __init__(self, lobby: Lobby, *, connections: int) -> None:
        self.lobby = lobby
        self._limit = connections
        self._users: dict[str, User] = {}
        self._by_player: dict[int, User] = {}

    def __iter__(self) -> Iterator[User]:
        return iter(tuple(self._users.values()))

    def __contains__(self, name: str) -> bool:
        return name in self._users

    def find(self, name: str) -> User | None:
        return self._users.get(name)

    def arrive(self, session: Session, connection: Connection, address: str, *, new: bool) -> User:
        """
        A connection has shown which session it belongs to.

        A C{new} session closes the connections of the user's older one; one that is not and
        differs from the user's present one is L{Superseded}.  With too many connections the
        oldest is closed.  The lobby may refuse to let the user in.
        """
        user = self._users.get(session.name)
        if user is None:
            player = self.lobby.enter(session.name, GAME, self._deliver, address=address)
            user = User(session.name, session.registered, session.id, player)
            self._users[session.name] = user
            self._by_player[player.id] = user
        elif user.session_id != session.id:
            if not new:
                raise Superseded
            displaced = tuple(user.connections)
            user.connections.clear()
            user.session_id = session.id
            user.registered = session.registered
            for other in displaced:
                other.close(Farewell.DONE)
        user.connections[connection] = None
        while len(user.connections) > self._limit:
            oldest = next(iter(user.connections))
            del user.connections[oldest]
            oldest.close(Farewell.DONE)
        return user

    def leave(self, user: User, connection: Connection) -> bool:
        """
        A connection is gone.

        @return: whether that was the user's last one.
        """
        if connection not in user.connections:
            return False
        del user.connections[connection]
        if user.connections:
            return False
        self._remove(user)
        return True

    def expel(self, session: Session) -> None:
        """The session is no more: close what came through it."""
        user = self._users.get(session.name)
        if user is not None and user.session_id == session.id:
            self._dismiss(user, Farewell.DONE)

    def push(self, name: str, messages: Sequence[str]) -> None:
        """Say something to a user if he is here."""
        user = self._users.get(name)
        if user is not None:
            for message in messages:
                user.send(message)

    def _deliver(self, players: Sequence[int], event: object) -> None:
        """The lobby tells players something; the game has no words for announcements."""
        if isinstance(event, Expelled):
            for each in players:
                self._dismiss(self._by_player[each], Farewell.POLICY)

    def _dismiss(self, user: User, why: Farewell) -> None:
        """Close all connections of a user."""
        self._remove(user)
        connections = tuple(user.connections)
        user.connections.clear()
        for connection in connections:
            connection.close(why)

    def _remove(self, user: User) -> None:
        del self._users[user.name]
        del self._by_player[user.player.id]
        self.lobby.exit(user.player.id)

    # The matchmaking queue

    def waiting(self) -> Iterator[User]:
        """Those who wait for any opponent, the longest first."""
        for player_id in self.lobby.queue(GAME):
            if player_id in self.lobby.queue(GAME):  # and not gone since the last one
                yield self._by_player[player_id]

    def is_waiting(self, user: User) -> bool:
        return user.player.id in self.lobby.queue(GAME)

    def wait(self, user: User) -> None:
        """He waits for any opponent, until he is paired or gone."""
        if self._by_player.get(user.player.id) is user:
            self.lobby.queue(GAME).add(user.player.id)

    def wait_no_longer(self, user: User) -> None:
        self.lobby.queue(GAME).discard(user.player.id)
