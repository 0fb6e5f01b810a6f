"""Tests for L{gameservers.net.connection_log}: a line for each log-in and cut, within limits."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from gameservers.net.connection_log import MAX_ADDRESSES, PERIOD, ConnectionLog
from gameservers.net.guard import place_of


class ConnectionLogTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        trusted = {"10.0.0.1"}
        self.log = ConnectionLog(
            self.clock, lambda host: "" if host in trusted else place_of(host), lines=2
        )
        events = capturedLogs()
        self.events: list[Any] = events.__enter__()
        self.addCleanup(events.__exit__, None, None, None)

    def lines(self) -> list[str]:
        """What was logged since the last time."""
        lines = [formatEvent(each) for each in self.events]
        self.events.clear()
        return lines

    def test_lines(self) -> None:
        self.log.logged_in("chess", 1, "192.0.2.1", "zoë")
        self.log.logged_in("chess", 2, "192.0.2.2", "")
        self.log.cut("chess", 3, "192.0.2.1", "malformed", "no such {move}")
        self.log.cut("chess", 4, "192.0.2.2", "slow")
        self.log.left("chess", 5, "192.0.2.3", "disconnected")
        fields = [self.events[2][each] for each in ("game", "id", "address", "reason", "detail")]
        self.assertEqual(fields, ["chess", 3, "192.0.2.1", "malformed", "no such {move}"])
        self.assertEqual({each["log_level"].name for each in self.events}, {"info"})
        self.assertEqual(
            self.lines(),
            [
                "chess connection 1 from 192.0.2.1 has logged in as 'zoë'",
                "chess connection 2 from 192.0.2.2 has logged in",
                "chess connection 3 from 192.0.2.1 is cut off as malformed: no such {move}",
                "chess connection 4 from 192.0.2.2 is cut off as slow",
                "chess connection 5 from 192.0.2.3 has left: disconnected",
            ],
        )

    def test_name_that_forges(self) -> None:
        """A name is quoted, so that it ends where it ends."""
        name = "x' has left\nchess connection 1"
        self.log.logged_in("chess", 1, "192.0.2.1", name)
        self.assertTrue(self.lines()[0].endswith(f" as {name!r}"))

    def test_flood(self) -> None:
        """What exceeds the lines of an address is counted, and told at the end of the period."""
        for number in range(1, 101):
            self.log.cut("door", number, f"2001:db8::{number:x}", "malformed", "unknown")
        self.log.cut("chess", 101, "2001:db8::1", "flood")
        self.assertEqual(len(self.lines()), 2)
        self.log.cut("door", 102, "192.0.2.1", "malformed", "unknown")  # others have their own
        self.assertEqual(len(self.lines()), 1)
        self.clock.advance(PERIOD - 0.1)
        self.assertEqual(self.lines(), [])
        self.clock.advance(0.1)
        self.assertEqual(
            self.lines(),
            ["99 more from 2001:db8::/64, up to connection 101: 98 door malformed, 1 chess flood"],
        )
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.log.cut("door", 103, "2001:db8::1", "malformed", "unknown")
        self.assertEqual(len(self.lines()), 1)

    def test_no_flood(self) -> None:
        """A few events in a while all have lines, and no timer runs."""
        for number in range(20):
            self.log.cut("door", number, "192.0.2.1", "silent")
            self.clock.advance(PERIOD / 2)
        self.assertEqual(len(self.lines()), 20)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_many_addresses(self) -> None:
        """They do not fill the memory either."""
        for number in range(MAX_ADDRESSES):
            self.log.cut("door", number, f"10.{number // 200}.{number % 200}.9", "silent")
        self.assertEqual(len(self.lines()), MAX_ADDRESSES)
        for number in range(10):
            self.log.cut("door", number, f"192.0.2.{number}", "crowded")
        self.clock.advance(PERIOD)
        told = "10 more from other addresses, up to connection 9: 10 door crowded"
        self.assertEqual(self.lines(), [told])

    def test_trusted(self) -> None:
        for number in range(50):
            self.log.logged_in("chess", number, "10.0.0.1", "name")
        self.assertEqual(len(self.lines()), 50)

    def test_stopped(self) -> None:
        """At the end the rest is told, and no timer is left."""
        self.log.startService()
        for number in range(3):
            self.log.cut("door", number, "192.0.2.1", "silent")
        self.lines()
        self.log.stopService()
        self.assertEqual(len(self.lines()), 1)
        for number in range(3):
            self.log.cut("door", number, "192.0.2.1", "silent")
        self.assertEqual(self.clock.getDelayedCalls(), [])
