"""Tests for the codec: every message, junk, and what is stored."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gameservers.games.tictactoe import wire
from gameservers.games.tictactoe.rules import Cell, Game, Mark, Outcome
from tests.games.tictactoe.moves import legal_moves
from tests.games.tictactoe.replay import SCENARIOS, lines_of
from tests.games.tictactoe.test_rules import play

ID = "0123456789abcdef0123456789abcdef"

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


def message(kind: object, data: object) -> str:
    return json.dumps({"type": kind, "data": data})


class ParseTests(SynchronousTestCase):
    def test_every_message(self) -> None:
        numbers = {"sub_x": "0", "sub_y": 1, "x": "2", "y": 0}
        for kind, data, wanted in (
            ("login", {"name": "Bob", "pw": "x"}, wire.LogIn("Bob", "x")),
            ("temp_session", {"name": "Bob"}, wire.LogIn("Bob", "")),
            ("reconnect", {"id": ID}, wire.Reconnect(ID)),
            ("match_request", {"player": None}, wire.MatchRequest(None)),
            ("match_request", {"player": "bob"}, wire.MatchRequest("bob")),
            ("move", {"id": ID, **numbers}, wire.Move(ID, Cell(0, 1, 2, 0))),
            ("move", {"id": ID}, wire.Move(ID, None)),
            ("end_match", {"id": ID}, wire.EndMatch(ID)),
            ("friend_request", {"user": "bob"}, wire.FriendRequest("bob")),
            ("unfriend_request", {"user": "bob"}, wire.UnfriendRequest("bob")),
            ("match_states_request", None, wire.MatchStatesRequest()),
            ("end_game", {"msg": ""}, wire.EndGame()),
            ("ping", None, wire.Ping()),
            ("cancel_request", {}, wire.CancelRequest()),
        ):
            self.assertEqual(wire.parse(message(kind, data)), wanted)
            self.assertEqual(wire.parse(message(kind, data).encode()), wanted)

    def test_malformed(self) -> None:
        for kind, data in (
            ("login", {"name": "bob", "pw": []}),
            ("login", {"name": 5, "pw": ""}),
            ("login", None),
            ("temp_session", {}),
            ("reconnect", {"id": 0}),
            ("reconnect", {"id": ID.upper()}),
            ("reconnect", {"id": ID + "\n"}),
            ("match_request", {}),
            ("match_request", {"player": 5}),
            ("move", None),
            ("move", {"id": 5}),
            ("end_match", {"id": [ID]}),
            ("friend_request", {"user": None}),
            ("unfriend_request", []),
        ):
            self.assertEqual(wire.parse(message(kind, data)), wire.Malformed(kind))

    def test_numbers(self) -> None:
        """Numbers of a cell are 0, 1, 2 or such a digit; nothing that is only like them."""
        for odd in (1.0, 1.9, True, " 1 ", "1.0", "", "x", None, [1], {}, 3, -1, "3", "٢", 10**30):
            data = {"id": ID, "sub_x": odd, "sub_y": 0, "x": 0, "y": 0}
            self.assertEqual(wire.parse(message("move", data)), wire.Move(ID, None), odd)

    def test_no_message(self) -> None:
        deep = "[" * 8000
        for text in ("", "hello", "{", "5", "null", "[]", "{}", '"type data"', '["type","data"]',
                     '{"type":"login"}', '{"data":{}}', '{"type":5,"data":{}}', "NaN",
                     '{"type":"nope","data":{}}', '{"type":"end_game","data":NaN}', deep,
                     '{"type":"end_game","data":' + "9" * 5000 + "}"):  # fmt: skip
            self.assertRaises(wire.WireError, wire.parse, text)
        self.assertRaises(wire.WireError, wire.parse, b"\xff\xfe")

    def test_last_of_two_keys_counts(self) -> None:
        """As in upstream's JSON."""
        text = '{"type":"login","data":{"name":"dup","pw":"x"},"type":"end_game"}'
        self.assertEqual(wire.parse(text), wire.EndGame())

    def test_secrets_are_not_shown(self) -> None:
        shown = repr([wire.LogIn("bob", "hidden"), wire.Reconnect(ID)])
        self.assertNotIn("hidden", shown)
        self.assertNotIn(ID, shown)

    @settings(max_examples=60, deadline=None)
    @given(st.binary(max_size=200) | st.text(max_size=200) | JSON.map(json.dumps))
    def test_junk(self, junk: bytes | str) -> None:
        """Anything is a message or a L{wire.WireError}, nothing else."""
        with contextlib.suppress(wire.WireError):
            wire.parse(junk)

    @settings(max_examples=60, deadline=None)
    @given(
        st.sampled_from(sorted(wire._TYPES)),
        JSON,
        st.dictionaries(
            st.sampled_from(["id", "name", "pw", "player", "user", "sub_x", "sub_y", "x", "y"]),
            JSON,
        ),
    )
    def test_any_data(self, kind: str, data: object, fields: dict[str, Any]) -> None:
        """A known type with any data is a message."""
        for value in (data, fields):
            self.assertIsNotNone(wire.parse(message(kind, value)))

    def test_everything_recorded(self) -> None:
        """What clients of the original sent is decoded or refused, never a surprise."""
        for scenario in SCENARIOS:
            for line in lines_of(scenario):
                if line["dir"] == "c2s" and line["text"].startswith("{"):
                    try:
                        wire.parse(line["text"])
                    except wire.WireError:
                        self.assertTrue(scenario.startswith("malformed"), line)


class NameTests(SynchronousTestCase):
    def test_folding(self) -> None:
        for typed, name in (("Bob", "bob"), ("-_-", "-_-"), ("a" * 16, "a" * 16), ("A1_", "a1_")):
            self.assertEqual(wire.fold_name(typed), name)
        for typed in (
            "ab",
            "a" * 17,
            "bob\n",
            " bob",
            "bo b",
            "bob\N{KELVIN SIGN}",
            "böb",
            "",
            "b.b",
        ):
            self.assertIsNone(wire.fold_name(typed))

    @given(st.text(max_size=20))
    def test_alphabet(self, typed: str) -> None:
        """Whatever is typed, a name that is taken is of the alphabet."""
        name = wire.fold_name(typed)
        if name is not None:
            self.assertRegex(name, r"\A[a-z0-9_-]{3,16}\Z")


class EncodeTests(SynchronousTestCase):
    def data(self, text: str) -> dict[str, Any]:
        decoded: dict[str, Any] = json.loads(text)
        self.assertEqual(set(decoded), {"type", "data"})
        data: dict[str, Any] = decoded["data"]
        return data

    def test_match_update(self) -> None:
        """The fields in their order, lists for boards, and both words for whose turn it is."""
        game = Game().move(Mark.A, Cell(sub_x=2, sub_y=0, x=1, y=2))
        moment = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
        text = wire.match_update(
            ID, moment, True, wire.encode_state(("ann", "bob"), game), timezone(timedelta(hours=1))
        )
        data = self.data(text)
        self.assertEqual(
            list(data), ["id", "revoke_time", "revoke_time_utc", "ranked", "match_state"]
        )
        self.assertEqual(data["revoke_time"], "2026-11-28 13:00:00")
        self.assertEqual(data["revoke_time_utc"], int(moment.timestamp()))
        state = data["match_state"]
        marks = [
            (row, column)
            for row in range(9)
            for column in range(9)
            if state["complete_field"][row][column]
        ]
        self.assertEqual(marks, [(0 * 3 + 2, 2 * 3 + 1)])
        self.assertEqual(state["last_move"], {"sub_x": 2, "sub_y": 0, "x": 1, "y": 2})
        self.assertEqual((state["active_player"], state["current_player"]), ("bob", "bob"))
        self.assertEqual(
            (state["game_over"], state["player_won"], state["is_draw"]), (False, None, False)
        )

    def test_over(self) -> None:
        """After the end there is no current player, but still an active one: the loser."""
        game, _ = play([])
        self.assertIs(game.end, Outcome.WON)
        state = json.loads(wire.encode_state(("ann", "bob"), game))
        self.assertEqual(state["current_player"], None)
        self.assertNotEqual(state["active_player"], state["player_won"])

    def test_responses(self) -> None:
        for text, fields in (
            (wire.login_response(True, ID, True, ""), ["success", "id", "registered", "msg"]),
            (
                wire.reconnect_response(False, None, None, False, ""),
                ["success", "id", "user", "registered", "msg"],
            ),
            (wire.elo_update(None, None, [("ann", 1)]), ["elo", "rank", "top_names", "top_elos"]),
            (wire.friends_update([("ann", 1)]), ["friends", "elos"]),
            (wire.match_request_response(True, ""), ["success", "msg"]),
        ):
            self.assertEqual(list(self.data(text)), fields)


class StateTests(SynchronousTestCase):
    @settings(max_examples=20, deadline=None)
    @given(st.lists(st.integers(0, 80), max_size=81), st.integers(0, 81), st.booleans())
    def test_round_trip(self, choices: list[int], stop: int, closed: bool) -> None:
        game = Game()
        for choice in choices[:stop]:
            allowed = sorted(legal_moves(game))
            if not allowed:
                break
            game = game.move(game.turn, allowed[choice % len(allowed)])
        if closed and not game.over:
            game = game.close()
        players = "ann", "bob"
        self.assertEqual(wire.decode_state(wire.encode_state(players, game)), (players, game))

    def test_fits_its_column(self) -> None:
        game, _ = play([])
        self.assertLess(len(wire.encode_state(("a" * 16, "b" * 16), game)), 4096)

    def test_oldest_rows(self) -> None:
        """Rows of the original without C{is_draw} and our additions are read."""
        game, _ = play([3, 1, 4, 1, 5])
        state = json.loads(wire.encode_state(("ann", "bob"), game))
        for key in ("is_draw", "current_player"):
            del state[key]
        self.assertEqual(wire.decode_state(json.dumps(state))[1], game)

    @settings(max_examples=60, deadline=None)
    @given(st.data())
    def test_broken(self, data: st.DataObject) -> None:
        """A state with anything replaced in it is read, or a L{wire.BadState}."""
        state = json.loads(wire.encode_state(("ann", "bob"), Game()))
        state[data.draw(st.sampled_from(sorted(state)))] = data.draw(JSON)
        for text in (json.dumps(state), data.draw(st.text(max_size=40)), "[" * 5000):
            with contextlib.suppress(wire.BadState):
                wire.decode_state(text)
