"""
The defects of the original server, and what happens here instead.

The numbers are those of the list in which they were found; each test says what went wrong.
"""

from __future__ import annotations

import re
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from gameservers.games.vcmi import rules
from gameservers.lobby import Player
from tests.games.vcmi.clients import (
    Client,
    House,
    VcmiTestCase,
    frame,
    pipe_hello,
    started_game,
)

INCOMPATIBLE = ":>>ERROR:Cannot connect to remote server due to protocol incompatibility"
MALFORMED = ":>>ERROR:Protocol error or incorrect encoding"


class DefectTestCase(VcmiTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.house = House()

    def launchers(self, *names: str, version: int = 4) -> list[Client]:
        return [self.house.launcher(name, version) for name in names]

    def forget(self) -> None:
        for each in self.house.clients:
            each.forget()

    def player(self, name: str) -> Player:
        player = self.house.lobby.find("vcmi", name)
        assert player is not None
        return player

    def assertTold(self, told: dict[Client, list[str]]) -> None:
        """Exactly this has been said to these, and to nobody else."""
        for client in self.house.clients:
            self.assertEqual(client.messages(), told.get(client, []))


class GreetingDefects(DefectTestCase):
    def test_b01_the_greeting_check_is_thrown_away(self) -> None:
        """
        Any version and a broken header got in, and later frames were read as headers again.
        """
        for hello, words in (
            (b"\x00\x04utf8<GREETINGS>alice", INCOMPATIBLE),
            (b"\x06\x04utf8<GREETINGS>alice", INCOMPATIBLE),
            (b"\xff\x04utf8<GREETINGS>alice", INCOMPATIBLE),
            (b"\x04\xffutf8<GREETINGS>alice", MALFORMED),
            (b"\x04", ":>>ERROR:Too short username"),
        ):
            stranger = self.house.connect()
            stranger.send_bytes(frame(hello))
            self.assertTrue(stranger.connected, "the words have to leave first")
            stranger.send("<GREETINGS>alice")  # too late
            self.assertEqual(stranger.messages(), [words])
            self.assertFalse(stranger.connected)
        self.assertEqual(self.house.lobby.present("vcmi"), 0)

    def test_b01_a_retry_is_read_as_a_header(self) -> None:
        """A bare GREETINGS after a refused name became protocol 60."""
        stranger = self.house.connect()
        stranger.greet("x", 3)
        stranger.forget()
        stranger.send("<GREETINGS>alice")
        self.assertEqual(stranger.messages()[0], ":>>SESSIONS:0")
        self.assertEqual(self.player("alice").traits[rules.VERSION], 3)
        other = self.house.connect()
        other.greet("x", 3)
        other.greet("bobby", 3)
        self.assertEqual(other.messages()[1], ":>>SESSIONS:0")

    def test_b12_strangers_are_listed(self) -> None:
        """Connections without a name stood in USERS and received SESSIONS."""
        silent, refused = self.house.connect(), self.house.connect()
        refused.greet("x")
        refused.forget()
        (alice,) = self.launchers("alice")
        alice.send("<HERE>")
        self.assertTold({alice: [":>>USERS:1:alice"]})
        self.house.room("Arena", alice)
        alice.send("<LEAVE>Arena")
        for each in (silent, refused):
            self.assertEqual(each.messages(), [])

    def test_b15_later_tags_are_garbled(self) -> None:
        """In encodings other than UTF-8, from a frame's second tag on."""
        ivan = self.house.connect()
        hello = "<GREETINGS>Иван<VER>ВКМИ 1"
        ivan.send_frame(b"\x04\x06cp1251" + hello.encode("cp1251"))
        ivan.send_frame("<NEW>Арена<PSWD>секрет<COUNT>2<MODS>мод&ц".encode("cp1251"))
        told = ivan.heard.decode("cp1251")
        self.assertIn(":>>CREATED:Арена", told)
        self.assertTrue(told.endswith(":>>MODS:1:мод:ц:>>MODSOTHER:Иван:1:мод:ц"))
        guest = self.house.launcher("guest")
        guest.send("<JOIN>Арена<PSWD>секрет<MODS>")
        self.assertEqual(
            guest.messages()[-2:],
            [
                ":>>MSG:System:Your VCMI version VCMI 1.3.2 differs from host version ВКМИ 1,"
                " which may cause problems",
                ":>>MODS:1:мод:ц",
            ],
        )

    def test_b16_unknown_encodings(self) -> None:
        """The connection ended without a word, and those not like ASCII never worked."""
        for encoding in ("utf16", "utf-32", "rot13", "base64", "idna", "utf7", "nosuch", "\xff"):
            stranger = self.house.connect()
            name = encoding.encode("latin-1")
            stranger.send_frame(bytes((4, len(name))) + name + b"<GREETINGS>alice")
            self.assertEqual(stranger.messages(), [MALFORMED], encoding)
            self.assertFalse(stranger.connected)

    def test_b28_names(self) -> None:
        """A name could end in a newline and be of any length; ROOT gives numbers alone."""
        stranger = self.house.connect()
        stranger.greet("x")
        stranger.forget()
        for name in ("alice\n", "\nalice", "a" * 65, "a" * 60_000):
            stranger.send(f"<GREETINGS>{name}")
            self.assertEqual(stranger.messages(), [":>>ERROR:Invalid username"])
        stranger.send("<GREETINGS>" + "a" * 64)
        self.assertEqual(stranger.messages()[0], ":>>USERS:1:" + "a" * 64)
        for field in ("uniques", "users", "logins", "rooms", "sessions", "clients", "connections"):
            stranger.send(f"<ROOT>{field}")
            (told,) = stranger.messages()
            self.assertRegex(told, r"\A:>>MSG:System:[0-9]+\Z")

    def test_b30_failed_greetings_stay_for_ever(self) -> None:
        """A connection that never gets a name is closed after a minute."""
        silent, refused = self.house.connect(), self.house.connect()
        refused.greet("x")
        self.house.turn(59)
        self.assertTrue(silent.connected and refused.connected)
        self.house.turn(1)
        self.assertFalse(silent.connected or refused.connected)


class InjectionDefects(DefectTestCase):
    """Texts of one client that were commands in another."""

    def told_besides(self, sender: Client, text: str) -> list[list[str]]:
        """What the others read when this is sent: each command, split as launchers split it."""
        self.forget()
        sender.send(text)
        commands = []
        for each in self.house.clients:
            if each is not sender:
                commands += [command[3:].split(":") for command in each.messages()]
        return commands

    def test_b03_chat_becomes_commands(self) -> None:
        """Whatever is said, the others read one line of chat."""
        alice, *_ = self.launchers("alice", "bobby")
        self.launchers("carol", version=3)
        (diana,) = self.launchers("diana", version=5)
        for sender, form in ((alice, {"MSG"}), (diana, {"MSG", "MSGCH"})):
            for text in (
                ":>>ERROR:you are out",
                "x:>>KICK:Arena:bobby",
                "::>>HOST:00000000-0000-0000-0000-000000000000:1:>>START:0",
                ">>KICK:Arena:bobby",
                ">>>>KICK:Arena:bobby",
                "@all :>>KICK:a:b",
                "@all >>KICK:a:b",
                "@bobby >>KICK:a:b",
                "@>>KICK:a:b",
                ":" * 20 + ">" * 20,
            ):
                found = {command[0] for command in self.told_besides(sender, "<MSG>" + text)}
                self.assertLessEqual(found, form, text)
                self.forget()

    def test_b03_arguments_become_commands(self) -> None:
        """Names and mods that begin with >> completed the colon before them."""
        alice, bobby = self.launchers("alice", "bobby")
        self.house.room("Arena", alice)
        carol = self.house.launcher("carol", 3, program=">>KICK:Arena:bobby")
        for sender, text, kinds in (
            (bobby, "<NEW>>>KICK", {"SESSIONS"}),
            (bobby, "<NEW>abc:>>KICK:x:y<PSWD><COUNT>2", {"SESSIONS"}),
            (
                carol,
                "<JOIN>Arena<PSWD><MODS>>>START&1",
                {"JOIN", "STATUS", "SESSIONS", "MODSOTHER"},
            ),
            (alice, "<MODS>>>START&>>KICK;a:>>b&:>>c", set()),
            (carol, "<MODS>x&>>START", {"MODSOTHER"}),
            (alice, "<HOSTMODE>>>START", set()),
            (alice, "<VER>:>>START:x", set()),
        ):
            found = {command[0] for command in self.told_besides(sender, text)}
            self.assertLessEqual(found, kinds, text)
        self.forget()
        bobby.send("<JOIN>Arena<PSWD><MODS>")
        mods = next(each for each in bobby.messages() if each.startswith(":>>MODS:"))
        self.assertEqual(mods, ":>>MODS:2: >>START: >>KICK:a>>b: >>c")

    def test_b04_colons_in_room_names(self) -> None:
        """They broke the room list of everybody."""
        alice, bobby = self.launchers("alice", "bobby")
        alice.send("<NEW>my:room<PSWD><COUNT>2<MODS>vcmi&1")
        self.assertTold({alice: [":>>ERROR:Cannot create session with invalid name myroom"]})
        bobby.send("<HERE>")
        self.assertTold({bobby: [":>>USERS:2:alice:bobby"]})

    def test_b04_colons_in_mods(self) -> None:
        """They broke MODS for the guests and MODSOTHER for the host."""
        alice, bobby = self.launchers("alice", "bobby")
        self.house.room("Arena", alice)
        alice.send("<MODS>a:b&1:2")
        self.assertTold({alice: [":>>MODS:1:ab:12", ":>>MODSOTHER:alice:1:ab:12"]})
        bobby.send("<JOIN>Arena<PSWD><MODS>c:&:d&:;:&:")
        self.assertIn(":>>MODS:1:ab:12", bobby.messages())
        self.assertEqual(alice.of_kind("MODSOTHER"), [":>>MODSOTHER:bobby:1:c:d&"])

    def test_b04_colons_in_chat(self) -> None:
        """They may pass: the clients drop them silently."""
        alice, bobby = self.launchers("alice", "bobby")
        alice.send("<MSG>time 12:30")
        self.assertTold({each: [":>>MSG:alice:time 12:30"] for each in (alice, bobby)})

    def test_b05_errors_echo_commands(self) -> None:
        """What an ERROR repeats of the user's words holds neither a colon nor a command."""
        stranger = self.house.connect()
        stranger.greet(":>")
        self.assertEqual(stranger.messages(), [":>>ERROR:Too short username >"])
        (alice,) = self.launchers("alice")
        (diana,) = self.launchers("diana", version=5)
        bad = "x:>>START:0"
        for sender, text in (
            (alice, f"<NEW>{bad}<PSWD><COUNT>2"),
            (alice, f"<JOIN>{bad}<PSWD>"),
            (diana, f"<CHANNEL>{bad}"),
            (alice, f"<NEW> {bad}"),
            (alice, f"<GREETINGS>{bad}"),
        ):
            sender.send(text)
            (told,) = sender.messages()
            self.assertRegex(told, r"\A:>>ERROR:[^:]*\Z", text)

    def test_b22_less_than_in_chat(self) -> None:
        """C{a<5} was cut, and C{<MSG><HERE>} told everybody an empty line."""
        alice, bobby = self.launchers("alice", "bobby")
        alice.send("<MSG>a<5 and <b>bold</b> <msg>")
        line = ":>>MSG:alice:a<5 and <b>bold</b> <msg>"
        self.assertTold({alice: [line], bobby: [line]})
        alice.send("<MSG><HERE>")
        self.assertTold({alice: [":>>USERS:2:alice:bobby"]})
        alice.send("<MSG><ROOT>users")
        self.assertTold({alice: [":>>MSG:System:2"]})
        alice.send("<MSG>see<HERE>")
        self.assertTold(
            {alice: [":>>MSG:alice:see", ":>>USERS:2:alice:bobby"], bobby: [":>>MSG:alice:see"]}
        )


class ChatDefects(DefectTestCase):
    def test_b02_msgch_to_those_who_do_not_know_it(self) -> None:
        """The form is the receiver's, in the lobby and in a room."""
        old = {version: self.house.launcher(f"user{version}", version) for version in range(1, 5)}
        diana, eddie = self.launchers("diana", "eddie", version=5)
        diana.send("<MSG>hello")
        told = {each: [":>>MSG:diana:hello"] for each in old.values()}
        self.assertTold(told | {each: [":>>MSGCH:diana:global:hello"] for each in (diana, eddie)})
        self.house.room("Arena", diana, *old.values())
        diana.send("<CHANNEL>room")
        diana.forget()
        diana.send("<MSG>hello")
        self.assertTold(told | {diana: [":>>MSGCH:diana:room:hello"]})
        old[1].send("<MSG>hello")  # an old one has no channel: nobody is told of one
        heard = [":>>MSG:user1:hello"]
        self.assertTold(dict.fromkeys((*old.values(), diana), heard))

    def test_b21_long_lines(self) -> None:
        """They reached the clients in pieces, which are protocol errors there."""
        alice, bobby = self.launchers("alice", "bobby")
        alice.send("<MSG>" + "x" * 60_000)
        for each in (alice, bobby):
            (data,) = each.writes
            self.assertEqual(data, b":>>MSG:alice:" + b"x" * 1_000)

    def test_b23_private_lines_leak(self) -> None:
        """A line to somebody unknown was told to all."""
        alice, bobby, carol = self.launchers("alice", "bobby", "carol")
        alice.send("<MSG>@nobody secret")
        self.assertTold({alice: [":>>MSG:System:nobody is not here"]})
        self.house.room("Arena", bobby, carol)
        bobby.send("<MSG>@alice secret")  # she is not in the room
        self.assertTold({bobby: [":>>MSG:System:alice is not here"]})

    def test_b23_the_room_channel_leaks(self) -> None:
        """A player that spoke to the room without being in one was heard in every room."""
        alice, bobby, roomless, quiet = self.launchers(
            "alice", "bobby", "roomless", "quiet", version=5
        )
        for each in (alice, bobby, roomless):
            each.send("<CHANNEL>room")
        self.house.room("Arena", alice)
        self.house.room("Other", bobby)
        roomless.send("<MSG>secret")
        self.assertTold({roomless: [":>>MSGCH:roomless:room:secret"]})
        alice.send("<MSG>secret")
        self.assertTold({alice: [":>>MSGCH:alice:room:secret"]})
        self.assertTrue(quiet.connected)


class RoomDefects(DefectTestCase):
    def test_b06_garbage_numbers(self) -> None:
        """They ended the connection, a host's with the whole room."""
        alice, bobby = self.launchers("alice", "bobby")
        for garbage in ("abc", "", "2x", "٣٣٣٣", "1e1", "9" * 5_000, "-2"):
            alice.send(f"<NEW>Arena<PSWD><COUNT>{garbage}")
            self.assertTold(
                {
                    alice: [
                        ":>>KICK:Arena:alice",
                        ":>>ERROR:Cannot create room with invalid amount of players",
                    ]
                }
            )
        self.house.room("Arena", alice, bobby)
        for garbage in ("abc", "", "7", "-1", "9" * 5_000, "1.0", "١", " 1"):
            alice.send(f"<HOSTMODE>{garbage}")
            self.assertTold({})
        alice.send("<HOSTMODE>1")
        self.assertTold({each: [":>>GAMEMODE:1"] for each in (alice, bobby)})

    def test_b07_a_lost_guest_is_not_kicked(self) -> None:
        alice, bobby, carol = self.launchers("alice", "bobby", "carol")
        self.house.room("Arena", alice, bobby, carol)
        bobby.lose()
        for each in (alice, carol):
            self.assertEqual(
                each.messages()[:2],
                [":>>KICK:Arena:bobby", ":>>STATUS:2:alice:False:carol:False"],
            )

    def test_b08_rooms_without_a_count(self) -> None:
        """They were listed, could not be joined, and half worked."""
        alice, bobby = self.launchers("alice", "bobby")
        alice.send("<NEW>Arena<PSWD>")
        for text in (
            "<READY>Arena",
            "<MODS>a&1",
            "<FORCESTART>Arena",
            "<KICK>bobby",
            "<HOSTMODE>1",
        ):
            alice.send(text)
        self.assertTold({})
        bobby.send("<JOIN>Arena<PSWD>")
        self.assertTold({bobby: [":>>ERROR:Room with name Arena doesn't exist"]})
        newcomer = self.house.connect()
        newcomer.greet("carol")
        self.assertIn(":>>SESSIONS:0", newcomer.messages())
        self.forget()
        alice.send("<NEW>Other")  # drops the half-made one
        alice.send("<COUNT>2")
        self.assertIn(":>>CREATED:Other", alice.messages())
        alice.send("<LEAVE>Other")
        alice.send("<NEW>Third<PSWD>x")
        self.forget()
        alice.send("<LEAVE>Third")
        alice.send("<COUNT>2")
        self.assertTold({})
        bobby.send("<NEW>Fourth<PSWD>")
        bobby.lose()
        alice.send("<NEW>Fourth<PSWD><COUNT>2")
        self.assertIn(":>>CREATED:Fourth", alice.messages())

    def test_b09_joins_without_a_password(self) -> None:
        """The sender counted as a member."""
        alice, bobby = self.launchers("alice", "bobby")
        self.house.room("Arena", alice, password="secret")
        for text in (
            "<READY>Arena",
            "<MODS>a&1",
            "<FORCESTART>Arena",
            "<KICK>alice",
            "<LEAVE>Arena",
        ):
            bobby.send("<JOIN>Arena" + text)
            bobby.send("<JOIN>Arena")
            bobby.send(text)
            self.assertTold({})
            self.assertIsNone(self.player("bobby").room)
            bobby.send("<PSWD>secret")  # the other command has ended the wish
            self.assertTold({})
        bobby.send("<JOIN>Arena")
        bobby.send("<MSG>hello")
        self.forget()
        bobby.send("<PSWD>secret")
        self.assertTold({})
        bobby.send("<JOIN>Arena")
        bobby.send("<NEW>Other<PSWD><COUNT>2")  # and may do something else
        self.assertIn(":>>CREATED:Other", bobby.messages())

    def test_b09_the_host_left_meanwhile(self) -> None:
        """The next command of a player that was about to join ended its connection."""
        alice, bobby = self.launchers("alice", "bobby")
        for text in ("<READY>Arena", "<MODS>a&1", "<MSG>hello"):
            self.house.room("Arena", alice)
            bobby.send("<JOIN>Arena")
            alice.send("<LEAVE>Arena")
            bobby.send(text)
            self.assertTrue(bobby.connected)
        self.house.room("Arena", alice)
        bobby.send("<JOIN>Arena")
        alice.send("<LEAVE>Arena")
        self.forget()
        bobby.send("<PSWD>")
        self.assertTold({bobby: [":>>ERROR:Room with name Arena doesn't exist"]})

    def test_b10_passwords_at_the_wrong_time(self) -> None:
        """
        A guest's PSWD announced it again, and a host's refused join changed its password.
        """
        alice, bobby = self.launchers("alice", "bobby")
        self.house.room("Other", self.house.launcher("carol"))
        self.house.room("Arena", alice, bobby, password="secret")

        def opens_to(password: str) -> bool:
            rooms = self.house.lobby.rooms(password=password)
            return "Arena" in [room.key.name for room in rooms]

        for sender, text in (
            (bobby, "<PSWD>secret"),
            (bobby, "<NEW>Third<PSWD>x<COUNT>2"),
            (bobby, "<JOIN>Other<PSWD>x"),
            (alice, "<JOIN>Other<PSWD>x"),
            (alice, "<NEW>Third<PSWD>x"),
        ):
            sender.send(text)
            self.assertTold({})
            self.assertTrue(opens_to("secret"), text)
            self.assertFalse(opens_to(""), text)
        alice.send("<PSWD>changed")  # in a frame of its own it is meant
        self.assertTrue(opens_to("changed"))
        self.assertFalse(opens_to("secret"))

    def test_b11_two_joins_for_the_last_place(self) -> None:
        """The second was told that it had joined."""
        alice, bobby, carol = self.launchers("alice", "bobby", "carol")
        self.house.room("Arena", alice, places=2)
        for each in (bobby, carol):
            each.send("<JOIN>Arena")
        for each in (bobby, carol):
            each.send("<PSWD>")
        self.assertIn(":>>JOIN:Arena:bobby", bobby.messages())
        self.assertEqual(
            carol.messages(), [":>>SESSIONS:1:Arena:2:2:False", ":>>ERROR:Room Arena is full"]
        )
        self.assertFalse([each for each in alice.messages() if "carol" in each])

    def test_b13_only_one_connection_is_closed(self) -> None:
        """At a start the connections of all players are closed."""
        players = self.launchers("alice", "bobby", "carol")
        self.house.room("Arena", *players)
        for each in players:
            each.send("<READY>Arena")
        self.assertFalse(any(each.connected for each in players))
        for each in players:
            self.assertTrue(each.messages()[-1].startswith(":>>START:"))

    def test_b14_no_mods(self) -> None:
        """An empty list was one nameless mod, and a MODSOTHER that hosts reject."""
        alice, bobby = self.launchers("alice", "bobby")
        self.house.room("Arena", alice)
        alice.send("<MODS>")
        self.assertTold({alice: [":>>MODS:0", ":>>MODSOTHER:alice:0"]})
        bobby.send("<JOIN>Arena<PSWD><MODS>")
        self.assertEqual(bobby.messages()[-1], ":>>MODS:0")
        self.assertEqual(alice.messages()[-1], ":>>MODSOTHER:bobby:0")
        bobby.send("<MODS>;;&1;")
        self.assertTold({bobby: [":>>MODS:0"], alice: [":>>MODSOTHER:bobby:0"]})

    def test_b29_a_refused_room_stays_listed(self) -> None:
        """A room with an impossible number of players was seen by others and then was gone."""
        alice, bobby = self.launchers("alice", "bobby")
        alice.send("<NEW>Arena")
        alice.send("<COUNT>9")
        self.assertEqual(bobby.messages(), [])
        self.assertEqual(alice.messages()[0], ":>>KICK:Arena:alice")
        alice.send("<MODS>vcmi&1")
        self.assertTold({})

    def test_b31_mods_only_accumulate(self) -> None:
        """Each MODS of the host is the list."""
        (alice,) = self.launchers("alice")
        self.house.room("Arena", alice)
        alice.send("<MODS>wog&1;era&2")
        alice.forget()
        alice.send("<MODS>era&3")
        self.assertEqual(alice.messages()[0], ":>>MODS:1:era:3")


class BoundsDefects(DefectTestCase):
    def test_b17_frames_of_any_length(self) -> None:
        """2 GiB were waited for, and an empty frame ended the connection."""
        (alice,) = self.launchers("alice")
        alice.send_frame(b"")
        alice.send("<MSG>still here")
        self.assertEqual(alice.messages(), [":>>MSG:alice:still here"])
        alice.send_bytes(b"\xff\xff\xff\x7f")
        self.house.settle()
        self.assertEqual(alice.messages(), [MALFORMED])
        self.assertFalse(alice.connected)
        stranger = self.house.connect()
        stranger.send_bytes(b"\xff\xff\xff\xff")  # the same before the greeting
        self.house.settle()
        self.assertFalse(stranger.connected)
        pipe = self.house.connect()
        pipe.say(frame(b"Aiya!\n") + b"\x01\x04\x00\x00")  # 1025 for a handshake
        self.assertFalse(pipe.connected)

    def test_b18_many_tags(self) -> None:
        """A thousand tags ended the connection by too deep a recursion."""
        (alice,) = self.launchers("alice")
        alice.send("<ROOT>users" * 100)
        self.assertEqual(alice.messages(), [":>>MSG:System:1"] * 100)
        alice.send("<NOSUCH>" * 8_000)
        self.assertTrue(alice.connected)
        alice.send("<ROOT>users" * 5_000)
        self.assertEqual(alice.messages(), [MALFORMED])

    def test_b19_one_slow_reader_stops_everybody(self) -> None:
        """The others hear at once; what waits for the slow one is bounded."""
        alice, bobby = self.launchers("alice", "bobby")
        slow = self.house.launcher("slowly")
        slow.peer.stall()
        limit = self.house.settings.max_unread
        for _ in range(250):
            alice.send("<MSG>" + "x" * 1_000)
            self.assertEqual(len(bobby.messages()[:1]), 1)
            self.house.turn(0.1)  # no more than everybody always may
            if slow.connected:
                self.assertLessEqual(slow.protocol.outbox.pending, limit)
        self.assertFalse(slow.connected)
        self.assertEqual(self.house.cuts, {"slow": 1})

    def test_b20_shared_state_without_locks(self) -> None:
        """
        Threads saw each other's changes half done: here what several do in one turn is done
        one after the other, and all hear of it in one order.
        """
        players = self.launchers("alice", "bobby", "carol", "diana")
        self.house.room("Arena", *players)
        for number in range(10):
            for each in players:
                each.send_bytes(frame(b"<MSG>%d" % number) + frame(b"<READY>Other"))
        self.house.settle()
        heard = [each.messages() for each in players]
        self.assertEqual(len(heard[0]), 40)
        self.assertEqual(heard.count(heard[0]), 4)

    def test_b27_capacity_does_nothing(self) -> None:
        """It refuses the next player with a sentence, and never a running game's pipe."""
        self.house = House(max_players=1)
        host, (client,) = started_game(self.house, "alice")
        self.launchers("bobby")
        late = self.house.connect()
        late.greet("carol")
        self.assertRegex("".join(late.messages()), r"\A:>>ERROR:[^:]+\Z")
        self.assertFalse(late.connected)
        pipe = self.house.connect()
        pipe.say(pipe_hello("(client)", client) + pipe_hello("(server)", host))
        self.assertTrue(pipe.connected)

    def test_b27_healthcheck_does_nothing(self) -> None:
        """A client that can answer is asked, and cut off when it does not."""
        (alice,) = self.launchers("alice")
        self.house.service.check_health()
        self.house.settle()
        self.assertTold({alice: [":>>HEALTH:"]})
        self.house.service.check_health()
        self.house.turn()
        self.assertFalse(alice.connected)


class PipeDefects(DefectTestCase):
    def game(self, players: int, **settings: Any) -> tuple[str, list[str]]:
        self.house = House(**settings)
        return started_game(self.house, *(f"player{number}" for number in range(players)))

    def pipe(self, role: str, uuid: str, data: bytes = b"") -> Client:
        client = self.house.connect()
        client.say(pipe_hello(role, uuid) + data)
        return client

    def test_b24_own_handshake_and_lost_bytes(self) -> None:
        """Each side gets the other's magic and text, its own uuid, and all that followed."""
        host, (first, _) = self.game(2)
        client = self.pipe("VCMI 1.3.2 (client)", first, b"\x01early")
        client.say(b" bytes")
        server = self.pipe("VCMI 1.3.2 (server)", host, b"\x01glued")
        self.assertEqual(
            server.heard, pipe_hello("VCMI 1.3.2 (client)", host) + b"\x01early bytes"
        )
        self.assertEqual(client.heard, pipe_hello("VCMI 1.3.2 (server)", first) + b"\x01glued")

    def test_b24_the_survivor_is_not_closed(self) -> None:
        host, (first, second) = self.game(2)
        for lost, survivor in ((0, 1), (1, 0)):
            pair = self.pipe("(client)", first), self.pipe("(server)", host)
            pair[lost].say(b"last words")
            pair[lost].lose()
            self.assertTrue(pair[survivor].heard.endswith(b"last words"))
            self.assertFalse(pair[survivor].connected)
        self.assertTrue(self.pipe("(client)", second).connected)

    def test_b24_no_backpressure(self) -> None:
        """Without a partner little is kept, and with a slow one its pace is the other's."""
        host, (first, _) = self.game(2)
        client = self.pipe("(client)", first, b"x" * 65_535)
        self.assertTrue(client.reading)
        client.say(b"x")
        self.assertFalse(client.reading)
        server = self.pipe("(server)", host)
        sides = {client: server, server: client}
        for slow, paced in sides.items():
            slow.peer.stall()
            paced.peer.send(b"x" * 3)
            paced.peer.send(b"y" * 3)
            self.assertEqual(paced.peer.socket.incoming, b"yyy")
            slow.peer.read_on()
            self.assertTrue(slow.heard.endswith(b"xxxyyy"))

    def test_b24_the_same_client_twice(self) -> None:
        """A second waiting connection of a client was another waiting client."""
        host, (first, _) = self.game(2)
        older = self.pipe("(client)", first, b"older")
        newer = self.pipe("(client)", first, b"newer")
        self.assertFalse(older.connected)
        server, idle = self.pipe("(server)", host), self.pipe("(server)", host)
        self.assertTrue(server.heard.endswith(b"newer"))
        self.assertEqual(idle.heard, b"")
        self.assertTrue(newer.connected)

    def test_b25_games_are_kept_for_ever(self) -> None:
        """If nobody ever connects, the uuids end as if somebody had left."""
        host, (first,) = self.game(1)
        self.house.turn(1_799)
        self.assertTrue(self.pipe("(client)", first).connected)
        self.game(1)
        self.assertEqual(len(self.house.clock.getDelayedCalls()), 1)
        self.house.turn(1_800)
        self.assertEqual(self.house.clock.getDelayedCalls(), [])
        host, (first,) = self.game(1)
        self.house.turn(1_800)
        self.assertFalse(self.pipe("(client)", first).connected)
        self.assertFalse(self.pipe("(server)", host).connected)

    def test_b26_who_is_who(self) -> None:
        """Uuids are bound to nobody: clients and servers meet in the order of their coming."""
        host, uuids = self.game(3)
        clients = [self.pipe("(client)", uuid, b"%d" % at) for at, uuid in enumerate(uuids[::-1])]
        servers = [self.pipe("(server)", host, b"%d" % at) for at in range(3)]
        for side in (clients, servers):
            self.assertEqual([each.heard[-1:] for each in side], [b"0", b"1", b"2"])


class CompletenessTests(SynchronousTestCase):
    def test_none_left_out(self) -> None:
        """Every defect of the list has its test."""
        found = {
            int(number)
            for case in DefectTestCase.__subclasses__()
            for name in dir(case)
            for number in re.findall(r"\Atest_b([0-9]{2})_", name)
        }
        self.assertEqual(found, set(range(1, 32)))
