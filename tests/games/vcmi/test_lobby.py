"""VCMI's lobby as its launchers see it: what each is told, in which order, and the limits."""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.defer import Deferred

from gameservers.games.vcmi import session
from gameservers.games.vcmi.protocol import LINGER
from gameservers.games.vcmi.wires import text as wire
from gameservers.lobby import RoomKey
from gameservers.net.connection import FAREWELL
from tests.games.vcmi.clients import (
    Client,
    House,
    VcmiTestCase,
    frame,
    pipe_hello,
    started_game,
)

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
HERE_HINT = "\n Send <HERE> to see people names in the chat"


class LobbyTestCase(VcmiTestCase):
    """A house, and short ways to say who was told what."""

    def house_of(self, **settings: Any) -> House:
        self.house = House(**settings)
        return self.house

    def assertTold(self, told: dict[Client, list[str]]) -> None:
        """Exactly this has been said to these, and to nobody else."""
        for client in self.house.clients:
            self.assertEqual(client.messages(), told.get(client, []), client.house)


class GreetingTests(LobbyTestCase):
    """What follows a good greeting: section 2 of the wire, byte by byte."""

    def greeted(self, version: int) -> bytes:
        house = House()
        newcomer = house.connect()
        newcomer.greet("alice", version)
        return bytes(newcomer.heard)

    def test_old(self) -> None:
        """Protocols 1 to 3 know no USERS."""
        for version in (1, 2, 3):
            self.assertEqual(
                self.greeted(version),
                b":>>SESSIONS:0"
                b":>>MSG:System:Here available 0 users, currently playing 0"
                b"\n Send <HERE> to see people names in the chat",
            )

    def test_new(self) -> None:
        """Protocols 4 and 5 are told the users twice."""
        for version in (4, 5):
            self.assertEqual(
                self.greeted(version),
                b":>>USERS:1:alice:>>SESSIONS:0:>>USERS:1:alice"
                b":>>MSG:System:Here available 0 users, currently playing 0",
            )

    def test_in_company(self) -> None:
        """Each of the others hears of the newcomer in the way it understands."""
        for newcomer_version in wire.VERSIONS:
            house = self.house_of()
            others = {
                version: house.launcher(f"user{version}", version) for version in range(1, 6)
            }
            house.room("Room One", others[1], others[5], places=3, password="secret")
            house.settle()
            for each in house.clients:
                each.forget()
            names = "user1:user2:user3:user4:user5:newman"
            newcomer = house.connect()
            newcomer.greet("newman", newcomer_version)
            users = f":>>USERS:6:{names}"
            sessions = ":>>SESSIONS:1:Room One:2:3:True"
            available = ":>>MSG:System:Here available 5 users, currently playing 0"
            expected = {
                others[version]: [":>>MSG:System:newman is here"] if version < 4 else [users]
                for version in others
            }
            expected[newcomer] = (
                [sessions, available + HERE_HINT]
                if newcomer_version < 4
                else [users, sessions, users, available]
            )
            self.assertTold(expected)

    def test_playing_counts_game_connections(self) -> None:
        house = self.house_of()
        host, (client, _) = started_game(house, "alice", "bobby")
        for hello in (pipe_hello("(server)", host), pipe_hello("(client)", client)):
            house.connect().send_bytes(hello)
        house.connect().send_bytes(pipe_hello("(server)", host))
        newcomer = house.connect()
        newcomer.greet("carol")
        self.assertIn(
            ":>>MSG:System:Here available 0 users, currently playing 3", newcomer.messages()
        )

    def test_name_faults(self) -> None:
        """Each check in its order, in its words; afterwards a good name is still welcome."""
        house = self.house_of()
        house.launcher("alice")
        newcomer = house.connect()
        newcomer.greet("al")
        self.assertEqual(newcomer.messages(), [":>>ERROR:Too short username al"])
        for name, words in (
            ("", "Too short username "),
            ("!?", "Too short username !?"),  # too short comes before bad letters
            ("System", "Username System is reserved by system"),
            ("all", "Username all is reserved by system"),
            ("room", "Username room is reserved by system"),
            ("al ice", "Invalid username"),
            ("alice!", "Invalid username"),
            (":>>KICK", "Invalid username"),
            ("alice\n", "Invalid username"),
            ("x" * 65, "Invalid username"),
            (
                "alice",
                "Can't connect with the name alice. This login is already occpupied",
            ),
        ):
            newcomer.send(f"<GREETINGS>{name}<VER>VCMI 1.3.2")
            self.assertEqual(newcomer.messages(), [f":>>ERROR:{words}"], name)
        newcomer.send("<GREETINGS>ALICE")
        self.assertEqual(newcomer.messages()[0], ":>>USERS:2:alice:ALICE")
        newcomer.send("<GREETINGS>!?")  # comes before every other check
        self.assertEqual(newcomer.messages(), [":>>ERROR:User already authorized"])
        self.assertTrue(newcomer.connected)

    def test_accepted_names(self) -> None:
        house = self.house_of()
        for name in ("system", "Вася", "a.b%c+d-e_1", "日本語", "x" * 64):
            newcomer = house.connect()
            newcomer.greet(name)
            self.assertIn(f":>>USERS:{house.lobby.present('vcmi')}:", newcomer.messages()[0], name)

    def test_names_that_look_alike(self) -> None:
        """Neither beside another user nor beside the lobby itself."""
        house = self.house_of()
        house.launcher("alice")
        house.launcher("Admin")
        newcomer = house.connect()
        newcomer.greet("al")
        newcomer.forget()
        for name in (
            "Syst\u0435m",
            "\u0405ystem",
            "System\u3164",
            "\uff33ystem",
            "a1l",
            "r\u043eom",
        ):
            newcomer.send(f"<GREETINGS>{name}")
            words = f":>>ERROR:Username {name} is reserved by system"
            self.assertEqual(newcomer.messages(), [words], ascii(name))
        for name in (
            "al\u0456ce",
            "\uff21dmin",
            "Admin\u3164",
            "\u3164\u3164\u3164",
            "ad\u202emin",
        ):
            newcomer.send(f"<GREETINGS>{name}")
            self.assertEqual(newcomer.messages(), [":>>ERROR:Invalid username"], ascii(name))
        house.launcher("\u0441\u043e\u0441\u043e")  # Cyrillic
        newcomer.forget()
        for name in ("coco", "a1ice"):
            newcomer.send(f"<GREETINGS>{name}")
            taken = f"Can't connect with the name {name}. This login is already occpupied"
            self.assertEqual(newcomer.messages(), [f":>>ERROR:{taken}"])
        newcomer.send("<GREETINGS>ALICE")
        self.assertEqual(newcomer.of_kind("ERROR"), [])

    def test_retry_without_header(self) -> None:
        house = self.house_of()
        newcomer = house.connect()
        newcomer.greet("al")
        newcomer.send("<GREETINGS>alice<VER>VCMI 1.3.2")
        self.assertEqual(newcomer.messages()[1], ":>>USERS:1:alice")

    def test_retry_with_header(self) -> None:
        """A header is no header in a later frame, but text before the first tag."""
        house = self.house_of()
        newcomer = house.connect()
        newcomer.greet("al", 3)
        newcomer.greet("alice", 5)
        self.assertEqual(newcomer.messages()[1:], [":>>SESSIONS:0", mine(0, old=True)])

    def test_nothing_before_the_name(self) -> None:
        """A client that has no name yet is not listened to."""
        house = self.house_of()
        alice = house.launcher("alice")
        stranger = house.connect()
        stranger.greet("al")
        stranger.forget()
        for tag in wire.MESSAGES[1:]:
            stranger.send(f"<{tag}>alice")
        self.assertTold({})
        self.assertTrue(alice.connected)

    def test_nothing_said_before(self) -> None:
        """A client that has not said a word is told nothing, whatever happens."""
        house = self.house_of()
        stranger = house.connect()
        alice = house.launcher("alice", 3)
        house.room("Arena", alice)
        alice.send("<MSG>hello")
        self.assertEqual(stranger.heard, b"")


def mine(others: int, *, old: bool) -> str:
    text = f":>>MSG:System:Here available {others} users, currently playing 0"
    return text + HERE_HINT if old else text


class RoomTests(LobbyTestCase):
    def setUp(self) -> None:
        house = self.house_of()
        self.alice = house.launcher("alice")
        self.bobby = house.launcher("bobby")
        self.carol = house.launcher("carol", 3, "VCMI 1.1.0")

    def test_new(self) -> None:
        self.alice.send("<NEW>Arena<PSWD>secret<COUNT>3<MODS>vcmi&1.3;wog&")
        sessions = ":>>SESSIONS:1:Arena:1:3:True"
        self.assertTold(
            {
                self.alice: [
                    ":>>CREATED:Arena",
                    ":>>JOIN:Arena:alice",
                    ":>>STATUS:1:alice:False",
                    sessions,
                    ":>>MSG:System:You are in the room chat.",
                    ":>>MODS:2:vcmi:1.3:wog:",
                    ":>>MODSOTHER:alice:2:vcmi:1.3:wog:",
                ],
                self.bobby: [sessions],
                self.carol: [sessions],
            }
        )

    def test_new_in_frames(self) -> None:
        """The same in separate frames; the room exists from COUNT on."""
        for text in ("<NEW>Arena", "<PSWD>secret"):
            self.alice.send(text)
            self.assertTold({})
        self.alice.send("<COUNT>2")
        self.assertEqual(self.bobby.messages(), [":>>SESSIONS:1:Arena:1:2:True"])

    def test_refused_names(self) -> None:
        self.house.room("Arena", self.bobby)
        for name, words in (
            (
                "Arena",
                "Cannot create session with name Arena, session with this name already exists",
            ),
            ("", "Cannot create session with invalid name "),
            ("ab", "Cannot create session with invalid name ab"),
            (" Arena", "Cannot create session with invalid name  Arena"),
            ("x" * 65, "Cannot create session with invalid name " + "x" * 64),
            ("two\nlines", "Cannot create session with invalid name two\nlines"),
        ):
            self.alice.send(f"<NEW>{name}<PSWD><COUNT>2<MODS>")
            self.assertTold({self.alice: [f":>>ERROR:{words}"]})
        self.alice.send(f"<NEW>{'x' * 64}<PSWD><COUNT>2")
        self.assertIn(f":>>CREATED:{'x' * 64}", self.alice.messages())

    def test_refused_counts(self) -> None:
        for count in ("1", "9", "", "0", "-2", "1000", "2.5"):
            self.alice.send(f"<NEW>Arena<PSWD><COUNT>{count}<MODS>vcmi&1")
            self.assertTold(
                {
                    self.alice: [
                        ":>>KICK:Arena:alice",
                        ":>>ERROR:Cannot create room with invalid amount of players",
                    ]
                }
            )
        for count in range(2, 9):
            self.alice.send(f"<NEW>Arena<PSWD><COUNT>{count}")
            self.assertIn(f":>>SESSIONS:1:Arena:1:{count}:False", self.alice.messages())
            self.alice.send("<LEAVE>Arena")

    def test_count_twice(self) -> None:
        self.house.room("Arena", self.alice)
        self.alice.send("<COUNT>3")
        self.assertTold(
            {
                self.alice: [
                    ":>>ERROR:Changing amount of players is not possible for existing session"
                ]
            }
        )

    def test_new_twice(self) -> None:
        """A player that is in a room makes no other, and is not told."""
        self.house.room("Arena", self.alice, self.bobby)
        for each in (self.alice, self.bobby):
            each.send("<NEW>Other")
        self.assertTold({})

    def test_two_of_a_name(self) -> None:
        """Of two who name a room at the same time the first who completes it has it."""
        self.alice.send("<NEW>Arena")
        self.bobby.send("<NEW>Arena")
        self.bobby.send("<PSWD><COUNT>2")
        self.alice.forget()
        self.alice.send("<PSWD><COUNT>2")
        self.assertEqual(
            self.alice.messages(),
            [
                ":>>ERROR:Cannot create session with name Arena,"
                " session with this name already exists"
            ],
        )

    def test_two_that_look_alike(self) -> None:
        """A room cannot pass for another, nor show what it is not."""
        self.house.room("Arena", self.bobby)
        for name in ("Ar\u0435na", "Arena ", "Are\u200bna", "\u202eanerA", "Ar\u3164ena"):
            self.alice.send(f"<NEW>{name}<PSWD><COUNT>2<MODS>")
            (told,) = self.alice.messages()
            self.assertRegex(told, "^:>>ERROR:Cannot create session with ")
        self.alice.send("<NEW>\u0410\u0433\u0435\u043d\u0430 \u21161<PSWD><COUNT>2<MODS>")
        self.assertEqual(len(self.alice.of_kind("CREATED")), 1)

    def test_join(self) -> None:
        """All inside, then the list for everybody, then what only the new one needs."""
        self.house.room("Arena", self.alice, places=3, password="secret")
        self.alice.send("<HOSTMODE>1")
        for each in self.house.clients:
            each.forget()
        self.bobby.send("<JOIN>Arena<PSWD>secret<MODS>era&2")
        status = ":>>STATUS:2:alice:False:bobby:False"
        sessions = ":>>SESSIONS:1:Arena:2:3:True"
        self.assertTold(
            {
                self.alice: [
                    ":>>JOIN:Arena:bobby",
                    status,
                    sessions,
                    ":>>MODSOTHER:bobby:1:era:2",
                ],
                self.bobby: [
                    ":>>JOIN:Arena:bobby",
                    status,
                    sessions,
                    ":>>GAMEMODE:1",
                    ":>>MSG:System:You are in the room chat.",
                    ":>>MODS:1:vcmi:1",
                ],
                self.carol: [sessions],
            }
        )
        self.carol.send("<JOIN>Arena<PSWD>secret<MODS>")
        self.assertEqual(
            self.carol.messages(),
            [
                ":>>JOIN:Arena:carol",
                ":>>STATUS:3:alice:False:bobby:False:carol:False",
                ":>>SESSIONS:1:Arena:3:3:True",
                ":>>MSG:System:You are in the room chat.",
                ":>>MSG:System:Your VCMI version VCMI 1.1.0 differs from host version VCMI 1.3.2,"
                " which may cause problems",
                ":>>MODS:1:vcmi:1",
            ],
        )

    def test_join_by_protocol_5(self) -> None:
        """It has its channels and is not told where it speaks."""
        diana = self.house.launcher("diana", 5)
        self.house.room("Arena", self.alice)
        diana.send("<JOIN>Arena<PSWD><MODS>")
        self.assertEqual(
            diana.messages(),
            [
                ":>>JOIN:Arena:diana",
                ":>>STATUS:2:alice:False:diana:False",
                ":>>SESSIONS:1:Arena:2:8:False",
                ":>>GAMEMODE:0",
                ":>>MODS:1:vcmi:1",
            ],
        )

    def test_refused_joins(self) -> None:
        self.house.room("Arena", self.alice, places=2, password="secret")
        for text, words in (
            ("<JOIN>Nowhere<PSWD>", "Room with name Nowhere doesn't exist"),
            ("<JOIN>arena<PSWD>", "Room with name arena doesn't exist"),
            ("<JOIN>Arena<PSWD>", "Incorrect password"),
            ("<JOIN>Arena<PSWD>Secret", "Incorrect password"),
        ):
            self.bobby.send(text + "<MODS>vcmi&1")
            self.assertTold({self.bobby: [f":>>ERROR:{words}"]})
        self.carol.send("<JOIN>Arena<PSWD>secret")
        for each in self.house.clients:
            each.forget()
        self.bobby.send("<JOIN>Arena<PSWD>secret<MODS>vcmi&1")
        self.assertTold({self.bobby: [":>>ERROR:Room Arena is full"]})

    def test_password_changed(self) -> None:
        """The host sets and removes it, and nobody is told."""
        self.house.room("Arena", self.alice)
        self.alice.send("<PSWD>new")
        self.assertTold({})
        self.bobby.send("<JOIN>Arena<PSWD>")
        self.assertTold({self.bobby: [":>>ERROR:Incorrect password"]})
        self.alice.send("<PSWD>")
        self.bobby.send("<JOIN>Arena<PSWD>")
        self.assertIn(":>>JOIN:Arena:bobby", self.bobby.messages())

    def test_leave_of_a_guest(self) -> None:
        self.house.room("Arena", self.alice, self.bobby, self.carol)
        self.alice.send("<READY>Arena")
        for each in self.house.clients:
            each.forget()
        self.bobby.send("<LEAVE>Elsewhere")
        self.assertTold({})
        self.bobby.send("<LEAVE>Arena")
        kick, sessions = ":>>KICK:Arena:bobby", ":>>SESSIONS:1:Arena:2:8:False"
        status = ":>>STATUS:2:alice:False:carol:False"
        self.assertTold(
            {
                self.alice: [kick, status, sessions],
                self.carol: [kick, status, sessions],
                self.bobby: [kick, sessions],
            }
        )

    def test_leave_of_the_host(self) -> None:
        """Each member is told its own name."""
        self.house.room("Arena", self.alice, self.bobby)
        self.alice.send("<LEAVE>Arena")
        self.assertTold(
            {
                self.alice: [":>>KICK:Arena:alice", ":>>SESSIONS:0"],
                self.bobby: [":>>KICK:Arena:bobby", ":>>SESSIONS:0"],
                self.carol: [":>>SESSIONS:0"],
            }
        )
        self.bobby.send("<NEW>Arena<PSWD><COUNT>2")
        self.assertIn(":>>CREATED:Arena", self.bobby.messages())

    def test_kick(self) -> None:
        """By the host alone; readiness is kept, and may start the game."""
        self.house.room("Arena", self.alice, self.bobby, self.carol)
        for name in ("nobody", "alice"):
            self.alice.send(f"<KICK>{name}")
            self.assertTold({})
        self.bobby.send("<KICK>carol")
        self.assertTold({self.bobby: [":>>ERROR:Insuficcient permissions"]})
        self.alice.send("<READY>Arena")
        for each in self.house.clients:
            each.forget()
        self.alice.send("<KICK>bobby")
        kick, sessions = ":>>KICK:Arena:bobby", ":>>SESSIONS:1:Arena:2:8:False"
        status = ":>>STATUS:2:alice:True:carol:False"
        self.assertTold(
            {
                self.alice: [kick, status, sessions],
                self.bobby: [kick, sessions],
                self.carol: [kick, status, sessions],
            }
        )

    def test_kick_starts(self) -> None:
        """Without the one who was not ready, all are."""
        self.house.room("Arena", self.alice, self.bobby, self.carol)
        self.alice.send("<READY>Arena")
        self.carol.send("<READY>Arena")
        self.alice.send("<KICK>bobby")
        self.assertTrue(self.alice.of_kind("START") and self.carol.of_kind("START"))
        self.assertFalse(self.bobby.of_kind("START"))

    def test_kick_reaches_into_no_other_room(self) -> None:
        self.house.room("Arena", self.alice)
        self.house.room("Other", self.bobby)
        self.alice.send("<KICK>bobby")
        self.assertTold({})

    def test_ready(self) -> None:
        """It toggles, and with all of at least two ready the game starts."""
        self.house.room("Arena", self.alice, self.bobby)
        for text in ("<READY>Elsewhere", "<READY>"):
            self.bobby.send(text)
        self.carol.send("<READY>Arena")
        self.assertTold({})
        for ready in ("True", "False", "True"):
            self.bobby.send("<READY>Arena")
            status = f":>>STATUS:2:alice:False:bobby:{ready}"
            self.assertTold({self.alice: [status], self.bobby: [status]})
        self.alice.send("<READY>Arena")
        self.assertEqual(len(self.alice.of_kind("START")), 1)
        self.assertEqual(len(self.bobby.of_kind("START")), 1)

    def test_ready_alone(self) -> None:
        """One is not enough for protocol 3 and later."""
        self.house.room("Arena", self.carol)
        self.carol.send("<READY>Arena")
        self.assertTold({self.carol: [":>>STATUS:1:carol:True"]})

    def test_ready_host_of_protocol_1(self) -> None:
        """Such a host cannot wait for the others."""
        for version in (1, 2):
            house = self.house_of()
            oldest = house.launcher("oldest", version)
            guest = house.launcher("guest")
            house.room("Arena", oldest, guest)
            oldest.send("<READY>Arena")
            self.assertEqual(len(oldest.of_kind("START")), 1, version)
            self.assertEqual(len(guest.of_kind("START")), 1, version)
            alone = house.launcher("alone", version)
            house.room("Cell", alone)
            alone.send("<READY>Cell")
            self.assertRegex("".join(alone.messages()), f":>>HOST:{UUID}:0:>>START:{UUID}")

    def test_forcestart(self) -> None:
        self.house.room("Arena", self.alice, self.bobby)
        self.alice.send("<FORCESTART>Elsewhere")
        self.assertTold({})
        self.bobby.send("<FORCESTART>Arena")
        self.assertTold({self.bobby: [":>>ERROR:Insuficcient permissions"]})
        self.alice.send("<FORCESTART>Arena")
        self.assertTrue(self.bobby.of_kind("START"))

    def test_hostmode(self) -> None:
        self.house.room("Arena", self.alice, self.bobby, self.carol)
        self.bobby.send("<HOSTMODE>1")
        self.assertTold({self.bobby: [":>>ERROR:Insuficcient permissions"]})
        for mode in ("1", "0"):
            self.alice.send(f"<HOSTMODE>{mode}")
            told = [f":>>GAMEMODE:{mode}"]
            self.assertTold({self.alice: told, self.bobby: told})  # carol does not know it

    def test_mods(self) -> None:
        """Everybody gets the host's list, and the host everybody's."""
        oldest = self.house.launcher("oldest", 2)
        first = self.house.launcher("first", 1)
        self.house.room("Arena", self.alice, self.bobby, oldest, first)
        for guest, told in ((self.bobby, True), (oldest, True), (first, False)):
            name = {self.bobby: "bobby", oldest: "oldest", first: "first"}[guest]
            guest.send("<MODS>era&3;wog&")
            self.assertTold(
                {
                    guest: [":>>MODS:1:vcmi:1"],
                    self.alice: [f":>>MODSOTHER:{name}:2:era:3:wog:"],
                }
                if told
                else {}
            )
        self.carol.send("<MODS>era&3")
        self.assertTold({})

    def test_mods_for_a_host_of_protocol_2(self) -> None:
        oldest = self.house.launcher("oldest", 2)
        self.house.room("Arena", oldest, self.bobby)
        self.bobby.send("<MODS>era&3")
        self.assertTold({self.bobby: [":>>MODS:1:vcmi:1"]})

    def test_lost(self) -> None:
        """A lost guest is kicked and the readiness of the rest is kept; a lost host ends it."""
        self.house.room("Arena", self.alice, self.bobby, self.carol)
        self.carol.send("<READY>Arena")
        for each in self.house.clients:
            each.forget()
        self.bobby.lose()
        told = [
            ":>>KICK:Arena:bobby",
            ":>>STATUS:2:alice:False:carol:True",
            ":>>SESSIONS:1:Arena:2:8:False",
        ]
        self.assertTold({self.alice: [*told, ":>>USERS:2:alice:carol"], self.carol: told})
        self.alice.lose()
        self.assertTold({self.carol: [":>>KICK:Arena:carol", ":>>SESSIONS:0"]})


class StartTests(LobbyTestCase):
    def test_order(self) -> None:
        """HOST before START, fresh uuids, and everybody's lobby connection is closed."""
        house = self.house_of()
        players = [house.launcher(name, version) for name, version in PLAYERS]
        watcher = house.launcher("watcher")
        house.room("Arena", *players)
        players[0].send("<FORCESTART>Arena")
        told = ["".join(each.messages()) for each in players]
        self.assertRegex(told[0], rf"\A:>>HOST:{UUID}:4:>>START:{UUID}\Z")
        for each in told[1:]:
            self.assertRegex(each, rf"\A:>>START:{UUID}\Z")
        uuids = re.findall(UUID, "".join(told))
        self.assertEqual(len(set(uuids)), 6)
        self.assertEqual({len(uuid) for uuid in uuids}, {36})
        self.assertFalse(any(each.connected for each in players))
        self.assertTold({watcher: [":>>SESSIONS:0", ":>>USERS:1:watcher"]})

    def test_flushed_before_it_closes(self) -> None:
        """All that was said leaves first, also by a slow transport; then it is cut off."""
        house = self.house_of()
        alice = house.launcher("alice")
        bobby = house.launcher("bobby")
        house.room("Arena", alice, bobby)
        bobby.peer.stall()
        for number in range(10):
            alice.send(f"<MSG>{number}{'x' * 900}")
        alice.send("<FORCESTART>Arena")
        self.assertTrue(bobby.connected)
        bobby.catch_up()
        told = bobby.messages()
        self.assertEqual([each[13] for each in told[:10]], [str(number) for number in range(10)])
        self.assertTrue(told[10].startswith(":>>START:"))
        self.assertEqual(len(told), 11)
        self.assertFalse(bobby.connected)

    def test_who_does_not_close_is_cut_off(self) -> None:
        house = self.house_of()
        alice = house.launcher("alice", deaf=True)
        house.room("Arena", alice)
        alice.send("<FORCESTART>Arena")
        alice.forget()
        self.assertTrue(alice.connected)
        alice.send("<GREETINGS>alice<MSG>hello<NEW>Arena<COUNT>2")
        self.assertEqual(alice.messages(), [])
        house.turn(LINGER)
        self.assertFalse(alice.connected)

    def test_name_and_room_are_free(self) -> None:
        """The moment a game starts its players are gone from the lobby."""
        house = self.house_of()
        started_game(house, "alice", "bobby")
        newcomer = house.connect()
        newcomer.greet("alice")
        self.assertEqual(newcomer.messages()[0], ":>>USERS:1:alice")
        newcomer.send("<NEW>Arena<PSWD><COUNT>2")
        self.assertIn(":>>CREATED:Arena", newcomer.messages())


PLAYERS = [("alice", 4), ("bobby", 1), ("carol", 2), ("diana", 3), ("eddie", 5)]


class GamesKeptTests(LobbyTestCase):
    """How many started games are kept, of one host's address and in all."""

    MANY = ":>>ERROR:Too many games have been started, please try again later"

    def test_of_one_address(self) -> None:
        """A host that starts one after the other is refused; nobody else is."""
        house = self.house_of(max_games=10, max_games_per_address=3, pipe_lifetime=100)
        for number in range(3):
            started_game(house, f"alone{number}")
        alice = house.launcher("alice", host="192.0.2.1")
        house.room("Arena", alice)
        for _ in range(3):
            alice.send("<FORCESTART>Arena")
            self.assertTold({alice: [self.MANY]})
        self.assertEqual(len(house.service.games._by_uuid), 3 * 2)
        self.assertIsNotNone(house.lobby.room(RoomKey("vcmi", "", "Arena")))
        other = house.launcher("other", host="192.0.2.2")
        house.room("Other", other)
        other.send("<FORCESTART>Other")
        self.assertEqual(len(other.of_kind("START")), 1)
        alice.forget()
        house.turn(100)
        alice.send("<FORCESTART>Arena")
        self.assertEqual(len(alice.of_kind("START")), 1)

    def test_in_all(self) -> None:
        house = self.house_of(max_games=4, max_games_per_address=3)
        for number in range(4):
            one = house.launcher("alone", host=f"192.0.2.{number}")
            house.room("Room", one)
            one.send("<FORCESTART>Room")
            self.assertEqual(len(one.of_kind("START")), 1)
        for host in ("192.0.2.9", "198.51.100.1"):
            late = house.launcher("late", host=host)
            house.room("Room", late)
            late.send("<FORCESTART>Room")
            self.assertTold({late: [self.MANY]})
            late.lose()
        self.assertEqual(len(house.service.games._by_uuid), 4 * 2)

    def test_trusted_hosts(self) -> None:
        """They have no limit per address."""
        house = self.house_of(max_games=10, max_games_per_address=1)
        for _ in range(3):
            one = house.launcher("alone", host="198.51.100.1")
            house.room("Room", one)
            one.send("<FORCESTART>Room")
            self.assertEqual(len(one.of_kind("START")), 1)

    def test_readiness(self) -> None:
        """Nobody becomes ready for a game that cannot start; who says so is told."""
        house = self.house_of(max_games=1)
        started_game(house, "alone")
        for version in range(1, 6):
            alice, bobby = house.launcher("alice", version), house.launcher("bobby", version)
            house.room("Arena", alice, bobby)
            for each in (alice, bobby):
                each.send("<READY>Arena")
                self.assertTold({each: [self.MANY]})
            alice.lose()
            bobby.lose()

    def test_all_that_remain_were_ready(self) -> None:
        """The last who was not ready goes when no game can start any more."""
        for leaves in ("lost", "kicked"):
            house = self.house_of(max_games=1)
            room = [house.launcher(name) for name in ("alice", "bobby", "carol")]
            alice, bobby, carol = room
            house.room("Common", *room)
            alice.send("<READY>Common")
            bobby.send("<READY>Common")
            started_game(house, "alone")
            for each in room:
                each.forget()
            if leaves == "lost":
                carol.lose()
            else:
                alice.send("<KICK>carol")
            for each, name in ((alice, "alice"), (bobby, "bobby")):
                told = each.messages()
                at = told.index(f":>>KICK:Common:{name}")
                self.assertEqual(told[at + 1], self.MANY)
                self.assertIn(":>>SESSIONS:0", told)
                self.assertTrue(each.connected)
            self.assertEqual(len(house.service.games._by_uuid), 2)
            house.room("Again", alice, bobby)
            alice.send("<FORCESTART>Again")
            self.assertEqual(alice.messages(), [self.MANY])


class ChatTests(LobbyTestCase):
    """Who hears a line, and in which form."""

    def setUp(self) -> None:
        house = self.house_of()
        self.alice = house.launcher("alice")  # roomless
        self.bobby = house.launcher("bobby", 3)  # host
        self.carol = house.launcher("carol", 4)  # a guest of bobby's
        self.diana = house.launcher("diana", 5)  # a guest of bobby's
        self.eddie = house.launcher("eddie", 5)  # roomless
        self.fiona = house.launcher("fiona", 1)  # roomless
        house.room("Arena", self.bobby, self.carol, self.diana)

    def assertHeard(self, line: str, *listeners: Client) -> None:
        self.assertTold({each: [line] for each in listeners})

    def test_lobby(self) -> None:
        self.alice.send("<MSG>hello all")
        self.assertHeard(":>>MSG:alice:hello all", *self.house.clients)

    def test_control_characters(self) -> None:
        """A line is one line: nothing in it looks like a line of System, or of another user."""
        self.alice.send("<MSG>hi\nSystem: you\r\n\u2028are\x00 \u202ekicked")
        self.assertHeard(":>>MSG:alice:hi System: you are   kicked", *self.house.clients)

    def test_room(self) -> None:
        self.carol.send("<MSG>hello room")
        self.assertHeard(":>>MSG:carol:hello room", self.bobby, self.carol, self.diana)
        self.carol.send("<MSG>@room again")
        self.assertHeard(":>>MSG:carol:again", self.bobby, self.carol, self.diana)
        self.carol.send("<MSG>@all hello")
        self.assertHeard(":>>MSG:carol:hello", *self.house.clients)

    def test_target(self) -> None:
        """One person and the speaker."""
        self.alice.send("<MSG>@eddie psst")
        self.assertHeard(":>>MSG:alice:psst", self.alice, self.eddie)
        self.alice.send("<MSG>@carol psst")  # from outside into a room
        self.assertHeard(":>>MSG:alice:psst", self.alice, self.carol)
        self.alice.send("<MSG>@alice psst")
        self.assertHeard(":>>MSG:alice:psst", self.alice)
        self.carol.send("<MSG>@bobby psst")
        self.assertHeard(":>>MSG:carol:psst", self.carol, self.bobby)

    def test_no_target(self) -> None:
        for text in ("@ bobby", "hi @bobby", "bobby@"):
            self.alice.send(f"<MSG>{text}")
            self.assertHeard(f":>>MSG:alice:{text}", *self.house.clients)

    def test_absent_target(self) -> None:
        """Whoever is not here or out of reach: the sender alone is told."""
        for sender, text, name in (
            (self.alice, "@nobody secret", "nobody"),
            (self.alice, "@Bobby secret", "Bobby"),
            (self.alice, "@System secret", "System"),
            (self.alice, "@x:>>KICK:y secret", "x>>KICKy"),
            (self.carol, "@alice secret", "alice"),  # not in the room
        ):
            sender.send(f"<MSG>{text}")
            self.assertHeard(f":>>MSG:System:{name} is not here", sender)
        self.eddie.lose()
        for each in self.house.clients:
            each.forget()
        self.alice.send("<MSG>@eddie secret")
        self.assertHeard(":>>MSG:System:eddie is not here", self.alice)

    def test_protocol_5_has_no_targets(self) -> None:
        """There it is a mention in public."""
        self.eddie.send("<MSG>@alice look")
        told = {each: [":>>MSG:eddie:@alice look"] for each in self.house.clients}
        told |= {each: [":>>MSGCH:eddie:global:@alice look"] for each in (self.diana, self.eddie)}
        self.assertTold(told)

    def test_channels(self) -> None:
        """A member in channel room speaks to the room, in each receiver's form."""
        self.diana.send("<CHANNEL>room")
        self.assertTold({self.diana: [":>>CHANNEL:room"]})
        self.diana.send("<CHANNEL>room")
        self.assertTold({})
        self.diana.send("<MSG>here")
        self.assertTold(
            {
                self.bobby: [":>>MSG:diana:here"],
                self.carol: [":>>MSG:diana:here"],
                self.diana: [":>>MSGCH:diana:room:here"],
            }
        )
        self.diana.send("<CHANNEL>global")
        self.assertTold({self.diana: [":>>CHANNEL:global"]})
        self.diana.send("<MSG>there")
        told = {each: [":>>MSG:diana:there"] for each in self.house.clients}
        told |= {each: [":>>MSGCH:diana:global:there"] for each in (self.diana, self.eddie)}
        self.assertTold(told)

    def test_unknown_channel(self) -> None:
        self.diana.send("<CHANNEL>secret")
        self.assertTold(
            {
                self.diana: [
                    ":>>ERROR:Cannot create session with name secret,"
                    " session with this name already exists"
                ]
            }
        )
        self.alice.send("<CHANNEL>room")  # protocol 4 has none
        self.assertTold({})

    def test_channel_follows_the_room(self) -> None:
        """In and out of rooms, channel room is the room's or the roomless ones' own."""
        gerda = self.house.launcher("gerda", 5)
        for each in (self.eddie, gerda):
            each.send("<CHANNEL>room")
            each.forget()
        self.eddie.send("<MSG>anyone")
        self.assertHeard(":>>MSGCH:eddie:room:anyone", self.eddie, gerda)
        gerda.send("<JOIN>Arena<PSWD>")
        for each in self.house.clients:
            each.forget()
        self.eddie.send("<MSG>alone")
        self.assertHeard(":>>MSGCH:eddie:room:alone", self.eddie)
        gerda.send("<LEAVE>Arena")
        for each in self.house.clients:
            each.forget()
        self.eddie.send("<MSG>together")
        self.assertHeard(":>>MSGCH:eddie:room:together", self.eddie, gerda)

    def test_encodings(self) -> None:
        """A text comes to each in its own encoding; what it lacks is a question mark."""
        house = self.house_of()
        ivan = house.connect()
        ivan.send_frame(b"\x04\x06cp1251<GREETINGS>" + "Иван".encode("cp1251"))
        latin = house.connect()
        latin.send_frame(b"\x04\x07latin-1<GREETINGS>" + "Jürgen".encode("latin-1"))
        plain = house.launcher("plain")
        ivan.forget()
        latin.forget()
        ivan.send_frame(b"<MSG>" + "привет".encode("cp1251"))
        self.assertEqual(ivan.heard, ":>>MSG:Иван:привет".encode("cp1251"))
        self.assertEqual(latin.heard, b":>>MSG:????:??????")
        self.assertEqual(plain.messages(), [":>>MSG:Иван:привет"])


class AskingTests(LobbyTestCase):
    def test_here(self) -> None:
        house = self.house_of()
        alice = house.launcher("alice")
        carol = house.launcher("carol", 3)
        house.room("Arena", alice)
        alice.send("<MSG><HERE>")  # as the launcher sends what is typed
        self.assertTold({alice: [":>>USERS:2:alice:carol"]})
        carol.send("<MSG><HERE>")
        self.assertTold({carol: [":>>MSG:System:People in lobby\nalice[room Arena]\ncarol"]})

    def test_root(self) -> None:
        house = self.house_of()
        host, (client, _) = started_game(house, "alice", "bobby")
        house.connect("192.0.2.7").send_bytes(pipe_hello("(server)", host))
        house.connect("192.0.2.8").send_bytes(pipe_hello("(client)", client))
        asker = house.launcher("asker")
        for field, figure in (
            ("uniques", 3),
            ("users", 3),
            ("logins", 5),
            ("rooms", 1),
            ("sessions", 1),
            ("clients", 2),
            ("connections", 1),
        ):
            asker.send(f"<ROOT>{field}")
            self.assertEqual(asker.messages(), [f":>>MSG:System:{figure}"], field)
        for field in ("", "passwords", "Users"):
            asker.send(f"<ROOT>{field}")
            self.assertEqual(asker.messages(), [])

    def test_version(self) -> None:
        """What VER last said is compared with the host's on joining."""
        house = self.house_of()
        alice = house.launcher("alice", program="VCMI 1.3.2")
        bobby = house.launcher("bobby", program="VCMI 1.3.1")
        house.room("Arena", alice)
        bobby.send("<VER>VCMI 1.3.2")
        bobby.send("<JOIN>Arena<PSWD>")
        self.assertNotIn("differs", "".join(bobby.messages()))

    def test_version_is_one_line(self) -> None:
        """What a host says of its program stands in a line of System."""
        house = self.house_of()
        alice = house.launcher("alice", program="1.3\nSystem: go to\u202e")
        bobby = house.launcher("bobby")
        house.room("Arena", alice)
        bobby.send("<JOIN>Arena<PSWD>")
        words = "differs from host version 1.3 System: go to , which"
        self.assertIn(words, "".join(bobby.messages()))

    def test_mods_are_one_line(self) -> None:
        house = self.house_of()
        alice = house.launcher("alice")
        house.room("Arena", alice)
        alice.send("<MODS>v\ncmi&1\x002")
        self.assertIn(":>>MODS:1:v cmi:1 2", alice.messages())

    def test_alive_has_no_answer(self) -> None:
        house = self.house_of()
        alice = house.launcher("alice")
        alice.send("<ALIVE>")
        self.assertTold({alice: []})


class CapacityTests(LobbyTestCase):
    def test_one_too_many(self) -> None:
        """It is told in one sentence without a colon, and closed; when one goes, one may come."""
        house = self.house_of(max_players=2)
        alice = house.launcher("alice")
        bobby = house.launcher("bobby")
        late = house.connect()
        late.greet("carol")
        (told,) = late.messages()
        self.assertRegex(told, r"\A:>>ERROR:[^:]+\Z")
        self.assertFalse(late.connected)
        self.assertEqual(house.cuts, {"full": 1})
        self.assertTold({})  # nobody else hears of it
        self.assertTrue(alice.connected and bobby.connected)
        alice.lose()
        bobby.forget()
        again = house.connect()
        again.greet("carol")
        self.assertEqual(again.messages()[0], ":>>USERS:2:bobby:carol")

    def test_games_are_not_refused(self) -> None:
        """Those who play do not count, and their pipes always find each other."""
        house = self.house_of(max_players=2)
        host, (client, _) = started_game(house, "alice", "bobby")
        for name in ("carol", "diana"):
            house.launcher(name)
        server, guest = house.connect(), house.connect()
        server.send_bytes(pipe_hello("(server)", host))
        guest.send_bytes(pipe_hello("(client)", client))
        guest.send_bytes(b"\x01move")
        house.turn()
        self.assertTrue(server.heard.endswith(b"\x01move"))


class HealthTests(LobbyTestCase):
    def served(self, **settings: Any) -> House:
        house = self.house_of(**settings)
        house.service.startService()
        self.addCleanup(house.service.stopService)
        return house

    def test_asked(self) -> None:
        """Protocol 4 and later, every interval; protocols 1 to 3 never."""
        house = self.served(ping_interval=30)
        old = [house.launcher(f"old{version}", version) for version in (1, 2, 3)]
        new = [house.launcher(f"new{version}", version) for version in (4, 5)]
        for each in house.clients:
            each.forget()
        house.turn(29 - house.clock.seconds())
        house.settle()
        self.assertTold({})
        for _ in range(3):
            house.turn(1)
            house.settle()
            self.assertTold({each: [":>>HEALTH:"] for each in new})
            for each in new:
                each.send("<ALIVE>")
            house.turn(30 - 1 - house.clock.seconds() % 30)
        self.assertTrue(all(each.connected for each in (*old, *new)))

    def test_silent(self) -> None:
        """A client that is silent for one more interval is lost, and its room hears so."""
        house = self.served(ping_interval=30)
        alice, bobby = house.launcher("alice"), house.launcher("bobby", 5)
        house.room("Arena", alice, bobby)
        house.turn(30 - house.clock.seconds())
        bobby.send("<ALIVE>")
        alice.send("<ALIVE>")
        house.turn(30)
        alice.send("<ALIVE>")
        alice.forget()
        self.assertTrue(bobby.connected)
        house.turn(29)
        self.assertTrue(bobby.connected)
        house.turn(1)
        house.settle()
        self.assertFalse(bobby.connected)
        self.assertEqual(house.cuts, {"silent": 1})
        told = alice.messages()
        self.assertIn(":>>KICK:Arena:bobby", told)
        self.assertIn(":>>USERS:1:alice", told)

    def test_any_traffic_is_life(self) -> None:
        """An empty frame, a line, or the beginning of a frame that takes its time."""
        house = self.served(ping_interval=30)
        alice = house.launcher("alice")
        signs = [
            frame(b""),
            frame(b"<MSG>hello"),
            frame(b"<NOSUCH>"),
            b"\x0a\x00",
            b"\x00\x00<MSG",
        ]
        for sign in signs * 2:
            house.turn(30)
            house.settle()
            alice.send_bytes(sign)
            if sign == signs[-1]:
                alice.send_bytes(b">hello")
            self.assertTrue(alice.connected, sign)

    def test_off(self) -> None:
        house = self.served(ping_interval=0)
        alice = house.launcher("alice")
        house.turn(10_000)
        self.assertTold({alice: []})
        self.assertTrue(alice.connected)


class LimitTests(LobbyTestCase):
    """Each limit: what fits, and one more."""

    def test_login_timeout(self) -> None:
        for hello in (b"", b"\x01", b"\x20\x00\x00\x00\x04\x04utf8", greeting("al")):
            house = self.house_of()
            late = house.connect()
            late.send_bytes(hello)
            house.turn(59.9)
            late.send_bytes(hello and frame(b"<ALIVE>"))  # talking does not help
            self.assertTrue(late.connected)
            house.turn(0.1)
            self.assertFalse(late.connected)
            where = "vcmi" if hello else "door"
            self.assertEqual(house.metrics.cuts, {(where, "silent"): 1})

    def test_no_timeout_afterwards(self) -> None:
        house = self.house_of()
        alice = house.connect()
        house.turn(59.5)
        alice.greet("alice")
        house.turn(10_000)
        self.assertTrue(alice.connected)

    def test_frame(self) -> None:
        house = self.house_of(max_message=2_000)
        alice = house.launcher("alice")
        alice.send_frame(b"<NOSUCH>".ljust(2_000, b"x"))
        self.assertTrue(alice.connected)
        alice.send_bytes(b"\xd1\x07\x00\x00")  # 2001: the announcement is enough
        house.settle()
        self.assertEqual(alice.messages(), [f":>>ERROR:{wire.MALFORMED}"])
        self.assertFalse(alice.connected)
        self.assertEqual(house.cuts, {"malformed": 1})

    def test_long_frame_is_not_collected(self) -> None:
        """A client that announced too much is not listened to while it has time to read why."""
        house = self.house_of()
        alice = house.launcher("alice", deaf=True)
        alice.send_bytes(b"\xff\xff\xff\x7f")
        house.settle()
        for _ in range(100):
            alice.send_bytes(b"x" * 65_536)
        self.assertTrue(alice.connected)
        self.assertLess(len(alice.protocol.recvd), 65_537)

    def test_commands(self) -> None:
        house = self.house_of()
        alice = house.launcher("alice")
        alice.send("<ROOT>logins" * 100)
        self.assertEqual(alice.messages(), [":>>MSG:System:1"] * 100)
        alice.send("<ROOT>logins" * 101)
        self.assertEqual(alice.messages(), [f":>>ERROR:{wire.MALFORMED}"])
        self.assertFalse(alice.connected)
        self.assertEqual(house.cuts, {"malformed": 1})

    def test_name(self) -> None:
        house = self.house_of(max_name=16)
        alice = house.connect()
        alice.greet("a" * 17)
        self.assertEqual(alice.messages(), [":>>ERROR:Invalid username"])
        alice.greet("a" * 16)
        self.assertEqual(alice.messages()[0], f":>>USERS:1:{'a' * 16}")
        alice.send(f"<NEW>{'r' * 17}<PSWD><COUNT>2")
        self.assertTrue(alice.messages()[0].startswith(":>>ERROR:Cannot create session"))
        alice.send(f"<NEW>{'r' * 16}<PSWD><COUNT>2")
        self.assertEqual(alice.messages()[0], f":>>CREATED:{'r' * 16}")

    def test_password_and_version(self) -> None:
        """Of a longer one only the beginning counts."""
        house = self.house_of(max_name=16)
        alice = house.launcher("alice", program="v" * 16)
        bobby = house.launcher("bobby", program="v" * 17)
        house.room("Arena", alice, password="p" * 17)
        self.assertEqual(len(list(house.lobby.rooms(password="p" * 16))), 1)
        self.assertEqual(list(house.lobby.rooms(password="p" * 17)), [])
        bobby.send(f"<JOIN>Arena<PSWD>{'p' * 16}")
        told = "".join(bobby.messages())
        self.assertIn(":>>JOIN:Arena:bobby", told)
        self.assertNotIn("differs", told)

    def test_chat(self) -> None:
        house = self.house_of(max_chat=100)
        alice = house.launcher("alice")
        alice.send("<MSG>" + "x" * 100)
        alice.send("<MSG>" + "x" * 101)
        self.assertEqual(alice.messages(), [":>>MSG:alice:" + "x" * 100] * 2)

    def test_mods(self) -> None:
        self.patch(session, "MAX_MODS", 3)
        house = self.house_of()
        alice = house.launcher("alice")
        house.room("Arena", alice)
        alice.send("<MODS>a&1;b&2;c&3")
        self.assertEqual(alice.messages()[0], ":>>MODS:3:a:1:b:2:c:3")
        alice.send("<MODS>a&1;b&2;c&3;d&4")
        self.assertEqual(alice.messages()[0], ":>>MODS:3:a:1:b:2:c:3")

    def test_slow_reader(self) -> None:
        """It is cut off at its limit, which is counted; the others hear every line in order."""
        house = self.house_of(max_unread=65_536)
        alice = house.launcher("alice")
        slow = house.launcher("slowly")
        slow.peer.stall()
        bobby = house.launcher("bobby")
        lines = [f"{number:03}{'x' * 897}" for number in range(150)]
        for line in lines:
            alice.send_bytes(frame(f"<MSG>{line}".encode()))
            house.turn(0.1)  # alice sends no more than everybody always may
            if not slow.connected:
                break
            self.assertLessEqual(slow.protocol.outbox.pending, 65_536)
        sent = lines.index(line) + 1
        self.assertFalse(slow.connected)
        self.assertGreater(sent * 914, 65_536)  # the limit is what may wait for it, no less
        self.assertEqual(house.cuts, {"slow": 1})
        for line in lines[sent:]:
            alice.send(f"<MSG>{line}")
        for each in (alice, bobby):
            self.assertEqual(each.of_kind("MSG"), [f":>>MSG:alice:{line}" for line in lines])

    def test_flood_of_chat(self) -> None:
        """
        Eight launchers that read 1 MB a second stay, with their room, whatever one of them says;
        it is slowed down, and what it may always say is said.
        """
        house = self.house_of()
        loud, *honest = [house.launcher(f"player{number}") for number in range(9)]
        house.room("Arena", *honest[:8])
        line = frame(b"<MSG>" + b"x" * 1_000)
        said = 0
        for _ in range(100):
            for each in honest:
                each.peer.socket.room = 100_000
            if len(loud.peer.socket.incoming) < len(line):
                loud.peer.socket.incoming += line * 640
                said += 640
            house.network.turn(0.1)
        self.assertEqual(house.cuts, {})
        self.assertTrue(all(each.connected for each in honest))
        heard = bytes(honest[0].heard).count(b":>>MSG:player0:")
        self.assertGreater(heard, 10 * house.settings.chat_rate)
        self.assertLess(heard, said)

    def test_slow_reader_who_reads(self) -> None:
        """As long as it reads, it may be told any amount."""
        house = self.house_of(max_unread=65_536)
        alice = house.launcher("alice")
        slow = house.launcher("slowly")
        slow.peer.stall()
        for number in range(200):
            alice.send(f"<MSG>{number:03}{'x' * 900}")
            slow.catch_up()
        self.assertTrue(slow.connected)
        self.assertEqual(
            [each[13:16] for each in slow.of_kind("MSG")],
            [f"{number:03}" for number in range(200)],
        )


def greeting(name: str) -> bytes:
    return frame(b"\x04\x04utf8<GREETINGS>" + name.encode())


class StopTests(LobbyTestCase):
    """The end of the service."""

    def stopped(self, house: House) -> Deferred[None]:
        house.service.startService()
        return house.service.stopService()

    def test_everybody_is_told(self) -> None:
        house = self.house_of()
        host, (client, _) = started_game(house, "alice", "bobby")
        server, guest, waiting = house.connect(), house.connect(), house.connect()
        server.send_bytes(pipe_hello("(server)", host))
        guest.send_bytes(pipe_hello("(client)", client))
        waiting.send_bytes(pipe_hello("(server)", host))
        handshaking = house.connect()
        handshaking.send_bytes(pipe_hello("(client)", client)[:30])
        players = [house.launcher(name, version) for name, version in PLAYERS]
        stranger = house.connect()
        stranger.send_bytes(b"\x20")
        stopped = self.stopped(house)
        house.settle()
        for each in players:
            self.assertEqual(each.of_kind("MSG")[-1], ":>>MSG:System:The server is shutting down")
        self.assertFalse(any(each.connected for each in house.clients))
        self.assertFalse(stranger.heard)
        self.assertIsNone(self.successResultOf(stopped))
        self.assertEqual(house.clock.getDelayedCalls(), [])

    def test_nobody_reacts(self) -> None:
        """It fires all the same, and everybody is cut off."""
        house = self.house_of()
        host, (client, _) = started_game(house, "alice", "bobby")
        for hello in (pipe_hello("(server)", host), pipe_hello("(client)", client)):
            house.connect(deaf=True).send_bytes(hello)
        deaf = [house.launcher(name, deaf=True) for name in ("carol", "diana")]
        deaf.append(house.connect(deaf=True))
        deaf[-1].send_bytes(b"\x20")
        stopped = self.stopped(house)
        house.settle()
        self.assertTrue(all(each.connected for each in deaf))
        self.assertNoResult(stopped)
        house.turn(FAREWELL)
        self.assertIsNone(self.successResultOf(stopped))
        self.assertFalse(any(each.connected for each in deaf))

    def test_empty_house(self) -> None:
        self.successResultOf(self.stopped(self.house_of()))
