"""
VCMI's game pipe: how the two halves of a started game find each other here.

A pipe begins with three frames (u32 little-endian length, then the bytes), each at most
L{MAX_HANDSHAKE} bytes::

    "Aiya!" LF                      the magic, see gameservers.games.vcmi.wire.MAGICS
    "VCMI 1.3.2 (client)"           any text with the role in parentheses, or the bare role
    36 characters                   a uuid of START (client) or HOST (server)

Every byte after them is the game's.  Once the partner is there, each side gets the other's
three frames and whatever followed them, and from then on bytes pass unchanged both ways.  A
uuid that nobody was given, or anything else in the handshake, closes the connection.

A client meets whichever server connection of its game has waited longest, and the other way
round: the game's server opens one connection per guest, and all are alike.

The uuids of a game are good from its start until nobody has been connected for C{lifetime}
seconds.  A side that ends before its partner came takes with it what it sent; once they are
paired, the end of one side is the end of the other, and both may come back.

Source: VCMI 1.1 to 1.4 and vcmi/proxy-server, observed.
"""

from __future__ import annotations

import enum
import re
import struct
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from twisted.internet.interfaces import (
    IDelayedCall,
    IHalfCloseableProtocol,
    IReactorTime,
)
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.protocols.basic import Int32StringReceiver
from twisted.protocols.policies import TimeoutMixin
from twisted.python.failure import Failure
from zope.interface import implementer

from gameservers.games import nobody_asks
from gameservers.games.vcmi.rules import GAME
from gameservers.games.vcmi.settings import VcmiSettings
from gameservers.metrics import Metrics
from gameservers.net.address import host_of
from gameservers.net.bypass import has_ended, make_prompt
from gameservers.net.pipe import End, Ending, Pipe, couple

#: Longest frame of a handshake, in bytes.
MAX_HANDSHAKE = 1024

#: What one side may send before the other has come, in bytes; then it is not read from.
MAX_EARLY = 65_536

#: Connections of one started game at once; the oldest that waits makes place.
MAX_CONNECTIONS = 64

#: How often a connection that waits unread is asked whether it has ended, in seconds.
LOOK = 5.0


class Role(enum.Enum):
    CLIENT = "client"
    SERVER = "server"

    @property
    def opposite(self) -> Role:
        return Role.SERVER if self is Role.CLIENT else Role.CLIENT


class Phase(enum.Enum):
    GREETED = "the magic was right"
    NAMED = "the role is known"
    WAITING = "the game is known, the partner not here"
    PAIRED = "bytes flow"
    OVER = "over"


_ROLE = re.compile(rb"\((client|server)\)|\A(client|server)\s*\Z")


class GameSession:
    """
    One started game: its uuids and who is connected for it.

    @ivar host: the uuid the game's server comes with.
    @ivar clients: the uuids of the players, in joining order.
    """

    def __init__(self, players: int) -> None:
        self.host = str(uuid4())
        self.clients = [str(uuid4()) for _ in range(players)]
        self.connections: dict[PipeProtocol, None] = {}
        self.waiting: dict[Role, dict[PipeProtocol, None]] = {
            Role.CLIENT: {},
            Role.SERVER: {},
        }
        self.expiry: IDelayedCall | None = None

    @property
    def uuids(self) -> list[str]:
        return [self.host, *self.clients]


class GameSessions:
    """
    The started games whose pipes may meet here.

    @ivar playing: pipe connections at this moment, of both roles, paired or not.
    @ivar strangers: connections that have not named their game yet.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        settings: VcmiSettings,
        metrics: Metrics,
        changed: Callable[[], None],
        logged_in: Callable[[Any], None] = nobody_asks,
    ) -> None:
        """
        @param changed: called when a connection has ended.
        @param logged_in: is told the transports of connections that named their game.
        """
        self.logged_in = logged_in
        self._changed = changed
        self._clock = clock
        self._lifetime = settings.pipe_lifetime
        self._sessions: dict[str, GameSession] = {}
        self._metrics = metrics
        self.playing = 0
        self.strangers: set[PipeProtocol] = set()

    def open(self, players: int) -> GameSession:
        """A game of so many players, the host among them, has started."""
        session = GameSession(players)
        for uuid in session.uuids:
            self._sessions[uuid] = session
        self._restart_expiry(session)
        return session

    def find(self, role: Role, uuid: str) -> GameSession | None:
        """The game in which this uuid stands for this role."""
        session = self._sessions.get(uuid)
        if session is None or (role is Role.SERVER) != (uuid == session.host):
            return None
        return session

    def attach(self, session: GameSession, pipe: PipeProtocol) -> PipeProtocol | None:
        """
        A connection has named its game.

        @return: the partner it is paired with; L{None} if it has to wait.
        """
        waiting = session.waiting[pipe.role]
        if pipe.role is Role.CLIENT:
            for older in [each for each in waiting if each.uuid == pipe.uuid]:
                older.cut("replaced")
        for other in tuple(session.waiting[pipe.role.opposite]):
            other.end_if_lost()
        partner = next(iter(session.waiting[pipe.role.opposite]), None)
        if len(session.connections) >= MAX_CONNECTIONS:
            spare = (each for each in session.connections if each.waiting and each is not partner)
            oldest = next(spare, pipe)
            oldest.cut("crowded")
            if oldest is pipe:
                return None
        session.connections[pipe] = None
        self.playing += 1
        self._metrics.pipes_opened[GAME] += 1
        if session.expiry is not None:
            session.expiry.cancel()
            session.expiry = None
        if partner is None:
            waiting[pipe] = None
        else:
            del session.waiting[partner.role][partner]
            self._metrics.pipes_paired[GAME] += 1
        return partner

    def detach(self, session: GameSession, pipe: PipeProtocol) -> None:
        """A connection has ended; that it ends twice means nothing."""
        if pipe not in session.connections:
            return
        del session.connections[pipe]
        session.waiting[pipe.role].pop(pipe, None)
        self.playing -= 1
        if not session.connections:
            self._restart_expiry(session)
        self._changed()

    def count_cut(self, why: str, address: str) -> None:
        """A connection is ended for this reason."""
        self._metrics.cuts[GAME, why] += 1
        self._log.info(
            "A VCMI game connection from {address} is cut off: {why}", address=address, why=why
        )

    def end(self) -> None:
        """The server ends: close what waits; what is paired is closed by its pipe."""
        for stranger in tuple(self.strangers):
            stranger.end()
        for session in set(self._sessions.values()):
            for pipe in tuple(session.connections):
                pipe.end()
            if session.expiry is not None:
                session.expiry.cancel()
                session.expiry = None
        self._sessions.clear()

    def _restart_expiry(self, session: GameSession) -> None:
        if session.host in self._sessions:
            session.expiry = self._clock.callLater(self._lifetime, self._expire, session)

    def _expire(self, session: GameSession) -> None:
        session.expiry = None
        for uuid in session.uuids:
            del self._sessions[uuid]
        self._log.debug("A game's uuids have expired")


@implementer(IHalfCloseableProtocol)
class PipeProtocol(TimeoutMixin, Int32StringReceiver):
    """
    One side of a game pipe: the handshake, the wait, and then a mouth of the byte pipe.

    @ivar role: which side it is, once it said so.
    @ivar uuid: the uuid it named.
    """

    structFormat = "<I"
    MAX_LENGTH = MAX_HANDSHAKE
    _log = Logger()

    transport: Any
    role: Role
    uuid: str

    def __init__(
        self, games: GameSessions, clock: IReactorTime, settings: VcmiSettings, magic: bytes
    ) -> None:
        self._games = games
        self._settings = settings
        self._phase = Phase.GREETED
        self._session: GameSession | None = None
        self._said = bytearray(_framed(magic))  # for the partner: handshake, then early bytes
        self._handshake = 0  # bytes of it
        self._pipe: Pipe | None = None
        self._mouth: End | None = None
        self._clock = clock

    @property
    def waiting(self) -> bool:
        """Whether the partner is still to come."""
        return self._phase is Phase.WAITING

    def callLater(self, period: float, func: Callable[[], None]) -> IDelayedCall:
        return self._clock.callLater(period, func)

    def connectionMade(self) -> None:
        make_prompt(self.transport)
        self._games.strangers.add(self)
        self.setTimeout(self._settings.login_timeout)

    def dataReceived(self, data: bytes) -> None:
        if self._mouth is not None:
            self._mouth.received(data)
        elif self._phase is Phase.WAITING:
            self._keep(data)
        elif self._phase is not Phase.OVER:
            super().dataReceived(data)

    def stringReceived(self, frame: bytes) -> None:
        step = STEPS.get(self._phase)
        if step is not None and not step(self, frame):
            self.cut("malformed")

    def lengthLimitExceeded(self, length: int) -> None:
        self.cut("long")

    def timeoutConnection(self) -> None:
        if self._phase is Phase.WAITING:
            self.setTimeout(LOOK)
            self.end_if_lost()
        else:
            self.cut("silent")

    def readConnectionLost(self) -> None:
        if self._mouth is not None:
            self._mouth.read_lost()
        else:
            self.end()

    def writeConnectionLost(self) -> None:
        """It was this side that ended; what is still read is the pipe's business."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._mouth is not None:
            self._mouth.lost(reason)
        self._over()

    def cut(self, why: str) -> None:
        """End this side, which has no partner yet, for a reason that is counted."""
        self._games.count_cut(why, host_of(self.transport))
        self.end()

    def end(self) -> None:
        """End this side, and with it the partner's if it has one."""
        if self._pipe is not None:
            self._pipe.close()
        else:
            self._over()
            self.transport.abortConnection()

    def end_if_lost(self) -> None:
        """End this side if the peer has ended already; one that is not read from hides it."""
        if has_ended(self.transport):
            self.end()

    def _over(self) -> None:
        self.setTimeout(None)
        self._phase = Phase.OVER
        self._said.clear()
        self._games.strangers.discard(self)
        if self._session is not None:
            self._games.detach(self._session, self)

    def _take_role(self, frame: bytes) -> bool:
        found = _ROLE.search(frame)
        if found is None:
            return False
        self.role = Role((found[1] or found[2]).decode("ascii"))
        self._said += _framed(frame)
        self._phase = Phase.NAMED
        return True

    def _take_uuid(self, frame: bytes) -> bool:
        self.uuid = frame.decode("ascii", "replace")
        session = self._games.find(self.role, self.uuid)
        if session is None:
            return False
        self.setTimeout(None)
        self._games.logged_in(self.transport)
        self._games.strangers.discard(self)
        self._said += _framed(frame)
        self._handshake = len(self._said)
        self._session = session
        self._phase = Phase.WAITING
        early, self.recvd = self.recvd, b""
        partner = self._games.attach(session, self)
        if self._phase is Phase.WAITING:
            self._keep(early)
            if partner is not None:
                self._pair(partner)
        return True

    def _keep(self, data: bytes) -> None:
        """Bytes the partner will get; too many, and no more are read until he is here."""
        self._said += data
        if len(self._said) - self._handshake >= MAX_EARLY:
            self.transport.pauseProducing()
            self.setTimeout(LOOK)

    def _pair(self, partner: PipeProtocol) -> None:
        pipe = couple(
            self.transport,
            partner.transport,
            clock=self._clock,
            done=self._paired_no_more,
            to_a=bytes(partner._said),
            to_b=bytes(self._said),
        )
        for each, mouth in ((self, pipe.a), (partner, pipe.b)):
            each._phase = Phase.PAIRED
            each.setTimeout(None)
            each._pipe, each._mouth = pipe, mouth
            each._said.clear()

    def _paired_no_more(self, ending: Ending) -> None:
        self._log.debug("A VCMI game connection is over: {ending}", ending=ending.value)


#: What each phase of the handshake makes of a frame; false: the handshake is wrong.
STEPS: dict[Phase, Callable[[PipeProtocol, bytes], bool]] = {
    Phase.GREETED: PipeProtocol._take_role,
    Phase.NAMED: PipeProtocol._take_uuid,
}


def _framed(frame: bytes) -> bytes:
    return struct.pack("<I", len(frame)) + frame
