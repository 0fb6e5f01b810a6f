"""
One side of a game pipe: handshake, waiting for the partner, relaying bytes.

The meaning of a message depends only on its position, so each phase has one function: the first
three take a frame of the handshake, the others take bytes.
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

#: Bytes that one side may send before the other connects; then reading is paused.
MAX_EARLY = 65_536


class Phase(enum.Enum):
    NEW = "the magic comes next"
    GREETED = "the role comes next"
    NAMED = "the uuid comes next"
    WAITING = "it waits for the partner"
    PAIRED = "bytes are relayed"


class PipeSession:
    """
    The session of one side.

    @ivar role: which side it is, from L{Phase.NAMED} on.
    @ivar uuid: the uuid it sent, from L{Phase.WAITING} on.
    """

    role: pipe.Role
    uuid: str

    def __init__(self, connection: PipeProtocol, service: VcmiService) -> None:
        self.connection = connection
        self.phase = Phase.NEW
        self._games = service.games
        self._started: StartedGame | None = None
        self._hello = b""  # for the partner: the first two frames
        self._early = bytearray()  # for the partner, too: what followed the handshake

    @property
    def waiting(self) -> bool:
        """Whether it waits for the partner."""
        return self.phase is Phase.WAITING

    @property
    def shaking_hands(self) -> bool:
        """Whether it is in the handshake, which consists of frames."""
        return self.phase not in (Phase.WAITING, Phase.PAIRED)

    def received(self, data: bytes) -> None:
        """Handle a frame of the handshake, or bytes after it."""
        TABLE[self.phase](self, data)

    def release(self, uuid: str) -> bytes:
        """
        End the wait, and return the bytes that the partner is sent first.

        @param uuid: the partner's own.  This side's would be a key: with the server's, a client
            could take the server's role towards the other clients.
        """
        self.phase = Phase.PAIRED
        said = self._hello + pipe.framed(uuid.encode("ascii")) + self._early
        self._early.clear()
        return said

    def left(self) -> None:
        """Remove this side, as its connection has ended."""
        self._early.clear()
        if self._started is not None:
            self._games.detach(self._started, self)

    def _take_magic(self, frame: bytes) -> None:
        pipe.check_magic(frame)
        self._hello += pipe.framed(frame)
        self.phase = Phase.GREETED

    def _take_role(self, frame: bytes) -> None:
        self.role = pipe.role(frame)
        self._hello += pipe.framed(frame)
        self.phase = Phase.NAMED

    def _take_uuid(self, frame: bytes) -> None:
        self.uuid = pipe.uuid(frame)
        self._started = self._games.find(self.role, self.uuid)
        if self._started is None:
            raise WireError("an unknown uuid")
        self.connection.logged_in()
        self.connection.time_limit(None)
        self.phase = Phase.WAITING
        partner = self._games.attach(self._started, self)
        if not self.connection.ended:
            self._keep(self.connection.take_rest())
            if partner is not None:
                self.connection.couple(
                    partner.connection, partner.release(self.uuid), self.release(partner.uuid)
                )

    def _keep(self, data: bytes) -> None:
        """Keep bytes for the partner; after L{MAX_EARLY} reading is paused until it connects."""
        self._early += data
        if len(self._early) >= MAX_EARLY:
            self.connection.wait_for_partner()

    def _pass_on(self, data: bytes) -> None:
        self.connection.pass_on(data)


#: The function for input in each phase.
TABLE: dict[Phase, Callable[[PipeSession, bytes], None]] = {
    Phase.NEW: PipeSession._take_magic,
    Phase.GREETED: PipeSession._take_role,
    Phase.NAMED: PipeSession._take_uuid,
    Phase.WAITING: PipeSession._keep,
    Phase.PAIRED: PipeSession._pass_on,
}
