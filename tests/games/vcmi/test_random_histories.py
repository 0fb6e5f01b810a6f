"""
Whatever launchers of all versions send, in whatever order: no launcher is ever told anything
that it could not understand or that cannot be.

What that means is in L{tests.games.vcmi.launcher}.
"""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from gameservers.games.vcmi.wires import text as wire
from tests.games.vcmi.clients import Client, House, VcmiTestCase, frame, pipe_hello
from tests.games.vcmi.launcher import Launcher

NAMES = ["alice", "bobby", "carol", "diana", "eddie", "fiona"]
ROOMS = ["Arena", "Арена", "Zürich"]
HOSTILE = [
    ":>>KICK:Arena:alice",
    ">>KICK:Arena:alice",
    "x:>>HOST:00000000-0000-0000-0000-000000000000:1:>>START:0",
    "::>>USERS:1",
    "@all >>START:0",
    "@alice :>>START:0",
    ">>",
    ":",
    "a<b<HERE",
    "x" * 2_000,
    "\n:>>HEALTH:",
]
TEXTS = st.one_of(
    st.sampled_from(NAMES),
    st.sampled_from(ROOMS),
    st.sampled_from(HOSTILE),
    st.sampled_from(["", "0", "1", "2", "3", "8", "9", "room", "global", "users"]),
    st.text(alphabet="<>:&;@ab \nж", max_size=12),
)
#: What real launchers send, and what users type.
REAL = st.sampled_from(["Arena", *ROOMS]).flatmap(
    lambda room: st.sampled_from(
        [
            f"<NEW>{room}<PSWD><COUNT>2<MODS>vcmi&1",
            f"<NEW>{room}<PSWD>pw<COUNT>4<MODS>",
            f"<NEW>{room}<PSWD><COUNT>1<MODS>",
            f"<JOIN>{room}<PSWD><MODS>vcmi&1",
            f"<JOIN>{room}<PSWD><MODS>vcmi&1",
            f"<JOIN>{room}<PSWD>pw<MODS>era&1",
            f"<READY>{room}",
            f"<READY>{room}",
            f"<LEAVE>{room}",
            f"<FORCESTART>{room}",
            "<CHANNEL>room",
            "<CHANNEL>global",
            "<HOSTMODE>1",
            "<KICK>bobby",
            "<KICK>carol",
            "<MSG>hello",
            "<MSG><HERE>",
        ]
    )
)
#: Any command with any value; not a greeting, so that it is known who is who.
ANY = st.tuples(st.sampled_from([tag for tag in wire.MESSAGES if tag != "GREETINGS"]), TEXTS).map(
    lambda command: f"<{command[0]}>{command[1]}"
)
SPOKEN = st.sampled_from(HOSTILE).map("<MSG>{}".format)
FRAMES = st.one_of(
    REAL, SPOKEN, st.lists(st.one_of(REAL, ANY), min_size=1, max_size=4).map("".join)
)

#: Connections at once, some of them too many.
MOST = 7


class HistoryMachine(RuleBasedStateMachine):
    """Launchers who come, talk, play and go."""

    def __init__(self) -> None:
        super().__init__()
        self.house = House(max_players=5, max_unread=65_536)
        self.house.service.startService()
        self.launchers: list[Launcher] = []
        self.arrived: list[Launcher] = []  # in order of their greeting
        self.pipes: list[Client] = []

    @initialize(versions=st.lists(st.sampled_from(wire.VERSIONS), min_size=4, max_size=4))
    def begin(self, versions: list[int]) -> None:
        """Four know each other, three of them meet in a room: by chance they hardly would."""
        for name, version in zip(NAMES, versions, strict=False):
            self.come(version, "utf8", name)
        self.send(self.launchers[0], b"<NEW>Arena<PSWD><COUNT>4<MODS>vcmi&1")
        for launcher in self.launchers[1:3]:
            self.send(launcher, b"<JOIN>Arena<PSWD><MODS>vcmi&1")
        self.check_lists()

    @precondition(lambda self: len(self.launchers) < MOST)
    @rule(
        version=st.sampled_from(wire.VERSIONS),
        codec=st.sampled_from(["utf8", "cp1251", "gbk"]),
        name=st.sampled_from(NAMES),
    )
    def come(self, version: int, codec: str, name: str) -> None:
        launcher = Launcher(self.house.connect(), version, codec)
        self.launchers.append(launcher)
        header = bytes((version, len(codec))) + codec.encode()
        self.greet(launcher, name, header)

    @rule(data=st.data(), name=st.sampled_from([*NAMES, "x", "System", *HOSTILE]))
    def come_again(self, data: st.DataObject, name: str) -> None:
        """Another greeting on the same connection."""
        if self.launchers:
            self.greet(data.draw(st.sampled_from(self.launchers)), name, b"")

    def greet(self, launcher: Launcher, name: str, header: bytes) -> None:
        before = launcher.authorised
        if not before:
            launcher.name = name
        greeting = f"<GREETINGS>{name}<VER>VCMI 1.{launcher.version}"
        self.send(launcher, header + greeting.encode(launcher.codec, "replace"))
        if launcher.authorised and not before:
            self.arrived.append(launcher)
            self.check_lists()

    @rule(said=st.lists(st.tuples(st.integers(0, MOST - 1), FRAMES), min_size=1, max_size=8))
    def talk(self, said: list[tuple[int, str]]) -> None:
        for number, text in said:
            if self.launchers:
                launcher = self.launchers[number % len(self.launchers)]
                starts = ("<FORCESTART>", "<READY>") if launcher.version < 3 else ("<FORCESTART>",)
                self.send(
                    launcher,
                    text.encode(launcher.codec, "replace"),
                    [launcher.name] if any(each in text for each in starts) else [],
                )
                self.check_lists()

    @rule(number=st.integers(0, MOST - 1))
    def get_ready(self, number: int) -> None:
        """All in somebody's room, until it starts; at once, if one of an old host is."""
        inside = [each.inside for each in self.launchers if each.inside is not None]
        if inside:
            room = inside[number % len(inside)]
            for each in self.launchers:
                if each.inside == room and not each.members[each.name]:
                    starters = [each.name] if each.version < 3 else []
                    self.send(each, f"<READY>{room}".encode(each.codec), starters)
            self.check_lists()

    @rule(data=st.data(), junk=st.binary(max_size=40), framed=st.booleans())
    def babble(self, data: st.DataObject, junk: bytes, framed: bool) -> None:
        """Bytes that mean nothing, in a frame or not."""
        if self.launchers:
            launcher = data.draw(st.sampled_from(self.launchers))
            launcher.client.send_bytes(frame(junk) if framed else junk)
            self.look()
            self.check_lists()

    @rule(data=st.data())
    def go(self, data: st.DataObject) -> None:
        """A connection is lost."""
        if self.launchers:
            data.draw(st.sampled_from(self.launchers)).client.lose()
            self.look()
            self.check_lists()

    @rule(seconds=st.sampled_from([1, 15, 31]))
    def wait(self, seconds: int) -> None:
        """Time passes; real launchers answer when they are asked."""
        self.house.turn(seconds)
        self.look()
        for launcher in self.launchers:
            if launcher.asked:
                launcher.asked = False
                self.send(launcher, b"<ALIVE>")

    @rule(data=st.data(), uuid=st.booleans(), rest=st.binary(max_size=20))
    def play(self, data: st.DataObject, uuid: bool, rest: bytes) -> None:
        """A game connection, with a uuid that was given to somebody or without."""
        given = [pair for launcher in self.arrived for pair in launcher.uuids]
        pipe = self.house.connect()
        self.pipes.append(pipe)
        if given and uuid:
            pipe.send_bytes(pipe_hello(*data.draw(st.sampled_from(given))))
        else:
            pipe.send_bytes(frame(b"Aiya!"))
        pipe.send_bytes(rest)
        if not uuid:
            data.draw(st.sampled_from(self.pipes)).lose()
        self.look()

    def send(self, launcher: Launcher, text: bytes, starters: Any = ()) -> None:
        launcher.client.send_bytes(frame(text))
        self.look(starters)

    def look(self, starters: Any = ()) -> None:
        """Everybody reads what they were told."""
        self.house.settle()
        for launcher in self.launchers:
            launcher.look(starters)
            if launcher.uuids:
                assert not launcher.client.connected, "left open after the start"
        self.launchers = [each for each in self.launchers if each.client.connected]

    def check_lists(self) -> None:
        """All know the same, and it is true."""
        here = [each for each in self.arrived if each.here]
        names = [each.name for each in here]
        assert len(names) == len(set(names)) <= 5
        rooms = sum(each.hosting for each in here)
        for each in here:
            assert len(each.sessions) == rooms, (each.sessions, rooms)
            if each.version >= wire.SINCE_USERS:
                assert each.users == names, (each.users, names)
            if each.inside is not None:
                assert (each.inside, len(each.members)) in each.sessions
                assert set(each.members) <= set(names)

    def teardown(self) -> None:
        """The server ends, and with it everything."""
        stopped: list[None] = []
        self.house.service.stopService().addCallback(stopped.append)
        self.look()
        assert stopped == [None]
        assert not self.launchers


class HistoryTests(VcmiTestCase):
    def test_random_histories(self) -> None:
        run_state_machine_as_test(
            HistoryMachine,
            settings=settings(max_examples=60, stateful_step_count=40, deadline=None),
        )
        self.assertEqual(self.flushLoggedErrors(), [])
