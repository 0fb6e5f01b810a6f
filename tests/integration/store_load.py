"""
A process that plays without end and says what was acknowledged, until it is killed.

C{python -m tests.integration.store_load URL} writes one line per acknowledgement::

    open <match id>
    move <match id> <version>
    end <match id>
"""

from __future__ import annotations

import os
import random
import sys
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred, gatherResults
from twisted.internet.task import react

from gameservers.games.tictactoe.records import SCHEMA, Match, TicTacToeRecords
from gameservers.store import Account, NameTaken, Store, StoreSettings

#: They stand in a circle, and each always plays with both neighbours.
PLAYERS = 20

#: It ends by itself after this, in seconds.
LONGEST = 30

ELO = 1000
STAKE = 7


def rate(a: int, b: int) -> tuple[int, int]:
    return a + STAKE, b - STAKE


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


async def play(records: TicTacToeRecords, a: str, b: str) -> None:
    for name in (a, b):
        with suppress(NameTaken):
            await records.create_account(Account(name, datetime.now(UTC)), ELO)
    for left in await records.matches_of(a):
        if left.player_a == a:
            await records.remove_match(left)
    while True:
        now = datetime.now(UTC)
        match = await records.open_match(
            Match(os.urandom(16).hex(), a, b, "0", a, True, now), limit=2
        )
        say("open", match.id)
        for number in range(random.randint(1, 4)):
            match = await records.save_move(replace(match, state=str(number)))
            say("move", match.id, match.version)
        await records.finish_match(match, "won", a, rate=rate, seen=[a])
        say("end", match.id)
        await records.mark_seen(b, [match.id])


async def main(url: str) -> None:
    reactor.callLater(LONGEST, reactor.stop)
    store = Store(StoreSettings(database=url), reactor, [SCHEMA])
    store.startService()
    await store.ready()
    records = TicTacToeRecords(store)
    names = [f"p{number}" for number in range(PLAYERS)]
    neighbours = zip(names, [*names[1:], names[0]], strict=True)
    await gatherResults(ensureDeferred(play(records, a, b)) for a, b in neighbours)


if __name__ == "__main__":
    react(lambda _: ensureDeferred(main(sys.argv[1])))
