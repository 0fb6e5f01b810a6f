"""The commands that see to a database: real processes, on every database."""

from __future__ import annotations

import sqlite3

from tests.games.tictactoe.test_original import ORIGINAL, ROWS
from tests.integration.processes import DEFAULTS, PATIENCE, ProcessTestCase, free_port
from tests.store import databases


class MigrateTests:
    """The mixin: C{database} makes one without tables."""

    database: databases.Database

    def test_at_the_same_time(self) -> None:
        """One process migrates; the others wait, and find nothing left to do."""
        with type(self).database() as url:
            processes = [self.start("--migrate", f"--database={url}") for _ in range(3)]
            said = [process.communicate(timeout=PATIENCE) for process in processes]
        self.assertEqual([process.returncode for process in processes], [0] * 3, said)
        self.assertEqual({err for _, err in said}, {""})
        for owner in ("server", "tictactoe", "tilegame"):
            made = [out for out, _ in said if f"{owner} 000" in out]
            self.assertEqual(len(made), 3)
            new = [out for out in made if "(was new)" in out.split(owner)[1].split(",")[0]]
            self.assertEqual(len(new), 1, said)


class SqliteTests(MigrateTests, ProcessTestCase):
    database = databases.sqlite


class PostgresqlTests(MigrateTests, ProcessTestCase):
    database = databases.postgresql_new


class MariadbTests(MigrateTests, ProcessTestCase):
    database = databases.mariadb_new


class ImportTests(ProcessTestCase):
    def test_in_place(self) -> None:
        """A server refuses an original's database until the command has taken it over."""
        path = (self.directory / "original.sqlite3").absolute()
        original = sqlite3.connect(path)
        for statement in ORIGINAL:
            original.execute(statement.format(user="user"))
        for table, rows in ROWS.items():
            slots = ", ".join("?" * len(rows[0]))
            original.executemany(f"INSERT INTO {table} VALUES ({slots})", rows)
        original.commit()
        original.close()
        url = f"sqlite:///{path}"

        status, _, err = self.run_to_end("--migrate", f"--database={url}")
        self.assertEqual(status, 1)
        self.assertIn("gameserver tictactoe-import URL", err)
        server = self.start(*DEFAULTS[:-1], f"--port={free_port()}", f"--database={url}")
        assert server.stdout is not None
        self.assertTrue(any("#critical] the database has the tables" in n for n in server.stdout))
        server.kill()

        database = f"--database={url}"
        out = self.twistd("gameserver", database, "tictactoe-import", url, "--zone=Europe/Berlin")
        self.assertIn("tictactoe_players: took over 3 of 3 rows\n", out)
        status, out, _ = self.run_to_end("--migrate", f"--database={url}")
        self.assertEqual(status, 0, out)

    def test_wrong(self) -> None:
        """What cannot be done is one sentence on standard error, and exit status 1."""
        for arguments, sentence in (
            ([], "usage: gameserver [options] tictactoe-import URL"),
            (["sqlite:////none/there.sqlite3"], "there is no database /none/there.sqlite3"),
            (["nonsense"], "--database is neither sqlite, memory nor a URL"),
        ):
            status, out, err = self.run_to_end(
                f"--database=sqlite:///{self.directory.absolute()}/own.sqlite3",
                "tictactoe-import",
                *arguments,
            )
            self.assertEqual((status, out), (1, ""))
            self.assertTrue(err.startswith(f"gameserver: {sentence}"), err)
            self.assertEqual(err.count("\n"), 1)
