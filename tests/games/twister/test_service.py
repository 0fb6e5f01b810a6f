"""What the arena does by itself, and its way into the house."""

from __future__ import annotations

import stat
from dataclasses import fields
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from gameservers.games import Carriage, Dependencies, IGame
from gameservers.games.twister import game
from gameservers.games.twister.console import CLEAR, Console
from gameservers.games.twister.settings import TwisterSettings
from gameservers.lobby import Lobby, RoomKey
from gameservers.metrics import Metrics
from gameservers.wire import Verdict, anything
from tests.games.twister.house import ADMIN_KEY, ALICE, House


class ServiceTests(SynchronousTestCase):
    def started(self, **options: Any) -> House:
        house = House(**options)
        house.service.startService()
        self.addCleanup(lambda: house.service.running and house.service.stopService())
        return house

    def test_nothing_runs_before_the_start(self) -> None:
        house = House(console=True)
        self.assertEqual(house.clock.getDelayedCalls(), [])

    def test_stop(self) -> None:
        """At the stop everybody leaves, and nothing runs on."""
        house = self.started()
        house.client()
        house.service.stopService()
        self.assertEqual((len(house.arena), house.lobby.present(game.name)), (0, 0))
        self.assertEqual(house.clock.getDelayedCalls(), [])

    def test_silence(self) -> None:
        house = self.started(silence_timeout=10)
        house.client()
        house.clock.pump([1] * 9)
        self.assertEqual(len(house.arena), 1)
        house.clock.advance(1)
        self.assertEqual(len(house.arena), 0)

    def test_admin_key_is_not_logged(self) -> None:
        """Nobody reads it in the log, but where it is."""
        path = Path(self.mktemp()).absolute()
        with capturedLogs() as events:
            house = self.started(admin_key_file=str(path))
            house.client()
            house.ask(request="clear_chat", client_data={"key": ADMIN_KEY})
            house.clock.pump([1] * 10)
        self.assertNotIn(ADMIN_KEY, repr(events))
        self.assertIn(str(path), [each.get("path") for each in events])

    def test_admin_key_file(self) -> None:
        """While the server runs, its owner and nobody else can read the key."""
        path = Path(self.mktemp())
        path.write_text("an older one")
        path.chmod(0o644)
        house = self.started(admin_key_file=str(path))
        self.assertEqual(path.read_text(), f"{ADMIN_KEY}\n")
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        house.service.stopService()
        self.assertFalse(path.exists())

    def test_admin_key_file_is_no_trap(self) -> None:
        """A link that somebody put in the file's place is not followed."""
        other = Path(self.mktemp())
        other.write_text("precious")
        path = Path(self.mktemp())
        path.symlink_to(other.absolute())
        self.started(admin_key_file=str(path))
        self.assertEqual(other.read_text(), "precious")
        self.assertFalse(path.is_symlink())

    def test_admin_key_file_cannot_be_written(self) -> None:
        """The arena runs all the same, and the operator is told."""
        path = Path(self.mktemp()) / "no such directory" / "key"
        with capturedLogs() as events:
            house = self.started(admin_key_file=str(path))
        self.assertIn("No such file or directory", [each.get("reason") for each in events])
        house.client()
        house.service.stopService()

    def test_broken_loop_is_logged(self) -> None:
        house = House(console=True)
        house.service.console = Console(str, in_thread=lambda *_: fail(OSError("no terminal")))
        house.service.startService()
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        house.service.stopService()


class ConsoleTests(SynchronousTestCase):
    def test_table(self) -> None:
        house = House(console=True, max_players=8)
        alice = house.client(ALICE)
        house.client(("2001:db8::1", 7))
        alice.ping_ms = 25
        alice.push_data(1, 2, 3, 4)
        house.protocol.bytes_sent, house.session.received = 2_047, 1_048_576
        self.assertEqual(
            house.service.console._draw(),
            """\
TwisteR tanks
Port: 9265
Max connections: 8
2 clients online!
+-------+----------------------+-------+
|  ID   |    Client IP:PORT    | Ping  |
+-------+----------------------+-------+
|   0   |   192.0.2.1:40001    |  25   |
|   1   |   [2001:db8::1]:7    |   0   |
+-------+----------------------+-------+
Total data sent: 1KB.
Total data received: 1024KB.
""",
        )

    def test_once_a_second(self) -> None:
        drawn: list[str] = []

        def now(write: Any, text: str) -> Deferred[Any]:
            return succeed(write(text))

        house = House(console=True)
        house.service.console = Console(lambda: "table", drawn.append, now)
        house.service.startService()
        house.clock.pump([0.5] * 4)
        self.assertEqual(drawn, [CLEAR + "table"] * 3)
        house.service.stopService()

    def test_stopped_terminal(self) -> None:
        """While the terminal takes nothing, nothing more is drawn for it."""
        waiting: list[Deferred[Any]] = []

        def never(write: Any, text: str) -> Deferred[Any]:
            waiting.append(Deferred())
            return waiting[-1]

        house = House(console=True)
        house.service.console = Console(lambda: "table", in_thread=never)
        house.service.startService()
        house.clock.pump([1] * 5)
        self.assertEqual(len(waiting), 1)
        waiting[0].callback(None)
        house.clock.pump([1] * 2)
        self.assertEqual(len(waiting), 2)
        house.service.stopService()

    def test_off_by_default(self) -> None:
        house = House()
        house.service.console = Console(lambda: self.fail("drawn"))
        house.service.startService()
        house.clock.pump([1] * 3)
        house.service.stopService()


class GameTests(SynchronousTestCase):
    def test_plugin(self) -> None:
        verifyObject(IGame, game)
        (wire,) = game.wires
        self.assertEqual((wire.carriage, wire.alone), (Carriage.DATAGRAM, anything))
        self.assertEqual(wire.recognise(b'{"request":"ping"}'), Verdict.YES)
        self.assertEqual(wire.recognise(b"0:alice"), Verdict.NO)

    def test_build(self) -> None:
        """Each start has an admin key of its own, 32 hexadecimal digits."""
        keys = set()
        for port in (9265, 0):
            lobby, clock = Lobby(Clock(), Metrics()), Clock()
            path = Path(self.mktemp())
            options = TwisterSettings(port=port, admin_key_file=str(path))
            service = game.build(Dependencies(game.name, lobby, clock, options))
            self.assertEqual((service.settings.port, service.pages), (port, None))
            self.assertIsNotNone(lobby.room(RoomKey(game.name, "", "arena")))
            self.assertEqual(clock.getDelayedCalls(), [])
            service.startService()
            keys.add(path.read_text().rstrip())
            service.stopService()
        self.assertEqual(len(keys), 2)
        for key in keys:
            self.assertRegex(key, "^[0-9a-f]{32}$")

    def test_defaults_are_allowed(self) -> None:
        for field in fields(TwisterSettings):
            about = field.metadata["option"]
            if about.minimum is not None and field.default != about.off:
                self.assertGreaterEqual(field.default, about.minimum, field.name)
            if about.maximum is not None:
                self.assertLessEqual(field.default, about.maximum, field.name)
            if about.check is not None:
                about.check(field.default)

    def test_map_seed_is_text(self) -> None:
        """What a terminal that speaks no UTF-8 sends is refused before anything starts."""
        about = {each.name: each.metadata["option"] for each in fields(TwisterSettings)}
        about["map_seed"].check("caf\u00e9")
        self.assertRaises(ValueError, about["map_seed"].check, "caf\udce9")

    def test_trusted_are_networks(self) -> None:
        (about,) = (
            each.metadata["option"] for each in fields(TwisterSettings) if each.name == "trusted"
        )
        self.assertRaises(ValueError, about.check, ("127.0.0.0/8", "localhost"))
