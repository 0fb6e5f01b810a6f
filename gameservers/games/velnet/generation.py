"""
Which generation of binary clients one is, where the configuration leaves it open.

Both generations log in with the same bytes, but expect different answers: generation 1 expects
5 bytes, generation 2 expects 4 more, the version.  Either is lost for good with the other's
answer.  So the first 5 bytes are sent at once and the rest is held back until what the client
does next tells them apart:

  - generation 2 sends a keep-alive within 2 seconds of connecting, and nothing else before it
    has its whole answer;
  - generation 1 knows no keep-alive; it says hello over UDP within milliseconds, or something
    else;
  - silence speaks for generation 2, whose keep-alive may be late, and costs generation 1
    dearly only behind a network that blocks UDP.

A keep-alive before the log-in is generation 2's as well.
"""

from __future__ import annotations

import enum

#: How long to wait for a sign after the log-in, in seconds.
PATIENCE = 2.5


class Generation(enum.Enum):
    """As C{--velnet-generation} spells it."""

    OPEN = "auto"  # not known yet
    FIRST = "1"
    SECOND = "2"


class Sign(enum.Enum):
    """What a client does that tells its generation."""

    KEEP_ALIVE = "keep-alive"
    OTHER = "any other message after the log-in"
    HELLO = "hello over UDP"
    SILENCE = "nothing for a while"


#: What a sign says as long as the generation is open; once it is known, no sign changes it.
READ: dict[Sign, Generation] = {
    Sign.KEEP_ALIVE: Generation.SECOND,
    Sign.OTHER: Generation.FIRST,
    Sign.HELLO: Generation.FIRST,
    Sign.SILENCE: Generation.SECOND,
}
