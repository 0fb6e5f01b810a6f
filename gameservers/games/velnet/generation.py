"""
Detection of a binary client's generation, if it is not configured.

Both generations log in with the same bytes, but expect different answers: generation 1 expects 5
bytes, generation 2 expects 4 more, the version.  Either hangs with the other's answer.  So the
first 5 bytes are sent at once and the rest is held back until the client's behaviour distinguishes
them:

  - generation 2 sends a keep-alive every 2 seconds, the first one up to 2 seconds after its start;
  - generation 1 has no keep-alive, and sends a hello over UDP within milliseconds of its answer;
  - something else L{HASTE} after the answer comes from generation 1, which is fully logged in and
    in a network that blocks UDP;
  - something else before that may come from either, because an application need not wait for its
    log-in.  It is held back until there is another sign, and handled after it, in order.  If there
    is none, it was generation 1, too: the keep-alive of generation 2 would have come;
  - silence means generation 2, whose keep-alive is late; this is wrong for generation 1 only in a
    network that blocks UDP.

A keep-alive before the log-in means generation 2 as well.
"""

from __future__ import annotations

import enum

#: How long to wait for a sign after the log-in, in seconds.
PATIENCE = 2.5

#: Within this time of the log-in, another message is no sign, in seconds.
HASTE = 0.25

#: Maximum number of messages that are held back; with one more it is generation 1.
MAX_HELD = 16


class Generation(enum.Enum):
    """The values of C{--velnet-generation}."""

    OPEN = "auto"  # not known yet
    FIRST = "1"
    SECOND = "2"


class Sign(enum.Enum):
    """Behaviour of a client that reveals its generation."""

    KEEP_ALIVE = "keep-alive"
    OTHER = "any other message, a while after the log-in or without another sign"
    HELLO = "hello over UDP"
    SILENCE = "nothing for a while"


#: The meaning of each sign while the generation is open; once known, it does not change.
READ: dict[Sign, Generation] = {
    Sign.KEEP_ALIVE: Generation.SECOND,
    Sign.OTHER: Generation.FIRST,
    Sign.HELLO: Generation.FIRST,
    Sign.SILENCE: Generation.SECOND,
}
