"""
What the members of one room are told, put together once for all of them.

In a reactor turn the members of a room say many things, and nearly every member is told the
same: all of it.  So the room keeps one list, which is joined once when the turn ends and sent to
each member as it stands.  Two things make a member's share differ:

  - it is spared what it said itself, unless it asked to hear that;
  - it came in, or was told something of its own, in the middle of the turn.  Then what the room
    said before is put into its outbox first (L{Feed.catch_up}), so that it hears everything in
    the order in which it happened.

Such a share is cut out of the joined bytes; it is not joined anew from its parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate

from gameservers.games.velnet.wires.messages import Dialect
from gameservers.lobby import RoomKey
from gameservers.net.outbox import Outbox, Turn


class Feed:
    """
    One room's stream of messages.

    @ivar key: that of the room.
    @ivar dialect: what its members are told in.
    @ivar members: player id to outbox, in joining order.
    """

    __slots__ = ("_said", "_spared", "_told", "_turn", "dialect", "key", "members")

    def __init__(self, key: RoomKey, dialect: Dialect, turn: Turn) -> None:
        self.key = key
        self.dialect = dialect
        self.members: dict[int, Outbox] = {}
        self._turn = turn
        self._said: list[bytes] = []  # in this turn
        self._told: dict[int, int] = {}  # how much of it a member has been given already
        self._spared: dict[int, list[int]] = {}  # what a member does not hear of the rest

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

    def say(self, message: bytes, spare: int = 0) -> None:
        """Tell all members, or all but one."""
        if not self._said:
            self._turn.at_end(self._flush)
        if spare:
            self._spared.setdefault(spare, []).append(len(self._said))
        self._said.append(message)

    def catch_up(self, player: int) -> None:
        """Put what was said into a member's outbox, so that something else can follow it."""
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
    """The stretches of what was said, from C{told} to C{end}, that a member is told."""
    for index in spared:
        yield told, index
        told = index + 1
    yield told, end
