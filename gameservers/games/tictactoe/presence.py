"""
The users present: each has one or more connections, and is one player in the lobby.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gameservers.games.tictactoe.records import LoginSession
from gameservers.lobby import Lobby
from gameservers.lobby.events import Expelled
from gameservers.net.connection import Reason


class Client(Protocol):
    """One connection of a user, for sending messages to it."""

    def send(self, message: str) -> None:
        """Send a message.  It never fails: if the client is gone, the message is lost."""

    def cut(self, reason: Reason, detail: str) -> None:
        """End the connection."""


@dataclass(eq=False, slots=True)
class User:
    """
    A user that is logged in.

    @ivar session_id: id of the session that all the connections use.
    @ivar player: the id in the lobby.
    @ivar clients: the connections, the oldest first.
    """

    name: str
    registered: bool
    session_id: str = field(repr=False)
    player: int
    clients: dict[Client, None] = field(default_factory=dict, repr=False)

    def send(self, message: str) -> None:
        """Send a message to all connections."""
        for client in tuple(self.clients):
            client.send(message)

    def cut(self, reason: Reason, detail: str) -> None:
        """End all connections; the user is still present."""
        clients = tuple(self.clients)
        self.clients.clear()
        for client in clients:
            client.cut(reason, detail)


class Superseded(Exception):
    """The session is invalid, because the user has a newer one."""


class Presence:
    """All users that are present, by name."""

    def __init__(self, lobby: Lobby, game: str, *, max_per_player: int) -> None:
        self._lobby = lobby
        self._game = game
        self._max_per_player = max_per_player
        self._queue = lobby.queue(game)
        self._users: dict[str, User] = {}
        self._by_player: dict[int, User] = {}
        self._aside: set[str] = set()

    def __iter__(self) -> Iterator[User]:
        return iter(tuple(self._users.values()))

    def __contains__(self, name: str) -> bool:
        return name in self._users

    def find(self, name: str) -> User | None:
        return self._users.get(name)

    def resembles(self, name: str) -> bool:
        """Whether a user is present whose name is another, but looks like this one."""
        return name not in self._users and self._lobby.looks_taken(self._game, name)

    def arrive(self, session: LoginSession, client: Client, address: str, *, new: bool) -> User:
        """
        Add a client to the user of its session.

        A C{new} session ends the connections of the user's older one.  With too many connections
        the oldest is ended.

        @raise Superseded: the session is not new, and not the user's present one.
        @raise gameservers.lobby.Refused: the lobby is full.
        """
        user = self._users.get(session.name)
        if user is None:
            player = self._lobby.enter(
                session.name, self._game, self.deliver, address=address, registered=True
            )
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
        Remove a client.

        @return: whether that was the user's last connection.
        """
        if client not in user.clients:
            return False
        del user.clients[client]
        if user.clients:
            return False
        self._remove(user)
        return True

    def expire(self, session: LoginSession) -> None:
        """End the connections of a session that was removed."""
        user = self._users.get(session.name)
        if user is not None and user.session_id == session.id:
            self._dismiss(user, Reason.REFUSED, "the session was out of date")

    def push(self, name: str, message: str) -> None:
        """Send a message to a user, if it is present."""
        user = self._users.get(name)
        if user is not None:
            user.send(message)

    def deliver(self, players: Sequence[int], event: object) -> None:
        """Handle an event of the lobby; there is no message for announcements."""
        if isinstance(event, Expelled):
            for user in [self._by_player[each] for each in players]:
                self._dismiss(user, Reason.BANNED, event.why)

    def _dismiss(self, user: User, reason: Reason, detail: str) -> None:
        self._remove(user)
        user.cut(reason, detail)

    def _remove(self, user: User) -> None:
        self._aside.discard(user.name)
        del self._users[user.name]
        del self._by_player[user.player]
        self._lobby.exit(user.player)

    # The matchmaking queue

    def waiting(self) -> Iterator[User]:
        """The users that wait for any opponent, the longest first."""
        for player in self._queue:
            if player in self._queue:  # has not left since the last one
                yield self._by_player[player]

    def is_waiting(self, user: User) -> bool:
        return user.player in self._queue or user.name in self._aside

    def wait(self, user: User) -> None:
        """Let a user wait for any opponent, until it is paired or leaves."""
        if self._by_player.get(user.player) is user:
            self._queue.add(user.player)

    def wait_no_longer(self, user: User) -> None:
        self._queue.discard(user.player)
        self._aside.discard(user.name)

    def set_aside(self, user: User) -> None:
        """Let a user that waits be found by nobody until L{take_back}."""
        if user.player in self._queue:
            self._queue.discard(user.player)
            self._aside.add(user.name)

    def take_back(self, name: str) -> None:
        """Let a user be found again that was set aside."""
        if name in self._aside:
            self._aside.remove(name)
            self.wait(self._users[name])
