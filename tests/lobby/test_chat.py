"""Tests for L{gameservers.lobby.chat}: who hears whom."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gameservers.lobby import (
    Lobby,
    Player,
    Refused,
    RoomKey,
    RoomRules,
    ToChannel,
    ToPlayer,
    ToRoom,
    Why,
)
from gameservers.lobby.chat import Channels
from gameservers.lobby.events import ChatSaid
from gameservers.metrics import Metrics
from tests.lobby.wires import Wire

ENGLISH = ToChannel("english")


class ChannelsTests(SynchronousTestCase):
    """Who listens to what."""

    def test_listeners(self) -> None:
        """Listeners are listed once, in the order in which they began to listen."""
        channels = Channels()
        for player in (3, 1, 2, 3):
            channels.listen("chess", "english", player)
        self.assertEqual(channels.listeners("chess", "english"), (3, 1, 2))
        channels.unlisten("chess", "english", 3)
        channels.listen("chess", "english", 3)
        self.assertEqual(channels.listeners("chess", "english"), (1, 2, 3))

    def test_apart(self) -> None:
        """Channels of other names and of other games have listeners of their own."""
        channels = Channels()
        channels.listen("chess", "english", 1)
        self.assertEqual(channels.listeners("chess", "german"), ())
        self.assertEqual(channels.listeners("go", "english"), ())

    def test_unlisten(self) -> None:
        """Who does not listen can stop all the same."""
        channels = Channels()
        channels.unlisten("chess", "english", 1)
        channels.listen("chess", "english", 1)
        channels.unlisten("chess", "english", 2)
        self.assertEqual(channels.listeners("chess", "english"), (1,))

    def test_forget(self) -> None:
        """Who is gone is in no channel, and the others stay."""
        channels = Channels()
        for name in ("english", "german"):
            channels.listen("chess", name, 1)
        channels.listen("chess", "german", 2)
        channels.forget("chess", ["english", "german", "french"], 1)
        self.assertEqual(channels.listeners("chess", "english"), ())
        self.assertEqual(channels.listeners("chess", "german"), (2,))

    def test_nothing_is_kept(self) -> None:
        """A channel without listeners takes up no memory, whatever names were tried."""
        channels = Channels()
        for number in range(100):
            channels.listen("chess", f"channel {number}", 1)
            channels.listeners("chess", f"silence {number}")
            channels.unlisten("chess", f"channel {number}", 1)
        self.assertEqual(channels._listeners, {})


class SayTests(SynchronousTestCase):
    """
    What is said.

    Ann and Bob are in a room; Bob and Cid listen to the channel C{english}.
    """

    def setUp(self) -> None:
        self.metrics = Metrics()
        self.lobby = Lobby(Clock(), self.metrics)
        self.wire = Wire()
        self.ann, self.bob, self.cid = self.wire.enter(self.lobby, "ann", "bob", "cid")
        den = RoomKey("chess", "", "den")
        self.lobby.open_room(self.ann.id, den, RoomRules(), capacity=2)
        self.lobby.join(self.bob.id, den)
        self.lobby.listen(self.bob.id, "english")
        self.lobby.listen(self.cid.id, "english")
        self.wire.take()

    def say(self, player: Player, to: ToChannel | ToRoom | ToPlayer) -> None:
        self.lobby.say(player.id, "hello", to)

    def assertHeard(self, by: Player, channel: str | None, *listeners: Player) -> None:
        """What C{by} said was told once, to these and nobody else."""
        ids = tuple(each.id for each in listeners)
        said = ChatSaid(by.id, by.name, "hello", channel)
        self.assertEqual(self.wire.take(), [(ids, said)])

    def assertNobodyHears(self, player: Player, to: ToPlayer) -> None:
        lines = self.metrics.chat_lines["chess"]
        refused = self.assertRaises(Refused, self.say, player, to)
        self.assertIs(refused.why, Why.NO_SUCH_PLAYER)
        self.assertEqual(self.wire.told, [])
        self.assertEqual(self.metrics.chat_lines["chess"], lines)

    def test_channel(self) -> None:
        """All who listen hear it, the speaker only if listening, too."""
        self.say(self.bob, ENGLISH)
        self.assertHeard(self.bob, "english", self.bob, self.cid)
        self.say(self.ann, ENGLISH)
        self.assertHeard(self.ann, "english", self.bob, self.cid)

    def test_silence(self) -> None:
        """A channel without listeners is spoken to without effect."""
        self.say(self.ann, ToChannel("german"))
        self.assertEqual(self.wire.told, [])

    def test_unlisten(self) -> None:
        """Who listens no more hears no more."""
        self.lobby.unlisten(self.cid.id, "english")
        self.lobby.unlisten(self.cid.id, "german")
        self.say(self.ann, ENGLISH)
        self.assertHeard(self.ann, "english", self.bob)

    def test_another_game(self) -> None:
        """A channel of one name in another game is another channel."""
        (dot,) = self.wire.enter(self.lobby, "dot", game="go")
        self.lobby.listen(dot.id, "english")
        self.say(dot, ENGLISH)
        self.assertHeard(dot, "english", dot)

    def test_room(self) -> None:
        """The members hear it, the speaker too, in joining order."""
        self.say(self.bob, ToRoom())
        self.assertHeard(self.bob, None, self.ann, self.bob)
        refused = self.assertRaises(Refused, self.say, self.cid, ToRoom())
        self.assertIs(refused.why, Why.NOT_IN_A_ROOM)
        self.assertEqual(self.wire.told, [])

    def test_player(self) -> None:
        """One player within the audience hears it, and the speaker, in it or not."""
        self.say(self.ann, ToPlayer("bob", ToRoom()))
        self.assertHeard(self.ann, None, self.bob, self.ann)
        self.say(self.ann, ToPlayer("cid", ENGLISH))
        self.assertHeard(self.ann, None, self.cid, self.ann)

    def test_oneself(self) -> None:
        """Who speaks to themselves hears it once."""
        self.say(self.bob, ToPlayer("bob", ENGLISH))
        self.assertHeard(self.bob, None, self.bob)
        self.assertNobodyHears(self.ann, ToPlayer("ann", ENGLISH))

    def test_out_of_reach(self) -> None:
        """A player who is not in the audience, or not at all, is not reached."""
        self.wire.enter(self.lobby, "dot", game="go")
        for name in ("cid", "dot", "nobody", "Bob", ""):
            self.assertNobodyHears(self.ann, ToPlayer(name, ToRoom()))
        self.assertNobodyHears(self.bob, ToPlayer("ann", ENGLISH))
        self.lobby.exit(self.cid.id)
        self.assertNobodyHears(self.bob, ToPlayer("cid", ENGLISH))

    def test_out_of_a_room(self) -> None:
        """Who is in no room has nobody to speak to in it."""
        refused = self.assertRaises(Refused, self.say, self.cid, ToPlayer("ann", ToRoom()))
        self.assertIs(refused.why, Why.NOT_IN_A_ROOM)
        self.assertEqual(self.wire.told, [])

    def test_traits(self) -> None:
        """What is said carries the speaker's traits as they were when it was said."""
        self.lobby.set_trait(self.ann.id, "dialect", 4)
        self.wire.reaction = lambda: self.lobby.set_trait(self.ann.id, "dialect", 5)
        self.say(self.ann, ENGLISH)
        ((_, said),) = self.wire.take()
        self.assertEqual(said, ChatSaid(self.ann.id, "ann", "hello", "english", {"dialect": 4}))

    def test_muted(self) -> None:
        """Who is muted says nothing to anybody until that is over, but hears the others."""
        self.lobby.mute(self.bob.id)
        for to in (ENGLISH, ToRoom(), ToPlayer("ann", ToRoom()), ToPlayer("bob", ENGLISH)):
            refused = self.assertRaises(Refused, self.say, self.bob, to)
            self.assertIs(refused.why, Why.MUTED)
        self.assertEqual((self.wire.told, self.metrics.chat_lines), ([], {}))
        self.assertTrue(self.lobby.player(self.bob.id).muted)
        self.say(self.ann, ToRoom())
        self.assertHeard(self.ann, None, self.ann, self.bob)
        self.lobby.mute(self.bob.id, False)
        self.say(self.bob, ENGLISH)
        self.assertHeard(self.bob, "english", self.bob, self.cid)
