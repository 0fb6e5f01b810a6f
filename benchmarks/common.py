"""What every benchmark does: start the server, measure by turns, print a table."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent

#: How long a server may take to start or to stop, in seconds.
PATIENCE = 15.0

#: Games listen only where a benchmark says so: their own ports may be somebody else's here.
NO_OWN_PORTS = (
    "--tictactoe-port=0",
    "--tilegame-port=0",
    "--twister-port=0",
    "--velnet-port=0",
    "--database=memory",
)

Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Server:
    """A server that is running: whom to connect to, and whose time counts."""

    name: str
    port: int
    pid: int | None = None
    host: str = "127.0.0.1"

    def connect(self) -> socket.socket:
        player = socket.create_connection((self.host, self.port), PATIENCE)
        player.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return player

    def cpu_seconds(self) -> float:
        """The processor time it has taken so far; not a number if its process is unknown."""
        if self.pid is None:
            return float("nan")
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        user, system = int(fields[11]), int(fields[12])
        return (user + system) / os.sysconf("SC_CLK_TCK")


def peer(text: str) -> Server:
    """C{NAME=PORT} or C{NAME=PORT:PID}."""
    name, _, address = text.partition("=")
    port, _, pid = address.partition(":")
    if not (name and port.isdigit() and (pid.isdigit() or not pid)):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=PORT or NAME=PORT:PID")
    return Server(name, int(port), int(pid) if pid else None)


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def started(name: str, command: Sequence[str], port: int) -> Iterator[Server]:
    """Run a server until the block ends."""
    path = os.pathsep.join(filter(None, [str(CHECKOUT), os.environ.get("PYTHONPATH")]))
    process = subprocess.Popen(
        command,
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        patience = time.monotonic() + PATIENCE
        while process.poll() is None and time.monotonic() < patience:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        else:
            process.kill()
            _, errors = process.communicate()
            sys.exit(f"{name} does not serve port {port}:\n{errors.decode()[-2000:]}")
        yield Server(name, port, process.pid)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.communicate(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()


def gameserver(*options: str) -> tuple[list[str], int]:
    """The command that starts this checkout's server, and its port."""
    port = free_port()
    twistd = "from twisted.scripts.twistd import run; run()"
    command = [sys.executable, "-c", twistd, "--nodaemon", "--pidfile=", "gameserver"]
    return [*command, f"--port={port}", *NO_OWN_PORTS, "--logging=warning", *options], port


def arguments(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=3, help="medians of so many (%(default)s)")
    parser.add_argument(
        "--peer",
        type=peer,
        action="append",
        default=[],
        metavar="NAME=PORT[:PID]",
        help="measure this running server, too",
    )
    parser.add_argument("--only-peers", action="store_true", help="do not start our own")
    return parser


def run(
    parsed: argparse.Namespace,
    measure: Callable[[Server], Figures],
    *options: str,
) -> None:
    """Measure our server, started with C{options}, and the peers by turns."""
    with ExitStack() as stack:
        servers = list(parsed.peer)
        if not parsed.only_peers:
            command, port = gameserver(*options)
            servers.insert(0, stack.enter_context(started("gameservers", command, port)))
        compare(servers, measure, parsed.rounds)


def compare(servers: Sequence[Server], measure: Callable[[Server], Figures], rounds: int) -> None:
    """Measure servers by turns and print the medians; ratios are to the first server."""
    results: dict[Server, list[Figures]] = {server: [] for server in servers}
    for _ in range(rounds):
        for server in servers:
            results[server].append(measure(server))
    medians = [
        {name: statistics.median(figures[name] for figures in measured) for name in measured[0]}
        for measured in results.values()
    ]
    head = [f"medians of {rounds}", servers[0].name]
    for other in servers[1:]:
        head += [other.name, "ratio"]
    table = [head]
    for name, ours in medians[0].items():
        row = [name, _number(ours)]
        for median in medians[1:]:
            row += [_number(median[name]), f"{per(ours, median[name]):.2f}"]
        table.append(row)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = [f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True)]
        print(f"{row[0]:<{widths[0]}}", *cells, sep="  ")


def per(amount: float, seconds: float) -> float:
    """C{amount} per second; not a number if it took no time that could be measured."""
    return amount / seconds if seconds else float("nan")


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
