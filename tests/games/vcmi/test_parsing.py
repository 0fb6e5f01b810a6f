"""
The launchers take what one read of their socket gives as whole messages.

So every write here is one read there, and must be whole messages and nothing else.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gameservers.net.bypass import segment_size
from tests.games.vcmi.clients import Client, House, frame, started_game
from tests.games.vcmi.launcher import ProtocolError, check, read

#: What fits into one segment of a connection in memory, in bytes.
SEGMENT = segment_size(House().connect().peer.transport)


class ReaderTests(SynchronousTestCase):
    """The model itself."""

    def test_refuses(self) -> None:
        for bad in (b"", b"\n:>>MSG:a:b", b"MSG:a:b", b":>>HEALTH", b":>>:", b"\xff"):
            with self.assertRaises((ProtocolError, UnicodeDecodeError), msg=bad):
                read(bad)

    def test_reads(self) -> None:
        self.assertEqual(read(b":>>HEALTH::>>MSG:a:b"), [["HEALTH", ""], ["MSG", "a", "b"]])

    def test_arguments(self) -> None:
        """The number of arguments, as the launchers count them, and who knows a command."""
        for good, version in (
            ("ERROR:a:b", 1),
            ("SESSIONS:0", 1),
            ("SESSIONS:1:R:1:2:True", 1),
            ("MODSOTHER:bob:1:a:", 3),
            ("USERS:2:a:b", 4),
            ("HEALTH:", 4),
            ("MSGCH:a:room:b:c", 5),
        ):
            check(good.split(":"), version)
            if version > 1:
                self.assertRaises(ProtocolError, check, good.split(":"), version - 1)
        for bad in (
            "NOSUCH:",
            "SESSIONS:1:R:1:2",
            "SESSIONS:0:R",
            "JOIN:a",
            "JOIN:a:b:c",
            "MODSOTHER:bob:1:",
            "USERS:1:a:b",
            "MSG:a",
        ):
            self.assertRaises(ProtocolError, check, bad.split(":"), 5)


class ParsingTests(SynchronousTestCase):
    def assertReadable(self, client: Client) -> list[list[str]]:
        """Every write is good to read alone, and as small as it can be."""
        commands = []
        for data in client.writes:
            found = read(data)
            self.assertTrue(len(data) <= SEGMENT or len(found) == 1, len(data))
            commands += found
        return commands

    def test_one_write(self) -> None:
        """What a turn says fits into one segment and is one write."""
        house = House()
        alice = house.launcher("alice")
        alice.send("<NEW>Arena<PSWD><COUNT>2<MODS>vcmi&1")
        (data,) = alice.writes
        self.assertEqual(
            [command[0] for command in read(data)],
            ["CREATED", "JOIN", "STATUS", "SESSIONS", "MSG", "MODS", "MODSOTHER"],
        )

    def test_no_newline_at_the_end(self) -> None:
        """It would be part of the last argument."""
        house = House()
        alice, bobby = house.launcher("alice", 5), house.launcher("bobby", 3)
        house.room("Arena", alice, bobby)
        for text in ("<MSG>hi", "<HERE>", "<READY>Arena", "<MODS>a&1", "<ROOT>users", "<NEW>"):
            for each in (alice, bobby):
                each.send(text)
                for data in each.writes:
                    self.assertFalse(data.endswith((b"\n", b" ")), data)

    def test_burst(self) -> None:
        """A burst is cut between messages: a segment to a write, and no less than fit."""
        house = House()
        alice, bobby = house.launcher("alice"), house.launcher("bobby", 5)
        for number in range(100):
            alice.send_bytes(frame(f"<MSG>{number:02}{'ж' * (number * 7 % 300)}".encode()))
        house.settle()
        commands = self.assertReadable(bobby)
        self.assertEqual([command[2][:2] for command in commands], [f"{n:02}" for n in range(100)])
        sizes = list(map(len, bobby.writes))
        firsts = [
            data.index(b":>>", 3) if b":>>" in data[3:] else len(data) for data in bobby.writes
        ]
        for size, following in zip(sizes, firsts[1:], strict=False):
            self.assertGreater(size + following, SEGMENT)

    def test_borders(self) -> None:
        """Two messages of exactly a segment together share a write; one byte more and not."""
        for extra, writes in ((0, 1), (1, 2)):
            house = House()
            alice = house.launcher("alice")
            for length in (SEGMENT // 2 - 13, SEGMENT // 2 - 13 + extra):
                alice.send_bytes(frame(b"<MSG>" + b"x" * length))
            house.settle()
            self.assertEqual(len(alice.writes), writes)
            self.assertReadable(alice)

    def test_long_message(self) -> None:
        """One message longer than a segment is one write of its own."""
        house = House(max_players=200)
        alice = house.launcher("alice")
        for number in range(60):
            house.launcher(f"{'n' * 40}{number:02}")
        alice.forget()
        alice.send_bytes(frame(b"<MSG>before") + frame(b"<HERE>") + frame(b"<MSG>after"))
        house.settle()
        commands = self.assertReadable(alice)
        self.assertEqual([command[0] for command in commands], ["MSG", "USERS", "MSG"])
        self.assertEqual(len(alice.writes), 3)
        self.assertGreater(len(alice.writes[1]), SEGMENT)

    def test_huge_message(self) -> None:
        """The longest list of mods there can be is whole, too."""
        house = House()
        alice = house.launcher("alice")
        house.room("Arena", alice)
        ivan = house.connect()
        ivan.send_frame(b"\x04\x06cp1251<GREETINGS>ivan")
        ivan.send_frame(b"<JOIN>Arena<PSWD>")
        alice.forget()
        mods = b";".join(b"%d&%s" % (number, b"\xe6" * 60) for number in range(1_000))
        ivan.send_frame(b"<MODS>" + mods)
        (data,) = alice.writes
        self.assertGreater(len(data), 100_000)
        self.assertEqual(read(data)[0][:3], ["MODSOTHER", "ivan", "1000"])

    def test_start(self) -> None:
        """The last words to a player are whole as well."""
        house = House()
        started_game(house, "alice", "bobby", "carol")
        house = House()
        players = [house.launcher(name) for name in ("alice", "bobby")]
        house.room("Arena", *players)
        players[0].send_bytes(frame(b"<MSG>" + b"x" * 1_000) * 3 + frame(b"<FORCESTART>Arena"))
        house.settle()
        for each in players:
            self.assertEqual(self.assertReadable(each)[-1][0], "START")

    @settings(max_examples=40, deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.integers(0, 3),
                st.one_of(
                    st.tuples(
                        st.sampled_from(["<MSG>", "<MSG>@alice ", "<NEW>", "<MODS>", "<VER>"]),
                        st.text(alphabet=":><ab@ж\n&;", max_size=1_500),
                    ).map("".join),
                    st.sampled_from(
                        [
                            "<HERE>",
                            "<READY>Arena",
                            "<JOIN>Arena<PSWD><MODS>a&1",
                            "<NEW>Arena<PSWD><COUNT>3<MODS>b&",
                            "<LEAVE>Arena",
                            "<CHANNEL>room",
                        ]
                    ),
                ),
            ),
            max_size=30,
        ),
        st.integers(1, 10),
    )
    def test_any_conversation(self, said: list[tuple[int, str]], turn: int) -> None:
        """Whatever is said, in however many turns, every read makes sense."""
        house = House()
        clients = [
            house.launcher(name, version)
            for name, version in (("alice", 1), ("bobby", 3), ("carol", 4), ("diana", 5))
        ]
        for each in clients:
            each.forget()
        for number, (speaker, text) in enumerate(said):
            clients[speaker].send_bytes(frame(text.encode()))
            if number % turn == 0:
                house.settle()
        house.settle()
        for each in clients:
            self.assertReadable(each)
