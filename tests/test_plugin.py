"""twistd and the server find what is installed."""

from __future__ import annotations

import re

from twisted.application.service import IServiceMaker
from twisted.plugin import IPlugin, getPlugins
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from gameservers import tap
from gameservers.config.tree import Known
from gameservers.games import IGame


class PluginTests(SynchronousTestCase):
    def test_service_maker(self) -> None:
        (maker,) = [each for each in getPlugins(IServiceMaker) if each.tapname == "gameserver"]
        verifyObject(IServiceMaker, maker)
        verifyObject(IPlugin, maker)
        self.assertIs(maker.options, tap.Options)
        self.assertIs(maker.makeService, tap.makeService)

    def test_games(self) -> None:
        """Every game keeps its promises, and no two claim one name."""
        games = list(getPlugins(IGame))
        self.assertIn("vcmi", [game.name for game in games])
        for game in games:
            verifyObject(IGame, game)
            self.assertRegex(game.name, re.compile(r"\A[a-z0-9]+\Z"))
        Known(games)
