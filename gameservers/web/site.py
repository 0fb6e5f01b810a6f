"""
The web site: the pages of all games, on every port that accepts HTTP.

The pages of a game are below its name, so tic-tac-toe's are at C{/tictactoe/}.  Any other path is
looked up among the pages of the first game that has any, which serve as the front page. WebSockets
are handled elsewhere (L{gameservers.net.door}).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.web.http import NOT_FOUND, NOT_MODIFIED
from twisted.web.http import Request as HttpRequest
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request, Site
from twisted.web.util import redirectTo

from gameservers.net.turn import Turn
from gameservers.web.channel import TEXT, Channel, SiteSettings, WebRequest

#: An entity tag, without the mark of a weak one.
_TAG = re.compile(r'"[!#-~\x80-\xff]*"')


class Page(Resource):
    """
    One file, kept in memory.

    Its entity tag is a hash of its content, so a browser that has it already is told so (304).
    """

    isLeaf = True

    def __init__(self, content_type: str, content: bytes) -> None:
        super().__init__()
        self._content_type = content_type
        self._content = content
        self._tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'

    def render_GET(self, request: Request) -> bytes:
        request.setHeader("ETag", self._tag)
        known = ",".join(request.requestHeaders.getRawHeaders("If-None-Match", ()))
        if known.strip() == "*" or self._tag in _TAG.findall(known):
            request.setResponseCode(NOT_MODIFIED)
            return b""
        request.setHeader("Content-Type", self._content_type)
        return self._content


class NoPage(Resource):
    """The answer for paths that do not exist."""

    isLeaf = True

    def render_GET(self, request: Request) -> bytes:
        request.setResponseCode(NOT_FOUND)
        request.setHeader("Content-Type", TEXT)
        return b"There is no such page.\n"

    render_POST = render_PUT = render_DELETE = render_PATCH = render_GET


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
    """The factory of HTTP connections."""

    noisy = False

    def __init__(
        self,
        games: Iterable[tuple[str, IResource]],
        reactor: IReactorTime,
        settings: SiteSettings | None = None,
        turn: Turn | None = None,
    ) -> None:
        """
        Serve these pages.

        @param games: name and pages of each game that has any.
        @param settings: L{None} for the defaults.
        @param turn: the reactor turn that all connections share; L{None} for one of its own.
        """
        super().__init__(
            Root(games),
            WebRequest,
            timeout=(settings or SiteSettings()).http_timeout,
            reactor=reactor,
            parsePOSTFormSubmission=False,
        )
        self.protocol: Any = Channel
        self.turn = Turn(reactor) if turn is None else turn

    def log(self, request: HttpRequest) -> None:
        """Do not log every request."""
