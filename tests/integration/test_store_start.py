"""
The start on a database that is in use, that cannot be used, and that is away: real processes.
"""

from __future__ import annotations

import signal
import socket
import time
from threading import Thread

from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from gameservers.store import StoreSettings
from gameservers.store.backends import find_backend
from tests.integration.clients import TileGame, VelNetText
from tests.integration.processes import DEFAULTS, PATIENCE, ProcessTestCase, free_port
from tests.store import databases

PORTS = {"postgresql": 5432, "mariadb": 3306}


class StartTestCase(ProcessTestCase):
    def arguments(self, url: str) -> tuple[str, ...]:
        self.port = free_port()
        return (
            *(each for each in DEFAULTS if "database" not in each),
            f"--port={self.port}",
            "--interface=127.0.0.1",
            f"--database={url}",
            "--database-backoff=0.1",
        )

    def assert_refused(self, url: str, sentence: str) -> None:
        """It ends with status 1, and this is in the only line on standard error."""
        status, out, err = self.run_to_end(*self.arguments(url))
        self.assertEqual((status, err.count("\n")), (1, 1), err + out)
        self.assertTrue(err.startswith("gameserver: "), err)
        self.assertIn(sentence, err)
        self.assertNotIn("is ready", out)
        self.assertNotIn("Traceback", out)


class StartTests:
    """The mixin: C{database} makes a database."""

    database: databases.Database

    def setUp(self) -> None:
        super().setUp()
        made = type(self).database()
        self.url = made.__enter__()
        self.addCleanup(made.__exit__, None, None, None)

    def test_second_server(self) -> None:
        """It is refused, and the first does not notice; when that was killed it may start."""
        first, _ = self.started(*self.arguments(self.url))
        self.assert_refused(self.url, "is in use by another server or command.")
        self.assert_refused(self.url, "is in use by another server or command.")
        first.kill()
        first.communicate()
        second, _ = self.started(*self.arguments(self.url))
        self.stop(second)

    def test_newer(self) -> None:
        engine = create_engine(find_backend(StoreSettings(database=self.url)).url)
        self.assertEqual(self.run_to_end("--migrate", f"--database={self.url}")[0], 0)
        change = text("UPDATE server_version SET version_num = :new")
        with engine.begin() as connection:
            before = connection.scalar(text("SELECT version_num FROM server_version"))
            connection.execute(change, {"new": "9999"})
        self.assert_refused(self.url, "a newer one has used the database")
        with engine.begin() as connection:
            connection.execute(change, {"new": before})
        engine.dispose()


class SqliteTests(StartTests, StartTestCase):
    database = databases.sqlite

    def test_no_database(self) -> None:
        for path, sentence in (
            ("letter.txt", "file is not a database"),
            ("letter.txt/games", "cannot create"),
            ("directory", "unable to open database file"),
        ):
            if path == "letter.txt":
                (self.directory / path).write_text("Dear sir or madam, " * 100)
            elif path == "directory":
                (self.directory / path).mkdir()
            self.assert_refused(f"sqlite:///{(self.directory / path).absolute()}", sentence)

    def test_locked(self) -> None:
        """Another program's lock is waited for."""
        self.run_to_end("--migrate", f"--database={self.url}")
        engine = create_engine(self.url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN EXCLUSIVE")
            process = self.start(*self.arguments(self.url))
            log = self.read_until("waits for the database", process)
            self.assertNotIn("is ready", log)
            connection.exec_driver_sql("ROLLBACK")
            self.read_until("is ready", process)
        engine.dispose()
        self.stop(process)


class ServerTests(StartTests):
    """The mixin for database servers; C{lock} keeps everybody from the world of Tile-Game."""

    lock: str

    def test_refused(self) -> None:
        """A user or a database that the server does not know."""
        url = make_url(self.url)
        for wrong in (url.set(username="nobody_at_all"), url.set(database="nothing_at_all")):
            with_password = wrong.set(password="se-cret")
            self.assert_refused(with_password.render_as_string(False), "cannot be used: ")

    def test_away(self) -> None:
        """It is waited for; games that do not need it are played, and it may never come."""
        port = free_port()
        arguments = self.arguments(make_url(self.url).set(port=port).render_as_string(False))
        process = self.start(*arguments)
        log = self.read_until("waits for the database, which is unreachable", process)
        VelNetText(self.connect, "ann").close()
        self.assertNotIn("is ready", log + self.stop(process))

        process = self.start(*arguments)
        self.read_until("waits for the database, which is unreachable", process)
        forward = Forward(port, PORTS[make_url(self.url).get_backend_name()])
        self.addCleanup(forward.close)
        self.read_until("is ready", process)
        self.stop(process)

    def test_frozen(self) -> None:
        """A database that does not answer does not hold up a stop, whatever waits to be saved."""
        where = self.arguments(self.url)
        process, _ = self.started(*where, "--tilegame-new-world", "--tilegame-port=0")
        TileGame(self.connect, "ann").close()
        url = find_backend(StoreSettings(database=self.url)).url
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for statement in self.lock.split(";"):
                connection.exec_driver_sql(statement)
            process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            _, err = process.communicate(timeout=PATIENCE)
            self.assertLess(time.monotonic() - began, 10)
            self.assertEqual((process.returncode, err), (0, ""))
        engine.dispose()

    def test_silent(self) -> None:
        """A server that accepts connections and says nothing does not hold up a stop."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            silent.settimeout(PATIENCE)
            url = make_url(self.url).set(port=silent.getsockname()[1])
            process = self.start(*self.arguments(url.render_as_string(False)))
            silent.accept()[0].close()
            with silent.accept()[0]:
                self.assertNotIn("is ready", self.stop(process))

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE)


class Forward:
    """A port that leads to another."""

    def __init__(self, port: int, to: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", port))
        self._to = to
        Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        try:
            while True:
                here, _ = self._listener.accept()
                there = socket.create_connection(("127.0.0.1", self._to), PATIENCE)
                for ends in ((here, there), (there, here)):
                    Thread(target=self._pass, args=ends, daemon=True).start()
        except OSError:
            """The listener is closed."""

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65_536):
                sink.sendall(data)
        except OSError:
            """One of them is lost."""
        for each in (source, sink):
            each.close()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


class PostgresqlTests(ServerTests, StartTestCase):
    database = databases.postgresql
    lock = "BEGIN; LOCK TABLE tilegame_worlds IN ACCESS EXCLUSIVE MODE"


class MariadbTests(ServerTests, StartTestCase):
    database = databases.mariadb
    lock = "LOCK TABLES tilegame_worlds WRITE"
