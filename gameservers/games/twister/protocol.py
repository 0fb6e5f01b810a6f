"""
The arena on UDP, and in the lobby.

To the lobby the arena is one permanent room and every connected client a player in it.  The
wire pushes nothing, so of all that the lobby tells only talk matters: it is kept until somebody
asks for it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import DatagramProtocol
from twisted.logger import Logger

from gameservers.games.twister import wire
from gameservers.games.twister.arena import Address, Arena, Client, Refused, spelt
from gameservers.games.twister.budget import Bucket, Recent
from gameservers.games.twister.settings import TwisterSettings
from gameservers.games.twister.wire import (
    ClearChat,
    Connect,
    Disconnect,
    GetData,
    GetLogs,
    GetMap,
    GetMessages,
    GetOnline,
    Ping,
    PushData,
    PushMessage,
    Status,
)
from gameservers.lobby import Lobby, RoomKey, RoomRules, ToRoom
from gameservers.lobby import Refused as LobbyRefused
from gameservers.lobby.events import Announced, ChatSaid, Expelled
from gameservers.metrics import Metrics
from gameservers.net.guard import place_of

GAME = "twister"
ROOM = RoomKey(GAME, "", "arena")

#: Addresses for which it is known what was sent to them; the one silent longest is forgotten.
MAX_SOURCES = 4_096


class Desk:
    """
    Answers every request, for all clients at once, whichever port it came to.

    A reply that is larger than its request is paid for by who gets it (see L{Bucket}).  Who
    cannot pay is told -40, or nothing if that, too, were larger; the requests of the API client
    are longer than that.  What changes anything is always longer than its reply.

    @ivar received: bytes of all requests.
    @ivar sent: bytes of all replies.
    """

    _log = Logger()

    def __init__(
        self,
        lobby: Lobby,
        clock: IReactorTime,
        settings: TwisterSettings,
        admin_key: str,
        metrics: Metrics,
    ) -> None:
        self._lobby = lobby
        self._metrics = metrics
        self._clock = clock
        self._settings = settings
        self._limits = wire.Limits(
            request=settings.max_message,
            text=settings.max_chat,
            nick=settings.max_name,
        )
        self.arena = Arena(settings, admin_key, self._departed, clock.seconds())
        self.received = 0
        self.sent = 0
        self._players: dict[int, int] = {}  # client id: player id
        self._nicks: dict[int, str] = {}  # player id: the nick it speaks under
        trusted = [ipaddress.ip_network(text) for text in settings.trusted]
        self._origin = lru_cache(MAX_SOURCES)(lambda host: origin(host, trusted))
        self._turns: Recent[Address, int] = Recent(MAX_SOURCES, lambda: -1)
        self._budgets: Recent[int | str, Bucket] = Recent(MAX_SOURCES, self._full_bucket)
        self._total = Bucket(settings.max_rate, settings.max_burst, clock.seconds())
        lobby.provide_room(
            ROOM, RoomRules(hosted=False, permanent=True), capacity=settings.max_players
        )

    def answer(self, datagram: bytes, addr: tuple[str, int]) -> bytes:
        """What a request is answered; C{b""} for nothing."""
        host, trusted = self._origin(addr[0])
        port = addr[1]
        if not (host and port):
            return b""
        address = (host, port)
        self.received += len(datagram)
        now = self._clock.seconds()
        try:
            reply = self._answer(datagram, address, now)
        except Exception:
            self._log.failure("The arena failed at a request of {host}", host=host)
            reply = wire.INTERNAL_ERROR
        if len(reply) > len(datagram) and not (trusted or self._pays(address, len(reply), now)):
            self.count_dropped("over_budget")
            reply = wire.PLAIN[Status.DENIED]
            if len(reply) > len(datagram):
                return b""
        return reply

    def count_dropped(self, why: str) -> None:
        self._metrics.datagrams_dropped[GAME, why] += 1

    def deliver(self, ids: Sequence[int], event: object) -> None:
        """The lobby tells tanks something."""
        match event:
            case ChatSaid(sender, name, text):
                self.arena.hear(text, self._nicks.get(sender, name))
            case Announced(text):
                self.arena.hear(text, "SERVER")
            case Expelled():
                for client in tuple(self.arena):
                    if self._players.get(client.id) in ids:
                        self.arena.remove(client, self._clock.seconds(), "was expelled")

    def expire(self) -> None:
        """Remove who has been silent for too long."""
        self.arena.expire(self._clock.seconds())

    def close(self) -> None:
        """Let everybody go."""
        for client in tuple(self.arena):
            self.arena.remove(client, self._clock.seconds(), "saw the arena close")

    def _answer(self, datagram: bytes, address: Address, now: float) -> bytes:
        try:
            return self._obey(wire.parse(datagram, self._limits), address, now)
        except Refused as refused:
            return wire.PLAIN[refused.status]
        except wire.WireError as error:
            self.count_dropped("invalid")
            self.arena.note(now, "ERROR", f"{error}, from {spelt(address)}")
            return wire.PLAIN[error.status]

    def _obey(self, request: wire.Request, address: Address, now: float) -> bytes:
        arena = self.arena
        match request:
            case PushData():
                arena.push(request.who, request.ping, request.player_data, address, now)
                return wire.DONE
            case Connect(key, ping):
                return wire.number(self._connect(key, ping, address, now))
            case Disconnect(who):
                arena.disconnect(who, address, now)
                return wire.DONE
        client = arena.recognise(request.who, address, now)
        match request:
            case GetData(_, max_bytes):
                turn = self._turns[address]
                reply, self._turns[address] = arena.data(
                    client or arena.at(address), turn, self._room(max_bytes)
                )
                return reply
            case Ping():
                pass
            case GetMessages(_, max_bytes):
                return arena.messages(self._room(max_bytes))
            case PushMessage(_, text, nick):
                self._say(client, text, nick)
            case GetOnline():
                return wire.number(len(arena))
            case GetMap():
                return arena.map_reply
            case ClearChat(who):
                arena.clear_chat(who)
            case GetLogs(who, max_bytes):
                return arena.logs(who, self._room(max_bytes))
        return wire.DONE

    def _room(self, max_bytes: int | None) -> int:
        """How long a list may be."""
        if max_bytes is None:
            return self._settings.max_reply
        return min(max(max_bytes, wire.BUFFER), wire.LARGEST_REPLY)

    def _connect(self, key: bytes, ping: float, address: Address, now: float) -> int:
        client = self.arena.connect(key, ping, address, now)
        try:
            player = self._lobby.enter(
                f"tank {client.id}", GAME, self.deliver, address=address[0], unique=False
            )
            self._players[client.id] = player.id
            self._lobby.join(player.id, ROOM)
        except LobbyRefused:
            self.arena.remove(client, now, "found the lobby full")
            raise Refused(Status.FULL) from None
        self._log.info(
            "{player} of {address} joined {room}",
            player=player.name,
            address=address[0],
            room=ROOM.name,
        )
        return client.id

    def _departed(self, client: Client) -> None:
        player = self._players.pop(client.id, None)
        if player is not None:
            self._nicks.pop(player, None)
            self._log.info(
                "{player} left {room}", player=self._lobby.player(player).name, room=ROOM.name
            )
            self._lobby.exit(player)

    def _say(self, client: Client | None, text: str, nick: str) -> None:
        """A client, or (unless that is turned off) anybody else, says something."""
        if client is None and self._settings.chat_members_only:
            raise Refused(Status.DENIED)
        if not text:
            return
        if client is None:
            self.arena.hear(text, nick)
        else:
            player = self._players[client.id]
            self._nicks[player] = nick
            try:
                self._lobby.say(player, text, ToRoom())
            except LobbyRefused:
                raise Refused(Status.DENIED) from None

    def _full_bucket(self) -> Bucket:
        settings = self._settings
        return Bucket(
            settings.max_rate_per_address, settings.max_burst_per_address, self._clock.seconds()
        )

    def _pays(self, address: Address, amount: int, now: float) -> bool:
        client = self.arena.at(address)
        own = self._budgets[place_of(address[0]) if client is None else client.id]
        if own.affords(amount, now) and self._total.affords(amount, now):
            own.spend(amount)
            self._total.spend(amount)
            return True
        return False


class TwisterProtocol(DatagramProtocol):
    """One port."""

    noisy = False
    _log = Logger()

    transport: Any

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        reply = self._desk.answer(datagram, addr)
        if not reply:
            return
        # Not by write(): that asks three times over whether an address which just wrote to us
        # is one, and so takes longer than everything else together.
        try:
            self.transport.getHandle().sendto(reply, addr)
        except OSError as error:  # no way back to that address, or the system's buffer is full
            self._desk.count_dropped("unsent")
            self._log.debug("No reply to {host}: {reason}", host=addr[0], reason=error.strerror)
        else:
            self._desk.sent += len(reply)


def origin(
    host: str, trusted: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]
) -> tuple[str, bool]:
    """
    A sender's host, an IPv4 one always spelt as such, and whether it is trusted.

    The host is C{""} if nobody can be there: a reply would go to many, or to none.
    """
    address = ipaddress.ip_address(host)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_multicast or address.is_unspecified or str(address) == "255.255.255.255":
        return "", False
    return str(address), any(address in network for network in trusted)
