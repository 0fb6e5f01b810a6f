"""
Tile-Game as the house knows it: its options, its parts.
"""

from __future__ import annotations

import json
from dataclasses import fields
from functools import partial

from twisted.internet.interfaces import IReactorCore
from twisted.plugin import IPlugin
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from gameservers.games import Dependencies, IGame
from gameservers.games.tilegame import game
from gameservers.games.tilegame.records import SCHEMA, TileGameRecords
from gameservers.games.tilegame.settings import MAX_SEED, TileGameSettings
from gameservers.games.tilegame.worlds import terrain_of, threads_of
from gameservers.lobby import Lobby
from gameservers.metrics import Metrics
from gameservers.net.door import WireFactory
from gameservers.store import Store, StoreSettings
from tests.games.tilegame.reading import TOKEN
from tests.transports import Network, Peer


@implementer(IReactorCore)
class Reactor(Network):
    """One that can be stopped."""

    def __init__(self) -> None:
        super().__init__()
        self.stops: list[float] = []

    def stop(self) -> None:
        self.stops.append(self.seconds())


class GameTests(SynchronousTestCase):
    def test_interface(self) -> None:
        verifyObject(IGame, game)
        verifyObject(IPlugin, game)

    def build(self, clock=None, **settings):
        clock = clock or Network()
        store = Store(StoreSettings(database="memory"), clock, [SCHEMA])
        lobby = Lobby(clock, Metrics())
        dependencies = Dependencies(
            game.name, lobby, clock, TileGameSettings(**settings), lobby.metrics, store
        )
        return clock, game.build(dependencies), TileGameRecords(store)

    def connect(self, clock: Network, service) -> Peer:
        [wire] = game.wires
        return clock.connect(WireFactory(partial(wire.make, service)))

    def test_build(self) -> None:
        """Nothing runs before the service starts; then a world is made, and kept at the end."""
        clock, service, records = self.build(max_players=3)
        [room] = service.lobby.rooms()
        self.assertEqual((room.key.game, room.capacity), (game.name, 3))
        self.assertEqual(clock.getDelayedCalls(), [])
        self.assertIsNone(self.successResultOf(records.load()))
        service.startService()
        peer = self.connect(clock, service)
        peer.send(TOKEN["RECOGNITION_REQ"])
        self.assertEqual(peer.received(), TOKEN["RECOGNITION_RES"])
        stopped = service.stopService()
        clock.turn()
        self.successResultOf(stopped)
        self.assertTrue(peer.aborted)
        kept = self.successResultOf(records.load())
        self.assertEqual(json.loads(kept.description)["side"], 64)
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_needs_a_store(self) -> None:
        clock = Network()
        lobby = Lobby(clock, Metrics())
        without = Dependencies(game.name, lobby, clock, TileGameSettings())
        self.assertRaises(ValueError, game.build, without)

    def test_stop_when_empty(self) -> None:
        """The option stops the reactor."""
        clock = Reactor()
        _, service, _ = self.build(clock, stop_when_empty=5.0)
        service.startService()
        peer = self.connect(clock, service)
        for word in ("RECOGNITION_REQ", "MAPDATA_REQ", "PLAYERJOIN_REQ"):
            peer.send(TOKEN[word])
        peer.send(b"alice")
        peer.send(TOKEN["DISCONNECT_REQ"])
        clock.turn(4)
        self.assertEqual(clock.stops, [])
        clock.turn(1)
        self.assertEqual(clock.stops, [5.0])

    def test_threads(self) -> None:
        """Without threads the work is done at once."""
        self.assertEqual(self.successResultOf(threads_of(Network())(divmod, 7, 2)), (3, 1))

    def test_terrain(self) -> None:
        """Seed, theme and size are options; without a seed each world is another."""
        chosen = terrain_of(TileGameSettings(seed="abc", theme="HELL", size="Large"))
        self.assertEqual((chosen.seed, chosen.theme, chosen.side), ("abc", "hell", 192))
        seeds = {terrain_of(TileGameSettings()).seed for _ in range(3)}
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
