"""
Detection of a binary client's generation, if it is not configured.

Both generations log in with the same bytes, but expect different answers: generation 1 expects 5
bytes, generation 2 expects 4 more, the version.  Either hangs with the other's answer.  So the
first 5 bytes are sent at once and the rest is held back until the client's behaviour distinguishes
them:

  - generation 2 sends a keep-alive within 2 seconds of connecting, and nothing else before it
    has its whole answer;
  - generation 1 has no keep-alive; it sends a hello over UDP within milliseconds, or something
    else;
  - silence means generation 2, whose keep-alive may be late; this is wrong for generation 1 only
    in a network that blocks UDP.

A keep-alive before the log-in means generation 2 as well.
"""

from __future__ import annotations

import enum

#: How long to wait for a sign after the log-in, in seconds.
PATIENCE = 2.5


class Generation(enum.Enum):
    """The values of C{--velnet-generation}."""

    OPEN = "auto"  # not known yet
    FIRST = "1"
    SECOND = "2"


class Sign(enum.Enum):
    """Behaviour of a client that reveals its generation."""

    KEEP_ALIVE = "keep-alive"
    OTHER = "any other message after the log-in"
    HELLO = "hello over UDP"
    SILENCE = "nothing for a while"


#: The meaning of each sign while the generation is open; once known, it does not change.
READ: dict[Sign, Generation] = {
    Sign.KEEP_ALIVE: Generation.SECOND,
    Sign.OTHER: Generation.FIRST,
    Sign.HELLO: Generation.FIRST,
    Sign.SILENCE: Generation.SECOND,
}
