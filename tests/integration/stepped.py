"""
The server with a wall clock that can be stepped: C{python -m tests.integration.stepped FILE ...}.

The file has the offset from the real time, in seconds, and is read whenever the time is asked for.
"""

from __future__ import annotations

import datetime
import sys
import time
from pathlib import Path
from typing import Any

_file = Path(sys.argv[1])
_time = time.time
_datetime = datetime.datetime


def offset() -> float:
    return float(_file.read_text())


class SteppedDatetime(_datetime):
    """What is asked for the present by the name of C{datetime}."""

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return _datetime.now(tz) + datetime.timedelta(seconds=offset())


if __name__ == "__main__":
    # Before anything else is imported, since many modules keep the function itself.
    time.time = lambda: _time() + offset()
    datetime.datetime = SteppedDatetime  # type: ignore[misc]
    sys.argv[1:2] = []
    from gameservers.__main__ import main

    main()
