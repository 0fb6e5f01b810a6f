"""
One HTTP connection and its requests, with bounds on what a client can make the server hold.

C{twisted.web} by itself works through everything that was read in one go, keeps the answers until
the client reads them, and stores request bodies of any size on disk.  Here:

  - Requests are served one at a time, each when it is the connection's turn
    (L{gameservers.net.turn}).  The next one waits until the network has taken the answer.
    Pipelined requests wait unread: beyond the one that is being served at most L{READ_AHEAD} bytes
    are kept, and reading is paused.
  - A body is refused with 413 before it is read, and without C{100 Continue}, unless the resource
    has an attribute C{max_body}: the number of bytes that it accepts.  It needs a Content-Length
    (411), and is kept in memory.
  - A request must arrive within a time limit, however slowly its bytes come (408).  So must the
    client read its answer, or it is cut off as slow.
  - Heads have at most L{MAX_HEAD} bytes (431), and exactly one Host (400).

Every answer has the security headers of L{gameservers.net.headers}, whoever gives it, and none
tells the server's version.  C{OPTIONS} is answered with the methods of the resource, and so is a
known method that it does not have (405), such as C{TRACE}; an unknown one is answered with 501.

One private method of twisted.web's is overridden, C{_respondToBadRequestAndDisconnect}, because
its answer is fixed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from io import BytesIO
from typing import Any
from urllib.parse import unquote_to_bytes

from twisted.internet.protocol import connectionDone
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from twisted.web.http import NO_BODY_CODES, HTTPChannel, datetimeToString
from twisted.web.http_headers import Headers
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request

from gameservers.config.vocabulary import option
from gameservers.net.bypass import bound_buffers, is_plain
from gameservers.net.guard import Reason, Ticket
from gameservers.net.headers import HEADERS

#: Maximum size of a request's head, in bytes.
MAX_HEAD = 16 * 1024

#: Bytes of further requests that may be read while one is served; and bytes of answers from which
#: on the next request waits until they are sent.
READ_AHEAD = 16 * 1024

#: How long a client whose request is refused may take to read that and close, in seconds.
LINGER = 5.0

#: The methods that a resource can have; all others are unknown.
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT")

TEXT = "text/plain; charset=utf-8"

#: As what a request is counted that is refused and ends its connection; any other is malformed.
REASONS = {
    HTTPStatus.REQUEST_TIMEOUT: Reason.SILENT,
    HTTPStatus.LENGTH_REQUIRED: Reason.REFUSED,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: Reason.REFUSED,
}

_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class SiteSettings:
    """The settings of the web site."""

    http_timeout: float = option(
        30.0,
        "Time in which an HTTP client must send a request, and in which it must read the answer",
        unit="seconds",
        minimum=1,
        maximum=3_600,
    )


class WebRequest(Request):
    """
    One request.

    @ivar refusal: why it is refused, whatever its resource is.
    """

    refusal: HTTPStatus | None = None
    channel: Channel
    _resource: IResource

    def __init__(self, channel: Channel, *args: Any, **kwargs: Any) -> None:
        super().__init__(channel, *args, **kwargs)
        self.setHeader("Date", datetimeToString())
        for name, value in HEADERS.items():
            self.setHeader(name, value)

    def look_up(self, target: bytes) -> int:
        """
        Find the resource of this request; its body has not arrived yet.

        @return: the number of bytes that the body may have.
        """
        path = target.partition(b"?")[0]
        self.prepath: list[bytes] = []
        self.postpath = [unquote_to_bytes(part) for part in path[1:].split(b"/")]
        self._resource = self.channel.site.getResourceFor(self)
        max_body: int = getattr(self._resource, "max_body", 0)
        return max_body

    def gotLength(self, length: int | None) -> None:
        """Keep the body in memory, as its size is bounded."""
        self.content = BytesIO()

    def process(self) -> None:
        try:
            self.render(self._resource)
        except Exception:
            self.processingFailed(Failure())

    def render(self, resource: IResource) -> None:
        """Answer with what the resource gives, or with what it cannot."""
        method = self.method.decode("ascii")
        allowed = methods_of(resource)
        body: Any
        if self.refusal is not None:
            body = self._status(self.refusal)
        elif method not in METHODS:
            body = self._status(HTTPStatus.NOT_IMPLEMENTED)
        elif method in allowed:
            body = resource.render(self)
        else:
            self.setHeader("Allow", ", ".join([*allowed, "OPTIONS"]))
            asked = method == "OPTIONS"
            body = self._status(HTTPStatus.NO_CONTENT if asked else HTTPStatus.METHOD_NOT_ALLOWED)
        if body is NOT_DONE_YET:
            return
        if self.code not in NO_BODY_CODES:
            self.setHeader("Content-Length", str(len(body)))
        self.write(body)
        self.finish()

    def _status(self, status: HTTPStatus) -> bytes:
        self.setResponseCode(status)
        self.setHeader("Content-Type", TEXT)
        return text_of(status)


class Channel(HTTPChannel):
    """
    One HTTP connection.

    @ivar ticket: the guard's ticket, set by the door.
    @ivar used: see L{gameservers.net.turn.Waiting}.
    """

    ticket: Ticket | None = None
    transport: Any
    site: Any
    used = 0.0

    def __init__(self) -> None:
        super().__init__()
        self._ahead = bytearray()  # what was read and belongs to no request yet
        self._searched = 0  # bytes of it that do not have the end of a head
        self._line: Sequence[bytes] = ()  # method, target and version of the request
        self._missing = 0  # bytes of the request's body that have not arrived
        self._unsent = False  # whether an answer waits for the network
        self._ending = False
        self._refused = False  # whether it ends because of what the client has sent
        self._queued = False  # whether the next request waits for the turn
        self._serving = False

    # --- what Twisted calls -------------------------------------------------------------------

    def connectionMade(self) -> None:
        bound_buffers(self.transport, READ_AHEAD)
        super().connectionMade()

    def dataReceived(self, data: bytes) -> None:
        if self._ending:
            return
        self._ahead += data
        if not self._busy:
            if self.site.turn.slice_for(self):
                self._serve()
            else:
                self._go_on()
        if self._ahead and self._busy:
            self.transport.pauseProducing()

    def lineReceived(self, line: bytes) -> None:
        """Ignore what follows a bad line."""
        if not self._ending:
            super().lineReceived(line)

    def allHeadersReceived(self) -> None:
        """Decide about the body, which has not been looked at."""
        request = self.requests[-1]
        refusal = self._objection(request)
        if refusal is not None:
            self._count_refusal(refusal)
            request.refusal = refusal
            self.length = 0
        if self.length == 0:  # nothing to wait for, so nothing to ask for
            request.requestHeaders.removeHeader("Expect")
        super().allHeadersReceived()
        if refusal is not None:
            self.persistent = False
            request.setHeader("Connection", "close")
        self._missing = self.length or 0

    def requestDone(self, request: Request) -> None:
        super().requestDone(request)
        if self._unsent:
            self.setTimeout(self.site.timeOut)
        else:
            self._go_on()

    def pauseProducing(self) -> None:
        """The transport has enough to send."""
        super().pauseProducing()
        if not self._unsent:
            self._unsent = True
            self.setTimeout(self.site.timeOut)

    def resumeProducing(self) -> None:
        """The transport has sent everything."""
        self._unsent = False
        if self._ending:
            self._close()
            return
        super().resumeProducing()
        self.setTimeout(None if self._busy else self.site.timeOut)
        self._go_on()

    def timeoutConnection(self) -> None:
        if self._unsent:
            self._ending = True
            if self.ticket is not None:
                self.ticket.guard.cut(self.ticket, Reason.SLOW, "HTTP: it does not read")
            else:
                self.transport.abortConnection()
        elif self._ending:
            self.transport.abortConnection()
        elif self._ahead or self._missing:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)
        else:
            self.loseConnection()

    def loseConnection(self) -> None:
        """Close when all is sent; what still comes is ignored."""
        if not self._ending:
            self._ending = True
            self._ahead.clear()
            if not self._unsent:
                self._close()

    def _close(self) -> None:
        self.transport.unregisterProducer()
        if self._refused and is_plain(self.transport):
            # Closing a socket with unread input would discard the answer on its way.
            self.setTimeout(LINGER)
            self.transport.resumeProducing()
            self.transport.loseWriteConnection()
        else:
            self.setTimeout(self.site.timeOut)
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._ending = True
        super().connectionLost(reason)
        if self.ticket is not None:
            self.ticket.lost()

    # --- one request after the other ----------------------------------------------------------

    @property
    def _busy(self) -> bool:
        """Whether further requests must wait."""
        served = bool(self.requests) and not self._missing
        return served or self._unsent or self._queued

    def _take(self) -> None:
        """Take one request from what was read, or what there is of it."""
        if not self._missing:
            end = self._ahead.find(_END, max(self._searched - len(_END) + 1, 0))
            size = len(self._ahead) if end < 0 else end + len(_END)
            if size > MAX_HEAD:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
                return
            if end < 0:
                self._searched = size
                return
            self._searched = 0
            head = self._shift(size)
            self._line = head.lstrip().partition(b"\r\n")[0].split(b" ")
            self._feed(head)
        if self._missing and self._ahead:
            body = self._shift(self._missing)
            self._missing -= len(body)
            self._feed(body)

    def _shift(self, size: int) -> bytes:
        taken = bytes(self._ahead[:size])
        del self._ahead[:size]
        return taken

    def _feed(self, data: bytes) -> None:
        # The next class's own would start the time limit anew.
        LineReceiver.dataReceived(self, data)

    def _go_on(self) -> None:
        """Serve the next request when it is this connection's turn."""
        if self._ahead and not self._ending and not self._queued:
            self.transport.pauseProducing()
            self._queued = True
            if not self._serving:  # else when its time has been counted
                self.site.turn.queue(self)

    def go_on(self, time: float) -> None:
        """Serve the next request, as it is this connection's turn."""
        self._queued = False
        if self._ending:
            return
        self._serve()
        if not (self._ending or (self._busy and self._ahead)):
            self.transport.resumeProducing()

    def _serve(self) -> None:
        seconds = self.site.turn.clock.seconds
        begun = seconds()
        self._serving = True
        self._take()
        self._serving = False
        self.site.turn.spend(self, seconds() - begun, more=bool(self._ahead))
        if self._queued:
            self.site.turn.queue(self)

    # --- what is refused ----------------------------------------------------------------------

    def _objection(self, request: WebRequest) -> HTTPStatus | None:
        """Why a request is refused, if it is."""
        _, target, version = self._line
        max_body = request.look_up(target)
        hosts = request.requestHeaders.getRawHeaders("Host", ())
        if len(hosts) > 1 or (not hosts and version == b"HTTP/1.1"):
            return HTTPStatus.BAD_REQUEST
        if self.length is None and max_body:
            return HTTPStatus.LENGTH_REQUIRED
        if self.length is None or self.length > max_body:
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        return None

    def _respondToBadRequestAndDisconnect(self) -> None:
        self._refuse(HTTPStatus.BAD_REQUEST)

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer what is not even a request, and close."""
        if self._ending:
            return
        self._count_refusal(status)
        body = text_of(status)
        headers = Headers({name: [value] for name, value in HEADERS.items()})
        headers.setRawHeaders("Content-Type", [TEXT])
        headers.setRawHeaders("Content-Length", [str(len(body))])
        headers.setRawHeaders("Connection", ["close"])
        code, phrase = str(status.value).encode(), status.phrase.encode()
        self.writeHeaders(b"HTTP/1.1", code, phrase, headers)
        self.transport.write(body)
        self.loseConnection()

    def _count_refusal(self, status: HTTPStatus) -> None:
        self._refused = True
        if self.ticket is not None:
            reason = REASONS.get(status, Reason.MALFORMED)
            self.ticket.guard.count(self.ticket, reason, f"HTTP: {status.phrase}")


def methods_of(resource: IResource) -> list[str]:
    """The methods that a resource has; any if it does not tell them apart."""
    if getattr(type(resource), "render", None) is not Resource.render:
        return [method for method in METHODS if method not in ("OPTIONS", "TRACE", "CONNECT")]
    found = [method for method in METHODS if hasattr(resource, f"render_{method}")]
    return [method for method in found if method != "HEAD" or "GET" in found]


def text_of(status: HTTPStatus) -> bytes:
    """The body of an answer that is no page."""
    return f"{status.phrase}.\n".encode()
