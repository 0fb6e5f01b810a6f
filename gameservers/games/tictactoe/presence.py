"""
Who is here: users, each with any number of connections, and each one player in the lobby.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gameservers.games.tictactoe.records import Session
from gameservers.lobby import Lobby
from gameservers.lobby.events import Expelled
from gameservers.net.connection import Reason


class Client(Protocol):
    """One connection of a user, as those see it who have something to tell it."""

    def send(self, message: str) -> None:
        """Tell it something.  It never fails: what the client cannot hear is lost."""

    def cut(self, reason: Reason, detail: str) -> None:
        """End it."""


@dataclass(eq=False, slots=True)
class User:
    """
    Somebody who is logged in.

    @ivar session_id: of the session through which all the connections came.
    @ivar player: the id in the lobby.
    @ivar clients: the connections, the oldest first.
    """

    name: str
    registered: bool
    session_id: str = field(repr=False)
    player: int
    clients: dict[Client, None] = field(default_factory=dict, repr=False)

    def send(self, message: str) -> None:
        """Tell all connections something."""
        for client in tuple(self.clients):
            client.send(message)

    def cut(self, reason: Reason, detail: str) -> None:
        """End all connections; the user is here all the same."""
        clients = tuple(self.clients)
        self.clients.clear()
        for client in clients:
            client.cut(reason, detail)


class Superseded(Exception):
    """The session is void: the user has a newer one."""


class Presence:
    """All users who are here, by name."""

    def __init__(self, lobby: Lobby, game: str, *, max_per_player: int) -> None:
        self._lobby = lobby
        self._game = game
        self._max_per_player = max_per_player
        self._queue = lobby.queue(game)
        self._users: dict[str, User] = {}
        self._by_player: dict[int, User] = {}

    def __iter__(self) -> Iterator[User]:
        return iter(tuple(self._users.values()))

    def __contains__(self, name: str) -> bool:
        return name in self._users

    def find(self, name: str) -> User | None:
        return self._users.get(name)

    def arrive(self, session: Session, client: Client, address: str, *, new: bool) -> User:
        """
        A client has shown which session it belongs to.

        A C{new} session ends the connections of the user's older one.  With too many
        connections the oldest is ended.

        @raise Superseded: the session is not new, and not the user's present one.
        @raise gameservers.lobby.Refused: there is no room.
        """
        user = self._users.get(session.name)
        if user is None:
            player = self._lobby.enter(session.name, self._game, self.deliver, address=address)
            user = User(session.name, session.registered, session.id, player.id)
            self._users[session.name] = self._by_player[player.id] = user
        elif user.session_id != session.id:
            if not new:
                raise Superseded
            user.session_id = session.id
            user.registered = session.registered
            user.cut(Reason.REFUSED, "replaced by a new log-in")
        user.clients[client] = None
        if len(user.clients) > self._max_per_player:
            oldest = next(iter(user.clients))
            del user.clients[oldest]
            oldest.cut(Reason.CROWDED, "too many connections of one player")
        return user

    def leave(self, user: User, client: Client) -> bool:
        """
        A client is gone.

        @return: whether that was the user's last connection.
        """
        if client not in user.clients:
            return False
        del user.clients[client]
        if user.clients:
            return False
        self._remove(user)
        return True

    def expire(self, session: Session) -> None:
        """The session is no more: end what came through it."""
        user = self._users.get(session.name)
        if user is not None and user.session_id == session.id:
            self._dismiss(user, Reason.REFUSED, "the session was out of date")

    def push(self, name: str, message: str) -> None:
        """Tell a user something, if it is here."""
        user = self._users.get(name)
        if user is not None:
            user.send(message)

    def deliver(self, players: Sequence[int], event: object) -> None:
        """The lobby tells players something; this wire has no words for announcements."""
        if isinstance(event, Expelled):
            for user in [self._by_player[each] for each in players]:
                self._dismiss(user, Reason.BANNED, event.why)

    def _dismiss(self, user: User, reason: Reason, detail: str) -> None:
        self._remove(user)
        user.cut(reason, detail)

    def _remove(self, user: User) -> None:
        del self._users[user.name]
        del self._by_player[user.player]
        self._lobby.exit(user.player)

    # The matchmaking queue

    def waiting(self) -> Iterator[User]:
        """Those who wait for any opponent, the longest first."""
        for player in self._queue:
            if player in self._queue:  # and not gone since the last one
                yield self._by_player[player]

    def is_waiting(self, user: User) -> bool:
        return user.player in self._queue

    def wait(self, user: User) -> None:
        """A user waits for any opponent, until it is paired or gone."""
        if self._by_player.get(user.player) is user:
            self._queue.add(user.player)

    def wait_no_longer(self, user: User) -> None:
        self._queue.discard(user.player)
