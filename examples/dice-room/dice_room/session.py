"""The session of one player: handles its messages."""

from __future__ import annotations

import enum
import random
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from twisted.python.failure import Failure

from dice_room.wire import Best, Enter, Message, Roll, line
from gameservers.lobby import Refused, ToRoom
from gameservers.net.connection import Connection, Reason
from gameservers.store import StoreError
from gameservers.wire import WireError

if TYPE_CHECKING:
    from dice_room.service import DiceService


class Phase(enum.Enum):
    OUTSIDE = "it has no name yet"
    INSIDE = "it sits at the table"


class Session:
    def __init__(self, connection: Connection, service: DiceService) -> None:
        self.connection = connection
        self.phase = Phase.OUTSIDE
        self.player = 0
        self._service = service
        self._lobby = service.lobby

    def handle(self, message: Message) -> None:
        """Handle a message, or answer why it is refused."""
        try:
            TABLE[self.phase][type(message)](self, message)
        except Refused as refused:
            self.tell(f"! {refused.why.value}")

    def tell(self, text: str) -> None:
        self.connection.outbox.send(line(text))

    def left(self) -> None:
        if self.phase is Phase.INSIDE:
            self._service.words.forget(self.player)
            self._lobby.exit(self.player)

    def _enter(self, message: Enter) -> None:
        service = self._service
        player = self._lobby.enter(
            message.name, service.game, service.words.deliver, address=self.connection.address
        )
        self.player = player.id
        self.phase = Phase.INSIDE
        service.words.listen(player.id, self)
        self.connection.logged_in(message.name)
        self.connection.silence_limit(service.settings.silence_timeout)
        self._lobby.join(player.id, service.table)

    def _roll(self, message: Roll) -> None:
        number = random.randint(1, message.sides)
        name = self._lobby.player(self.player).name
        kept = self._service.records.roll(name, number)
        kept.addCallbacks(lambda _: self._rolled(number), self._not_now)

    def _rolled(self, number: int) -> None:
        """Announce a roll that is in the database; the player may have left by now."""
        if not self.connection.ended:
            with suppress(Refused):  # muted
                self._lobby.say(self.player, f"rolls {number}", ToRoom())

    def _best(self, message: Best) -> None:
        self._service.records.best().addCallbacks(self._tell_best, self._not_now)

    def _tell_best(self, best: tuple[str, int] | None) -> None:
        name, number = best or ("nobody", 0)
        self.tell(f"the best is {number} by {name}")

    def _not_now(self, failure: Failure) -> None:
        failure.trap(StoreError)
        self.tell("! not now")

    def _misplaced(self, message: Message) -> None:
        raise WireError(f"{type(message).__name__} when {self.phase.value}")

    def expelled(self, why: str) -> None:
        self.connection.cut(Reason.BANNED, why, line(f"! {why}"))


TABLE: dict[Phase, dict[type[Message], Callable[[Session, Any], None]]] = {
    Phase.OUTSIDE: {
        Enter: Session._enter,
        Roll: Session._misplaced,
        Best: Session._best,
    },
    Phase.INSIDE: {
        Enter: Session._misplaced,
        Roll: Session._roll,
        Best: Session._best,
    },
}

IGNORED: dict[Phase, frozenset[type[Message]]] = dict.fromkeys(Phase, frozenset())
