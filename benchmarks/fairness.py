"""
Fairness: how long bystanders wait while others misbehave.

For each way to misbehave, and for one attacker and then for fifty, a server is started, honest
players of all five games and newcomers to each of them play in calm, then while the attackers do
their worst, and then the server is told to stop while they still do.  A line tells how much longer
than in calm anybody waited, at worst and in the 99th percentile of its kind, whether a bystander
was cut off or refused, whether datagrams were lost, and how the server ended.  C{--kinds} shows
each kind of bystander with the figures of calm beside.  Figures over their bound are marked;
nothing is asserted.

The bounds (milliseconds more than in calm):

=============  ========  ===============
attackers      at worst  99th percentile
=============  ========  ===============
one            50        20
more           250       100
=============  ========  ===============

Nobody is lost, no more datagrams than in calm are dropped, and the server ends with status 0
within 10 seconds.  The percentile is taken of kinds with 100 waits or more.

Everything goes through the front door on loopback, without trusted networks: each attacker and
each newcomer has an address of its own.  The bystanders live in this process, the attackers in
another, which is nicer by 10 (without privileges a process can only give up priority), so that on
few processors they take time neither from the server nor from what measures it.  With privileges
this process goes before all others; on a machine that has other work, C{nice -n -20 python -m
benchmarks.fairness} as root gives the server priority over that, too.  "lag" is how late a timer
of this process was during the attack: what is not much longer than that is noise, and nothing is
subtracted for it.  The server's log is at its default level, and its database is SQLite in a file.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.attacks import ATTACKS, READY, described
from benchmarks.bystanders import OWN_LAG, Bystanders
from benchmarks.common import CHECKOUT, PATIENCE, Server, checkout, gameserver, number

#: Waits of a kind that make a 99th percentile.
ENOUGH = 100

#: How long the server may take to stop, in seconds, and when it is ended by force.
STOP = 10.0
KILL = 15.0

#: Time in which an answer may still come after the last question, in seconds.
LATE = 5.0

#: What a server is started with besides its ports.
OPTIONS = (
    "--database=sqlite:///fairness.sqlite3",
    "--logging=info",
    "--trusted=192.0.2.0/24",
    "--tilegame-max-players=19",
    "--twister-admin-key-file=",
    "--vcmi-max-players=1000",
)


@dataclass(frozen=True)
class Bound:
    """Milliseconds more than in calm."""

    worst: float
    late: float


def bound(attackers: int) -> Bound:
    return Bound(50, 20) if attackers == 1 else Bound(250, 100)


@dataclass(frozen=True)
class Waits:
    """The waits of one kind of bystander in one phase, in milliseconds."""

    median: float | None = None
    late: float | None = None
    worst: float | None = None

    @classmethod
    def of(cls, seconds: Iterable[float]) -> Waits:
        waits = sorted(each * 1e3 for each in seconds)
        if not waits:
            return cls()
        late = waits[len(waits) * 99 // 100] if len(waits) >= ENOUGH else None
        return cls(statistics.median(waits), late, waits[-1])


@dataclass
class Cell:
    """
    What one attack by so many attackers did.

    @ivar lost: the reasons why bystanders were lost, by kind.
    @ivar dropped: datagrams without an answer in calm, and during the attack.
    @ivar stop: how long the server took to end, in seconds.
    @ivar status: its exit status, or the signal that ended it.
    @ivar sent: what the attackers sent, in MB per second.
    @ivar cuts: how often an attacker was cut off or refused.
    @ivar grown: by how much the server's memory has grown, in MB.
    """

    attack: str
    attackers: int
    calm: dict[str, Waits] = field(default_factory=dict)
    attacked: dict[str, Waits] = field(default_factory=dict)
    lost: dict[str, list[str]] = field(default_factory=dict)
    dropped: tuple[int, int] = 0, 0
    stop: float = float("nan")
    status: str = ""
    sent: float = float("nan")
    cuts: int = 0
    grown: float = float("nan")

    def extra(self, which: str) -> dict[str, float]:
        """How much longer each kind waited than in calm, in milliseconds."""
        found = {}
        for kind, waits in self.attacked.items():
            if kind == OWN_LAG or kind not in self.calm:
                continue
            then, now = (getattr(each, which) for each in (self.calm[kind], waits))
            if then is not None and now is not None:
                found[kind] = now - then
        return found

    @property
    def over(self) -> dict[str, bool]:
        """Which figures are over their bounds."""
        limits = bound(self.attackers)
        return {
            "worst": max(self.extra("worst").values(), default=0) > limits.worst,
            "late": max(self.extra("late").values(), default=0) > limits.late,
            "lost": bool(self.lost),
            "dropped": self.dropped[1] > self.dropped[0],
            "stop": not self.stop <= STOP or self.status != "0",
        }


@contextmanager
def attackers(server: Server, attack: str, size: int) -> Iterator[subprocess.Popen[str]]:
    """The attackers, in a process of their own."""
    options = [attack, f"--port={server.port}", f"--attackers={size}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.attacks", *options],
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        try:
            process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


class NoAttack(Exception):
    """The attackers did not get as far as their attack."""


async def answer_of(process: subprocess.Popen[str]) -> dict[str, int]:
    """
    What the attackers say of their last step.

    @raise NoAttack: they failed.
    """
    assert process.stdout is not None
    reading = asyncio.get_running_loop().run_in_executor(None, process.stdout.readline)
    try:
        line = await asyncio.wait_for(reading, 2 * READY)
    except TimeoutError:
        raise NoAttack("no answer from the attackers") from None
    answer: dict[str, int] = json.loads(line or '{"failed": "a bug of the attack"}')
    if "failed" in answer:
        raise NoAttack(answer["failed"])
    return answer


def tell(process: subprocess.Popen[str]) -> None:
    """Let the attackers take their next step."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


@contextmanager
def preferred() -> Iterator[None]:
    """
    Let this process, which only waits and looks, go before all others, if that is allowed.

    It does not collect garbage either, which would look like a wait of everybody.
    """
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


async def stopped(pid: int) -> tuple[float, str]:
    """End a server with SIGTERM: how long that takes, in seconds, and its exit status."""
    begin = time.monotonic()
    os.kill(pid, signal.SIGTERM)
    forced = False
    while True:
        # Without reaping it, which is up to the one that started it.
        found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if found is not None:
            break
        if time.monotonic() > begin + KILL and not forced:
            forced = True
            os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(0.01)
    exited = found.si_code == os.CLD_EXITED
    status = str(found.si_status) if exited else signal.Signals(found.si_status).name
    return time.monotonic() - begin, status


async def measure(tree: Path, attack: str, size: int, seconds: float) -> Cell:
    """
    Start a server, and let the attackers do their worst.

    @raise NoAttack: they could not.
    @raise OSError: a bystander could not enter.
    """
    cell = Cell(attack, size)
    now = asyncio.get_running_loop().time
    with (
        gameserver(tree, *OPTIONS) as server,
        attackers(server, attack, size) as process,
        closing(Bystanders(server)) as bystanders,
        preferred(),
    ):
        assert server.pid is not None
        await bystanders.enter()
        await asyncio.sleep(0.5)
        calm = now()
        await asyncio.sleep(seconds)
        memory = server.resident()
        begin = now()
        tell(process)
        await answer_of(process)
        told = now()
        tell(process)
        await asyncio.sleep(seconds)
        await bystanders.finish(LATE)
        end = now()
        tell(process)
        report = await answer_of(process)
        cell.sent, cell.cuts = report["sent"] / 1e6 / (end - told), report["cuts"]
        cell.grown = server.resident() - memory
        cell.stop, cell.status = await stopped(server.pid)
        book = bystanders.book
    for kind, waits in book.waits.items():
        cell.calm[kind] = Waits.of(wait for due, wait in waits if calm <= due < begin)
        cell.attacked[kind] = Waits.of(wait for due, wait in waits if begin <= due < end)
    for kind, due, why in book.lost:
        if calm <= due < end:
            cell.lost.setdefault(kind, []).append(why)
    drops = [due for _, due in book.dropped]
    cell.dropped = (
        sum(calm <= due < begin for due in drops),
        sum(begin <= due < end for due in drops),
    )
    return cell


HEADS = (
    f"{'attack':<30}{'n':>3}  {'worst':>8}       {'p99':>7}       lost     drops         "
    f"{'stop':>6}       {'lag':>9}  {'MB/s':>6}    cuts     MB  longest waits"
)


def marked(text: str, over: bool) -> str:
    return f"{text} {'OVER' if over else 'ok':<4}"


def row(cell: Cell) -> str:
    """One line on an attack, as under L{HEADS}."""
    over = cell.over
    columns = [f"{cell.attack:<30}{cell.attackers:>3}"]
    slowest = []
    for which, width in (("worst", 8), ("late", 7)):
        extra = cell.extra(which)
        kind = max(extra, key=extra.__getitem__, default="")
        columns.append(marked(f"{number(extra.get(kind, 0)):>{width}}", over[which]))
        slowest.append(kind)
    lag = cell.attacked.get(OWN_LAG, Waits())
    lost = sum(map(len, cell.lost.values()))
    columns += [
        marked(f"{lost:>2}", over["lost"]),
        marked(f"{cell.dropped[1]:>3}", over["dropped"]),
        marked(f"{cell.stop:>4.1f} s, {cell.status}", over["stop"]),
        f"{number(lag.late or 0):>4}/{number(lag.worst or 0):<4}",
        f"{cell.sent:>6.1f}",
        f"{cell.cuts:>6}",
        f"{cell.grown:>+6.0f}",
        ", ".join(dict.fromkeys(slowest)),
    ]
    return "  ".join(columns)


#: The columns of the details and their widths.
PHASES = {"calm: p50": 12, "p99": 8, "worst": 8, "attack: p50": 14, "p99 ": 8, "worst ": 8}


def details(cell: Cell) -> Iterator[str]:
    """A line on each kind of bystander: waits in calm, and during the attack."""
    yield f"{'':<24}" + "".join(f"{head:>{width}}" for head, width in PHASES.items())
    for kind, now in cell.attacked.items():
        texts = [
            "" if each is None else number(each)
            for waits in (cell.calm[kind], now)
            for each in (waits.median, waits.late, waits.worst)
        ]
        yield f"    {kind:<20}" + "".join(
            f"{text:>{width}}" for text, width in zip(texts, PHASES.values(), strict=True)
        )
    for kind, reasons in cell.lost.items():
        for why, times in Counter(reasons).items():
            yield f"    lost: {kind}, {times} times: {why}"


def sizes(text: str) -> list[int]:
    """C{1,50}."""
    try:
        found = [int(each) for each in text.split(",")]
    except ValueError:
        found = []
    if not found or min(found) < 1 or max(found) > 200:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers from 1 to 200")
    return found


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--attack", choices=ATTACKS, action="append", help="only this one")
    parser.add_argument("--attackers", type=sizes, default=[1, 50], help="how many (1,50)")
    parser.add_argument(
        "--seconds", type=float, default=5.0, help="of calm, and of attack (%(default)s)"
    )
    parser.add_argument(
        "--server", type=checkout, default=CHECKOUT, metavar="DIR", help="of another checkout"
    )
    parser.add_argument("--kinds", action="store_true", help="show each kind of bystander")
    parser.add_argument("--list", action="store_true", help="list the attacks")
    return parser


def show(tree: Path, attacks: Sequence[str], parsed: argparse.Namespace) -> None:
    """Measure and print."""
    cells = []
    print(HEADS)
    for attack in attacks:
        for size in parsed.attackers:
            try:
                cell = asyncio.run(measure(tree, attack, size, parsed.seconds))
            except (NoAttack, OSError) as error:
                print(f"{attack:<30}{size:>3}  could not be tried: {error!r}", flush=True)
                continue
            cells.append(cell)
            print(row(cell), flush=True)
            if parsed.kinds or cell.lost:
                print(*details(cell), sep="\n", flush=True)
    over = sum(any(cell.over.values()) for cell in cells)
    tried = len(attacks) * len(parsed.attackers)
    print(f"{over} of {tried} lines have figures over their bounds.", end="")
    print(f"  {tried - len(cells)} could not be tried." if tried > len(cells) else "")


def main() -> None:
    parsed = arguments().parse_args()
    if parsed.list:
        width = max(map(len, ATTACKS))
        for name, function in ATTACKS.items():
            print(f"{name:<{width}}  {described(function)}")
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # for the server, too
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # tidily
    show(parsed.server, parsed.attack or list(ATTACKS), parsed)


if __name__ == "__main__":
    main()
