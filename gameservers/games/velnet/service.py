"""
VelNet's service: its players, and what they send each other.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING

from gameservers.games import Dependencies, GameService
from gameservers.games.velnet.access import Access
from gameservers.games.velnet.settings import VelNetSettings
from gameservers.games.velnet.wires.messages import Codec, Hello
from gameservers.games.velnet.words import Words
from gameservers.names import visible
from gameservers.net.address import Address, authority, unmapped
from gameservers.net.datagrams import Drop

if TYPE_CHECKING:
    from gameservers.games.velnet.session import Session

#: Sends a datagram to an address, from the port that a player uses.
SendDatagram = Callable[[bytes, Address], None]


class VelNetService(GameService):
    """
    The state that VelNet's sessions share.

    @ivar access: checks passwords.
    @ivar sessions: the players' sessions, by player id.
    @ivar bound: sessions by the address of their datagrams.
    """

    settings: VelNetSettings

    def __init__(self, dependencies: Dependencies) -> None:
        rate = dependencies.settings.rate
        super().__init__(dependencies, rate=rate, burst=rate)
        self.access = Access(self.settings.auth)
        self.sessions: dict[int, Session] = {}
        self.bound: dict[Address, Session] = {}
        self.words = Words(self.turn, self.sessions)
        self.limit_players(self.settings.max_players, self.settings.max_per_address)

    def say_farewell(self) -> None:
        """
        Announce nothing: there is no message for it, nor are clients told that the others leave.
        """
        for session in self.sessions.values():
            self.words.leave_feed(session)

    # --- players ------------------------------------------------------------------------------

    def enter(self, session: Session, name: str) -> int:
        """
        Enter a client that has logged in.

        @return: its player id.
        @raise Refused: the game is full.
        """
        address, deliver = session.connection.address, self.words.deliver
        player = self.lobby.enter(
            visible(name), self.game, deliver, address=address, unique=False
        ).id
        self.sessions[player] = session
        return player

    def exit(self, session: Session) -> None:
        """Remove a player, which receives nothing more."""
        self.words.leave_feed(session)
        self.unbind(session)
        del self.sessions[session.player]
        self.lobby.exit(session.player)

    # --- addresses ----------------------------------------------------------------------------

    def bind(self, hello: Hello, codec: Codec, address: Address, send: SendDatagram) -> None:
        """
        Bind a player to the source address of its hello, for datagrams in both directions.

        It must come from the host of the player's stream and be of the same wire format; otherwise
        it is ignored, because it may be forged.  While datagrams come from the player's address,
        no other one takes its place.  An address that was another player's is that player's no
        more: a client that has connected anew keeps its socket for datagrams.
        """
        session = self.sessions.get(hello.player)
        if session is None or session.codec is not codec:
            return
        if unmapped(address[0]) != session.connection.address and not self.settings.any_address:
            return
        owner = self.bound.get(address)
        if owner is not session:
            if self._speaks(session):
                self._refuse(session, address)
                return
            self._take_over(session, owner, address)
        self.bound[address] = session
        session.heard = self.clock.seconds()
        session.bind(address, send, seed=hello.seed)
        send(codec.known(hello.player), address)

    def _speaks(self, session: Session) -> bool:
        """Whether datagrams have come from a player's address lately."""
        silence = self.clock.seconds() - session.heard
        return session.udp is not None and silence < self.settings.takeover_timeout

    def _refuse(self, session: Session, address: Address) -> None:
        """Count a hello that is not accepted, and log the first of them."""
        self.metrics.datagrams_dropped[self.game, Drop.REFUSED.value] += 1
        if not session.warned:
            session.warned = True
            self._log.warn(
                "{game} player {player} stays at its address for datagrams, and not {address}",
                game=self.game,
                player=session.player,
                address=authority(*address),
            )

    def _take_over(self, session: Session, owner: Session | None, address: Address) -> None:
        """Unbind a player, and the one that has the address now; logged if there was any."""
        if session.udp is not None or owner is not None:
            self.metrics.datagram_addresses_changed[self.game] += 1
            self._log.info(
                "{game} player {player} has another address for datagrams now, {address}",
                game=self.game,
                player=session.player,
                address=authority(*address),
            )
        if owner is not None:
            self.unbind(owner)
        self.unbind(session)
        session.warned = False

    def unbind(self, session: Session) -> None:
        """Forget a player's address."""
        address, session.udp = session.udp, None
        if address is not None:
            del self.bound[address]

    # --- payloads -----------------------------------------------------------------------------

    def reachable(self, ids: Iterable[int], group_scope: str) -> list[int]:
        """Those of these players that are connected, and in this name space of groups."""
        found = ((each, self.sessions.get(each)) for each in ids)
        return [each for each, one in found if one is not None and one.group_scope == group_scope]

    def tell(self, ids: Collection[int], message: bytes) -> None:
        """Send one payload over the streams of these players."""
        for each in ids:
            self.sessions[each].tell(message)
        self.count(1, len(ids))

    def tell_by_datagram(self, ids: Collection[int], head: bytes, payload: bytes) -> None:
        """Send one payload in datagrams, to each player that accepts its size."""
        sessions, datagram = self.sessions, head + payload
        size = len(datagram)
        for each in ids:
            session = sessions[each]
            if session.udp is not None and size <= session.max_datagram:
                session.send_datagram(datagram, session.udp)
            else:
                session.miss_datagram(head, payload)
        self.count(1, len(ids))

    def count(self, payloads: int, hearers: int) -> None:
        """Count payloads, each sent to this number of players."""
        self.metrics.messages_relayed[self.game] += payloads
        self.metrics.messages_delivered[self.game] += payloads * hearers
