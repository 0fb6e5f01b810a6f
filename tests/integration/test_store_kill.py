"""
The server is killed, with C{SIGKILL}, while it is playing: again and again, on one database.

Whenever that happens, a match has ended with both ratings changed or has not ended at all, and
no move that was acknowledged is lost.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from pathlib import Path

from sqlalchemy import create_engine, select
from twisted.trial.unittest import SynchronousTestCase

from gameservers.games.tictactoe.records import matches, players, results
from gameservers.store import StoreSettings
from gameservers.store.backends import find_backend
from tests.integration import store_load
from tests.store import databases

#: How often the process is killed; more is better, and takes longer.
ROUNDS = int(os.environ.get("GAMESERVERS_KILL_ROUNDS", "3"))

#: It is killed so long after the first match that was acknowledged to have ended, in seconds.
LIFE = (0.02, 0.5)

ROOT = Path(__file__).parents[2]


def play_and_kill(url: str) -> list[list[str]]:
    """What was acknowledged before the kill."""
    process = subprocess.Popen(
        [sys.executable, "-m", store_load.__name__, url],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    lines = []
    with process.stdout as said:
        for line in said:
            lines.append(line)
            if line.startswith("end"):
                break
        killer = threading.Timer(random.uniform(*LIFE), process.kill)
        killer.start()
        lines += said
    process.wait()
    killer.cancel()
    return [line.split() for line in lines if line.endswith("\n")]


class KillTests:
    """The mixin: C{database} makes a database."""

    database: databases.Database

    def test_kill(self) -> None:
        with type(self).database() as url:
            for _ in range(ROUNDS):
                said = play_and_kill(url)
                self.assertEqual({words[0] for words in said}, {"open", "move", "end"})
                self.check(url, said)

    def check(self, url: str, said: list[list[str]]) -> None:
        engine = create_engine(find_backend(StoreSettings(database=url)).url)
        if engine.dialect.name != "sqlite":  # all questions of one moment
            engine = engine.execution_options(isolation_level="REPEATABLE READ")
        with engine.begin() as connection:
            ended = {row.match_id: row for row in connection.execute(select(results))}
            kept = {row.id: row for row in connection.execute(select(matches))}
            elo = {row.name: row.elo for row in connection.execute(select(players))}
        engine.dispose()

        for match_id, row in kept.items():
            self.assertEqual(row.ended, match_id in ended)
        expected = dict.fromkeys(elo, store_load.ELO)
        for row in ended.values():
            self.assertEqual(row.elo_a_after - row.elo_a_before, store_load.STAKE)
            self.assertEqual(row.elo_b_after - row.elo_b_before, -store_load.STAKE)
            expected[row.player_a] += store_load.STAKE
            expected[row.player_b] -= store_load.STAKE
        self.assertEqual(elo, expected)

        for kind, match_id, *version in said:
            if kind == "end":
                self.assertIn(match_id, ended)
            elif match_id not in ended:
                self.assertIn(match_id, kept)
                self.assertGreaterEqual(kept[match_id].version, int(version[0]) if version else 0)


class SqliteTests(KillTests, SynchronousTestCase):
    database = databases.sqlite


class PostgresqlTests(KillTests, SynchronousTestCase):
    database = databases.postgresql


class MariadbTests(KillTests, SynchronousTestCase):
    database = databases.mariadb
