"""
The web site: the pages of all games, on every port that accepts HTTP.

The pages of a game are below its name, so tic-tac-toe's are at C{/tictactoe/}.  Any other path is
looked up among the pages of the first game that has any, which serve as the front page. WebSockets
are handled elsewhere (L{gameservers.net.door}).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import NOT_FOUND, HTTPChannel
from twisted.web.http import Request as HttpRequest
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request, Site
from twisted.web.util import redirectTo

from gameservers.net.guard import Ticket

#: How long an HTTP client may be silent, in seconds.
SILENCE_TIMEOUT = 30.0

#: Sent with every page: it may load nothing from other sites, nor be embedded in other pages.
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " img-src 'self' data:; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}


class Channel(HTTPChannel):
    """
    One HTTP connection.

    @ivar ticket: the guard's ticket, set by the door.
    """

    ticket: Ticket | None = None
    _closing = False

    def loseConnection(self) -> None:
        self._closing = True
        super().loseConnection()

    def lineReceived(self, line: bytes) -> None:
        """Ignore what follows a bad request: a TLS transport does not say that it is closing."""
        if not self._closing:
            super().lineReceived(line)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        if self.ticket is not None:
            self.ticket.lost()


class Page(Resource):
    """One file, kept in memory."""

    isLeaf = True

    def __init__(self, content_type: str, content: bytes) -> None:
        super().__init__()
        self._content_type = content_type
        self._content = content

    def render_GET(self, request: Request) -> bytes:
        for name, value in HEADERS.items():
            request.setHeader(name, value)
        request.setHeader("content-type", self._content_type)
        return self._content


class NoPage(Resource):
    """The answer for paths that do not exist."""

    isLeaf = True

    def render_GET(self, request: Request) -> bytes:
        request.setResponseCode(NOT_FOUND)
        request.setHeader("content-type", "text/plain; charset=utf-8")
        return b"There is no such page.\n"


class Pages(Resource):
    """
    The pages of one directory.

    @param pages: name to file and content type; the name C{""} is the index page.
    """

    def __init__(self, package: str, pages: Mapping[str, tuple[str, str]]) -> None:
        super().__init__()
        folder = files(package) / "page"
        for name, (file, content_type) in pages.items():
            self.putChild(name.encode(), Page(content_type, (folder / file).read_bytes()))

    def render_GET(self, request: Request) -> bytes:
        """Redirect to the path with a slash, so that relative links work."""
        return redirectTo(request.path + b"/", request)

    def getChildWithDefault(self, path: bytes, request: Request) -> IResource:
        """There is nothing below a page."""
        return NoPage() if request.postpath else super().getChildWithDefault(path, request)

    def getChild(self, path: bytes, request: Request) -> IResource:
        return NoPage()


class Root(Resource):
    """The pages of all games."""

    def __init__(self, games: Iterable[tuple[str, IResource]]) -> None:
        super().__init__()
        self._home: IResource | None = None
        for name, pages in games:
            self.putChild(name.encode(), pages)
            self._home = self._home or pages

    def getChild(self, path: bytes, request: Request) -> IResource:
        if self._home is None:
            return NoPage()
        if self._home.isLeaf:
            return self._home
        found: IResource = self._home.getChildWithDefault(path, request)
        return found


class WebSite(Site):
    """
    The factory of HTTP connections.

    @param games: name and pages of each game that has any.
    """

    noisy = False

    def __init__(self, games: Iterable[tuple[str, IResource]], reactor: IReactorTime) -> None:
        super().__init__(Root(games), timeout=SILENCE_TIMEOUT, reactor=reactor)
        self.protocol: Any = Channel

    def log(self, request: HttpRequest) -> None:
        """Do not log every request."""
