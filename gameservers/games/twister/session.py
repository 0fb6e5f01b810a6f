"""
Handles the requests, and makes the replies.

Each request identifies its client, so one session handles all of them, whichever port they use.
In the lobby the arena is one permanent room, and every connected client is a player in it.
"""

from __future__ import annotations

import enum
import ipaddress
from collections.abc import Callable, Mapping
from functools import lru_cache

from twisted.logger import Logger

from gameservers import names
from gameservers.games import NO_PLACE, GameService
from gameservers.games.twister import wire
from gameservers.games.twister.arena import Arena, Client, RequestDenied
from gameservers.games.twister.budget import MAX_SENDERS, Budgets
from gameservers.games.twister.settings import TwisterSettings
from gameservers.games.twister.wire import Credentials, Request, Status
from gameservers.games.twister.words import NICK, SERVER, Words, status_of
from gameservers.lobby import Refused, RoomKey, ToRoom, Why
from gameservers.net.address import Address, authority, unmapped
from gameservers.net.connection import Reason
from gameservers.net.datagrams import Drop
from gameservers.net.guard import Network, place_of
from gameservers.wire import WireError


class Phase(enum.Enum):
    """The kind of sender of a request."""

    CLIENT = "a client: the request has its id and key"
    OTHER = "not a client"


class Session:
    """
    Handles all requests.

    A sender is proven if a client is connected at its address, or by the admin key.  Only then can
    a reply be larger than its request, within a budget (see L{Budgets}); otherwise it is replaced
    by -40, or dropped if even that is larger than the request.  The API client's requests are
    longer, and so is any request that changes something.  Complaints (-3 and -127) are sent only
    to connected clients, within the same budget, and are never larger than the request.

    @ivar received: total size of all requests, in bytes.
    """

    _log = Logger()

    def __init__(self, service: GameService, room: RoomKey, admin_key: str) -> None:
        """Serve this arena, with C{room} as its room in the lobby."""
        settings: TwisterSettings = service.settings
        self.arena = Arena(settings, admin_key, service.now)
        self.received = 0
        self._clock = service.clock
        self._connection_log = service.connections.log
        self._game = service.game
        self._lobby = service.lobby
        self._metrics = service.metrics
        self._settings = settings
        self._room = room
        self._words = Words(self.arena, self._expelled)
        self._limits = wire.Limits(
            request=settings.max_message, text=settings.max_chat, nick=settings.max_name
        )
        trusted = [ipaddress.ip_network(text) for text in settings.trusted]
        self._origin = lru_cache(MAX_SENDERS)(lambda host: origin(host, trusted))
        self._budgets = Budgets(settings, service.clock.seconds())

    def answer(self, datagram: bytes, source: Address) -> bytes:
        """Handle a request and return the reply; C{b""} for none."""
        host, place = self._origin(source[0])
        address = (host, source[1])
        if not (host and source[1]):
            return b""
        self.received += len(datagram)
        size, now = len(datagram), self._clock.seconds()
        who = wire.NOBODY
        try:
            request = wire.parse(datagram, self._limits)
            who = request.who
            client = self.arena.recognise(who, address, now)
            table = _OF_OTHERS if client is None else _OF_CLIENT
            reply = table[type(request)](self, request, client, address)
        except RequestDenied as denied:
            self._metrics.requests_refused[self._game] += 1
            reply = wire.PLAIN[denied.status]
        except Refused as refused:
            reply = self._refuse(refused.why, host)
        except wire.NotARequest:
            self._drop(Drop.MALFORMED)
            return b""
        except WireError as fault:
            self._drop(Drop.MALFORMED)
            unknown = isinstance(fault, wire.UnknownRequest)
            reply = wire.PLAIN[Status.FAILED if unknown else Status.INVALID]
            return self._complain(f"{fault}", reply, size, address, place)
        except Exception:
            self._drop(Drop.FAILED)
            self._log.failure("The arena failed to handle a request from {host}", host=host)
            return self._complain("a bug", wire.INTERNAL_ERROR, size, address, place)
        if len(reply) <= size or self._pays(address, place, who, len(reply)):
            return reply
        self._drop(Drop.FLOOD)
        reply = wire.PLAIN[Status.DENIED]
        return reply if len(reply) <= size else b""

    def knows(self, source: Address) -> bool:
        """Whether a client is connected at this address."""
        return self.arena.at((self._origin(source[0])[0], source[1])) is not None

    def expire(self) -> None:
        """Remove the clients that have been silent for too long."""
        for client in self.arena.silent(self._clock.seconds()):
            self._end(client, "timed out", Reason.SILENT)

    def close(self) -> None:
        """Remove all clients, because the arena closes."""
        for client in tuple(self.arena):
            self._end(client, "saw the arena close")

    # --- requests -----------------------------------------------------------------------------

    def _done(self, *_: object) -> bytes:
        return wire.DONE

    def _get_online(self, *_: object) -> bytes:
        return wire.number(len(self.arena))

    def _get_map(self, *_: object) -> bytes:
        return self.arena.map_reply

    def _get_data(self, request: wire.GetData, client: Client | None, address: Address) -> bytes:
        asker = client or self.arena.at(address)
        return self.arena.data(asker, self._length(request.max_bytes))

    def _get_messages(self, request: wire.GetMessages, *_: object) -> bytes:
        return self.arena.messages(self._length(request.max_bytes))

    def _get_logs(self, request: wire.GetLogs, *_: object) -> bytes:
        return self.arena.logs(request.who, self._length(request.max_bytes))

    def _clear_chat(self, request: wire.ClearChat, *_: object) -> bytes:
        self.arena.clear_chat(request.who)
        return wire.DONE

    def _connect(self, request: wire.Connect, _: None, address: Address) -> bytes:
        arena, now = self.arena, self._clock.seconds()
        stale = arena.make_way(request.key, address, now)
        if stale is not None:
            self._end(stale, "gave its address to another", Reason.SILENT)
        player = self._lobby.enter(
            f"tank {arena.next_id}",
            self._game,
            self._words.deliver,
            address=address[0],
            unique=False,
        )
        try:
            self._lobby.join(player.id, self._room)
        except Refused:
            self._lobby.exit(player.id)
            raise
        client = arena.connect(player.id, request.key, request.ping, address, now)
        self._connection_log.logged_in(self._game, client.id, address[0], player.name)
        return wire.number(client.id)

    def _push(self, request: wire.PushData, client: Client, *_: object) -> bytes:
        self.arena.push(client, request.ping, request.player_data)
        return wire.DONE

    def _deny_push(self, request: wire.PushData, *_: object) -> bytes:
        """Deny a request, distinguishing an id that was in use from one that never was."""
        given = self.arena.has_given(request.who.id)
        raise RequestDenied(Status.DENIED if given else Status.NO_SUCH_ID)

    def _say(self, request: wire.PushMessage, client: Client, *_: object) -> bytes:
        nick = self._nick(request)
        if request.text:
            if self._lobby.player(client.player).traits.get(NICK) != nick:
                self._lobby.set_trait(client.player, NICK, nick)
            self._lobby.say(client.player, names.one_line(request.text), ToRoom())
        return wire.DONE

    def _say_from_outside(self, request: wire.PushMessage, *_: object) -> bytes:
        """Post a chat line of a sender that is not a client, unless that is turned off."""
        if self._settings.chat_members_only:
            raise RequestDenied(Status.DENIED)
        nick = self._nick(request)
        if request.text:
            self.arena.hear(names.one_line(request.text), nick)
        return wire.DONE

    def _nick(self, request: wire.PushMessage) -> str:
        """The nick of a chat line, unless it could be taken for the server's."""
        if names.skeleton(request.nick.upper()) == names.skeleton(SERVER):
            raise RequestDenied(Status.DENIED)
        return names.visible(request.nick)

    def _disconnect(self, request: wire.Disconnect, client: Client, *_: object) -> bytes:
        self._end(client, "disconnected")
        return wire.DONE

    def _deny_disconnect(self, request: wire.Disconnect, *_: object) -> bytes:
        known = self.arena.knows(request.who.id)
        raise RequestDenied(Status.WRONG_KEY if known else Status.NO_SUCH_ID)

    def _unknown(self, request: wire.Unknown, *_: object) -> bytes:
        raise wire.UnknownRequest(f"unknown request {request.name!a}")

    # --- common parts -------------------------------------------------------------------------

    def _length(self, max_bytes: int | None) -> int:
        """The maximum size of a list."""
        if max_bytes is None:
            return self._settings.max_reply
        return min(max(max_bytes, wire.BUFFER), wire.LARGEST_REPLY)

    def _refuse(self, why: Why, host: str) -> bytes:
        reason = NO_PLACE.get(why)
        if reason is not None:
            self._metrics.cuts[self._game, reason.value] += 1
            number = self.arena.next_id  # that it does not get
            self._connection_log.cut(self._game, number, host, reason.value, why.value)
        else:
            self._metrics.requests_refused[self._game] += 1
        return wire.PLAIN[status_of(why)]

    def _complain(
        self, fault: str, reply: bytes, size: int, address: Address, place: str
    ) -> bytes:
        """The reply to a request of this size that cannot be handled; C{b""} for none."""
        if self.arena.at(address) is None:
            return b""
        self.arena.note("ERROR", f"{fault}, from {authority(*address)}")
        fits = len(reply) <= size and self._pays(address, place, wire.NOBODY, len(reply))
        return reply if fits else b""

    def _pays(self, address: Address, place: str, who: Credentials, amount: int) -> bool:
        """Whether a sender is proven and may be sent these bytes, which count as sent then."""
        client = self.arena.at(address)
        if client is None and not self.arena.is_admin(who):
            return False
        payer = place if client is None else client.id
        return not place or self._budgets.pays(payer, amount, self._clock.seconds())

    def _drop(self, reason: Drop) -> None:
        self._metrics.datagrams_dropped[self._game, reason.value] += 1

    def _expelled(self, player: int) -> None:
        """Remove a player for an operator, if it is still here."""
        for client in [each for each in self.arena if each.player == player]:
            self._end(client, "was expelled", Reason.BANNED)

    def _end(self, client: Client, why: str, reason: Reason | None = None) -> None:
        """
        Remove a client from the arena.

        @param reason: counted as a cut for this reason; L{None} if the client left by itself.
        """
        self.arena.remove(client, self._clock.seconds(), why)
        game, log, host = self._game, self._connection_log, client.address[0]
        if reason is not None:
            self._metrics.cuts[game, reason.value] += 1
            log.cut(game, client.id, host, reason.value, why)
        else:
            log.left(game, client.id, host, why)
        self._lobby.exit(client.player)


Function = Callable[..., bytes]

_OF_EITHER: Mapping[type[Request], Function] = {
    wire.Ping: Session._done,
    wire.GetOnline: Session._get_online,
    wire.GetMap: Session._get_map,
    wire.GetData: Session._get_data,
    wire.GetMessages: Session._get_messages,
    wire.GetLogs: Session._get_logs,
    wire.ClearChat: Session._clear_chat,
}

_OF_CLIENT: dict[type[Request], Function] = {
    **_OF_EITHER,
    wire.PushData: Session._push,
    wire.PushMessage: Session._say,
    wire.Disconnect: Session._disconnect,
}

_OF_OTHERS: dict[type[Request], Function] = {
    **_OF_EITHER,
    wire.Connect: Session._connect,
    wire.PushData: Session._deny_push,
    wire.PushMessage: Session._say_from_outside,
    wire.Disconnect: Session._deny_disconnect,
    wire.Unknown: Session._unknown,
}

#: The function for each request, called with the session, the request, the client and the sender's
#: address.
TABLE: Mapping[Phase, Mapping[type[Request], Function]] = {
    Phase.CLIENT: _OF_CLIENT,
    Phase.OTHER: _OF_OTHERS,
}

#: Impossible combinations: these requests never identify a client.
IGNORED: Mapping[Phase, frozenset[type[Request]]] = {
    Phase.CLIENT: frozenset({wire.Connect, wire.Unknown}),
    Phase.OTHER: frozenset(),
}


def origin(host: str, trusted: list[Network]) -> tuple[str, str]:
    """
    A sender's host, normalised, and what it is counted under (see L{place_of}).

    The host is C{""} if it is not a unicast address, so that a reply is impossible.
    """
    host = unmapped(host)
    address = ipaddress.ip_address(host)
    if address.is_multicast or address.is_unspecified or host == "255.255.255.255":
        return "", ""
    return host, place_of(host, trusted)
