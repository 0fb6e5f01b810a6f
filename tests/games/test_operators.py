"""What operators do in the lobby, as each game words it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gameservers.games.twister import game as twister_game
from tests.games.tictactoe.arena import Arena
from tests.games.tilegame.support import Game
from tests.games.twister import house as twister
from tests.games.vcmi import clients as vcmi
from tests.games.velnet.test_sessions import binary_player, text_player
from tests.games.velnet.world import World


class OperatorTests(SynchronousTestCase):
    def test_vcmi(self) -> None:
        """The lobby's own voice says everything; who is expelled is closed after it."""
        house = vcmi.House()
        alice, bobby = house.launcher("alice"), house.launcher("bobby", 5)
        ids = {player.name: player.id for player in house.lobby.players()}
        house.lobby.announce("Back at 12:00:>>KICK")
        house.settle()
        for each in (alice, bobby):
            self.assertEqual(each.messages(), [":>>MSG:System:Back at 12:00: >>KICK"])
        house.lobby.mute(ids["alice"])
        alice.send("<MSG>hello")
        self.assertEqual(alice.messages(), [":>>MSG:System:you may not speak"])
        alice.send("<MSG>@bobby hello")
        self.assertEqual(alice.messages(), [":>>MSG:System:you may not speak"])
        house.lobby.expel(ids["bobby"], "enough")
        house.settle()
        self.assertEqual(bobby.messages(), [":>>MSG:System:enough"])
        self.assertEqual([player.name for player in house.lobby.players()], ["alice"])
        self.assertFalse(bobby.connected)
        self.assertTrue(alice.connected)

    def test_velnet(self) -> None:
        """There are no words: an announcement is not heard, who is expelled is cut off."""
        world = World()
        for make in (text_player, binary_player):
            one, two = make(world, "r1"), make(world, "r1")
            for each in (one, two):
                each.hear()
            world.lobby.announce("hello")
            first, second = (player.id for player in world.lobby.players())
            self.assertEqual(one.hear() + two.hear(), b"")
            world.lobby.expel(second, "enough")
            world.turn()
            self.assertEqual((one.connected, two.connected), (True, False))
            self.assertEqual([player.id for player in world.lobby.players()], [first])
            one.drop()

    def test_twister(self) -> None:
        """The server speaks in the chat; who is expelled is no client any more."""
        house = twister.House()
        alice, bob = house.client(twister.ALICE), house.client(twister.BOB)
        house.lobby.announce("hello")
        self.assertEqual(bob.get_messages(), [["hello", "SERVER"]])
        first, second = (player.id for player in house.lobby.players(twister_game.name))
        house.lobby.mute(first)
        self.assertRaises(PermissionError, alice.push_message, "shout", "alice")
        self.assertEqual(bob.get_messages(), [["hello", "SERVER"]])
        house.lobby.expel(second, "enough")
        self.assertEqual([client.id for client in house.arena], [alice.id])
        self.assertEqual(house.lobby.present(twister_game.name), 1)

    def test_tilegame(self) -> None:
        """There are no words: an announcement is not heard, who is expelled is cut off."""
        game = Game()
        alice, bob = game.play("alice"), game.play("bob")
        game.lobby.announce("hello")
        self.assertEqual(alice.received() + bob.received(), [])
        game.lobby.expel(next(game.lobby.players()).id, "enough")
        self.assertEqual((alice.connected, bob.connected), (False, True))

    def test_tictactoe(self) -> None:
        """There are no words: an announcement is not heard."""
        arena = Arena()
        alice, _ = arena.players("alice", "bob")
        alice.heard()
        arena.lobby.announce("hello")
        self.assertEqual(alice.heard(), [])
