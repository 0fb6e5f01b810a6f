"""Tests for L{gameservers.net.address}: one address is spelt in one way."""

from __future__ import annotations

from twisted.internet.address import UNIXAddress
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from gameservers.net.address import host_of, unmapped
from tests.net.visitors import Connection


class AddressTests(SynchronousTestCase):
    def test_spellings(self) -> None:
        """Balancers write IPv6 addresses out, and IPv4 ones in IPv6 clothes."""
        for spelt, usual in (
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("::FFFF:c000:201", "192.0.2.1"),
            ("0:0:0:0:0:ffff:c000:201", "192.0.2.1"),
            ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
            ("fe80::1%eth0", "fe80::1%eth0"),
            ("nonsense", "nonsense"),
            ("", ""),
        ):
            self.assertEqual(unmapped(spelt), usual)

    def test_peers(self) -> None:
        self.assertEqual(host_of(Connection("2001:db8:0:0:0:0:0:1")), "2001:db8::1")
        self.assertEqual(host_of(StringTransport(peerAddress=UNIXAddress(b"/socket"))), "")
