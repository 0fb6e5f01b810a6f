"""
The PROXY protocol, with which a balancer tells whose connection it forwards.

Such a connection begins with a header of version 1, a line of at most L{LINE} bytes::

    PROXY TCP4 <source> <destination> <source port> <destination port>\\r\\n
    PROXY TCP6 ...
    PROXY UNKNOWN ...\\r\\n

or of version 2, all numbers in network byte order:

=======  ==========================================================================================
bytes
=======  ==========================================================================================
12       L{SIGNATURE}
1        0x20: the balancer's own connection; 0x21: a forwarded one
1        0x11 or 0x12: IPv4, 0x21 or 0x22: IPv6, 0x31 or 0x32: Unix; with a half that is 0:
         unknown
2        size of what follows, at most L{MAX_REST} bytes
...      source and destination (4, 16 or 108 bytes each), their ports (2 bytes each, not for
         Unix), and extensions, which are ignored
=======  ==========================================================================================

Where the source is unknown, the connection's own address stands.  Any other header is malformed.

Source: U{https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt}
"""

from __future__ import annotations

import ipaddress
import re
import struct
from dataclasses import dataclass
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IProtocolFactory,
    IStreamServerEndpoint,
)
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from zope.interface import implementer

from gameservers.wire import WireError

#: What a header of version 2 begins with.
SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"

#: What a header of version 1 begins with, and its maximum size in bytes, with CR and LF.
WORD = b"PROXY "
LINE = 107

#: Maximum size of what follows the first 16 bytes of version 2, in bytes.
MAX_REST = 16 * 1024

#: The parts of a line of version 1 with addresses.
_PARTS = re.compile(rb"(TCP4|TCP6) ([0-9A-Fa-f.:]+) ([0-9A-Fa-f.:]+) (\d{1,5}) (\d{1,5})")

#: The commands of version 2, with its number.
_OWN, _FORWARDED = 0x20, 0x21

#: The addresses of each family of version 2.
_FORMS = {0x1: "!4s4sHH", 0x2: "!16s16sHH", 0x3: "!108s108s"}

#: The transports of each family: stream and datagram.
_TRANSPORTS = (0x1, 0x2)


@dataclass(frozen=True, slots=True)
class Header:
    """
    A header.

    @ivar size: in bytes.
    @ivar source: the client's address; L{None} if it is unknown.
    @ivar destination: the address that the client has connected to; likewise.
    """

    size: int
    source: IAddress | None = None
    destination: IAddress | None = None


def parse(data: bytes | bytearray) -> Header | None:
    """
    Decode the header that a connection begins with.

    @return: L{None} if it is not complete.
    @raise WireError: there is none, or it is malformed.
    """
    if data.startswith(WORD):
        return _parse_line(data)
    if data.startswith(SIGNATURE):
        return _parse_binary(data)
    if WORD.startswith(data) or SIGNATURE.startswith(data):
        return None
    raise WireError("no PROXY header")


def _parse_line(data: bytes | bytearray) -> Header | None:
    end = data.find(b"\r\n", 0, LINE)
    if end < 0:
        if len(data) < LINE:
            return None
        raise WireError("a PROXY line that is too long")
    line = bytes(data[len(WORD) : end])
    size = end + 2
    if line == b"UNKNOWN" or line.startswith(b"UNKNOWN "):
        return Header(size)
    parts = _PARTS.fullmatch(line)
    if parts is None:
        raise WireError("a malformed PROXY line")
    family, source, destination, *ports = (each.decode("ascii") for each in parts.groups())
    made = (
        _address(family, host, int(port))
        for host, port in zip((source, destination), ports, strict=True)
    )
    return Header(size, *made)


def _address(family: str, host: str, port: int) -> IAddress:
    try:
        if family == "TCP4":
            return IPv4Address("TCP", str(ipaddress.IPv4Address(host)), _port(port))
        return IPv6Address("TCP", str(ipaddress.IPv6Address(host)), _port(port))
    except ValueError:
        raise WireError("a malformed address in a PROXY line") from None


def _port(port: int) -> int:
    if port > 0xFFFF:
        raise ValueError("no such port")
    return port


def _parse_binary(data: bytes | bytearray) -> Header | None:
    begin = len(SIGNATURE) + 4
    if len(data) < begin:
        return None
    command, kind, rest = struct.unpack_from("!BBH", data, len(SIGNATURE))
    if command not in (_OWN, _FORWARDED) or rest > MAX_REST:
        raise WireError("a malformed PROXY header")
    size = begin + rest
    if len(data) < size:
        return None
    family, transport = kind >> 4, kind & 0x0F
    if command == _OWN or not family or not transport:
        return Header(size)
    form = _FORMS.get(family)
    if form is None or transport not in _TRANSPORTS or rest < struct.calcsize(form):
        raise WireError("a malformed PROXY header")
    source, destination, *ports = struct.unpack_from(form, data, begin)
    if not ports:
        return Header(size, _unix(source), _unix(destination))
    make = IPv4Address if family == 0x1 else IPv6Address
    made = (
        make("TCP", str(ipaddress.ip_address(packed)), port)
        for packed, port in zip((source, destination), ports, strict=True)
    )
    return Header(size, *made)


def _unix(path: bytes) -> UNIXAddress:
    return UNIXAddress(path.partition(b"\0")[0])


class Proxied(ProtocolWrapper):
    """
    A balancer's connection, which has the client's address when the header has arrived.

    The wrapped protocol is told of a malformed header by its method C{malformed}.
    """

    wrappedProtocol: Any
    transport: Any

    def __init__(self, factory: Any, wrapped: Any) -> None:
        super().__init__(factory, wrapped)
        self._head = bytearray()
        self._header: Header | None = None

    def dataReceived(self, data: bytes) -> None:
        if self._header is not None:
            self.wrappedProtocol.dataReceived(data)
            return
        self._head += data
        try:
            header = self._header = parse(self._head)
        except WireError as fault:
            self._head.clear()
            self.wrappedProtocol.malformed(str(fault))
            return
        if header is not None:
            rest, self._head = bytes(self._head[header.size :]), bytearray()
            if rest:
                self.wrappedProtocol.dataReceived(rest)

    def getPeer(self) -> Any:
        if self._header is not None and self._header.source is not None:
            return self._header.source
        return self.transport.getPeer()

    def getHost(self) -> Any:
        if self._header is not None and self._header.destination is not None:
            return self._header.destination
        return self.transport.getHost()


class ProxiedFactory(WrappingFactory):
    """Makes the connections of a port that only balancers use."""

    noisy = False
    protocol = Proxied


@implementer(IStreamServerEndpoint)
class ProxiedEndpoint:
    """An endpoint whose connections begin with a header."""

    def __init__(self, wrapped: IStreamServerEndpoint) -> None:
        self._wrapped = wrapped

    def listen(self, factory: IProtocolFactory) -> Deferred[IListeningPort]:
        listening: Deferred[IListeningPort] = self._wrapped.listen(ProxiedFactory(factory))
        return listening
