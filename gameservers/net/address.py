"""
Addresses, as the lobby counts them and as people read them.
"""

from __future__ import annotations

import ipaddress
from typing import Any

#: An address as a UDP socket knows it: host and port.
Address = tuple[str, int]


def host_of(transport: Any) -> str:
    """The peer's host as text, without its port; C{""} where there is none (a Unix socket)."""
    return unmapped(str(getattr(transport.getPeer(), "host", "")))


def unmapped(host: str) -> str:
    """
    An IP address as it is usually spelt, however a balancer spells it; that of an IPv4 peer of
    an IPv6 socket as IPv4.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    return str(getattr(address, "ipv4_mapped", None) or address)


def authority(host: str, port: int) -> str:
    """Spell an address as URLs do."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
