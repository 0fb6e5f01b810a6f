"""
A room in which players roll dice.  A message is one line of UTF-8, at most 100 bytes, and LF::

    client to server            server to everybody in the room
    DICE <name>     come in     <name> is here
    ROLL <sides>    2 to 100    <name> rolls <number>
    BEST                        the best is <number> by <name>, to the one who asks
    (the connection ends)       <name> is gone

What cannot be done is answered C{! <why>}; a line that is none of these ends the connection.
"""

import random
import re
from dataclasses import dataclass
from typing import Any

from twisted.internet.protocol import ServerFactory
from twisted.plugin import IPlugin
from twisted.protocols.basic import LineReceiver
from zope.interface import implementer

from dice_room.records import SCHEMA, DiceRecords
from gameservers.config import common
from gameservers.config.vocabulary import Listening
from gameservers.games import IGame, Surroundings, Wires, never
from gameservers.lobby import Refused, RoomKey, RoomRules, ToRoom
from gameservers.lobby.events import Announced, ChatSaid, Expelled, MemberJoined, MemberLeft
from gameservers.net.address import host_of
from gameservers.net.outbox import Outbox, Turn
from gameservers.wire import begins

TABLE = RoomKey("dice", "", "table")


def parse(line: bytes) -> tuple[str, str] | None:
    """What is wished, and the rest; C{None} if it is nothing of this game."""
    found = re.fullmatch(
        r"(DICE) (\w+)|(ROLL) ([2-9]|[1-9]\d|100)|(BEST)", line.decode("utf-8", "replace")
    )
    return found and (found[1] or found[3] or found[5], found[2] or found[4] or "")


class DiceProtocol(LineReceiver):
    delimiter = b"\n"
    MAX_LENGTH = 100
    player = None

    def connectionMade(self) -> None:
        abort = self.transport.abortConnection
        self.outbox = Outbox(
            self.transport, self.factory.turn, limit=self.factory.max_unread, overflowed=abort
        )

    def lineReceived(self, line: bytes) -> None:
        match parse(line):
            case "DICE", name if self.player is None:
                try:
                    self.factory.enter(name, self)
                except Refused as refused:
                    self.tell(f"! {refused.why.value}")
            case "ROLL", sides if self.player is not None:
                number = random.randint(1, int(sides))
                try:
                    self.factory.lobby.say(self.player, f"rolls {number}", ToRoom())
                except Refused as refused:
                    self.tell(f"! {refused.why.value}")
                else:
                    name = self.factory.lobby.player(self.player).name
                    kept = self.factory.records.roll(name, number)
                    kept.addErrback(lambda failure: self.tell("! the roll was not kept"))
            case "BEST", _ if self.player is not None:
                asked = self.factory.records.best()
                asked.addCallbacks(self.tell_best, lambda failure: self.tell("! nobody knows"))
            case _:
                self.transport.abortConnection()

    def tell_best(self, best: tuple[str, int] | None) -> None:
        name, number = best or ("nobody", 0)
        self.tell(f"the best is {number} by {name}")

    def tell(self, line: str) -> None:
        self.outbox.send(line.encode() + b"\n")

    def connectionLost(self, reason: object) -> None:
        self.outbox.lost()
        if self.player is not None:
            del self.factory.clients[self.player]
            self.factory.lobby.exit(self.player)


class DiceFactory(ServerFactory):
    noisy = False
    protocol = DiceProtocol

    def __init__(self, surroundings: Surroundings) -> None:
        self.lobby = surroundings.lobby
        self.logged_in = surroundings.logged_in
        self.records = DiceRecords(surroundings.store)
        self.turn = Turn(surroundings.clock)
        self.max_unread = surroundings.settings.max_unread
        self.clients: dict[int, DiceProtocol] = {}
        rules = RoomRules(hosted=False, permanent=True)
        self.lobby.provide_room(TABLE, rules, capacity=surroundings.settings.max_players)
        self.lobby.limit("dice", surroundings.settings.max_players)

    def enter(self, name: str, client: DiceProtocol) -> None:
        host = host_of(client.transport)
        client.player = self.lobby.enter(name, "dice", self.deliver, address=host).id
        self.clients[client.player] = client
        self.logged_in(client.transport)
        self.lobby.join(client.player, TABLE)

    def deliver(self, players: tuple[int, ...], event: Any) -> None:
        """Put what the lobby tells these players into this game's words."""
        match event:
            case MemberJoined(_, player):
                line = f"{self.lobby.player(player).name} is here"
            case MemberLeft(_, member):
                line = f"{member.name} is gone"
            case ChatSaid(_, name, text):
                line = f"{name} {text}"
            case Announced(text):
                line = f"* {text}"
            case Expelled(why):
                line = f"! {why}"
            case _:
                return
        for player in players:
            self.clients[player].tell(line)
            if isinstance(event, Expelled):
                self.clients[player].outbox.close()


@dataclass(frozen=True, slots=True)
class DiceSettings:
    port: Listening = common.port(0)
    max_players: int = common.max_players(100)
    max_unread: int = common.max_unread(65_536)


@implementer(IPlugin, IGame)
class DiceRoom:
    name = "dice"
    title = "A room of dice"
    settings = DiceSettings
    schema = SCHEMA
    recognises_stream = staticmethod(begins(b"DICE "))
    recognises_datagram = staticmethod(never)

    def build(self, surroundings: Surroundings) -> Wires:
        return Wires(stream=DiceFactory(surroundings), port=surroundings.settings.port)
