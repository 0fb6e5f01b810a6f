"""
What all codecs share: recognising a wire format by its first bytes, and L{WireError}.

Each wire format has a L{Recogniser}, a pure function from the first bytes of a connection, or from
a datagram, to a L{Verdict}.  It returns C{YES} or C{NO} as early as it can.  The connection goes
to the first format that returns C{YES}, and is refused when all return C{NO}.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from typing import TypeVar


class WireError(Exception):
    """Bytes that break a wire format; the client that sent them is disconnected."""


class Verdict(enum.Enum):
    """Whether the first bytes of a connection are those of a wire format."""

    YES = "yes"
    NO = "no"
    MORE = "more"  # too few bytes to tell


#: From the first bytes of a stream, or a datagram.
Recogniser = Callable[[bytes], Verdict]

Claimant = TypeVar("Claimant")


def never(first: bytes) -> Verdict:
    """A recogniser for a transport that a game does not use."""
    return Verdict.NO


def anything(first: bytes) -> Verdict:
    """The recogniser on a port of a single wire format."""
    return Verdict.YES if first else Verdict.MORE


def begins(*openings: bytes) -> Recogniser:
    """Make a recogniser for everything that begins with one of these."""

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
    Ask all recognisers in turn.

    @return: C{YES} and the one that claims it; C{NO} if none does; C{MORE} if more bytes are
        needed.
    """
    undecided = False
    for recognises, claimant in claimants:
        verdict = recognises(first)
        if verdict is Verdict.YES:
            return verdict, claimant
        undecided = undecided or verdict is Verdict.MORE
    return (Verdict.MORE if undecided else Verdict.NO), None
