"""
Handing a connection from one protocol to another.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IProtocol
from twisted.protocols.policies import ProtocolWrapper


def hand_over(transport: Any, protocol: IProtocol, rest: bytes = b"") -> None:
    """
    Let C{protocol} have the connection from now on, and C{rest}, which was read already.

    The transport speaks to its new protocol directly, nothing stays in between.  The old
    protocol is told nothing any more, not even that the connection is lost.
    """
    seat, name = _seat(transport)
    setattr(seat, name, protocol)
    protocol.makeConnection(transport)
    if rest:
        protocol.dataReceived(rest)


def holder_of(transport: Any) -> IProtocol:
    """The protocol that has the connection now."""
    seat, name = _seat(transport)
    holder: IProtocol = getattr(seat, name)
    return holder


def _seat(transport: Any) -> tuple[Any, str]:
    """The object that hands on what is read, and its attribute for whom."""
    if isinstance(transport, ProtocolWrapper):
        return transport, "wrappedProtocol"
    if getattr(transport, "TLS", False):  # started on a plain connection
        return transport.protocol, "wrappedProtocol"
    return transport, "protocol"
