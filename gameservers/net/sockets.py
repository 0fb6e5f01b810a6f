"""What is asked of a stream transport's socket, where it has one."""

from __future__ import annotations

import socket
import sys
from typing import Any, TypeGuard

from twisted.internet.interfaces import ITCPTransport, ITransport
from twisted.internet.tcp import Connection

#: What surely fits into one TCP segment of a usual path, in bytes.
SAFE_SEGMENT = 1400

#: The most that is taken for one segment, in bytes, where segments are huge (loopback).
LARGEST_SEGMENT = 16 * 1024

#: The most that TCP options (timestamps, selective acknowledgement) take of a segment, in bytes.
TCP_OPTIONS = 40

#: The state of a TCP connection in which both sides may still speak, as Linux numbers them.
ESTABLISHED = 1


def is_plain(transport: ITransport) -> TypeGuard[Connection]:
    """Whether a transport is a socket alone, no TLS between, so that it can be half-closed."""
    return isinstance(transport, Connection) and not transport.TLS


def is_idle(transport: ITransport) -> TypeGuard[Connection]:
    """Whether a transport is a socket alone, and all that was written to it has left."""
    return is_plain(transport) and not transport.dataBuffer and not transport._tempDataBuffer


def has_ended(transport: ITransport) -> bool:
    """
    Whether the peer has ended the connection, or it is lost, as far as the kernel tells.

    It is to be asked where nothing is read: nobody watches the socket then.
    """
    if sys.platform != "linux" or not isinstance(transport, Connection):
        return False
    try:
        state = transport.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
    except OSError:  # not TCP
        return False
    return state[0] != ESTABLISHED


def send_at_once(transport: Any, data: bytes) -> None:
    """Write, without the reactor's going round if the network takes it now."""
    if is_idle(transport) and transport.connected and not transport.disconnecting:
        sent = transport.writeSomeData(data)
        if isinstance(sent, int):  # else it is lost, which the transport finds out by itself
            data = data[sent:]
    if data:
        transport.write(data)


def make_prompt(transport: ITransport) -> None:
    """Let small messages leave at once, and find out when a silent peer has vanished."""
    if ITCPTransport.providedBy(transport):
        transport.setTcpNoDelay(True)
        transport.setTcpKeepAlive(True)


def segment_size(transport: ITransport) -> int:
    """How many bytes, sent at once, surely travel in one segment of this connection."""
    if isinstance(transport, Connection) and is_plain(transport):
        try:
            size = transport.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
        except OSError:  # not TCP
            return SAFE_SEGMENT
        return min(max(size - TCP_OPTIONS, 1), LARGEST_SEGMENT)
    return SAFE_SEGMENT
