"""What the store keeps of tic-tac-toe and the server never asks for in this way."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, or_, select
from twisted.internet.defer import Deferred

from gameservers.games.tictactoe.records import TicTacToeRecords, players, results


@dataclass(frozen=True)
class Result:
    """How a match ended; ratings are C{(a, b)}, or L{None} if they were not changed."""

    match_id: str
    player_a: str
    player_b: str
    winner: str | None
    outcome: str
    state: str
    ended_at: datetime
    elo_before: tuple[int, int] | None = None
    elo_after: tuple[int, int] | None = None


def _result(row: Any) -> Result:
    rated = row.elo_a_before is not None
    return Result(*row[:7], *((row[7:9], row[9:]) if rated else ()))


def results_of(records: TicTacToeRecords, name: str) -> Deferred[tuple[Result, ...]]:
    """A player's ended matches, newest first."""

    def query(db: Connection) -> tuple[Result, ...]:
        theirs = or_(results.c.player_a == name, results.c.player_b == name)
        newest = select(results).where(theirs).order_by(results.c.ended_at.desc())
        return tuple(map(_result, db.execute(newest)))

    return records.store.ask(query)


def rating_of(records: TicTacToeRecords, name: str) -> Deferred[int | None]:
    """The rating of an account."""
    rating = select(players.c.elo).where(players.c.name == name)
    return records.store.ask(lambda db: db.scalar(rating))
