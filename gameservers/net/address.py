"""
Addresses of peers, as the lobby counts them.
"""

from __future__ import annotations

from typing import Any

_MAPPED = "::ffff:"


def host_of(transport: Any) -> str:
    """The peer's host as text, without its port; C{""} where there is none (a Unix socket)."""
    return unmapped(str(getattr(transport.getPeer(), "host", "")))


def unmapped(host: str) -> str:
    """An IP address; that of an IPv4 peer of an IPv6 socket as IPv4."""
    return host.removeprefix(_MAPPED) if "." in host else host
