"""
Recorded conversations: reading them, and comparing what clients received then and now.

A transcript is JSON Lines: a header, then rows in the order in which they were seen.  Where
this server answers otherwise than the recorded one, the difference is written down beside the
transcript in C{<scenario>.differs.json}: a list of places, each with the connection, what was
recorded there, what comes instead, and the reason.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Row:
    """One row: C{event} is C{""} where bytes were sent."""

    conn: str
    dir: str
    data: bytes
    event: str


@dataclass(frozen=True)
class Difference:
    """One place at which a connection receives something else than was recorded."""

    conn: str
    recorded: list[str]
    instead: list[str]
    because: str = ""


def scenarios(wire: str) -> list[str]:
    return sorted(path.stem for path in (HERE / wire).glob("*.jsonl"))


def header(wire: str, scenario: str) -> dict[str, Any]:
    with (HERE / wire / f"{scenario}.jsonl").open() as lines:
        first: dict[str, Any] = json.loads(next(lines))
    return first


def rows(wire: str, scenario: str) -> Iterator[Row]:
    with (HERE / wire / f"{scenario}.jsonl").open() as lines:
        next(lines)
        for line in lines:
            row = json.loads(line)
            if row["dir"] in ("c2s", "s2c"):
                data = bytes.fromhex(row["hex"].removesuffix("..."))
                if row["hex"].endswith("..."):
                    data = _complete(data)
                yield Row(row["conn"], row["dir"], data, row.get("event", ""))


def _complete(cut: bytes) -> bytes:
    """
    A huge frame that was cut for the record: it went on as its end does, to its length.

    The length is the frame's own first four bytes, little-endian; of one that is absurd only
    what was recorded is used.
    """
    size = 4 + int.from_bytes(cut[:4], "little")
    if size > 1_000_000:
        return cut
    unit = next(cut[-n:] for n in range(1, 33) if cut[-n:] * 3 == cut[-3 * n :])
    return (cut + unit * (size // len(unit)))[:size]


def without_teardown(every: Iterable[Row]) -> list[Row]:
    """The rows up to the last that holds bytes: after it the recorder closed everything."""
    known = list(every)
    while known and not known[-1].data:
        known.pop()
    return known


def known_differences(wire: str, scenario: str) -> list[Difference]:
    path = HERE / wire / f"{scenario}.differs.json"
    if not path.exists():
        return []
    return [Difference(**each) for each in json.loads(path.read_text())]


def differences(
    recorded: Mapping[str, Sequence[str]], received: Mapping[str, Sequence[str]]
) -> list[Difference]:
    """Compare, connection by connection, what was received then and now."""
    found = []
    for conn, then in recorded.items():
        now = received[conn]
        matcher = difflib.SequenceMatcher(a=then, b=now, autojunk=False)
        for tag, a, b, c, d in matcher.get_opcodes():
            if tag != "equal":
                found.append(Difference(conn, list(then[a:b]), list(now[c:d])))
    return found


def write_differences(wire: str, scenario: str, found: Sequence[Difference]) -> None:
    """For whoever adds a scenario: write down what differs, to be given reasons by hand."""
    path = HERE / wire / f"{scenario}.differs.json"
    text = json.dumps([asdict(each) for each in found], indent=1, ensure_ascii=False)
    path.write_text(text + "\n")
