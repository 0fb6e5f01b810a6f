"""
The texts and messages of the server.

The texts are upstream's, word for word, including misspellings, because its client displays
them.  Names in texts are folded to lower case.  The last group is ours, for cases in which
upstream sends nothing; so are those of a search that is cancelled.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from gameservers.games.tictactoe import wire
from gameservers.games.tictactoe.records import Match

REGISTERED = "successful registered and logged in user {}"
LOGGED_IN = "successful logged in as user {}"
TEMPORARY = "created a temporary session for user {}"
WRONG_PASSWORD = "invalid password for user {}"
NAME_RESERVED = "the username {} is currently not available"
NAME_EXISTS = "user '{}' already exists"
BAD_LOGIN = (
    "invalid username or pw. Only usernames containing alphanumerical symbols (including '_','-')"
    " between 3 and 16 characters are allowed!"
)
NO_SESSION = "session not available"

SEARCHING = "created match request"
CANCELLED = "cancelled match request"
NOT_SEARCHING = "you are not searching for a random match"
INVITED = "startet match against {}"
ALREADY_SEARCHING = "you are already searching for a random match"
TOO_MANY_MATCHES = "you have too many active matches to search for a new one"
OPPONENT_TOO_MANY = "player {} has too many open matches"
ALREADY_PLAYING = "you are already plaing against {}"
ONESELF = "you cannot play against yourself"
NO_USER = "user {} not found :("

BEFRIENDED = "added '{}' as a friend"
ALREADY_FRIEND = "'{}' is already your friend"
NO_PLAYER = "player '{}' not found"
BAD_FRIEND = "misformated friend request"
NO_FRIENDS = "you cannot have friends without an account"
FRIEND_ERROR = "error in handling friend request"
UNFRIENDED = "removed '{}' from your friend list"
NOT_A_FRIEND = "cannot end friendship with '{}': it's not one of your friends"
UNFRIEND_ERROR = "error in handling unfriend request"

BAD_REQUEST = "misformated match request"
TOO_MANY_FRIENDS = "you have too many friends"
TOO_MANY_ATTEMPTS = "too many attempts, please wait {} seconds"
LOBBY_FULL = "the server is full, please try again later"
UNAVAILABLE = "the server cannot answer now, please try again later"


def match_refused(text: str, name: str = "") -> str:
    """Refuse a match; C{name} is inserted into the text."""
    return wire.match_request_response(False, text.format(name))


def match_update(match: Match, lifetime: timedelta) -> str:
    """Encode a stored match; C{lifetime} is the time limit for a move."""
    return wire.match_update(match.id, match.last_active + lifetime, match.ranked, match.state)


#: The answers to messages with invalid data, where there is one.
MALFORMED: Mapping[str, str] = {
    "match_request": match_refused(BAD_REQUEST),
    "friend_request": wire.friend_request_response(False, FRIEND_ERROR),
    "unfriend_request": wire.unfriend_request_response(False, UNFRIEND_ERROR),
}
