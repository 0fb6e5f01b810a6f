"""The VCMI game pipe: 64 KiB writes one way, and 64 bytes there and back again."""

from __future__ import annotations

import itertools
import os

from benchmarks import streams, vcmi
from benchmarks.common import Figures, Server, arguments, run


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="of writing (%(default)s)")
    parsed = parser.parse_args()
    numbers = itertools.count()

    def measure(server: Server) -> Figures:
        a, b = vcmi.start_pipe(server, f"pipe{os.getpid()}-{next(numbers)}")
        return streams.measure(server, a, b, parsed.seconds)

    run(parsed, measure)


if __name__ == "__main__":
    main()
