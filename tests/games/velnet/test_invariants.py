"""
Whatever happens, no real client is ever wedged: random histories against models of them.
"""

from __future__ import annotations

import contextlib
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from gameservers.games.velnet.generation import HASTE
from gameservers.lobby import Refused
from tests.games.velnet.clients import BinaryClient, Client, TextClient
from tests.games.velnet.world import (
    HERE,
    KEEP_ALIVE,
    Peer,
    WebSocketPeer,
    World,
    data,
    join,
    log_in,
    text,
    u32,
)

ROOMS = st.sampled_from(["r1", "zoë"])
KINDS = st.sampled_from(["text", "text", "first", "hasty", "second", "websocket"])


class Player:
    """A model of a client and its connection."""

    client: Client
    peer: Peer

    def __init__(self, world: World, kind: str, port: int) -> None:
        self.kind = kind
        self.slow = False
        self.peer = (
            WebSocketPeer(world, HERE, port) if kind == "websocket" else Peer(world, HERE, port)
        )
        if kind == "text":
            self.client = TextClient()
            self.peer.say(b"0:a:\n")
        else:
            self.client = BinaryClient(2 if kind in ("second", "websocket") else 1)
            self.peer.say(log_in())
            if kind == "first":
                world.turn(HASTE)
            # What a hasty one sends is held back until it is heard in datagrams.
            self.peer.say(KEEP_ALIVE if kind in ("second", "websocket") else b"\x01")
        self.hear()

    def hear(self) -> None:
        heard = self.peer.hear()
        self.client.receive(heard)

    def join(self, room: str) -> None:
        self.peer.say(f"2:{room}\n".encode() if self.kind == "text" else join(room))

    def leave(self) -> None:
        self.peer.say(b"2:-1\n" if self.kind == "text" else b"\x02\x00")

    def send(self, kind: int, payload: bytes) -> None:
        if self.kind == "text":
            self.peer.say(b"3:%d:%b\n" % (kind, payload))
        else:
            self.peer.say(bytes([(3, 4, 7, 8)[kind]]) + data(payload))

    def define(self, ids: list[int]) -> None:
        if self.kind == "text":
            self.peer.say(b"5:g:%b\n" % b":".join(b"%d" % each for each in ids))
        else:
            self.peer.say(b"\x06\x01g" + data(u32(*ids)))

    def send_to_group(self, payload: bytes) -> None:
        if self.kind == "text":
            self.peer.say(b"4:g:" + payload + b"\n")
        else:
            self.peer.say(b"\x05" + data(payload) + text("g"))

    def hello(self) -> None:
        if self.kind == "text":
            self.peer.fly(b"%d:0:Hello" % self.client.me)
        else:
            self.peer.fly(b"\x00" + u32(self.client.me))

    def fly(self, kind: int, payload: bytes) -> None:
        if self.kind == "text":
            self.peer.fly(b"%d:3:%d:%b" % (self.client.me, kind, payload))
        else:
            self.peer.fly(bytes([(3, 4, 7, 8)[kind]]) + u32(self.client.me) + payload)


class Histories(RuleBasedStateMachine):
    """Players of all kinds come and go; turns end when they end."""

    players: Bundle[Any] = Bundle("players")

    def __init__(self) -> None:
        super().__init__()
        self.world = World(max_unread=65_536, room_size=3)
        self.everybody: list[Player] = []
        self.port = 50_000

    @rule(target=players, kind=KINDS)
    def connect(self, kind: str) -> Any:
        if len(self.everybody) > 9:
            return multiple()
        self.port += 1
        player = Player(self.world, kind, self.port)
        self.everybody.append(player)
        return player

    @rule(player=players, room=ROOMS)
    def join(self, player: Player, room: str) -> None:
        player.join(room)

    @rule(room=ROOMS)
    def join_together(self, room: str) -> None:
        for player in self.everybody:
            player.join(room)

    @rule(player=players, first=ROOMS, second=ROOMS)
    def switch_at_once(self, player: Player, first: str, second: str) -> None:
        player.join(first)
        player.join(second)

    @rule(player=players)
    def leave(self, player: Player) -> None:
        player.leave()

    @rule(player=players)
    def drop(self, player: Player) -> None:
        player.peer.drop()

    @rule(player=players, kind=st.integers(0, 3), payload=st.binary(max_size=5))
    def send(self, player: Player, kind: int, payload: bytes) -> None:
        player.send(kind, payload.replace(b"\n", b""))

    @rule(player=players, others=st.lists(st.integers(0, 12), max_size=4))
    def define(self, player: Player, others: list[int]) -> None:
        player.define(others)

    @rule(player=players, payload=st.binary(min_size=1, max_size=5))
    def send_to_group(self, player: Player, payload: bytes) -> None:
        player.send_to_group(payload.replace(b"\n", b"."))

    @rule(player=players)
    def hello(self, player: Player) -> None:
        player.hello()

    @rule(player=players, kind=st.integers(0, 3), payload=st.binary(max_size=5))
    def fly(self, player: Player, kind: int, payload: bytes) -> None:
        player.fly(kind, payload)

    @rule(by=players, guest=players)
    def kick(self, by: Player, guest: Player) -> None:
        lobby = self.world.lobby
        here = self.world.service.sessions
        if by.client.me in here and guest.client.me in here:
            with contextlib.suppress(Refused):
                lobby.kick(by.client.me, guest.client.me)

    @rule(player=players)
    def stop_reading(self, player: Player) -> None:
        player.peer.stop_reading()

    @rule(player=players)
    def flood(self, player: Player) -> None:
        for _ in range(3):
            player.send(1, b"x" * 30_000)

    @rule()
    def end_turn(self) -> None:
        for player in self.everybody:
            player.hear()

    @invariant()
    def lobby_and_feeds_agree(self) -> None:
        for player, session in self.world.service.sessions.items():
            room = self.world.lobby.room_of(player)
            if room is None:
                assert session.feed is None
            else:
                assert session.feed.key == room.key
                assert list(session.feed.members) == [each.id for each in room.members]

    def teardown(self) -> None:
        self.world.turn()  # connections that were cut are lost now
        self.end_turn()
        for player in self.everybody:
            client = player.client
            if player.peer.connected and not player.peer.slow:
                room = self.world.lobby.room_of(client.me)
                assert client.room == ("" if room is None else room.key.name)
                if room is not None:
                    assert sorted(client.players) == sorted(each.id for each in room.members)
                    assert client.master == room.host
        for player in self.everybody:
            player.peer.drop()
        service = self.world.service
        assert not service.sessions
        assert not service.bound
        assert not service.words.feeds
        assert not len(service.connections)
        assert not list(self.world.lobby.rooms())


class InvariantTests(SynchronousTestCase):
    def test_no_history_wedges_a_client(self) -> None:
        run_state_machine_as_test(
            Histories,
            settings=settings(
                max_examples=60,
                stateful_step_count=40,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
