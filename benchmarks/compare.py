"""
Compares two checkouts, before and after a change, with all benchmarks alternately in one run.

It prints work per second of the server's processor time, which is meaningful on a busy machine,
too.  A benchmark may be given with options of its own, in quotes::

    python -m benchmarks.compare --before ../before
    python -m benchmarks.compare --before ../before twister "velnet --form=text --burst=8"
"""

from __future__ import annotations

import argparse
import os
import shlex
from importlib import import_module

from benchmarks.common import PER_CPU, Results, checkout, number, show

#: All benchmarks, with many short rounds.
BENCHMARKS = (
    "velnet --seconds=1 --moderate=0 --idle=0",
    "vcmi_chat --seconds=1.5",
    "vcmi_pipe --seconds=1",
    "vcmi_logins --players=200",
    "tictactoe --seconds=3 --matches 25 --logins 25",
    "twister --seconds=1 --clients 1 10 100",
    "tilegame --seconds=3",
    "front_door --trips=2000 --connections=500",
    "net_outbox",
    "net_pipe --seconds=1",
)


def main() -> None:
    usual = {line.split()[0]: line for line in BENCHMARKS}
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", type=checkout, required=True, metavar="DIR")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (%(default)s)")
    parser.add_argument("names", nargs="*", default=BENCHMARKS, help=f"from {', '.join(usual)}")
    parsed = parser.parse_args()
    core = max(os.sched_getaffinity(0))
    everything: Results = {}
    for line in parsed.names:
        name, *options = shlex.split(usual.get(line, line))
        benchmark = import_module(f"benchmarks.{name}").BENCHMARK
        arguments = [f"--before={parsed.before}", f"--rounds={parsed.rounds}", f"--core={core}"]
        results = benchmark.run(benchmark.parser.parse_args([*arguments, *options]))
        if [each.split()[0] for each in parsed.names].count(name) > 1:
            name = line
        figures = {f"{name}, {key}": each for key, each in results.items() if PER_CPU in key}
        show(figures, "work per server CPU second")
        everything |= figures
    if len(parsed.names) > 1:
        print()
        show(everything, f"medians of {number(parsed.rounds)}")


if __name__ == "__main__":
    main()
