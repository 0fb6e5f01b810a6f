"""
The rules of the arena: its clients, chat, log and map.

It has no sockets and no clock: the caller gives the time, in seconds of any clock.  What the rules
forbid raises L{RequestDenied} with the status to answer, and changes nothing.

A client is identified by id and key; its last address is used only for requests without them. Ids
are stable: a client keeps its id until it leaves or is removed, and a new client gets the smallest
free one.
"""

from __future__ import annotations

import heapq
import hmac
import random
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from gameservers.games.twister import wire
from gameservers.games.twister.settings import TwisterSettings
from gameservers.games.twister.wire import Credentials, Status
from gameservers.net.address import Address, authority

#: The map is a square of so many tiles, of so many pixels each.
TILES = 50
TILE_SIZE = 64
TILE_KINDS = 4

NOWHERE: Address = ("0.0.0.0", 0)

#: How long a client must be silent before another one may connect from its address, in seconds.
STALE = 10

#: Number of lines kept for C{get_logs}, and their maximum length, in characters.
LOG_LINES = 100
LOG_LINE = 200


class RequestDenied(Exception):
    """The rules of the arena forbid it."""

    def __init__(self, status: Status) -> None:
        super().__init__(status.name)
        self.status = status


@dataclass(eq=False, slots=True)
class Client:
    """
    One client.

    @ivar player: its id in the lobby.
    @ivar ping: the round-trip time reported by the client, in milliseconds.
    @ivar seen: when it last sent its key.
    @ivar entry: its entry in C{get_data}, encoded when it is first needed.
    @ivar after: the id after which its next C{get_data} continues.
    """

    id: int
    player: int
    key: bytes = field(repr=False)
    address: Address
    ping: float
    seen: float
    player_data: bytes = b"{}"
    entry: bytes = b""
    after: int = -1


class Arena:
    """The state of the arena."""

    def __init__(
        self, settings: TwisterSettings, admin_key: str, now: Callable[[], datetime]
    ) -> None:
        """Open an arena; C{now} returns the date and time of a log line."""
        self._settings = settings
        self._admin_key = admin_key.encode()
        self._now = now
        self._clients: dict[int, Client] = {}
        self._ids: list[int] = []  # those in use, in order
        self._free: list[int] = []  # a heap of those that were in use before
        self._by_address: dict[Address, Client] = {}
        self._entries_size = 0  # bytes of all entries, each with a comma
        self._changed: set[Client] = set()  # those whose entry is outdated
        self._chat: deque[bytes] = deque(maxlen=settings.chat_size)
        self._log: deque[bytes] = deque(maxlen=LOG_LINES)
        self.map_reply = wire.map_reply(make_map(settings.map_seed or None))
        self.note("INFO", "the arena is open")

    def __len__(self) -> int:
        return len(self._clients)

    def __iter__(self) -> Iterator[Client]:
        """The clients, by id."""
        return (self._clients[each] for each in self._ids)

    # --- clients ------------------------------------------------------------------------------

    @property
    def next_id(self) -> int:
        """The id of the next client."""
        return self._free[0] if self._free else len(self._clients)

    def make_way(self, key: bytes, address: Address, now: float) -> Client | None:
        """
        The client that must be removed before another one connects from its address.

        @raise RequestDenied: C{ALREADY_CONNECTED}, if it was active recently or has the same key.
        """
        held = self._by_address.get(address)
        if held is not None and (now - held.seen <= STALE or _same(held.key, key)):
            raise RequestDenied(Status.ALREADY_CONNECTED)
        return held

    def connect(
        self, player: int, key: bytes, ping: float, address: Address, now: float
    ) -> Client:
        """Add a client, at an address that no other client has."""
        client = Client(self.next_id, player, key, address, ping, now)
        if self._free:
            heapq.heappop(self._free)
        self._clients[client.id] = client
        insort(self._ids, client.id)
        self._by_address[address] = client
        self._changed.add(client)
        self.note("INFO", f"client {client.id} at {authority(*address)} connected")
        return client

    def recognise(self, who: Credentials, address: Address, now: float) -> Client | None:
        """
        The client with this id and key.

        It counts as active, and moves to this address unless another client has it.
        """
        client = self._clients.get(-1 if who.id is None else who.id)
        if client is None or not _same(client.key, who.key):
            return None
        client.seen = now
        if client.address != address and address not in self._by_address:
            del self._by_address[client.address]
            self._by_address[address] = client
            client.address = address
            self._changed.add(client)
        return client

    def at(self, address: Address) -> Client | None:
        """The client whose last request came from this address."""
        return self._by_address.get(address)

    def knows(self, client_id: int | None) -> bool:
        """Whether this is a client's id."""
        return client_id in self._clients

    def has_given(self, client_id: int | None) -> bool:
        """Whether this is or was a client's id."""
        return client_id is not None and 0 <= client_id < len(self._clients) + len(self._free)

    def push(self, client: Client, ping: float, player_data: bytes) -> None:
        """Store the state that a client pushes."""
        client.ping = ping
        client.player_data = player_data
        self._changed.add(client)

    def silent(self, now: float) -> list[Client]:
        """The clients that have been silent for too long."""
        limit = self._settings.silence_timeout
        return [each for each in self._clients.values() if now - each.seen >= limit]

    def remove(self, client: Client, now: float, why: str) -> None:
        """Remove a client; C{why} follows its name in the log."""
        del self._clients[client.id]
        del self._ids[bisect_left(self._ids, client.id)]
        heapq.heappush(self._free, client.id)
        del self._by_address[client.address]
        self._changed.discard(client)
        if client.entry:
            self._entries_size -= len(client.entry) + 1
        self.note("INFO", f"client {client.id} at {authority(*client.address)} {why}")

    def _describe(self, client: Client) -> None:
        shown = NOWHERE if self._settings.hide_addresses else client.address
        before = len(client.entry) + 1 if client.entry else 0
        client.entry = wire.entry(client.id, shown, client.ping, client.player_data)
        self._entries_size += len(client.entry) + 1 - before

    def data(self, asker: Client | None, limit: int) -> bytes:
        """
        The clients, in a reply of at most C{limit} bytes.

        If not all fit, the asker comes first and then as many as fit of the others; its next call
        continues after the last of them, cyclically.
        """
        while self._changed:
            self._describe(self._changed.pop())
        room = limit - wire.LIST_FRAME + 1  # as if a comma followed the last entry
        if self._entries_size <= room:
            return wire.listing([client.entry for client in self])
        if asker is None:
            raise RequestDenied(Status.DENIED)
        entries = [asker.entry]
        room -= len(asker.entry) + 1
        ids, clients = self._ids, self._clients
        start = bisect_right(ids, asker.after)
        for turn in range(start - len(ids), start):  # negative indices wrap around
            client = clients[ids[turn]]
            if client is asker:
                continue
            entry = client.entry
            room -= len(entry) + 1
            if room < 0:
                break
            entries.append(entry)
            asker.after = client.id
        return wire.listing(entries)

    # --- chat ---------------------------------------------------------------------------------

    def hear(self, text: str, nick: str) -> None:
        """Store a chat line, and drop the oldest if there are too many."""
        self._chat.append(wire.line(text, nick))

    def messages(self, limit: int) -> bytes:
        """The newest lines, in a reply of at most C{limit} bytes."""
        return newest(self._chat, limit)

    def clear_chat(self, who: Credentials) -> None:
        self._demand_admin(who)
        self._chat.clear()

    # --- log ----------------------------------------------------------------------------------

    def note(self, level: str, text: str) -> None:
        """Store a log line; special characters in C{text} are escaped."""
        moment = self._now()
        stamp = f"{moment:%Y-%m-%d %H:%M:%S},{moment.microsecond // 1000:03}"
        plain = text.encode("unicode_escape").decode("ascii")
        line = f"[{stamp}]-<SERVER>-<{level}> - {plain}"
        self._log.append(wire.encoded(line[:LOG_LINE]))

    def logs(self, who: Credentials, limit: int) -> bytes:
        """The newest lines of the log, in a reply of at most C{limit} bytes."""
        self._demand_admin(who)
        return newest(self._log, limit)

    def is_admin(self, who: Credentials) -> bool:
        """Whether the key is the admin key."""
        return _same(self._admin_key, who.key)

    def _demand_admin(self, who: Credentials) -> None:
        if not self.is_admin(who):
            raise RequestDenied(Status.DENIED)


def _same(key: bytes, other: bytes | None) -> bool:
    return other is not None and hmac.compare_digest(key, other)


def newest(items: Sequence[bytes], limit: int) -> bytes:
    """The last items of a list, in a reply of at most C{limit} bytes."""
    room = limit - wire.LIST_FRAME + 1
    kept: list[bytes] = []
    for item in reversed(items):
        room -= len(item) + 1
        if room < 0:
            break
        kept.append(item)
    return wire.listing(reversed(kept))


def make_map(seed: str | None) -> bytes:
    """Generate a map's records, from a seed or, for L{None}, at random."""
    dice = random.Random(seed)
    records = bytearray()
    for x in range(0, TILES * TILE_SIZE, TILE_SIZE):
        for y in range(0, TILES * TILE_SIZE, TILE_SIZE):
            records.append(int(dice.random() * TILE_KINDS))
            records += x.to_bytes(2, "big") + y.to_bytes(2, "big")
    return bytes(records)
