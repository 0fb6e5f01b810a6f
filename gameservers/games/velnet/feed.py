"""
What the members of one room are told, put together once for all of them.

In a reactor turn the members of a room say many things, and nearly everybody is told the same:
all of it.  So the room keeps one list, which is joined once when the turn ends and sent to
each member as it stands.  Two things make a member's share differ:

  - he is spared what he said himself, unless he asked to hear it;
  - he came in, or was told something of his own, in the middle of the turn.  Then what the room
    said before is put into his outbox first (L{Feed.catch_up}), so that he hears everything in
    the order in which it happened.

Such a share is cut out of the joined bytes; it is not joined anew from its parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from gameservers.games.velnet.dialect import Dialect
from gameservers.lobby import RoomKey
from gameservers.net.outbox import Outbox, Turn


class Feed:
    """
    One room's stream of messages.

    @ivar key: which room it is.
    @ivar dialect: the form in which its members are spoken to.
    @ivar members: player id to outbox, in joining order.
    """

    __slots__ = ("_said", "_spared", "_told", "_turn", "dialect", "key", "members")

    def __init__(self, key: RoomKey, dialect: Dialect, turn: Turn) -> None:
        self.key = key
        self.dialect = dialect
        self.members: dict[int, Outbox] = {}
        self._turn = turn
        self._said: list[bytes] = []  # in this turn
        self._spared: dict[int, list[int]] = {}  # which of it a member does not hear
        self._told: dict[int, int] = {}  # how much of it a member has been given already

    def join(self, player: int, outbox: Outbox) -> None:
        """From now on this player hears what is said."""
        self.members[player] = outbox
        if self._said:
            self._told[player] = len(self._said)

    def leave(self, player: int) -> None:
        """This player hears nothing more, but everything up to now."""
        self.catch_up(player)
        del self.members[player]
        self._told.pop(player, None)
        self._spared.pop(player, None)

    def say(self, message: bytes, spare: int = 0) -> None:
        """Tell all members, or all but one."""
        if not self._said:
            self._turn.at_end(self._flush)
        if spare:
            self._spared.setdefault(spare, []).append(len(self._said))
        self._said.append(message)

    def catch_up(self, player: int) -> None:
        """Put what was said into a member's outbox, so that something else can follow it."""
        told = self._told.get(player, 0)
        if told < len(self._said):
            spared = self._spared.get(player, ())
            outbox = self.members[player]
            for index in range(told, len(self._said)):
                if index not in spared:
                    outbox.send(self._said[index])
            self._told[player] = len(self._said)

    def _flush(self) -> None:
        said, spared, told = self._said, self._spared, self._told
        self._said, self._spared, self._told = [], {}, {}
        whole = b"".join(said)
        odd = spared.keys() | told.keys()
        view = memoryview(whole)
        borders = list(accumulate(map(len, said), initial=0)) if odd else []
        for player, outbox in tuple(self.members.items()):
            if player in odd:
                share = _share(view, borders, told.get(player, 0), spared.get(player, ()))
                if share:
                    outbox.pass_on(share)
            else:
                outbox.pass_on(whole)


def _share(whole: memoryview, borders: list[int], told: int, spared: Sequence[int]) -> bytes:
    """What one member is yet to be told of what the whole room has been told."""
    parts = []
    start = borders[told]
    for index in spared:
        if index >= told:
            parts.append(whole[start : borders[index]])
            start = borders[index + 1]
    parts.append(whole[start:])
    return b"".join(parts)
