"""
The messages to the members of one room, joined once for all of them.

In a reactor turn the members of a room send many messages, and nearly every member receives the
same: all of them.  So the room has one list, which is joined once at the end of the turn and sent
to each member as it is.  A member's share differs in two cases:

  - it does not receive its own messages, unless it asked for them;
  - it joined, or was sent something else, in the middle of the turn.  Then the earlier messages
    are put into its outbox first (L{Feed.catch_up}), so that it receives everything in order.

Such a share is sliced from the joined bytes; it is not joined again from its parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate

from gameservers.games.velnet.wires.messages import Codec
from gameservers.lobby import RoomKey
from gameservers.net.outbox import Outbox
from gameservers.net.turn import Turn


class Feed:
    """
    One room's stream of messages.

    @ivar key: the room's key.
    @ivar codec: the wire format of its members.
    @ivar members: player id to outbox, in joining order.
    """

    __slots__ = ("_said", "_spared", "_told", "_turn", "codec", "key", "members")

    def __init__(self, key: RoomKey, codec: Codec, turn: Turn) -> None:
        self.key = key
        self.codec = codec
        self.members: dict[int, Outbox] = {}
        self._turn = turn
        self._said: list[bytes] = []  # in this turn
        self._told: dict[int, int] = {}  # how many of them a member has received already
        self._spared: dict[int, list[int]] = {}  # those of the rest that a member does not receive

    def join(self, player: int, outbox: Outbox) -> None:
        """Add a player, which receives all later messages."""
        self.members[player] = outbox
        if self._said:
            self._told[player] = len(self._said)

    def leave(self, player: int) -> None:
        """Remove a player, which receives everything up to now."""
        self.catch_up(player)
        del self.members[player]
        self._told.pop(player, None)

    def say(self, message: bytes, spare: int = 0) -> None:
        """Send a message to all members, or to all but one."""
        if not self._said:
            self._turn.at_end(self._flush)
        if spare:
            self._spared.setdefault(spare, []).append(len(self._said))
        self._said.append(message)
        self._turn.output += len(message) * len(self.members)

    def catch_up(self, player: int) -> None:
        """
        Put the messages so far into a member's outbox, so that something else can follow them.
        """
        said, told = self._said, self._told.get(player, 0)
        if told < len(said):
            send = self.members[player].send
            for start, end in _heard(told, self._spared.pop(player, ()), len(said)):
                for message in said[start:end]:
                    send(message)
            self._told[player] = len(said)

    def _flush(self) -> None:
        said, spared, told = self._said, self._spared, self._told
        self._said, self._spared, self._told = [], {}, {}
        whole = b"".join(said)
        odd = spared.keys() | told.keys()
        view = memoryview(whole)
        borders = list(accumulate(map(len, said), initial=0)) if odd else []
        for player, outbox in tuple(self.members.items()):
            if player in odd:
                heard = _heard(told.get(player, 0), spared.get(player, ()), len(said))
                share = b"".join(view[borders[start] : borders[end]] for start, end in heard)
                if share:
                    outbox.pass_on(share)
            else:
                outbox.pass_on(whole)


def _heard(told: int, spared: Sequence[int], end: int) -> Iterator[tuple[int, int]]:
    """The ranges of messages from C{told} to C{end} that a member receives."""
    for index in spared:
        yield told, index
        told = index + 1
    yield told, end
