"""The VCMI game pipe: 64 KiB writes one way, and 64 bytes there and back again."""

from __future__ import annotations

import argparse
import itertools
import os

from benchmarks import streams, vcmi
from benchmarks.common import Benchmark, Figures, Server, arguments, gameserver

_numbers = itertools.count()


def measure(server: Server, parsed: argparse.Namespace) -> Figures:
    a, b = vcmi.start_pipe(server, f"pipe{os.getpid()}-{next(_numbers)}")
    return streams.measure(server, a, b, parsed.seconds)


parser = arguments(__doc__)
parser.add_argument("--seconds", type=float, default=3.0, help="duration of writing (%(default)s)")

BENCHMARK = Benchmark(parser, lambda tree, parsed: gameserver(tree), measure)

if __name__ == "__main__":
    BENCHMARK.main()
