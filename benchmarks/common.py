"""The common parts of all benchmarks: start servers, measure them alternately, print a table."""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

CHECKOUT = Path(__file__).resolve().parent.parent

#: How long a server may take to start or to stop, in seconds.
PATIENCE = 15.0

#: The default options of servers: no ports for single games, which may be in use on this machine,
#: and a database in memory.
DEFAULTS = (
    "--tictactoe-port=0",
    "--tilegame-port=0",
    "--twister-port=0",
    "--velnet-port=0",
    "--database=memory",
    "--logging=warning",
)

#: Systems use ports above these for outgoing connections, which could take a chosen port before
#: its server listens on it.
PORTS = range(12_000, 32_000)

#: Figures with this in their name are amounts of work per second of the server's processor time:
#: they are meaningful on a busy machine, too.
PER_CPU = "CPU second"

_chosen: set[int] = set()

#: The figures of one round, by name.
Figures = dict[str, float]

#: The figures of all rounds, by the names of the figure and of the server.
Results = dict[str, dict[str, list[float]]]


@dataclass(frozen=True, slots=True)
class Server:
    """
    A running server.

    @ivar port: the port to which players connect.
    @ivar pid: the process that is measured; L{None} if it is unknown.
    @ivar others: its other ports, if a benchmark needs some.
    @ivar source: the address from which players connect; empty for the system's choice.
    """

    name: str
    port: int
    pid: int | None = None
    host: str = "127.0.0.1"
    others: tuple[int, ...] = ()
    source: str = ""

    def connect(self, port: int = 0) -> socket.socket:
        address = (self.host, port or self.port)
        player = socket.create_connection(address, PATIENCE, (self.source, 0))
        player.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return player

    def cpu_seconds(self) -> float:
        """The processor time it has used so far; NaN if its process is unknown."""
        if self.pid is None:
            return float("nan")
        # The clock of another process; Python lacks clock_getcpuclockid(3).
        return time.clock_gettime(~self.pid << 3 | 2)

    def resident(self) -> float:
        """Its resident memory, in MB; NaN if its process is unknown."""
        if self.pid is None:
            return float("nan")
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def pin(self, core: int) -> None:
        """Pin the process to one core, and this process to the others."""
        if self.pid is not None:
            for thread in Path(f"/proc/{self.pid}/task").iterdir():
                os.sched_setaffinity(int(thread.name), {core})
        os.sched_setaffinity(0, os.sched_getaffinity(0) - {core} or {core})


@dataclass(frozen=True, slots=True)
class Benchmark:
    """
    One benchmark.

    @ivar parser: its options, made by L{arguments}.
    @ivar start: a context manager that runs the server of a checkout.
    @ivar measure: measures one round.
    """

    parser: argparse.ArgumentParser
    start: Callable[[Path, argparse.Namespace], AbstractContextManager[Server]]
    measure: Callable[[Server, argparse.Namespace], Figures]

    def main(self) -> None:
        """Measure as the command line says, and print the medians."""
        show(self.run(self.parser.parse_args()))

    def run(self, parsed: argparse.Namespace) -> Results:
        """Measure the checkouts and the peers alternately, this checkout last."""
        results: Results = {}
        with ExitStack() as stack:
            servers = {each.name: each for each in parsed.peer}
            checkouts = {"before": parsed.before, "after": CHECKOUT}
            if parsed.before is None:
                checkouts = {"gameservers": CHECKOUT}
            for name, checkout in checkouts.items() if not parsed.only_peers else ():
                server = servers[name] = stack.enter_context(self.start(checkout, parsed))
                if parsed.core is not None:
                    server.pin(parsed.core)
            for _ in range(parsed.rounds):
                for name, server in servers.items():
                    for figure, value in self.measure(server, parsed).items():
                        results.setdefault(figure, {}).setdefault(name, []).append(value)
        return results


def peer(text: str) -> Server:
    """C{NAME=PORT} or C{NAME=PORT:PID}."""
    name, _, address = text.partition("=")
    port, _, pid = address.partition(":")
    if not (name and port.isdigit() and (pid.isdigit() or not pid)):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=PORT or NAME=PORT:PID")
    return Server(name, int(port), int(pid) if pid else None)


def checkout(text: str) -> Path:
    """A directory with a C{gameservers} package."""
    path = Path(text).resolve()
    if not (path / "gameservers" / "__init__.py").is_file():
        raise argparse.ArgumentTypeError(f"{text!r} has no package gameservers")
    return path


def arguments(description: str | None) -> argparse.ArgumentParser:
    """The options that all benchmarks have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=3, help="rounds (%(default)s)")
    parser.add_argument(
        "--before", type=checkout, metavar="DIR", help="measure the server of this checkout, too"
    )
    parser.add_argument(
        "--peer",
        type=peer,
        action="append",
        default=[],
        metavar="NAME=PORT[:PID]",
        help="measure this running server, too",
    )
    parser.add_argument("--only-peers", action="store_true", help="do not measure this checkout")
    parser.add_argument("--core", type=int, help="keep the server on this core, the load off it")
    return parser


def free_port() -> int:
    """A port that is free for TCP and UDP, and was not chosen before."""
    while True:
        port = secrets.choice(PORTS)
        if port not in _chosen and is_free(port):
            _chosen.add(port)
            return port


def is_free(port: int) -> bool:
    with (
        socket.socket(type=socket.SOCK_STREAM) as tcp,
        socket.socket(type=socket.SOCK_DGRAM) as udp,
    ):
        try:
            for probe in (tcp, udp):
                probe.bind(("", port))
        except OSError:
            return False
    return True


@contextmanager
def started(command: Sequence[str], tree: Path, port: int) -> Iterator[int]:
    """
    Run a server of a checkout until the block ends, in its own directory.

    It yields the id of its process when C{port} is open.
    """
    path = os.pathsep.join(filter(None, [str(tree), os.environ.get("PYTHONPATH")]))
    with TemporaryDirectory() as directory:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=directory,
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        try:
            deadline = time.monotonic() + PATIENCE
            while process.poll() is None and time.monotonic() < deadline:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    time.sleep(0.05)
            else:
                process.kill()
                _, errors = process.communicate()
                sys.exit(f"{tree} does not serve port {port}:\n{errors.decode()[-2000:]}")
            yield process.pid
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.communicate(timeout=PATIENCE)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.communicate()


@contextmanager
def gameserver(tree: Path, *options: str, game: str = "") -> Iterator[Server]:
    """
    Run the server of a checkout until the block ends.

    @param game: connect players to the port of this game, with the front door among the other
        ports; by default they connect to the front door.
    """
    front, own = free_port(), free_port()
    ports = [f"--port={front}", *([f"--{game}-port={own}"] if game else [])]
    said = {each.partition("=")[0] for each in (*ports, *options)}
    defaults = [each for each in DEFAULTS if each.partition("=")[0] not in said]
    command = ["-m", "gameservers", *ports, *defaults, *options]
    with started(command, tree, front) as pid:
        if game:
            yield Server(str(tree), own, pid, others=(front,))
        else:
            yield Server(str(tree), front, pid)


def module(name: str, tree: Path, *options: str) -> list[str]:
    """The command that runs a module of this package with the C{gameservers} of a checkout."""
    code = (
        "import runpy, sys; "
        f"sys.path.insert(0, {str(CHECKOUT)!r}); import benchmarks; "
        f"sys.path.insert(0, {str(tree)!r}); "
        f"runpy.run_module({name!r}, run_name='__main__', alter_sys=True)"
    )
    return ["-c", code, *options]


def show(results: Results, head: str = "") -> None:
    """
    Print the medians of all rounds, this checkout's last, with its ratio to each of the others.

    A ratio is the median of the rounds' ratios, because other load on the machine in a round
    affects both sides of it.
    """
    names = list(next(iter(results.values())))
    *others, ours = names
    rounds = len(next(iter(results.values()))[ours])
    ratios = ["ratio"] if len(others) == 1 else [f"to {other}" for other in others]
    table = [[head or f"medians of {rounds}", *names, *ratios]]
    for figure, values in results.items():
        row = [figure, *(number(statistics.median(values[name])) for name in names)]
        row += [f"{ratio(values[ours], values[other]):.2f}" for other in others]
        table.append(row)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = [f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True)]
        print(f"{row[0]:<{widths[0]}}", *cells, sep="  ", flush=True)


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median ratio of figures of the same rounds."""
    return statistics.median(per(a, b) for a, b in zip(ours, theirs, strict=True))


def per(amount: float, seconds: float) -> float:
    """C{amount} per second; NaN if the time was too short to be measured."""
    return amount / seconds if seconds else float("nan")


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
