"""
Network addresses: normalised for counting, and formatted for people.
"""

from __future__ import annotations

import ipaddress
import socket
from functools import lru_cache
from typing import Any

#: An address as a UDP socket knows it: host and port.
Address = tuple[str, int]

#: Hosts that need not be parsed again, which takes longer than to accept a connection.
REMEMBERED = 4_096


def host_of(transport: Any) -> str:
    """The peer's host as text, without its port; C{""} where there is none (a Unix socket)."""
    return unmapped(str(getattr(transport.getPeer(), "host", "")))


@lru_cache(REMEMBERED)
def unmapped(host: str) -> str:
    """
    Normalise an IP address: canonical spelling, and IPv4 for an IPv4 peer of an IPv6 socket.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    return str(getattr(address, "ipv4_mapped", None) or address)


def is_own(host: str) -> bool:
    """Whether an IP address is this machine's own, in which case a socket can be bound to it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
    except OSError:
        return False
    return True


def authority(host: str, port: int) -> str:
    """Format an address as in a URL: host and port, IPv6 in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
