"""
The connections of Tile-Game players: their handshake, their pace, their end.

Clients notice a reset of the connection, but never that it was closed: everybody who has to go
is cut off, and whoever is told why first has a moment to read it.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime, ITCPTransport
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger
from twisted.protocols.policies import TimeoutMixin
from twisted.python.failure import Failure

from gameservers.games import nobody_asks
from gameservers.games.tilegame import wire
from gameservers.games.tilegame.pieces import Pieces
from gameservers.games.tilegame.room import ROUNDING, Allowance
from gameservers.games.tilegame.service import WorldService
from gameservers.games.tilegame.settings import TileGameSettings
from gameservers.games.tilegame.wire import WireError
from gameservers.lobby import Lobby, Player, Refused, RoomKey, RoomRules, Why
from gameservers.lobby.events import Expelled
from gameservers.net.address import host_of
from gameservers.net.guard import place_of

GAME = "tilegame"

#: The one room that all players of the game are in.
ROOM = RoomKey(GAME, "", "world")
ROOM_RULES = RoomRules(hosted=False, permanent=True)


#: Bytes that a client may send before they are handled; with more it is not read from.
READ_AHEAD = wire.PIECE

#: Packets without meaning that a playing client may send; one more ends the connection.
MAX_ODD_PACKETS = 16

#: How long a client that is refused gets to read why, in seconds.
FAREWELL = 2.0

#: How late a timer may be without the states becoming fewer, in seconds.
LATE = 0.01

#: By how much a state may be put off so that it leaves together with others', in periods.
PUT_OFF = 0.1


def together(due: float, rate: float) -> float:
    """
    When a client gets the state that is due, if it has to wait for it anyway.

    All those who wait at the same beat are served in one turn of the reactor, which costs much
    less than a turn for each.  Who is out of step is put off a little each time until he is in
    step; who never has to wait, because his answers take long, stays as quick as he is.
    """
    beat = math.ceil(due * rate - ROUNDING * rate) / rate
    return min(beat, due + PUT_OFF / rate)


class Phase(enum.Enum):
    """What a client is about to do."""

    GREETING = "to say what it is"
    ASKING = "to ask for the map"
    FETCHING = "to get the map"
    JOINING = "to ask for a place"
    NAMING = "to say the player's name"
    PLAYING = "to play"
    LEAVING = "to read why it has to go"


#: What a client says in each phase of the handshake: what it is answered, and the phase after.
#: Whatever else it says ends the connection.
NEXT = {
    (Phase.GREETING, wire.RECOGNITION_REQ): (wire.RECOGNITION_RES, Phase.ASKING),
    (Phase.ASKING, wire.MAPDATA_REQ): (b"", Phase.FETCHING),
    (Phase.JOINING, wire.PLAYERJOIN_REQ): (wire.PLAYERJOIN_RES, Phase.NAMING),
}

#: In which words a place in the game is refused.
REFUSALS = {
    Why.NAME_TAKEN: wire.NAMEALREXIST_ERR,
    Why.LOBBY_FULL: wire.MAXPLAYERS_ERR,
    Why.ROOM_FULL: wire.MAXPLAYERS_ERR,
}


class TileGameProtocol(Protocol, TimeoutMixin):
    """One client.  What it says is handled in order, each message when its time has come."""

    factory: TileGameFactory
    transport: Any
    _log = Logger()

    def __init__(self, factory: TileGameFactory) -> None:
        self.factory = factory
        self.host = ""
        self.place = ""
        self._settings = factory.settings
        self._seconds = factory.clock.seconds
        self._inbox = wire.Inbox()
        self._phase = Phase.GREETING
        self._player: Player | None = None
        self._fetching: Deferred[None] | None = None
        self._later: float | None = None  # when the next message has its time
        self._reading = True
        self._handling = False
        self._odd = 0

    def connectionMade(self) -> None:
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
        self.host = host_of(self.transport)
        self.place = self.factory.place_of(self.host)
        self._outgoing = Pieces(self.transport, self._settings.max_unread, self._proceed)
        if self.factory.arrived(self):
            self.setTimeout(self._settings.login_timeout)
        else:
            self._drop("there are too many connections")

    def dataReceived(self, data: bytes) -> None:
        if self._phase is not Phase.LEAVING:
            self._inbox.receive_data(data)
            self._proceed()

    def connectionLost(self, reason: Failure | None = None) -> None:
        self._phase = Phase.LEAVING
        self.setTimeout(None)
        if self._later is not None:
            self.factory.beats.forget(self._later, self)
            self._later = None
        if self._fetching is not None:
            self._fetching.cancel()
        self.factory.gone(self)
        if self._player is not None:
            self._room.leave(self._visit)
            self.factory.depart(self._player)
            self._player = None

    def callLater(self, period: float, func: Callable[[], object]) -> IDelayedCall:
        """The hook that L{TimeoutMixin} offers."""
        return self.factory.clock.callLater(period, func)

    def timeoutConnection(self) -> None:
        self._drop("its time is up")

    def cut(self) -> None:
        """End the connection so that the client notices."""
        self._phase = Phase.LEAVING
        self.transport.abortConnection()

    def _drop(self, why: str) -> None:
        self._log.info(
            "A Tile-Game connection of {host} ends: {why}; it was about {phase}",
            host=self.host,
            why=why,
            phase=self._phase.value,
        )
        self.cut()

    # --- one message after the other ---------------------------------------------------------

    def _proceed(self) -> None:
        """Handle what has arrived, as far as its time has come and answers are read."""
        if self._handling:  # what we do for one message may bring us here again
            return
        self._handling = True
        try:
            while self._later is None and not self._outgoing.full and self._handle():
                pass
        finally:
            self._handling = False
        if self._phase is not Phase.LEAVING:
            self._read(len(self._inbox) <= READ_AHEAD)

    def _handle(self) -> bool:
        """Handle the next message; C{False} if there is none, or not yet."""
        if self._phase is Phase.PLAYING:
            block = self._inbox.block()
            return block is not None and self._play(block)
        match self._phase:
            case Phase.FETCHING | Phase.LEAVING:
                return False
            case Phase.NAMING:
                name = self._inbox.take(len(self._inbox))
                if name:
                    self._named(name)
                return bool(name)
        block = self._inbox.block()
        if block is None:
            return False
        self._inbox.take(wire.BLOCK)
        self._shake_hands(block)
        return True

    def _read(self, reading: bool) -> None:
        """Let the client wait whose messages have to wait themselves."""
        if reading is not self._reading:
            self._reading = reading
            if reading:
                self.transport.resumeProducing()
            else:
                self.transport.pauseProducing()

    # --- the handshake -----------------------------------------------------------------------

    def _shake_hands(self, block: bytes) -> None:
        step = NEXT.get((self._phase, block))
        if step is None:
            self._drop("it said something else")
            return
        answer, self._phase = step
        self._outgoing.write(answer)
        if self._phase is Phase.FETCHING:
            self.setTimeout(None)  # now it is we who take our time
            fetching = self.factory.worlds.map_payload().addCallback(self._send_map)
            self._fetching = fetching.addErrback(self._cannot_send_map)
        else:
            self.setTimeout(self._settings.login_timeout)

    def _send_map(self, content: bytes) -> None:
        self._fetching = None
        self._outgoing.write(wire.map_messages(content))
        self._phase = Phase.JOINING
        self.setTimeout(self._settings.login_timeout)
        self._proceed()

    def _cannot_send_map(self, failure: Failure) -> None:
        if self._phase is Phase.FETCHING:
            self._drop("there is no world")

    def _named(self, data: bytes) -> None:
        name = wire.parse_name(data)
        try:
            if name is None:
                raise Refused(Why.NAME_TAKEN)  # the nearest that the client has a text for
            self._player = self.factory.admit(name, self)
        except Refused as refused:
            self._phase = Phase.LEAVING
            self._outgoing.write(REFUSALS[refused.why])
            self.setTimeout(FAREWELL)
            return
        self.factory.logged_in(self.transport)
        now = self._seconds()
        assert self.factory.worlds.room is not None  # or there would have been no map
        self._room = self.factory.worlds.room
        self._visit = self._room.enter(self._player.name, now)
        self._packets = Allowance(self._settings.max_rate, self._settings.max_rate, now)
        self._due = now  # when the next state may leave
        self._waited = False
        self._phase = Phase.PLAYING
        self._outgoing.write(wire.PLAYEROBJ_RES)
        self.setTimeout(self._settings.silence_timeout)

    # --- the play ----------------------------------------------------------------------------

    def _play(self, block: bytes) -> bool:
        now = self._seconds()
        asks = block == wire.GLGAME_REQ
        wait = self._due - now if asks else self._packets.wait(now)
        if wait > ROUNDING:
            self._waited = asks
            if asks:
                self._due = together(self._due, self._settings.tps)
                wait = self._due - now
            self._later = self._due if asks else now + wait
            self.factory.beats.wait(self._later, self)
            return False
        self._inbox.take(wire.BLOCK)
        self.resetTimeout()
        if asks:
            on_time = self._waited and now - self._due <= LATE
            self._due = (self._due if on_time else now) + 1 / self._settings.tps
            self._waited = False
            state = self._room.state(self._visit)
            self._outgoing.write(wire.GLGAME_RES + state + wire.LCGAME_REQ)
        elif block == wire.DISCONNECT_REQ:
            self.cut()
        else:
            self._packets.take()
            self._packet(block, now)
        return True

    def wake(self) -> None:
        """The next message has its time."""
        if self._later is not None:
            self._later = None
            self._proceed()

    def _packet(self, block: bytes, now: float) -> None:
        """Answer every packet, whatever becomes of it: the client waits for that."""
        try:
            packet = wire.parse_packet(block)
        except WireError:
            self._odd += 1
            if self._odd > MAX_ODD_PACKETS:
                self._drop("it sent too many packets that mean nothing")
                return
            if wire.is_packet(block):
                self._outgoing.write(wire.PACKETRECV_RES)
            return
        if packet is not None:
            self._outgoing.write(wire.PACKETRECV_RES)
            self._room.report(self._visit, packet, now)


class Beats:
    """Clients whose next message has its time at the same moment, on one timer."""

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._waiting: dict[float, tuple[IDelayedCall, dict[TileGameProtocol, None]]] = {}

    def wait(self, due: float, protocol: TileGameProtocol) -> None:
        beat = self._waiting.get(due)
        if beat is None:
            wait = max(0.0, due - self._clock.seconds())
            beat = self._waiting[due] = self._clock.callLater(wait, self._wake, due), {}
        beat[1][protocol] = None

    def forget(self, due: float, protocol: TileGameProtocol) -> None:
        """A client waits no longer."""
        timer, protocols = self._waiting.get(due, (None, {}))
        protocols.pop(protocol, None)
        if timer is not None and not protocols:
            timer.cancel()
            del self._waiting[due]

    def _wake(self, due: float) -> None:
        _, protocols = self._waiting.pop(due)
        for protocol in protocols:
            try:
                protocol.wake()
            except Exception:  # a bug of ours, which is no other client's trouble
                self._log.failure("A Tile-Game client could not be answered")
                protocol.cut()


class TileGameFactory(Factory):
    """
    All clients of the game.

    @ivar worlds: where the map and the room come from.
    @ivar beats: the timers of the play.
    """

    noisy = False
    _log = Logger()

    def __init__(
        self,
        lobby: Lobby,
        clock: IReactorTime,
        worlds: WorldService,
        settings: TileGameSettings,
        stop: Callable[[], None] | None = None,
        logged_in: Callable[[Any], None] = nobody_asks,
        place_of: Callable[[str], str] = place_of,
    ) -> None:
        """
        @param stop: stops the whole server.
        @param logged_in: is told the transports of players.
        @param place_of: what a host counts as; C{""} if no limit per address touches it.
        """
        self.logged_in = logged_in
        self.place_of = place_of
        self.clock = clock
        self.beats = Beats(clock)
        self.worlds = worlds
        self.settings = settings
        self._lobby = lobby
        self._stop = stop
        self._stopping: IDelayedCall | None = None
        self._connections: set[TileGameProtocol] = set()
        self._playing: dict[int, TileGameProtocol] = {}
        lobby.limit(GAME, settings.max_players)
        lobby.provide_room(ROOM, ROOM_RULES, capacity=settings.max_players)

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        return TileGameProtocol(self)

    # --- connections -------------------------------------------------------------------------

    def arrived(self, protocol: TileGameProtocol) -> bool:
        """Whether this connection may stay."""
        neighbours = sum(each.place == protocol.place for each in self._connections)
        if len(self._connections) >= self.settings.max_connections or (
            protocol.place and neighbours >= self.settings.max_per_address
        ):
            return False
        self._connections.add(protocol)
        return True

    def gone(self, protocol: TileGameProtocol) -> None:
        self._connections.discard(protocol)

    def cut_all(self) -> None:
        for protocol in tuple(self._connections):
            protocol.cut()

    # --- players -----------------------------------------------------------------------------

    def admit(self, name: str, protocol: TileGameProtocol) -> Player:
        """A player comes in, or L{Refused}."""
        player = self._lobby.enter(name, GAME, self.deliver, address=protocol.host)
        try:
            self._lobby.join(player.id, ROOM)
        except Refused:
            self._lobby.exit(player.id)
            raise
        self._playing[player.id] = protocol
        if self._stopping is not None:
            self._stopping.cancel()
            self._stopping = None
        self._log.info(
            "{player} joined {room} from {host}", player=name, room=ROOM.name, host=protocol.host
        )
        return player

    def depart(self, player: Player) -> None:
        """A player is gone."""
        del self._playing[player.id]
        self._lobby.exit(player.id)
        self._log.info("{player} left {room}", player=player.name, room=ROOM.name)
        wait = self.settings.stop_when_empty
        if not self._playing and wait and self._stop is not None:
            self._stopping = self.clock.callLater(wait, self._stop_empty, self._stop)

    def _stop_empty(self, stop: Callable[[], None]) -> None:
        self._stopping = None
        self._log.info("No player is left: the server stops")
        stop()

    def deliver(self, players: Sequence[int], event: object) -> None:
        """
        What the lobby has to tell.

        The game has no words for any of it; a player who is expelled is cut off.
        """
        if isinstance(event, Expelled):
            for each in players:
                self._playing[each].cut()


class Doorkeeper(Service):
    """Cuts everybody off when the server stops, before the world is saved for the last time."""

    def __init__(self, factory: TileGameFactory) -> None:
        self._factory = factory

    def stopService(self) -> None:
        super().stopService()
        self._factory.cut_all()
