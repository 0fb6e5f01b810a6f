"""
Ultimate tic-tac-toe over WebSocket: JSON messages to values and back.

A message is one WebSocket message (text; binary is accepted too if it is UTF-8), which is one JSON
object C{{"type": <string>, "data": <any>}}; further keys are ignored.  Messages are not numbered:
answers come in the order of the requests, with other messages in between.  A message has at most
L{MAX_MESSAGE} bytes (our limit; upstream has 1 MiB, its client sends under 200).

Client to server, first message, exactly one of::

    login                 name: string, pw: string, "" for a temporary session
    temp_session          name: string; the same as login with pw ""
    reconnect             id: string of 32 lower-case hexadecimal digits

and after it any of::

    match_request         player: name to invite, or null for any opponent
    cancel_request        anything; look for any opponent no longer
    move                  id, sub_x, sub_y, x, y: each 0 to 2, a number or a string of one digit
    end_match             id
    friend_request        user: name
    unfriend_request      user: name
    match_states_request  anything
    end_game              anything; ignored
    ping                  anything; answered with pong, so that a page notices a dead connection

Server to client, with all fields always present::

    login_response          success: bool, id: string|null, registered: bool, msg: string
    reconnect_response      success, id: string|null, user: string|null, registered, msg
    elo_update              elo: int|null, rank: int|null, top_names: [string], top_elos: [int]
    friends_update          friends: [string], elos: [int]
    match_request_response  success: bool, msg: string
    friend_request_response, unfriend_request_response: the same
    pong                    nothing
    match_update            id: string, revoke_time: "YYYY-MM-DD HH:MM:SS" in the server's local
                            time, revoke_time_utc: int (seconds since 1970), ranked: bool,
                            match_state: object
    match_state             complete_field: 9 lists of 9 int, global_field: 3 lists of 3 int,
                            last_move: null | {sub_x, sub_y, x, y: int}, game_over: bool,
                            player_won: null|string, active_player: string,
                            current_player: null|string, player_a, player_b: string,
                            is_draw: bool

C{complete_field[sub_y*3+y][sub_x*3+x]} and C{global_field[sub_y][sub_x]} are 0 empty, 1 player A,
2 player B and, of C{global_field}, 3 for a draw.  C{active_player} is the player to move and,
after the last move, the one that did not make it; C{current_player} is the same, but null once the
game is over.  C{top_names} and C{top_elos} are of equal length, at most L{TOP}.
C{revoke_time_utc}, C{current_player}, C{cancel_request}, C{ping} and C{pong} are additions of this
server.

A name is folded to lower case, and is then 3 to L{MAX_NAME} of C{a-z 0-9 _ -}.  A password is 1 to
L{MAX_PASSWORD} code points of any kind.  A match id looks like a session id.

Anything else, or an unknown type, raises L{WireError}; a known type with invalid data is
L{Malformed}, which is answered if the type has a response.

Source: antielektron/ultimate_tictactoe_server at 77e1237 and ultimate_tictactoe_client at 62d5ed7,
observed running.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from typing import Any, NoReturn, get_args

from gameservers.games.tictactoe.rules import Cell, Game, Mark, Nine, Outcome
from gameservers.wire import WireError

#: Maximum size of a message, in bytes.
MAX_MESSAGE = 16 * 1024

#: The longest name, in characters.
MAX_NAME = 16

#: The longest password, in characters.
MAX_PASSWORD = 32

#: Length of the list of the best players.
TOP = 100

_NAME = re.compile(r"[a-z0-9_-]{3,16}")
_ID = re.compile(r"[0-9a-f]{32}")


class BadState(ValueError):
    """A stored state is invalid."""


# --- client to server ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LogIn:
    """C{name} is as the client typed it; C{password} C{""} asks for a temporary session."""

    name: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Reconnect:
    session_id: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class MatchRequest:
    """C{player} is as typed, or L{None} for any opponent."""

    player: str | None


@dataclass(frozen=True, slots=True)
class CancelRequest:
    pass


@dataclass(frozen=True, slots=True)
class Move:
    """C{cell} is L{None} if the numbers are invalid, and the move is refused."""

    match_id: str
    cell: Cell | None


@dataclass(frozen=True, slots=True)
class EndMatch:
    match_id: str


@dataclass(frozen=True, slots=True)
class FriendRequest:
    user: str


@dataclass(frozen=True, slots=True)
class UnfriendRequest:
    user: str


@dataclass(frozen=True, slots=True)
class MatchStatesRequest:
    pass


@dataclass(frozen=True, slots=True)
class EndGame:
    """Exists in the client's code, but is never sent; it has no effect."""


@dataclass(frozen=True, slots=True)
class Ping:
    pass


@dataclass(frozen=True, slots=True)
class Malformed:
    """C{type} is a known type with invalid data."""

    type: str


Message = (
    LogIn
    | Reconnect
    | MatchRequest
    | CancelRequest
    | Move
    | EndMatch
    | FriendRequest
    | UnfriendRequest
    | MatchStatesRequest
    | EndGame
    | Ping
    | Malformed
)

#: All messages that a client can send.
MESSAGES: tuple[type[Message], ...] = get_args(Message)


def parse(message: str | bytes | bytearray) -> Message:
    """Decode one message, or raise L{WireError}."""
    try:
        value = _decode(message if isinstance(message, str) else message.decode("utf-8"))
    except (ValueError, RecursionError) as problem:
        raise WireError("not JSON") from problem
    if not (type(value) is dict and "data" in value and isinstance(value.get("type"), str)):
        raise WireError("not an object with a type and data")
    kind, data = value["type"], value["data"]
    match kind, data:
        case "move", {"id": str(match_id)} if _ID.fullmatch(match_id):  # by far the most frequent
            return Move(match_id, _cell(data))
        case "login", {"name": str(name), "pw": str(password)}:
            return LogIn(name, password)
        case "temp_session", {"name": str(name)}:
            return LogIn(name, "")
        case "reconnect", {"id": str(session_id)} if _ID.fullmatch(session_id):
            return Reconnect(session_id)
        case "match_request", {"player": str() | None as player}:
            return MatchRequest(player)
        case "end_match", {"id": str(match_id)} if _ID.fullmatch(match_id):
            return EndMatch(match_id)
        case "friend_request", {"user": str(user)}:
            return FriendRequest(user)
        case "unfriend_request", {"user": str(user)}:
            return UnfriendRequest(user)
        case "match_states_request", _:
            return MatchStatesRequest()
        case "end_game", _:
            return EndGame()
        case "ping", _:
            return Ping()
        case "cancel_request", _:
            return CancelRequest()
    if kind in _TYPES:
        return Malformed(kind)
    raise WireError("unknown type")


_TYPES = {
    "login",
    "temp_session",
    "reconnect",
    "match_request",
    "move",
    "end_match",
    "friend_request",
    "unfriend_request",
}


def fold_name(typed: str) -> str | None:
    """Normalise a name; L{None} if it is invalid."""
    # Before folding, because some letters outside ASCII fold to ASCII.
    if not typed.isascii():
        return None
    name = typed.lower()
    return name if _NAME.fullmatch(name) else None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_decode = json.JSONDecoder(parse_constant=_refuse_constant).decode


def _cell(data: dict[str, Any]) -> Cell | None:
    try:
        return Cell(*[_NUMBERS[type(number), number] for number in map(data.get, Cell._fields)])
    except (KeyError, TypeError):
        return None


#: The type is in the key, because C{True} equals C{1} in a dictionary.
_NUMBERS: dict[Any, int] = {
    (kind, kind(number)): number for kind in (int, str) for number in range(3)
}


# --- server to client ------------------------------------------------------------------------


def login_response(success: bool, session_id: str | None, registered: bool, msg: str) -> str:
    return _message(
        "login_response",
        {"success": success, "id": session_id, "registered": registered, "msg": msg},
    )


def reconnect_response(
    success: bool, session_id: str | None, user: str | None, registered: bool, msg: str
) -> str:
    return _message(
        "reconnect_response",
        {"success": success, "id": session_id, "user": user, "registered": registered, "msg": msg},
    )


def match_request_response(success: bool, msg: str) -> str:
    return _message("match_request_response", {"success": success, "msg": msg})


def friend_request_response(success: bool, msg: str) -> str:
    return _message("friend_request_response", {"success": success, "msg": msg})


def unfriend_request_response(success: bool, msg: str) -> str:
    return _message("unfriend_request_response", {"success": success, "msg": msg})


#: The answer to a ping.
PONG = '{"type":"pong","data":{}}'


def elo_update(elo: int | None, rank: int | None, top: Sequence[tuple[str, int]]) -> str:
    """Encode the rating; C{top} has names and ratings of the best, the best first."""
    return _message(
        "elo_update",
        {
            "elo": elo,
            "rank": rank,
            "top_names": [name for name, _ in top],
            "top_elos": [rating for _, rating in top],
        },
    )


def friends_update(friends: Sequence[tuple[str, int]]) -> str:
    """Encode the friends, which are given as names and ratings."""
    return _message(
        "friends_update",
        {"friends": [name for name, _ in friends], "elos": [rating for _, rating in friends]},
    )


def match_update(
    match_id: str, revoke_at: datetime, ranked: bool, state: str, zone: tzinfo | None = None
) -> str:
    """
    Encode the state of a match.

    @param revoke_at: the aware moment at which the match ends without a move.
    @param state: from L{encode_state}, inserted unchanged.
    @param zone: the time zone of C{revoke_time}; L{None} for this machine's.
    """
    seconds = int(revoke_at.timestamp())
    return (
        f'{{"type":"match_update","data":{{"id":{_encode(match_id)},'
        f'"revoke_time":"{_shown(seconds, zone)}","revoke_time_utc":{seconds},'
        f'"ranked":{_bool(ranked)},"match_state":{state}}}}}'
    )


@lru_cache(maxsize=16)
def _shown(seconds: int, zone: tzinfo | None) -> str:
    moment = datetime.fromtimestamp(seconds, UTC).astimezone(zone)
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def name_of(players: tuple[str, str], mark: Mark | None) -> str | None:
    """The player that has this mark."""
    if mark is Mark.A:
        return players[0]
    return players[1] if mark is Mark.B else None


def _message(kind: str, data: dict[str, Any]) -> str:
    return _encode({"type": kind, "data": data})


_encode = json.JSONEncoder(separators=(",", ":")).encode


# --- what is stored ----------------------------------------------------------------------------


def encode_state(players: tuple[str, str], game: Game) -> str:
    """
    Encode the C{match_state} object, which is also what is stored, as upstream does.

    It is the most expensive part of a move, so it is formatted by hand.
    """
    a, b = map(_encode, players)
    active = a if game.turn is Mark.A else b
    won = "null" if game.winner is None else a if game.winner is Mark.A else b
    move = "null"
    if game.last_move is not None:
        sub_x, sub_y, x, y = game.last_move
        move = f'{{"sub_x":{sub_x},"sub_y":{sub_y},"x":{x},"y":{y}}}'
    rows = ",".join([_rows(*game.cells[first : first + 3]) for first in (0, 3, 6)])
    return (
        f'{{"complete_field":[{rows}],"global_field":[{",".join(_threes(game.subgrids))}],'
        f'"last_move":{move},"game_over":{_bool(game.over)},"player_won":{won},'
        f'"active_player":{active},"current_player":{"null" if game.over else active},'
        f'"player_a":{a},"player_b":{b},"is_draw":{_bool(game.end is Outcome.DRAW)}}}'
    )


@lru_cache(maxsize=1024)
def _rows(left: Nine, middle: Nine, right: Nine) -> str:
    """The three rows of three small boards side by side."""
    rows = zip(_threes(left), _threes(middle), _threes(right), strict=True)
    return ",".join([f"{one[:-1]},{two[1:-1]},{three[1:]}" for one, two, three in rows])


@lru_cache(maxsize=1024)
def _threes(nine: Nine) -> tuple[str, str, str]:
    """The three rows of a small board, each as a list."""
    return _encode(nine[0:3]), _encode(nine[3:6]), _encode(nine[6:9])


def _bool(value: bool) -> str:
    return "true" if value else "false"


def decode_state(text: str) -> tuple[tuple[str, str], Game]:
    """
    Decode a stored state, ours or upstream's (whose oldest have no C{is_draw}) to players and
    game; raises L{BadState}.
    """
    try:
        return _decode_state(json.loads(text))
    except BadState:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as problem:
        raise BadState("not the state of a match") from problem


def _decode_state(state: Any) -> tuple[tuple[str, str], Game]:
    rows, large, move = state["complete_field"], state["global_field"], state["last_move"]
    players = state["player_a"], state["player_b"]
    if not all(isinstance(name, str) for name in players) or players[0] == players[1]:
        raise BadState("no two players")
    cells = tuple(
        tuple(
            Mark(rows[subgrid // 3 * 3 + place // 3][subgrid % 3 * 3 + place % 3])
            for place in range(9)
        )
        for subgrid in range(9)
    )
    if any(mark is Mark.DRAW for nine in cells for mark in nine):
        raise BadState("a cell cannot be drawn")
    winner = state["player_won"]
    marks = {players[0]: Mark.A, players[1]: Mark.B}
    last_move = None
    if move is not None:
        last_move = _cell(move)
        if last_move is None:
            raise BadState("the last move is nowhere")
    end = None
    if state["game_over"]:
        drawn = winner is None and state.get("is_draw")
        end = Outcome.WON if winner is not None else Outcome.DRAW if drawn else Outcome.CLOSED
    game = Game(
        cells=cells,
        subgrids=tuple(Mark(large[subgrid // 3][subgrid % 3]) for subgrid in range(9)),
        turn=marks[state["active_player"]],
        last_move=last_move,
        winner=None if winner is None else marks[winner],
        end=end,
    )
    return players, game
