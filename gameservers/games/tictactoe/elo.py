"""
Elo ratings, in whole points.

The expected score of A against B is C{1 / (1 + 10 ** ((elo_b - elo_a) / 400))}, that of B is the
rest to 1.  After a match each gains L{K} times the difference between its score (1 for a victory,
0.5 for a draw, 0 for a defeat) and its expected score, rounded to the nearest integer (halves to
the even one).  There is no minimum rating.
"""

from __future__ import annotations

#: Maximum change of a rating by one match, in points.
K = 20

#: The rating of a new account.
START = 1000

#: Scores of player A.
A_WINS = 1.0
DRAWN = 0.5
B_WINS = 0.0


def expected(own: int, other: int) -> float:
    """The expected score, from 0 to 1."""
    # Beyond this the power overflows, and the score is 0 or 1 in double precision.
    difference = max(-40_000, min(40_000, other - own))
    return 1.0 / (1.0 + float(10.0 ** (difference / 400)))


def rated(elo_a: int, elo_b: int, score_a: float) -> tuple[int, int]:
    """Both ratings after a match in which A scored C{score_a}."""
    expected_a = expected(elo_a, elo_b)
    return (
        round(elo_a + K * (score_a - expected_a)),
        round(elo_b + K * ((1.0 - score_a) - (1.0 - expected_a))),
    )
