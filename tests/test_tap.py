"""From the command line to the tree of services, without a port or a process."""

from __future__ import annotations

import atexit
import contextlib
import errno
import io
import json
import os
import platform
import signal
import socket
import sys
from pathlib import Path
from typing import Any
from unittest.mock import Mock, call, patch

import twisted
from twisted.application.service import Application, IService, Service
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock, _FakePort
from twisted.logger import ILogObserver, LogLevel, globalLogPublisher
from twisted.python.usage import Options as TwistdOptions
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from gameservers import __version__, process, tap
from gameservers.config.command_line import GameserverOptions, options_for
from gameservers.games import Carriage, Wire
from gameservers.lobby import Lobby
from gameservers.net import ports
from gameservers.net.address import authority
from gameservers.net.datagrams import DatagramPort
from gameservers.net.tls import Certificates
from gameservers.net.websocket import WebSocket
from gameservers.process import LONGEST_STOP, end_with_failure
from gameservers.store import BadDatabase
from gameservers.web.site import Page
from gameservers.wire import Verdict
from tests.guests import EVERYTHING, Guest, NoTastes, Seats, Tastes
from tests.net.test_tls import write_pair
from tests.net.visitors import connect


def parsed(*arguments: str) -> GameserverOptions:
    options = options_for([Guest()])
    options.parseOptions(arguments)
    return options


class Printed(SynchronousTestCase):
    """A test case that sees what is printed on the way out."""

    def exit(self, *arguments: str) -> str:
        """What is printed by options that end the process with success."""
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            error = self.assertRaises(SystemExit, parsed, *arguments)
        self.assertIn(error.code, (None, 0))
        return printed.getvalue()


class OptionsTests(Printed):
    def test_nothing_said(self) -> None:
        config = parsed().config
        self.assertEqual(config.server.port, 5002)
        self.assertEqual(config.games["vcmi"], Tastes())

    def test_an_alias_with_an_underscore(self) -> None:
        """Words without dashes know it, as the command line does."""
        for word in ("--max_conns=7", "max_conns=7", "vcmi_seats_taken=7", "vcmi-seats-taken=7"):
            options = options_for([Guest(settings=Seats)])
            options.parseOptions([word])
            self.assertEqual(options.config.games["vcmi"].seats_taken, 7, word)

    def test_every_spelling(self) -> None:
        for arguments in (
            ["--port=6000", "--healthcheck=5", "--log-format=json", "--vcmi-depth", "4"],
            ["-p", "6000", "--checks=5", "--log-format", "json", "-d4"],
            ["port=6000", "healthcheck=5", "log_format=json", "vcmi-depth=4"],
            ["port=6000", "--checks=5", "log-format=json", "-d", "4"],
            ["--port=1", "port=6000", "checks=5", "--log-format=json", "vcmi-depth=4"],
        ):
            config = parsed(*arguments).config
            self.assertEqual(config.server.port, 6000, arguments)
            self.assertEqual(config.server.log_format, "json", arguments)
            self.assertEqual(config.games["vcmi"].healthcheck, 5, arguments)
            self.assertEqual(config.games["vcmi"].depth, 4, arguments)

    def test_old_habit(self) -> None:
        """The words that hosts of the old proxy server have in their scripts."""
        config = parsed("logging=debug", "port=5003", "capacity=20", "healthcheck=0").config
        self.assertEqual((config.server.logging, config.server.port), ("debug", 5003))
        self.assertEqual(config.games["vcmi"], Tastes(capacity=20, healthcheck=0))

    def test_flags(self) -> None:
        for arguments, console, music in (
            ([], False, True),
            (["--vcmi-console", "--no-vcmi-music"], True, False),
            (["--no-vcmi-console", "--vcmi-music"], False, True),
            (["vcmi-console=true", "vcmi-music=false"], True, False),
            (["vcmi-console=true", "--no-vcmi-music"], True, False),
        ):
            tastes = parsed(*arguments).config.games["vcmi"]
            self.assertEqual((tastes.console, tastes.music), (console, music), arguments)

    def test_refused(self) -> None:
        for arguments, sentence in (
            (["--nonsense"], "option --nonsense not recognized"),
            (["--port"], "option --port requires argument"),
            (["--vcmi-console=1"], "option --vcmi-console must not have an argument"),
            (["nonsense=1"], "'nonsense=1' is not understood; a word must be an option's, "),
            (["port"], "'port' is not understood; a word must be an option's, "),
            (["port=1", "5"], "'5' is not understood; a word must be an option's, "),
            (["config=a"], "'config=a' is not understood; a word must be an option's, "),
            (["vcmi-console=1"], '--vcmi-console must be true or false, not "1".'),
            (
                ["port=0"],
                "--port must be a whole number from 1 to 65535 or an endpoint such as tcp6:5002, ",
            ),
            (["--port=1", "--vcmi-depth=3"], "--vcmi-depth must be even, not 3."),
            (
                ["--checks=1", "--healthcheck=2"],
                "--vcmi-healthcheck is given twice and differently.",
            ),
            (["--vcmi-music", "--no-vcmi-music"], "--vcmi-music is given twice and differently."),
            (["--config=no/such"], "Cannot read no/such: No such file or directory."),
        ):
            error = self.assertRaises(UsageError, parsed, *arguments)
            self.assertTrue(str(error).startswith(sentence), str(error))

    def test_under_twistd_a_refusal_is_one_sentence(self) -> None:
        """SystemExit with a text is the text on stderr and exit status 1."""
        for argument, sentence in (
            ("--vcmi-depth=x", '--vcmi-depth must be a whole number of m up to 10, not "x".'),
            ("--nonsense", "option --nonsense not recognized."),
        ):
            options = options_for([Guest()])
            options.parent = TwistdOptions()
            error = self.assertRaises(SystemExit, options.parseOptions, [argument])
            self.assertEqual(error.code, f"gameserver: {sentence}")

    def test_games_that_clash(self) -> None:
        games = [Guest("a", "One"), Guest("b", "Two")]
        with patch.object(tap, "getPlugins", lambda interface: games):
            error = self.assertRaises(SystemExit, tap.Options)
        self.assertEqual(
            error.code, "gameserver: The option capacity is claimed twice: by One and by Two."
        )

    def test_version(self) -> None:
        self.assertEqual(
            self.exit("--version"),
            f"gameservers {__version__} (Twisted {twisted.__version__}, "
            f"Python {platform.python_version()})\n",
        )

    def test_check_config(self) -> None:
        path = Path(self.mktemp())
        path.write_text("vcmi-depth = 4")
        printed = self.exit("--check-config", "port=6000", f"--config={path}")
        self.assertIn("port = 6000  # command line\n", printed)
        self.assertIn(f"vcmi-depth = 4  # {path}\n", printed)
        path.write_text(printed)
        self.assertIn(f"port = 6000  # {path}\n", self.exit("--check-config", f"--config={path}"))

    def test_check_config_checks(self) -> None:
        self.assertRaises(UsageError, parsed, "--check-config", "--port=x")

    def test_help(self) -> None:
        """Every option stands under its part, with unit, bounds, aliases and default."""
        with patch.dict("os.environ", {"COLUMNS": "100"}):
            lines = self.exit("--help").splitlines()
        self.assertLess(lines.index("Options:"), lines.index("The server:"))
        self.assertLess(lines.index("The server:"), lines.index("A guest:"))
        text = " ".join("\n".join(lines).split())
        for line in (
            "-p, --port= TCP and UDP port for every game, or a TCP server endpoint as Twisted "
            "spells it [from 1 to 65535; default: 5002]",
            "--vcmi-healthcheck= Time between two checks [seconds from 1; 0: off; "
            "also --healthcheck; also --checks; default: 30]",
            "--vcmi-console Let guests use the console [default: false]",
            "--no-vcmi-music Play music [default: true]",
            "--vcmi-motto= What is written over the door",
            "--vcmi-drinks-served= What is served",
        ):
            self.assertIn(line, text)
        self.assertLessEqual(max(map(len, lines)), 100)

    def test_help_in_odd_places(self) -> None:
        """No width, or hardly any: words stay whole."""
        for columns in ("", "0", "wide", "10"):
            with patch.dict("os.environ", {"COLUMNS": columns}):
                self.assertIn("  What is written over the door", self.exit("--help"), columns)


class CommandTests(SynchronousTestCase):
    """What a game can do instead of being served."""

    def run_command(self, *arguments: str) -> object:
        """How the process ends."""
        options = options_for([Guest(commands={"greet": self.greet}), Guest("b", "Two", NoTastes)])
        return self.assertRaises(SystemExit, options.parseOptions, arguments).code

    def greet(self, *said: Any) -> None:
        """Greet a guest.

        Only in the help's first line.
        """
        self.said = said
        if "nobody" in said[2]:
            raise UsageError("Nobody is there.")

    def test_run(self) -> None:
        """It is given the store's settings, the game's, and all that follows its name."""
        self.assertEqual(
            self.run_command("--database=memory", "capacity=3", "vcmi-greet", "a", "--b=c"), 0
        )
        store, settings, arguments = self.said
        self.assertEqual((store.database, settings), ("memory", Tastes(capacity=3)))
        self.assertEqual(arguments, ("a", "--b=c"))

    def test_refused(self) -> None:
        self.assertEqual(self.run_command("vcmi-greet", "nobody"), "gameserver: Nobody is there.")

    def test_unknown(self) -> None:
        options = options_for([Guest()])
        error = self.assertRaises(UsageError, options.parseOptions, ["vcmi-greet"])
        self.assertIn("'vcmi-greet' is not understood", str(error))

    def test_help(self) -> None:
        text = options_for([Guest(commands={"greet": self.greet})]).getUsage(100)
        self.assertIn("\nCommands:\n      vcmi-greet                Greet a guest.\n\n", text)


class Reactor(MemoryReactorClock):
    """A reactor in memory that also speaks UDP."""

    def __init__(self) -> None:
        super().__init__()
        self.udp: list[tuple[int, DatagramPort, str]] = []
        self.closed: list[Any] = []

    def listenTCP(self, *arguments: Any, **named: Any) -> Any:
        return self._closing(super().listenTCP(*arguments, **named))

    def make_udp(
        self, port: int, protocol: DatagramPort, interface: str, size: int, reactor: Any
    ) -> Any:
        kind = IPv6Address if ":" in interface else IPv4Address
        made = self._closing(_FakePort(kind("UDP", interface, port)))
        made.startListening = lambda: self.udp.append((port, protocol, interface))
        return made

    def _closing(self, port: Any) -> Any:
        port.stopListening = lambda: self.closed.append(port.getHost())
        return port


class ServiceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = Reactor()
        self.patch(ports, "DatagramReader", self.reactor.make_udp)
        self.collector = Mock()
        self.patch(process, "gc", self.collector)
        self.addCleanup(signal.signal, signal.SIGTERM, signal.getsignal(signal.SIGTERM))

    def make(self, *arguments: str, games: list[Guest]) -> IService:
        options = options_for(games)
        options.parseOptions(["--database=memory", *arguments])
        return tap.makeService(options, self.reactor)

    def start(self, service: IService) -> list[str]:
        """Start it as twistd does, and return what is logged."""
        logged: list[str] = []

        def note(event: Any) -> None:
            if event.get("log_namespace", "").startswith(
                ("gameservers.process", "gameservers.net.ports")
            ):
                logged.append(event["log_format"].format(**event))

        globalLogPublisher.addObserver(note)
        try:
            service.privilegedStartService()
            service.startService()
            for hook, arguments, named in self.reactor.whenRunningHooks:
                hook(*arguments, **named)
        finally:
            globalLogPublisher.removeObserver(note)
        return logged

    def test_nothing_listens_before_the_start(self) -> None:
        service = self.make(games=[Guest(wires=EVERYTHING, port=7000)])
        self.assertEqual((self.reactor.tcpServers, self.reactor.udp), ([], []))
        self.start(service)
        self.assertEqual([port for port, *_ in self.reactor.tcpServers], [5002, 7000])
        self.assertEqual([port for port, *_ in self.reactor.udp], [5002, 7000])

    def test_a_game_is_built_from_its_dependencies(self) -> None:
        guest, other = Guest(), Guest("other", settings=NoTastes)
        self.make("--capacity=3", games=[guest, other])
        (built,), (also,) = guest.built, other.built
        self.assertIsInstance(built.lobby, Lobby)
        self.assertIs(built.lobby, also.lobby)
        self.assertIs(built.clock, self.reactor)
        self.assertEqual(built.settings, Tastes(capacity=3))
        self.assertEqual(also.settings, NoTastes())
        self.assertEqual((built.game, also.game), ("vcmi", "other"))

    def test_front_door(self) -> None:
        service = self.make("--port=6000", "--interface=192.0.2.1", games=[Guest()])
        logged = self.start(service)
        ((port, door, *how),) = self.reactor.tcpServers
        self.assertEqual((port, *how), (6000, ports.BACKLOG, "192.0.2.1"))
        ((recognises, factory),) = door.routes.streams
        self.assertIs(recognises(b"\0"), Verdict.NO)
        self.assertIsInstance(factory.buildProtocol(None), Protocol)
        self.assertEqual(logged[-1], f"gameservers {__version__} is ready")

    def test_garbage(self) -> None:
        """
        No collection of garbage walks what was made before the server was ready.

        It took a tenth of a second, which one client could bring about several times a second.
        """
        service = self.make(games=[Guest()])
        self.assertEqual(self.collector.mock_calls, [])
        self.start(service)
        expected = [call.collect(), call.freeze(), call.set_threshold(*process.COLLECT)]
        self.assertEqual(self.collector.mock_calls, expected)

    def test_a_line_for_each_address(self) -> None:
        service = self.make("--interface=2001:db8::1", games=[Guest(wires=EVERYTHING, port=7000)])
        self.assertEqual(
            self.start(service),
            [
                "front door listens on TCP [2001:db8::1]:5002",
                "front door listens on UDP [2001:db8::1]:5002",
                "vcmi listens on TCP [2001:db8::1]:7000",
                "vcmi listens on UDP [2001:db8::1]:7000",
                f"gameservers {__version__} is ready",
            ],
        )

    def test_everything_stops(self) -> None:
        service = self.make(games=[Guest(wires=EVERYTHING, port=7000)])
        inner = service.getServiceNamed("vcmi")  # type: ignore[attr-defined]
        self.start(service)
        self.assertTrue(inner.running)
        self.successResultOf(service.stopService())
        self.assertFalse(inner.running)
        self.assertEqual(
            sorted((address.type, address.port) for address in self.reactor.closed),
            [("TCP", 5002), ("TCP", 7000), ("UDP", 5002), ("UDP", 7000)],
        )

    def test_port_in_use(self) -> None:
        """One sentence on stderr and in the log, and exit status 1."""

        def listen(port: int, factory: Factory, backlog: int, interface: str) -> None:
            trouble = OSError(errno.EADDRINUSE, "Address already in use")
            raise CannotListenError(interface, port, trouble)

        self.reactor.listenTCP = listen
        service = self.make(games=[Guest()])
        logged: list[Any] = []
        globalLogPublisher.addObserver(logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, logged.append)
        with patch.object(sys, "__stderr__", io.StringIO()) as stderr:
            error = self.assertRaises(ports.CannotStart, service.privilegedStartService)
        sentence = f"Cannot listen on {authority(ports.everywhere(), 5002)}: "
        sentence += "address already in use."
        self.assertEqual(error.code, 1)
        self.assertEqual(str(error), sentence)
        self.assertEqual(stderr.getvalue(), f"gameserver: {sentence}\n")
        (event,) = [event for event in logged if event.get("why")]
        self.assertEqual((event["log_level"].name, event["why"]), ("critical", sentence))

    def refusal(self, *arguments: str, games: list[Guest] | None = None) -> str:
        """The sentence with which the server does not even begin to start."""
        error = self.assertRaises(SystemExit, self.make, *arguments, games=games or [Guest()])
        return str(error.code)

    def test_own_port_is_a_door(self) -> None:
        """The one game gets whatever is said there."""
        self.start(self.make(games=[Guest(port=7000)]))
        _, (_, door, *_) = self.reactor.tcpServers
        ((recognises, _),) = door.routes.streams
        self.assertIs(recognises(b"\0"), Verdict.YES)

    def test_endpoints(self) -> None:
        """An endpoint is one of streams; datagrams need a number."""
        guest = Guest(wires=EVERYTHING, port="tcp:7000:interface=192.0.2.2")
        logged = self.start(self.make("--port=tcp:6000", games=[guest]))
        self.assertEqual(
            [(port, interface) for port, _, _, interface in self.reactor.tcpServers],
            [(6000, ""), (7000, "192.0.2.2")],
        )
        self.assertEqual(self.reactor.udp, [])
        self.assertEqual(len(logged), 3)

    def test_wrong_endpoints(self) -> None:
        for endpoint in ("nonsense:1", "tcp:x", "ssl:5002:privateKey=no/such", "systemd:here"):
            sentence = self.refusal(f"--port={endpoint}")
            self.assertTrue(sentence.startswith(f"gameserver: Cannot listen on {endpoint}: "))
            self.assertTrue(sentence.endswith("."), sentence)

    def test_endpoint_that_fails(self) -> None:
        """Whatever an endpoint fails with, it is told in a sentence."""
        self.reactor.listenTCP = lambda *arguments, **named: 1 / 0
        service = self.make("--port=tcp:6000", games=[Guest()])
        with patch.object(sys, "__stderr__", io.StringIO()) as stderr:
            self.assertRaises(ports.CannotStart, service.privilegedStartService)
        self.assertEqual(
            stderr.getvalue(), "gameserver: Cannot listen on front door: division by zero.\n"
        )

    def test_tls(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        cert, key = write_pair(folder, "localhost")
        both = [f"--tls-cert={cert}", f"--tls-key={key}", "--tls-only"]
        service = self.make(*both, games=[Guest(wires=EVERYTHING, port=7000)])
        self.start(service)
        for _, door, *_ in self.reactor.tcpServers:
            self.assertIsInstance(door.routes.tls, Certificates)
            self.assertTrue(door.routes.tls_only)

    def test_wrong_tls(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        cert, _ = write_pair(folder, "localhost")
        for arguments, sentence in (
            (["--tls-only"], "TLS needs both --tls-cert and --tls-key."),
            ([f"--tls-cert={cert}"], "TLS needs both --tls-cert and --tls-key."),
            (
                ["--tls-cert=no/such", f"--tls-key={cert}"],
                "no/such cannot be read: No such file or directory.",
            ),
            (
                [f"--tls-cert={cert}", f"--tls-key={cert}"],
                f"{cert} is not the unencrypted private key of {cert} in PEM form.",
            ),
        ):
            self.assertEqual(self.refusal(*arguments), f"gameserver: {sentence}")

    def test_two_games_with_the_same_of_http(self) -> None:
        text = (Wire("chess", Carriage.TEXT, lambda service: WebSocket(service.connections)),)
        games = [Guest(wires=text), Guest("other", "Another", NoTastes, wires=text)]
        self.assertEqual(
            self.refusal(games=games),
            "gameserver: chess is not the only wire format in text messages on a WebSocket.",
        )

    def test_two_games_with_pages(self) -> None:
        """Each has its own, and what is nobody's is looked up among the first's."""
        games = [Guest("one", settings=NoTastes), Guest("two", settings=NoTastes)]
        for game in games:
            build = game.build

            def with_pages(dependencies: Any, build: Any = build) -> Any:
                service = build(dependencies)
                service.pages = Page("text/plain", dependencies.game.encode())
                return service

            game.build = with_pages  # type: ignore[method-assign]
        self.start(self.make(games=games))
        (_, door, *_), *_ = self.reactor.tcpServers
        for path, page in ((b"/", b"one"), (b"/one/", b"one"), (b"/two/", b"two")):
            connection = connect(door)
            connection.say(b"GET %b HTTP/1.0\r\n\r\n" % path)
            self.assertTrue(connection.heard().endswith(b"\r\n\r\n" + page), path)

    def test_limits_of_the_door(self) -> None:
        """They are of all ports together."""
        games = [Guest(wires=EVERYTHING, port=7000)]
        self.start(self.make("--max-connections=7", games=games))
        guards = {door.guard for _, door, *_ in self.reactor.tcpServers}
        self.assertEqual([guard.settings.max_connections for guard in guards], [7])

    def test_sigterm(self) -> None:
        """SIGTERM stops the reactor; the next one is the system's own."""
        self.reactor.callFromThread = lambda call: call()
        self.start(self.make(games=[Guest()]))
        self.assertFalse(self.reactor.hasStopped)
        handler: Any = signal.getsignal(signal.SIGTERM)
        handler(signal.SIGTERM, None)
        self.assertTrue(self.reactor.hasStopped)
        self.assertEqual(signal.getsignal(signal.SIGTERM), signal.SIG_DFL)

    def test_sighup_and_sigusr1(self) -> None:
        """They never end the process, whether it starts, runs or stops."""
        for number in (signal.SIGHUP, signal.SIGUSR1):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        called: list[object] = []
        self.reactor.callFromThread = called.append
        service: Any = self.make(games=[Guest()])
        self.start(service)
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGUSR1)
            self.assertEqual(called, [service.reload, service.reopen_log])
            called.clear()
            self.successResultOf(service.stopService())

    def test_stop_is_bounded(self) -> None:
        """A service that does not stop holds up the store's end for some seconds only."""
        service: Any = self.make(games=[Guest()])
        self.start(service)
        stuck = Service()
        self.patch(stuck, "stopService", Deferred)
        stuck.setServiceParent(service)
        stopped = service.stopService()
        self.reactor.advance(LONGEST_STOP - 1)
        self.assertNoResult(stopped)
        self.reactor.advance(1)
        self.successResultOf(stopped)

    def test_unusable_database(self) -> None:
        """The server stops with a sentence, and with status 1 as the process exits."""
        service: Any = self.make(games=[Guest()])
        broken: Deferred[BadDatabase] = Deferred()
        self.patch(service._store, "broken", lambda: broken)
        self.start(service)
        with (
            patch.object(atexit, "register") as register,
            patch.object(sys, "__stderr__", io.StringIO()) as stderr,
        ):
            broken.callback(BadDatabase("the database is in use"))
        self.assertEqual(stderr.getvalue(), "gameserver: the database is in use.\n")
        register.assert_called_once_with(end_with_failure)
        self.assertTrue(self.reactor.hasStopped)

    def test_log_of_the_application(self) -> None:
        """twistd logs with the application's observer: level and form are the options'."""
        options = options_for([Guest()])
        options.parent = TwistdOptions()
        options.parent |= {"logfile": self.mktemp(), "nodaemon": True}
        options.parseOptions(["--logging=warning", "--log-format=json"])
        application = Application("gameserver")
        tap.makeService(options, self.reactor).setServiceParent(application)
        observe = application.getComponent(ILogObserver)
        for level in ("info", "warn"):
            observe(
                {
                    "log_level": LogLevel.levelWithName(level),
                    "log_namespace": "here",
                    "log_format": "{what}",
                    "what": level,
                }
            )
        (line,) = Path(options.parent["logfile"]).read_text().splitlines()
        self.assertEqual(json.loads(line)["message"], "warn")


class Probe:
    """A socket that answers as this machine's would."""

    def __init__(self, only_ipv6: int | None) -> None:
        self.only_ipv6 = only_ipv6

    def __call__(self, family: int, kind: int) -> contextlib.AbstractContextManager[Probe]:
        if self.only_ipv6 is None:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return contextlib.nullcontext(self)

    def bind(self, address: tuple[str, int]) -> None:
        """All is well."""

    def getsockopt(self, level: int, name: int) -> int | None:
        return self.only_ipv6


class EverywhereTests(SynchronousTestCase):
    def test_what_the_machine_can(self) -> None:
        for only_ipv6, address in ((0, "::"), (1, "0.0.0.0"), (None, "0.0.0.0")):
            with patch.object(socket, "socket", Probe(only_ipv6)):
                self.assertEqual(ports.everywhere(), address)
