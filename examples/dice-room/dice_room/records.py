"""The best roll of each player, kept in the server's database."""

from pathlib import Path

from sqlalchemy import Column, Connection, Integer, insert, select, update

from gameservers.store import Records, Schema, change, question
from gameservers.store.columns import ExactText, new_metadata, new_table

_metadata = new_metadata()

scores = new_table(
    "dice_scores",
    _metadata,
    Column("name", ExactText(100), primary_key=True),
    Column("best", Integer, nullable=False),
)

SCHEMA = Schema("dice", _metadata, Path(__file__).parent / "revisions")


class DiceRecords(Records):
    @question
    def best(self, db: Connection) -> tuple[str, int] | None:
        """The highest number of all, with the player that rolled it."""
        highest = select(scores).order_by(scores.c.best.desc(), scores.c.name).limit(1)
        row = db.execute(highest).first()
        return row and (row.name, row.best)

    @change
    def roll(self, db: Connection, name: str, number: int) -> None:
        """Record a player's roll."""
        own = scores.c.name == name
        before = db.scalar(select(scores.c.best).where(own))
        if before is None:
            db.execute(insert(scores), {"name": name, "best": number})
        elif before < number:
            db.execute(update(scores).where(own), {"best": number})
