"""
One side of a game pipe: its handshake, its wait for the partner, and then bytes.

What a message means follows from its place alone, so each phase has one function: the first three
are given a frame of the handshake, the others what came.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import TYPE_CHECKING

from gameservers.games.vcmi.started import StartedGame
from gameservers.games.vcmi.wires import pipe
from gameservers.wire import WireError

if TYPE_CHECKING:
    from gameservers.games.vcmi.protocol import PipeProtocol
    from gameservers.games.vcmi.service import VcmiService

#: What one side may send before the other has come, in bytes; then it is not read from.
MAX_EARLY = 65_536


class Phase(enum.Enum):
    NEW = "the magic comes next"
    GREETED = "the role comes next"
    NAMED = "the uuid comes next"
    WAITING = "the game is known, the partner not here"
    PAIRED = "bytes flow"


class PipeSession:
    """
    The session.

    @ivar role: which side it is, from L{Phase.NAMED} on.
    @ivar uuid: the uuid it named, from L{Phase.WAITING} on.
    """

    role: pipe.Role
    uuid: str

    def __init__(self, connection: PipeProtocol, service: VcmiService) -> None:
        self.connection = connection
        self.phase = Phase.NEW
        self._games = service.games
        self._started: StartedGame | None = None
        self._said = bytearray()  # for the partner: handshake, then early bytes
        self._handshake = 0  # bytes of it

    @property
    def waiting(self) -> bool:
        """Whether the partner is still to come."""
        return self.phase is Phase.WAITING

    @property
    def shaking_hands(self) -> bool:
        """Whether frames are expected, and not bytes."""
        return self.phase not in (Phase.WAITING, Phase.PAIRED)

    def received(self, data: bytes) -> None:
        """A frame of the handshake has come, or bytes behind it."""
        TABLE[self.phase](self, data)

    def release(self) -> bytes:
        """The wait is over: what the partner is given before anything else."""
        self.phase = Phase.PAIRED
        said = bytes(self._said)
        self._said.clear()
        return said

    def left(self) -> None:
        """The connection is no more."""
        self._said.clear()
        if self._started is not None:
            self._games.detach(self._started, self)

    def _take_magic(self, frame: bytes) -> None:
        pipe.check_magic(frame)
        self._said += pipe.framed(frame)
        self.phase = Phase.GREETED

    def _take_role(self, frame: bytes) -> None:
        self.role = pipe.role(frame)
        self._said += pipe.framed(frame)
        self.phase = Phase.NAMED

    def _take_uuid(self, frame: bytes) -> None:
        self.uuid = pipe.uuid(frame)
        self._started = self._games.find(self.role, self.uuid)
        if self._started is None:
            raise WireError("a uuid that nobody was given")
        self.connection.logged_in()
        self.connection.time_limit(None)
        self._said += pipe.framed(frame)
        self._handshake = len(self._said)
        self.phase = Phase.WAITING
        partner = self._games.attach(self._started, self)
        if not self.connection.ended:
            self._keep(self.connection.take_rest())
            if partner is not None:
                self.connection.couple(partner.connection, partner.release(), self.release())

    def _keep(self, data: bytes) -> None:
        """Keep bytes for the partner; after too many no more are read until it is here."""
        self._said += data
        if len(self._said) - self._handshake >= MAX_EARLY:
            self.connection.hold()

    def _pass_on(self, data: bytes) -> None:
        self.connection.pass_on(data)


#: What is done with what comes, in each phase.
TABLE: dict[Phase, Callable[[PipeSession, bytes], None]] = {
    Phase.NEW: PipeSession._take_magic,
    Phase.GREETED: PipeSession._take_role,
    Phase.NAMED: PipeSession._take_uuid,
    Phase.WAITING: PipeSession._keep,
    Phase.PAIRED: PipeSession._pass_on,
}
