"""The codec alone: bytes to commands, messages to bytes."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gameservers.games.vcmi.wires import pipe
from gameservers.games.vcmi.wires import text as wire
from gameservers.wire import Verdict, WireError

#: Text full of what means something to this wire.
TEXT = st.one_of(
    st.text(),
    st.text(alphabet="<>:&;@MSGab \n"),
    st.lists(st.sampled_from(wire.MESSAGES)).map("<".join),
)


def split(stream: str) -> list[list[str]]:
    """Take a stream apart as the launchers do."""
    pieces = stream.split(":>>")
    assert pieces[0] == ""
    return [piece.split(":") for piece in pieces[1:]]


class GreetingTests(SynchronousTestCase):
    def test_header(self) -> None:
        """Version, encoding and the rest of the first frame."""
        dialect, rest = wire.greeting(b"\x04\x04utf8<GREETINGS>alice<VER>VCMI 1.3.2")
        self.assertEqual((dialect.version, dialect.codec), (4, "utf_8"))
        self.assertEqual(rest, b"<GREETINGS>alice<VER>VCMI 1.3.2")

    def test_no_encoding_is_utf8(self) -> None:
        dialect, rest = wire.greeting(b"\x01\x00<GREETINGS>alice")
        self.assertEqual((dialect.codec, rest), ("utf_8", b"<GREETINGS>alice"))

    def test_refusals(self) -> None:
        """Each broken header gets the words the original has for it."""
        for frame, words in (
            (b"", wire.TOO_SHORT),
            (b"\x04", wire.TOO_SHORT),
            (b"\x00\x04utf8<GREETINGS>x", wire.INCOMPATIBLE),
            (b"\x06\x04utf8<GREETINGS>x", wire.INCOMPATIBLE),
            (b"\xff\x04utf8<GREETINGS>x", wire.INCOMPATIBLE),
            (b"\x04\xffutf8<GREETINGS>x", wire.MALFORMED),
            (b"\x04\x04foo9<GREETINGS>x", wire.MALFORMED),
            (b"\x04\x05utf16<GREETINGS>x", wire.MALFORMED),
            (b"\x04\x05utf-7<GREETINGS>x", wire.MALFORMED),
            (b"\x04\x05rot13<GREETINGS>x", wire.MALFORMED),
        ):
            with self.assertRaises(WireError, msg=frame) as caught:
                wire.greeting(frame)
            self.assertEqual(str(caught.exception), words, frame)

    def test_encodings_keep_ascii(self) -> None:
        """No encoding in the list can hide or make a tag or the beginning of a message."""
        ascii_text = "".join(map(chr, range(128)))
        for name, codec in wire.ENCODINGS.items():
            data = ascii_text.encode(codec, "replace")
            self.assertEqual(data.decode(codec), ascii_text, name)
            self.assertEqual(b":>>MSG:<VER>".decode(codec), ":>>MSG:<VER>", name)

    def test_names_of_encodings(self) -> None:
        for name in (b"utf8", b"UTF-8", b"utf_8", b"cp1251", b"windows-1251", b"latin-1", b"866"):
            wire.greeting(b"\x05" + bytes((len(name),)) + name)

    @given(st.binary(max_size=300))
    def test_junk(self, junk: bytes) -> None:
        """Whatever comes first is a greeting or a WireError."""
        try:
            dialect, rest = wire.greeting(junk)
        except WireError:
            return
        self.assertIn(dialect.version, wire.VERSIONS)
        self.assertTrue(junk.endswith(rest))
        wire.commands(dialect.decode(rest), 1000)


class CommandTests(SynchronousTestCase):
    def commands(self, text: str, most: int = 100) -> list[tuple[str, str]]:
        return [tuple(each) for each in wire.commands(text, most)]

    def test_several(self) -> None:
        self.assertEqual(
            self.commands("<NEW>Room One<PSWD><COUNT>2<MODS>vcmi&1.3;wog&1.2"),
            [("NEW", "Room One"), ("PSWD", ""), ("COUNT", "2"), ("MODS", "vcmi&1.3;wog&1.2")],
        )

    def test_text_before_and_unknown_tags(self) -> None:
        self.assertEqual(self.commands("x<NOSUCH>y<MSG>z"), [("MSG", "z")])
        self.assertEqual(
            self.commands("<JOIN>Room<NOSUCH>1<PSWD>p"), [("JOIN", "Room"), ("PSWD", "p")]
        )
        self.assertEqual(self.commands("no tag at all"), [])
        self.assertEqual(self.commands("<msg>lower<>"), [])

    def test_less_than_in_chat(self) -> None:
        """In chat only a known tag is a tag."""
        self.assertEqual(self.commands("<MSG>a<5"), [("MSG", "a<5")])
        self.assertEqual(self.commands("<MSG>a <b>c<HERE>"), [("MSG", "a <b>c"), ("HERE", "")])

    def test_limit(self) -> None:
        self.assertEqual(len(self.commands("<ALIVE>" * 5, 5)), 5)
        with self.assertRaises(WireError):
            wire.commands("<ALIVE>" * 6, 5)

    @given(st.lists(st.tuples(st.sampled_from(wire.MESSAGES), st.text(alphabet="ab:>& "))))
    def test_round_trip(self, given_commands: list[tuple[str, str]]) -> None:
        text = "".join(f"<{tag}>{value}" for tag, value in given_commands)
        self.assertEqual(self.commands(text), given_commands)


class MessageTests(SynchronousTestCase):
    def test_exact(self) -> None:
        """The messages as the launchers know them."""
        for message, expected in (
            (wire.sessions([]), ":>>SESSIONS:0"),
            (wire.sessions([("R", 1, 2, True)]), ":>>SESSIONS:1:R:1:2:True"),
            (wire.users(["a", "b"]), ":>>USERS:2:a:b"),
            (wire.status([("a", True), ("b", False)]), ":>>STATUS:2:a:True:b:False"),
            (wire.mods_of_room({"vcmi": "1.3", "era": ""}), ":>>MODS:2:vcmi:1.3:era:"),
            (wire.mods_of_room({}), ":>>MODS:0"),
            (wire.mods_of_other("bob", {}), ":>>MODSOTHER:bob:0"),
            (wire.HEALTH, ":>>HEALTH:"),
            (wire.system("x"), ":>>MSG:System:x"),
            (wire.msgch("a", "room", "x"), ":>>MSGCH:a:room:x"),
        ):
            self.assertEqual(message, expected)

    @given(TEXT, TEXT, st.sampled_from(sorted(wire.ENCODINGS)))
    def test_no_injection(self, text: str, other: str, encoding: str) -> None:
        """Whatever is said, each client reads exactly the messages that were meant."""
        dialect = wire.DIALECTS[5, wire.ENCODINGS[encoding]]
        name = wire.field(other)
        meant = [
            wire.msg("alice", text),
            wire.error(wire.field(text)),
            wire.mods_of_room({name: wire.field(text)}),
            wire.msgch("alice", "room", other),
            wire.sessions([(name, 1, 2, False)]),
        ]
        stream = "".join(dialect.decode(dialect.encode(each)) for each in meant)
        read = split(stream)
        self.assertEqual(
            [command[0] for command in read], ["MSG", "ERROR", "MODS", "MSGCH", "SESSIONS"]
        )
        self.assertEqual(len(read[1]), 2)
        self.assertEqual(len(read[2]), 4)
        self.assertEqual(len(read[4]), 6)

    @given(TEXT, st.integers(1, 20))
    def test_mods(self, value: str, most: int) -> None:
        listed = wire.mods(value, most)
        self.assertLessEqual(len(listed), most)
        for name, version in listed.items():
            self.assertTrue(name)
            self.assertNotIn(":", name + version)

    def test_mods_exact(self) -> None:
        self.assertEqual(
            wire.mods("vcmi&1.3;wog&1&2;;era", 9), {"vcmi": "1.3", "wog": "1&2", "era": ""}
        )
        self.assertEqual(wire.mods("", 9), {})
        self.assertEqual(wire.mods("a:b&1:2", 9), {"ab": "12"})
        self.assertEqual(wire.mods("a&1;b&2;c&3", 2), {"a": "1", "b": "2"})

    def test_harmless_keeps_ordinary_text(self) -> None:
        for text in ("hello", "12:30", "a > b", "a >> b", ":", "::", "x:>"):
            self.assertEqual(wire.harmless(text), text)
        self.assertEqual(wire.harmless(":>>KICK"), ": >>KICK")
        self.assertEqual(wire.harmless(">>KICK"), " >>KICK")


class RecognisesTests(SynchronousTestCase):
    """The first bytes tell the lobby and the pipe from each other and from the other games."""

    def test_lobby(self) -> None:
        for own in (
            b"\x24\0\0\0\x04\x04utf8",
            b"\x00\x01\0\0\x01\x04utf8",
            b"\x06\0\0\0\x04\x04utf8",
            b"\x24\0\0\0\x7fno version",
            b"\0\0\0\0\x24\0\0\0",
        ):
            for length in range(5):
                self.assertIs(wire.recognises(own[:length]), Verdict.MORE)
            self.assertIs(wire.recognises(own[:5]), Verdict.YES)
            self.assertIs(wire.recognises(own), Verdict.YES)
            self.assertIs(wire.alone(own), Verdict.YES)
            self.assertIs(pipe.recognises(own), Verdict.NO)

    def test_pipe(self) -> None:
        """It takes the whole magic to tell, for a wrong greeting is told what is wrong."""
        for magic in pipe.MAGICS:
            hello = pipe.framed(magic) + b"\x08\0\0\0(client)"
            whole = len(magic) + 4
            for length in range(len(hello) + 1):
                verdict = Verdict.YES if length >= whole else Verdict.MORE
                self.assertIs(pipe.recognises(hello[:length]), verdict, hello[:length])
                for recognises in (wire.recognises, wire.alone):
                    other = Verdict.NO if length >= whole else Verdict.MORE
                    self.assertIs(recognises(hello[:length]), other, hello[:length])
            for length in range(4, whole):
                greeting = hello[:length] + b"?" * 10
                self.assertIs(wire.recognises(greeting), Verdict.YES, greeting)
                self.assertIs(pipe.recognises(greeting), Verdict.NO, greeting)

    def test_others(self) -> None:
        for other in (
            b"0:name:pw\n",
            b"\x00\x20abc",
            b"\x0a\0\0\0\x09\x09",
            b"f377cd7d535000b11b0c25f802896e8d",
            b"GET / HTTP/1.1",
            b"\x16\x03\x01",
            b"\x40\0\0\0{",
        ):
            for recognises in (wire.recognises, pipe.recognises):
                verdicts = {recognises(other[:length]) for length in range(len(other) + 1)}
                self.assertEqual(verdicts - {Verdict.MORE}, {Verdict.NO}, other)

    def test_alone(self) -> None:
        """On a port of its own everything but a pipe greets the lobby, however badly."""
        for other in (b"0", b"GET", b"\x0a\0\0\0\x09", b"\x40\0\0\0{", b"\x06\0\0\1"):
            self.assertIs(wire.alone(other), Verdict.YES)
        self.assertIs(wire.alone(b""), Verdict.MORE)


class TagTests(SynchronousTestCase):
    def test_no_tag_is_the_beginning_of_another(self) -> None:
        """So that the longest match needs no care."""
        self.assertEqual(len(wire.MESSAGES), len(set(wire.MESSAGES)))
        for tag in wire.MESSAGES:
            self.assertTrue(re.fullmatch("[A-Z]+", tag))
