"""
The session of one player: the handshake, and then the game.

A broken tile is answered when it is saved, and what the player sends after it waits until then.

L{TABLE} has the function for each message and phase.  In the handshake every message except the
expected one and the good-bye is a L{WireError}; in the game a few are tolerated.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from gameservers.games.tilegame import wire
from gameservers.games.tilegame.pacing import Pace
from gameservers.games.tilegame.room import Participant, WorldRoom
from gameservers.games.tilegame.service import TileGameService
from gameservers.games.tilegame.words import REFUSALS
from gameservers.lobby import Player, Refused, Why
from gameservers.net.connection import Connection, Reason
from gameservers.wire import WireError

#: Maximum number of invalid packets in the game; one more ends the connection.
MAX_ODD_PACKETS = 16


class Phase(enum.Enum):
    """What the client must send next."""

    GREETING = "to say what it is"
    ASKING = "to ask for the map"
    JOINING = "to ask for a place"
    NAMING = "to say the player's name"
    PLAYING = "to play"


class Session:
    """
    Handles one player's messages in order, each when the rate limits allow.

    @ivar expects_name: whether the next message is the name, which is not a block.
    @ivar waiting: whether the next message has to wait for the map, for the rate limit, or for a
        broken tile to be saved.
    """

    # Set when the player has entered the world:
    _room: WorldRoom
    _participant: Participant

    def __init__(self, service: TileGameService, connection: Connection) -> None:
        self._begin(Phase.GREETING)
        self.waiting = False
        self._service = service
        self._settings = service.settings
        self._connection = connection
        self._seconds = service.clock.seconds
        self._fetching: Deferred[bytes] | None = None
        self._player: Player | None = None
        self._pace: Pace | None = None
        self._due = 0.0  # when the next message may be handled
        self._odd = 0

    def admits(self, message: bytes) -> bool:
        """Whether a message may be handled now; if not, the connection is called when it may."""
        if self._pace is None:
            return True
        due = self._pace.admit(message == wire.GLGAME_REQ, self._seconds())
        if due is not None:
            self.waiting, self._due = True, due
            self._service.schedule.call_at(due, self._go_on)
            return False
        self._connection.resetTimeout()
        return True

    def receive(self, data: bytes) -> None:
        """
        Handle a message.

        @raise WireError: it is not allowed in this phase.
        """
        message: wire.Message = data
        if self.expects_name:
            message = wire.Name(wire.parse_name(data))
        elif data not in wire.TOKENS:
            try:
                message = wire.parse_packet(data)
            except WireError:
                if self._phase is not Phase.PLAYING:
                    raise
                self._tolerate(data)
                return
        handle = self._table.get(data if message is data else type(message))
        if handle is not None:
            handle(self, message)

    def left(self) -> None:
        """Remove the player, as its connection has ended."""
        if self._fetching is not None:
            self._fetching.cancel()
        if self._player is not None:
            self._service.schedule.cancel(self._due, self._go_on)
            self._room.leave(self._participant)
            self._service.depart(self._player)
            self._player = None

    def _go_on(self) -> None:
        self.waiting = False
        self._connection.proceed()

    # --- the handshake ------------------------------------------------------------------------

    def _break_order(self, message: wire.Message) -> None:
        raise WireError(f"something else when it was about {self._phase.value}")

    def _greet(self, message: wire.Message) -> None:
        self._answer(wire.RECOGNITION_RES, Phase.ASKING)

    def _fetch_map(self, message: wire.Message) -> None:
        self.waiting = True
        self._connection.time_limit(None)  # the client waits for the map now
        self._fetching = self._service.worlds.map_payload()
        fetching = self._fetching.addCallbacks(self._send_map, self._has_no_map)
        fetching.addErrback(self._connection.failed)

    def _send_map(self, content: bytes) -> None:
        self._fetching = None
        self._answer(wire.map_messages(content), Phase.JOINING)
        self._go_on()

    def _has_no_map(self, failure: Failure) -> None:
        self._fetching = None
        self._connection.cut(Reason.FAILED, "there is no world")

    def _ask_name(self, message: wire.Message) -> None:
        self._answer(wire.PLAYERJOIN_RES, Phase.NAMING)

    def _join(self, message: wire.Name) -> None:
        try:
            if message.text is None:
                raise Refused(Why.NAME_TAKEN)  # the closest of the client's error texts
            self._player = self._service.admit(message.text, self._connection)
        except Refused as refused:
            last, reason = REFUSALS[refused.why]
            self._connection.cut(reason, str(refused), last)
            return
        now = self._seconds()
        assert self._service.worlds.room is not None  # the map exists, so the room does
        self._room = self._service.worlds.room
        self._participant = self._room.enter(self._player.name, now)
        self._pace = Pace(self._settings.tps, self._settings.max_rate, now)
        self._connection.logged_in(self._player.name)
        self._connection.time_limit(self._settings.silence_timeout)
        self._connection.outbox.send(wire.PLAYEROBJ_RES)
        self._begin(Phase.PLAYING)

    def _answer(self, answer: bytes, phase: Phase) -> None:
        self._connection.outbox.send(answer)
        self._connection.time_limit(self._settings.login_timeout)
        self._begin(phase)

    def _begin(self, phase: Phase) -> None:
        self._phase = phase
        self._table = TABLE[phase]
        self.expects_name = phase is Phase.NAMING

    # --- the game -----------------------------------------------------------------------------

    def _send_state(self, message: wire.Message) -> None:
        state = self._room.state(self._participant)
        self._connection.outbox.send(wire.GLGAME_RES + state + wire.LCGAME_REQ)

    # Every packet is answered, even if it is rejected, because the client waits for that.

    def _move(self, packet: wire.Position) -> None:
        self._connection.outbox.send(wire.PACKETRECV_RES)
        self._room.report(self._participant, packet, self._seconds())

    def _break(self, packet: wire.BreakTile) -> None:
        if not self._room.may_break(self._participant, packet, self._seconds()):
            self._connection.outbox.send(wire.PACKETRECV_RES)
            return
        self.waiting = True
        broken = self._service.worlds.break_tile(packet.x, packet.y)
        broken.addCallback(self._is_broken)
        if self.waiting:
            broken.addCallback(lambda _: self._go_on()).addErrback(self._connection.failed)

    def _is_broken(self, _: None) -> None:
        self.waiting = False
        if not self._connection.ended:
            self._connection.outbox.send(wire.PACKETRECV_RES)

    def _tolerate(self, message: Any) -> None:
        """Count an invalid message, and answer it if it is a packet."""
        self._odd += 1
        if self._odd > MAX_ODD_PACKETS:
            raise WireError("too many invalid packets")
        if wire.is_packet(message):
            self._connection.outbox.send(wire.PACKETRECV_RES)

    def _leave(self, message: wire.Message) -> None:
        self._connection.abort()


_OUT_OF_ORDER = dict.fromkeys(wire.MESSAGES, Session._break_order) | {
    wire.DISCONNECT_REQ: Session._leave
}

#: The function for each kind of message, in each phase.
TABLE: Mapping[Phase, Mapping[wire.Kind, Callable[[Session, Any], None]]] = {
    Phase.GREETING: _OUT_OF_ORDER | {wire.RECOGNITION_REQ: Session._greet},
    Phase.ASKING: _OUT_OF_ORDER | {wire.MAPDATA_REQ: Session._fetch_map},
    Phase.JOINING: _OUT_OF_ORDER | {wire.PLAYERJOIN_REQ: Session._ask_name},
    Phase.NAMING: _OUT_OF_ORDER | {wire.Name: Session._join},
    Phase.PLAYING: {
        wire.RECOGNITION_REQ: Session._tolerate,
        wire.MAPDATA_REQ: Session._tolerate,
        wire.PLAYERJOIN_REQ: Session._tolerate,
        wire.GLGAME_REQ: Session._send_state,
        wire.Position: Session._move,
        wire.BreakTile: Session._break,
        wire.DISCONNECT_REQ: Session._leave,
    },
}

#: The messages that are ignored; a name is recognised only in its own phase.
IGNORED: Mapping[Phase, frozenset[wire.Kind]] = {
    **dict.fromkeys(Phase, frozenset()),
    Phase.PLAYING: frozenset({wire.EmptyPacket, wire.Name}),
}
