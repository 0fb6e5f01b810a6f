"""
When many come at once: what everybody must know is sent as often as it must be, not oftener.
"""

from __future__ import annotations

from collections import Counter

from twisted.trial.unittest import SynchronousTestCase

from tests.games.vcmi.clients import Client, House, frame

#: Players of the storm, and the milliseconds between two of them: all within one second.
PLAYERS = 1_000

#: Broadcasts of a list in a storm of one second: one at once and then one every 100 ms.
BROADCASTS = 11


def hello(name: str, version: int) -> bytes:
    return frame(bytes((version, 4)) + b"utf8<GREETINGS>" + name.encode() + b"<VER>VCMI 1.3.2")


class StormTests(SynchronousTestCase):
    def test_thousand_logins(self) -> None:
        """
        A thousand within a second: each is answered in its own turn, is sent some eleven lists
        besides (and not a thousand), and knows everybody in the end.
        """
        house = House(max_players=2_000)
        clients: list[Client] = []
        names = [f"player{number:04}" for number in range(PLAYERS)]
        for number, name in enumerate(names):
            client = house.connect()
            client.send_bytes(hello(name, 5 if number % 2 else 4))
            house.turn(0)
            answer = client.heard
            newest = f":>>USERS:{number + 1}:{':'.join(names[: number + 1])}".encode()
            self.assertTrue(answer.startswith(newest + b":>>SESSIONS:0" + newest), name)
            self.assertTrue(answer.endswith(b"currently playing 0"), name)
            client.forget()
            clients.append(client)
            house.turn(0.001)
        house.settle()
        everybody = f":>>USERS:{PLAYERS}:{':'.join(names)}".encode()
        for client in clients:
            stream = client.heard
            lists = stream.count(b":>>USERS:")
            self.assertLessEqual(lists, BROADCASTS)
            self.assertLessEqual(len(stream), BROADCASTS * len(everybody))
            self.assertEqual(stream.count(b":>>"), lists, "nothing else has happened")
        # The very last ones may have the newest list from their own greeting.
        self.assertTrue(all(each.heard.endswith(everybody) for each in clients[:-1]))
        self.assertIn(clients[-1].heard, (b"", everybody))

    def test_thousand_departures(self) -> None:
        """Those who stay are told a few times, and the last list is the true one."""
        house = House(max_players=2_000)
        stay = house.connect()
        stay.send_bytes(hello("stay", 4))
        leaving = [house.connect() for _ in range(300)]
        for number, client in enumerate(leaving):
            client.send_bytes(hello(f"leave{number}", 4))
        house.settle()
        stay.forget()
        for client in leaving:
            client.end()
            house.turn(0.001)
        house.settle()
        told = stay.messages()
        self.assertLessEqual(len(told), 5)
        self.assertEqual(told[-1], ":>>USERS:1:stay")

    def test_old_clients(self) -> None:
        """Protocols 1 to 3 are told each name once and no list of users."""
        house = House(max_players=2_000)
        carol = house.launcher("carol", 3)
        for number in range(200):
            house.connect().send_bytes(hello(f"user{number}", 4))
            house.turn(0.001)
        house.settle()
        self.assertEqual(
            carol.messages(), [f":>>MSG:System:user{number} is here" for number in range(200)]
        )

    def test_ten_changes_in_one_turn(self) -> None:
        """One list, the newest."""
        house = House()
        alice = house.launcher("alice")
        for number in range(10):
            house.connect().send_bytes(hello(f"user{number}", 4))
        house.turn(0)
        names = ":".join(f"user{number}" for number in range(10))
        self.assertEqual(alice.messages(), [f":>>USERS:11:alice:{names}"])
        house.turn(10)
        self.assertEqual(alice.messages(), [])

    def test_ten_rooms_in_one_turn(self) -> None:
        house = House()
        alice = house.launcher("alice")
        hosts = [house.launcher(f"user{number}") for number in range(10)]
        alice.forget()
        for number, host in enumerate(hosts):
            host.send_bytes(frame(b"<NEW>Room%d<PSWD><COUNT>2<MODS>" % number))
        house.turn(0)
        rooms = "".join(f":Room{number}:1:2:False" for number in range(10))
        self.assertEqual(alice.messages(), [":>>SESSIONS:10" + rooms])

    def test_no_change_no_list(self) -> None:
        """What leaves the room list as it was is not followed by one."""
        house = House()
        alice, bobby = house.launcher("alice"), house.launcher("bobby")
        house.room("Arena", alice, bobby)
        for text in ("<READY>Arena", "<READY>Arena", "<MSG>hello", "<MODS>a&1", "<HERE>"):
            bobby.send(text)
        self.assertEqual(alice.of_kind("SESSIONS"), [])

    def test_mixed_room_changes(self) -> None:
        """
        Rooms made, joined, left, ended and started within a second: few lists, and the
        last one is right; what the players are told themselves is told each time.
        """
        house = House(max_players=200)
        watcher = house.launcher("watcher", 3)
        hosts = [house.launcher(f"host{number}") for number in range(20)]
        guests = [house.launcher(f"guest{number}") for number in range(20)]
        for each in house.clients:
            each.forget()
        for number, (host, guest) in enumerate(zip(hosts, guests, strict=True)):
            name = b"Room%d" % number
            for client, text in (
                (host, b"<NEW>" + name + b"<PSWD><COUNT>3<MODS>"),
                (guest, b"<JOIN>" + name + b"<PSWD><MODS>"),
                (guest, b"<LEAVE>" + name),
                (guest, b"<JOIN>" + name + b"<PSWD><MODS>"),
                ((host, b"<LEAVE>" + name), (host, b"<FORCESTART>" + name))[number % 2]
                if number < 18
                else (host, b"<PSWD>"),
            ):
                client.send_bytes(frame(text))
                house.turn(0.01)
        house.turn(0.2)
        told = watcher.messages()
        lists = [each for each in told if each.startswith(":>>SESSIONS:")]
        self.assertEqual(told, lists)
        self.assertLessEqual(len(lists), BROADCASTS + 1)
        self.assertEqual(lists[-1], ":>>SESSIONS:2:Room18:2:3:False:Room19:2:3:False")
        for number in (18, 19):
            kinds = Counter(each.split(":")[1] for each in hosts[number].messages())
            self.assertEqual(kinds[">>CREATED"], 1)
            self.assertEqual(kinds[">>JOIN"], 3)  # the host's own and the guest's two

    def test_the_last_change_is_never_lost(self) -> None:
        """Whenever the last change comes after a broadcast, it is told within 100 ms."""
        for milliseconds in (0, 1, 50, 99, 100, 101, 250):
            house = House()
            alice = house.launcher("alice")
            bobby = house.connect()
            bobby.send_bytes(hello("bobby", 4))
            house.turn(0)
            alice.forget()
            house.turn(milliseconds / 1000)
            bobby.end()
            house.turn(0.1)
            house.turn(0)
            self.assertEqual(alice.messages(), [":>>USERS:1:alice"], milliseconds)

    def test_who_comes_between_broadcasts(self) -> None:
        """A player greeted while a broadcast waits knows it all, and is not told twice."""
        house = House()
        house.launcher("alice")
        house.launcher("bobby")
        house.connect().send_bytes(hello("carol", 4))
        house.turn(0.05)
        late = house.connect()
        late.send_bytes(hello("diana", 4))
        house.turn(0)
        self.assertEqual(len(late.of_kind("USERS")), 2)
        house.settle()
        self.assertEqual(late.messages(), [])
