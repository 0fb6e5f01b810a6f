"""
Tile-Game as the house knows it: its options, its first bytes, its parts.
"""

from __future__ import annotations

import json
from dataclasses import fields

from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.plugin import IPlugin
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from gameservers.games import IGame, Surroundings, Verdict
from gameservers.games.tilegame import a_terrain, game, threads_of
from gameservers.games.tilegame.protocol import ROOM
from gameservers.games.tilegame.records import SCHEMA, TileGameRecords
from gameservers.games.tilegame.settings import MAX_SEED, TileGameSettings
from gameservers.lobby import Lobby
from gameservers.metrics import Metrics
from gameservers.store import Store, StoreSettings
from tests.games.tilegame.reading import TOKEN
from tests.games.tilegame.support import Transport


class GameTests(SynchronousTestCase):
    def test_interface(self) -> None:
        verifyObject(IGame, game)
        verifyObject(IPlugin, game)

    def test_recognises(self) -> None:
        """Its first four characters are no other wire's."""
        token = TOKEN["RECOGNITION_REQ"]
        for end in range(4):
            self.assertIs(game.recognises_stream(token[:end]), Verdict.MORE)
        for end in range(4, 33):
            self.assertIs(game.recognises_stream(token[:end]), Verdict.YES)
        for other in (b"GET ", b"f3\x00\x00", b"0:a:b", b"\x16\x03", b"\x06\0\0\0", b"f378"):
            self.assertIs(game.recognises_stream(other), Verdict.NO)
        self.assertIs(game.recognises_datagram(token), Verdict.NO)

    def build(self, clock, **settings):
        lobby = Lobby(clock, Metrics())
        store = Store(StoreSettings(database="memory"), clock, [SCHEMA])
        settings = TileGameSettings(**settings)
        wires = game.build(Surroundings(lobby, clock, settings, store))
        return lobby, wires, TileGameRecords(store, clock)

    def connect(self, wires) -> Transport:
        transport = Transport("192.0.2.1")
        transport.protocol = wires.stream.buildProtocol(None)
        transport.protocol.makeConnection(transport)
        return transport

    def test_build(self) -> None:
        """Nothing runs before the service starts; then a world is made, and kept at the end."""
        clock = Clock()
        lobby, wires, records = self.build(clock, port=35001, max_players=3)
        self.assertEqual((wires.port, wires.datagram), (35001, None))
        self.assertEqual(lobby.room(ROOM).capacity, 3)
        self.assertEqual(clock.getDelayedCalls(), [])
        self.assertIsNone(self.successResultOf(records.load()))
        wires.service.startService()
        transport = self.connect(wires)
        transport.protocol.dataReceived(TOKEN["RECOGNITION_REQ"])
        self.assertEqual(transport.value(), TOKEN["RECOGNITION_RES"])
        self.successResultOf(wires.service.stopService())
        self.assertTrue(transport.reset)
        kept = self.successResultOf(records.load())
        self.assertEqual(json.loads(kept.description)["side"], 64)
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_needs_a_store(self) -> None:
        clock = Clock()
        self.assertRaises(
            ValueError,
            game.build,
            Surroundings(Lobby(clock, Metrics()), clock, TileGameSettings()),
        )

    def test_stop_when_empty(self) -> None:
        """The option stops the reactor."""
        reactor = MemoryReactorClock()
        stopped = []
        self.patch(reactor, "stop", lambda: stopped.append(reactor.seconds()))
        _, wires, _ = self.build(reactor, stop_when_empty=5.0)
        wires.service.startService()
        transport = self.connect(wires)
        for word in ("RECOGNITION_REQ", "MAPDATA_REQ", "PLAYERJOIN_REQ"):
            transport.protocol.dataReceived(TOKEN[word])
        transport.protocol.dataReceived(b"alice")
        transport.protocol.dataReceived(TOKEN["DISCONNECT_REQ"])
        reactor.advance(4)
        self.assertEqual(stopped, [])
        reactor.advance(1)
        self.assertEqual(stopped, [5.0])

    def test_threads(self) -> None:
        """Without threads the work is done at once."""
        self.assertEqual(self.successResultOf(threads_of(Clock())(divmod, 7, 2)), (3, 1))

    def test_terrain(self) -> None:
        """Seed, theme and size are options; without a seed each world is another."""
        chosen = a_terrain(TileGameSettings(seed="abc", theme="HELL", size="Large"))
        self.assertEqual((chosen.seed, chosen.theme, chosen.side), ("abc", "hell", 192))
        seeds = {a_terrain(TileGameSettings()).seed for _ in range(3)}
        self.assertEqual(len(seeds), 3)


class SettingsTests(SynchronousTestCase):
    def test_units(self) -> None:
        """Every option has a unit and a bound where it is a number."""
        for each in fields(TileGameSettings):
            about = each.metadata["option"]
            if isinstance(each.default, int | float) and each.name not in ("port", "new_world"):
                self.assertTrue(about.unit, each.name)
                self.assertIsNotNone(about.minimum, each.name)

    def test_defaults(self) -> None:
        settings = TileGameSettings()
        self.assertEqual((settings.port, settings.tps, settings.max_players), (35000, 20, 10))
        self.assertEqual(settings.stop_when_empty, 0)

    def test_checks(self) -> None:
        """A wrong theme, size or seed is refused with what is right."""
        checks = {each.name: each.metadata["option"].check for each in fields(TileGameSettings)}
        for name in ("small", "Medium", "LARGE"):
            checks["size"](name)
        for name in ("default", "HELL_ISLANDS"):
            checks["theme"](name)
        checks["seed"]("x" * MAX_SEED)
        for name, wrong in (
            ("size", "huge"),
            ("theme", "heaven"),
            ("seed", "x" * (MAX_SEED + 1)),
            ("seed", "\udcff"),
        ):
            error = self.assertRaises(ValueError, checks[name], wrong)
            self.assertTrue(str(error).startswith("must "))
