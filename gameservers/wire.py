"""
What every codec shares: how it tells its own bytes from those of others, and its one error.

Each wire format answers for itself with a L{Recogniser}, a pure function from the first bytes of
a connection, or from a datagram, to a L{Verdict}.  It says C{YES} or C{NO} as early as it can.
The connection belongs to the first format that says C{YES}, and to none when all say C{NO}.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from typing import TypeVar


class WireError(Exception):
    """Bytes that break a wire format; they end the client that sent them."""


class Verdict(enum.Enum):
    """Whether the first bytes of a connection are a game's own."""

    YES = "yes"
    NO = "no"
    MORE = "more"  # too few bytes to tell


#: From the first bytes of a stream, or a datagram.
Recogniser = Callable[[bytes], Verdict]

Claimant = TypeVar("Claimant")


def never(first: bytes) -> Verdict:
    """A recogniser for a transport that a game does not speak."""
    return Verdict.NO


def anything(first: bytes) -> Verdict:
    """The recogniser on a port that is one game's alone."""
    return Verdict.YES if first else Verdict.MORE


def begins(*openings: bytes) -> Recogniser:
    """A recogniser for what begins with one of these."""

    def recognises(first: bytes) -> Verdict:
        if first.startswith(openings):
            return Verdict.YES
        if any(opening.startswith(first) for opening in openings):
            return Verdict.MORE
        return Verdict.NO

    return recognises


def decide(
    first: bytes, claimants: Iterable[tuple[Recogniser, Claimant]]
) -> tuple[Verdict, Claimant | None]:
    """
    Ask all claimants.

    @return: C{YES} and whose it is; C{NO} if it is nobody's; C{MORE} while that is open.
    """
    undecided = False
    for recognises, claimant in claimants:
        verdict = recognises(first)
        if verdict is Verdict.YES:
            return verdict, claimant
        undecided = undecided or verdict is Verdict.MORE
    return (Verdict.MORE if undecided else Verdict.NO), None
