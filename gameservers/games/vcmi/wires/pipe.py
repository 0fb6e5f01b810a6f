"""
VCMI's game pipe: the handshake by which the two sides of a started game are paired.

A pipe begins with three frames (u32 little-endian length, then the bytes), each at most
L{MAX_HANDSHAKE} bytes::

    "Aiya!" LF                      the magic, one of L{MAGICS}
    "VCMI 1.3.2 (client)"           any text with the role in parentheses, or the bare role
    36 characters                   a uuid of START (client) or HOST (server)

Every byte after them is the game's.  Once the partner is connected, each side gets the other's
first two frames, its own uuid as the third, and whatever the other has sent since; from then on
bytes pass unchanged both ways.  Programs only log what they read in the handshake.  A uuid is a
key, and no side ever learns another's: with the server's, a client could take the server's role.

A uuid of HOST is good for the role of the server only, one of START for that of a client only.
One that is unknown or has the other role, or anything else in the handshake, closes the
connection.

A client is paired with the server connection of its game that has waited longest, and vice versa:
the game's server opens one connection per guest, and all are equivalent.

The uuids of a game are valid from its start until there has been no connection for
C{--vcmi-pipe-lifetime}.  What a side sent is lost if it disconnects before its partner connects;
once paired, both sides end together, and may reconnect.

Source: VCMI 1.1 to 1.4 and vcmi/proxy-server, observed.
"""

from __future__ import annotations

import enum
import re
import struct

from gameservers.wire import WireError, begins

#: The first frame: the programs send C{Aiya!}, their documentation has C{Ayia!}.
MAGICS = frozenset({b"Aiya!\n", b"Aiya!", b"Ayia!\n", b"Ayia!"})

#: Longest frame of a handshake, in bytes.
MAX_HANDSHAKE = 1024

_ROLE = re.compile(rb"\((client|server)\)|\A(client|server)\s*\Z")


class Role(enum.Enum):
    CLIENT = "client"
    SERVER = "server"

    @property
    def opposite(self) -> Role:
        return Role.SERVER if self is Role.CLIENT else Role.CLIENT


def framed(frame: bytes) -> bytes:
    """Encode a frame."""
    return struct.pack("<I", len(frame)) + frame


#: Whether a connection is a game pipe, by its first frame: nine bytes or ten.
recognises = begins(*map(framed, MAGICS))


def check_magic(frame: bytes) -> None:
    """
    Read the first frame.

    @raise WireError: it is not a magic.
    """
    if frame not in MAGICS:
        raise WireError("no magic")


def role(frame: bytes) -> Role:
    """
    Read the second frame.

    @raise WireError: it has no role.
    """
    found = _ROLE.search(frame)
    if found is None:
        raise WireError("no role")
    return Role((found[1] or found[2]).decode("ascii"))


def uuid(frame: bytes) -> str:
    """Read the third frame."""
    return frame.decode("ascii", "replace")
