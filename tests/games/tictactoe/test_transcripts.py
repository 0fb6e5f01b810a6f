"""
All recorded scenarios, played again; see L{tests.games.tictactoe.replay}.

Run as a program, this prints the table: C{python -m tests.games.tictactoe.test_transcripts}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.games.tictactoe.replay import SCENARIOS, Replay, expected


class TranscriptTests(SynchronousTestCase):
    """One test per scenario is made below."""

    def test_none_is_left_out(self) -> None:
        self.assertEqual(len(SCENARIOS), 31)

    def test_every_difference_has_a_reason(self) -> None:
        for scenario in SCENARIOS:
            for difference in expected(scenario):
                self.assertGreater(len(difference["why"]), 20, scenario)

    def test_the_original_client_sees_no_difference(self) -> None:
        """What the web client of the original sent and was told is told again, all of it."""
        self.assertEqual(expected("web_client_tour"), [])

    def replay(self, scenario: str) -> None:
        wanted = [
            {key: difference[key] for key in ("on", "then", "now")}
            for difference in expected(scenario)
        ]
        self.assertEqual(Replay(scenario).run(), wanted)
        self.assertEqual(self.flushLoggedErrors(), [])


def _add(scenario: str) -> None:
    setattr(TranscriptTests, f"test_{scenario}", lambda self: self.replay(scenario))


for _scenario in SCENARIOS:
    _add(_scenario)


def print_table() -> None:
    """One line per scenario: lines heard, differences, why."""
    for scenario in SCENARIOS:
        replay = Replay(scenario)
        found = replay.run()
        heard = sum(map(len, replay.then.heard.values()))
        reasons = list(dict.fromkeys(difference["why"] for difference in expected(scenario)))
        verdict = "as the original" if not found else f"{len(found)} differences"
        print(f"{scenario:28}{heard:5} lines  {verdict}")
        for reason in reasons:
            print(f"{'':42}{reason}")


if __name__ == "__main__":
    print_table()
