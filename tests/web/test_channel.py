"""Tests for HTTP connections: what a client can make the server hold, and what it is answered."""

from __future__ import annotations

import tempfile
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from gameservers.metrics import Metrics
from gameservers.net.door import Door, Routes
from gameservers.net.guard import DoorSettings, Guard
from gameservers.net.turn import MODEST
from gameservers.web import channel
from gameservers.web.site import NoPage, Page, WebSite
from tests.transports import Network, Peer

#: As large as the largest file of a page.
CONTENT = b"x" * 30_000

GET = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"

POST = b"POST /echo HTTP/1.1\r\nHost: here\r\n"


class Counted(Page):
    """A page that counts how often it was asked for."""

    asked = 0

    def render_GET(self, request: Any) -> bytes:
        self.asked += 1
        return super().render_GET(request)


class Echo(Resource):
    """Answers with the body."""

    isLeaf = True
    max_body = 1_000

    def render_POST(self, request: Any) -> bytes:
        body: bytes = request.content.read()
        return body


class Later(Resource):
    """Answers when it is told to."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Any] = []
        self.ended: list[Deferred[None]] = []

    def render_GET(self, request: Any) -> int:
        self.asked.append(request)
        self.ended.append(request.notifyFinish())
        return NOT_DONE_YET


class Broken(Resource):
    """Fails."""

    isLeaf = True

    def render_GET(self, request: Any) -> bytes:
        raise RuntimeError("a bug")


class Directory(Resource):
    def getChild(self, path: bytes, request: Any) -> Resource:
        return NoPage()


class HttpTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(channel, "datetimeToString", lambda: b"Sun, 06 Nov 1994 08:49:37 GMT")
        self.network = Network()
        self.metrics = Metrics()
        self.page = Counted("text/plain", CONTENT)
        self.later = Later()
        root = Directory()
        for name, child in (
            (b"", self.page),
            (b"echo", Echo()),
            (b"later", self.later),
            (b"broken", Broken()),
        ):
            root.putChild(name, child)
        guard = Guard(self.network, DoorSettings(), self.metrics)
        self.door = Door(guard, Routes(site=WebSite([("chess", root)], self.network)))

    def connect(self) -> Peer:
        return self.network.connect(self.door)

    def send(self, data: bytes, size: int = 1 << 30) -> Peer:
        peer = self.connect()
        peer.send(data, size)
        return peer

    def ask(self, request: str, *headers: str) -> tuple[str, dict[str, str], bytes]:
        """Status line, headers and body of the answer to one request."""
        lines = [f"{request} HTTP/1.1", "Host: here", *headers, "", ""]
        return self.answer(self.send("\r\n".join(lines).encode()))

    def answer(self, peer: Peer) -> tuple[str, dict[str, str], bytes]:
        head, _, body = peer.received().partition(b"\r\n\r\n")
        status, *lines = head.decode("ascii").split("\r\n")
        return status, dict(line.split(": ", 1) for line in lines), body

    def cuts(self) -> dict[str, int]:
        return {reason: count for (_, reason), count in self.metrics.cuts.items()}


class PipelineTests(HttpTestCase):
    def test_one_at_a_time(self) -> None:
        """A client that does not read its answers gets one, and is not read further."""
        peer = self.connect()
        peer.stall()
        peer.send(GET * 5_000)
        self.assertEqual(self.page.asked, 1)
        self.assertFalse(peer.reading)
        self.assertGreater(len(peer.socket.incoming), 32_000)

    def test_in_order(self) -> None:
        """All requests are answered, whether they come at once or in pieces."""
        requests = b"".join(
            POST + b"Content-Length: %d\r\n\r\n%b" % (size, b"%d" % (size % 10) * size)
            for size in (1, 20, 300, 4, 1_000)
        )
        whole = self.send(requests).received()
        self.assertEqual(whole.count(b"HTTP/1.1 200 OK"), 5)
        self.assertTrue(whole.endswith(b"0" * 1_000))
        for size in (1, 3, 50, 1_111):
            self.assertEqual(self.send(requests, size).received(), whole)

    def test_many(self) -> None:
        peer, answers = self.send(GET * 100), b""
        while more := peer.received():
            answers += more
        self.assertEqual(answers.count(CONTENT), 100)
        self.assertEqual(self.page.asked, 100)

    def test_a_turn_for_each(self) -> None:
        """Another client is answered before the pipelined requests of the first."""
        first, second = self.connect(), self.connect()
        for peer in (first, second):
            peer.send(b"GET ")
        first.socket.incoming += GET[4:] + GET * 50
        second.socket.incoming += GET[4:]
        asked: list[int] = []
        send = second.socket.send

        def noted(data: Any, flags: int = 0) -> int:
            asked.append(self.page.asked)
            sent: int = send(data, flags)
            return sent

        first.socket.room, second.socket.send = 1 << 30, noted
        self.network.turn()
        self.assertLessEqual(asked[0], 3)
        self.assertEqual(self.page.asked, 52)

    def test_further_requests_are_busy(self) -> None:
        """Who has sent more than one is charged all of its time, also while an answer waits."""
        used = []
        for requests in (GET, GET * 5_000):
            peer = self.connect()
            peer.stall()
            self.network.price = 0.000_1  # work takes time
            peer.send(requests)
            self.network.price = 0
            used.append(peer.protocol.used)
        self.assertEqual(self.page.asked, 2)
        self.assertAlmostEqual(used[1] / used[0], 1 / MODEST)

    def test_answer_that_takes_time(self) -> None:
        """What comes meanwhile waits, and only so much of it is read."""
        peer = self.send(b"GET /later HTTP/1.1\r\nHost: here\r\n\r\n" + GET * 5_000)
        (request,) = self.later.asked
        self.assertFalse(peer.reading)
        self.assertGreater(len(peer.socket.incoming), 32_000)
        self.assertEqual(self.page.asked, 0)
        peer.stall(100)
        request.write(b"now")
        request.finish()
        self.network.turn()
        self.assertEqual(self.page.asked, 1)

    def test_client_that_leaves_before_its_answer(self) -> None:
        peer = self.send(b"GET /later HTTP/1.1\r\nHost: here\r\n\r\n")
        self.assertTrue(peer.reading)
        peer.end()
        self.failureResultOf(self.later.ended[0])
        self.assertTrue(peer.closed)

    def test_nothing_is_left(self) -> None:
        """Neither a timer nor a ticket, whenever the client goes."""
        for first in (b"G", GET, GET * 3, GET[:-2], POST + b"Content-Length: 9\r\n\r\n1"):
            peer = self.send(first)
            peer.break_off()
            self.assertEqual(self.network.getDelayedCalls(), [])
            self.assertEqual(len(self.door.guard), 0)


class TimeTests(HttpTestCase):
    def test_client_that_does_not_read(self) -> None:
        peer = self.connect()
        peer.stall()
        peer.send(GET)
        self.network.turn(29)
        self.assertFalse(peer.closed)
        self.network.turn(1)
        self.assertTrue(peer.aborted)
        self.assertEqual(self.cuts(), {"slow": 1})

    def test_client_that_does_not_read_its_last_answer(self) -> None:
        peer = self.connect()
        peer.stall()
        peer.send(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        self.network.turn(30)
        self.assertTrue(peer.aborted)
        self.assertEqual(self.cuts(), {"slow": 1})

    def test_client_that_reads_late(self) -> None:
        peer = self.connect()
        peer.stall()
        peer.send(GET * 2)
        for _ in range(2):
            self.network.turn(29)
            peer.stall(len(CONTENT) + 1_000)
            self.network.turn()
        self.assertEqual(peer.socket.outgoing.count(CONTENT), 2)
        self.assertEqual(self.cuts(), {})

    def test_slow_head(self) -> None:
        """A head that comes in drops must be there in time, too."""
        peer = self.send(GET)
        peer.received()
        peer.send(GET[:-2])
        for _ in range(29):
            self.network.turn(1)
            peer.send(b"a: b\r\n")
        self.assertEqual(peer.received(), b"")
        self.network.turn(1)
        self.assertIn("408 Request Timeout", self.answer(peer)[0])
        self.assertTrue(peer.ended)
        self.assertEqual(self.cuts(), {"silent": 1})

    def test_slow_body(self) -> None:
        peer = self.send(POST + b"Content-Length: 1000\r\n\r\n")
        for _ in range(30):
            peer.send(b"a")
            self.network.turn(1)
        self.assertIn("408", self.answer(peer)[0])

    def test_silence(self) -> None:
        """A connection without requests is closed; that is nothing to count."""
        peer = self.send(GET)
        peer.received()
        self.network.turn(29)
        self.assertFalse(peer.ended)
        self.network.turn(1)
        self.assertTrue(peer.ended)
        self.assertEqual(self.cuts(), {})

    def test_each_request_has_its_time(self) -> None:
        peer = self.connect()
        for _ in range(3):
            peer.send(GET)
            self.assertIn("200", self.answer(peer)[0])
            self.network.turn(29)
        self.assertFalse(peer.ended)

    def test_answer_that_takes_time(self) -> None:
        """That is not the client's fault."""
        peer = self.send(b"GET /later HTTP/1.1\r\nHost: here\r\n\r\n")
        self.network.turn(100)
        self.later.asked[0].finish()
        self.assertIn("200", self.answer(peer)[0])

    def test_last_request(self) -> None:
        """After its answer the connection is closed."""
        peer = self.send(GET.replace(b"1.1", b"1.0") + GET)
        self.assertIn("200", self.answer(peer)[0])
        self.assertTrue(peer.closed)
        self.assertFalse(peer.aborted)
        self.assertEqual(self.page.asked, 1)
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_refused_client_that_does_not_close(self) -> None:
        """It has a few seconds to read why, in which it is not listened to."""
        peer = self.send(b"POST / HTTP/1.1\r\n\r\n")
        self.assertIn("400", self.answer(peer)[0])
        self.assertTrue(peer.ended)
        peer.send(GET)
        self.assertEqual(self.page.asked, 0)
        self.assertFalse(peer.closed)
        self.network.turn(5)
        self.assertTrue(peer.closed)
        self.assertEqual(self.network.getDelayedCalls(), [])


class BodyTests(HttpTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.patch(tempfile, "TemporaryFile", None)  # whatever is written is in memory

    def assertRefused(self, peer: Peer, status: str) -> None:
        found, headers, _ = self.answer(peer)
        self.assertEqual((found, headers["Connection"]), (f"HTTP/1.1 {status}", "close"))
        self.assertTrue(peer.ended)

    def test_where_none_is_expected(self) -> None:
        """It is refused before it is read, and not asked for."""
        for extra in (b"Content-Length: 629145600", b"Transfer-Encoding: chunked"):
            for more in (b"", b"Expect: 100-continue\r\n"):
                peer = self.send(b"POST / HTTP/1.1\r\nHost: here\r\n%b%b\r\n\r\n" % (more, extra))
                self.assertRefused(peer, "413 Request Entity Too Large")
                peer.send(b"x" * 100_000)
                self.assertEqual(peer.received(), b"")
                self.assertEqual(len(peer.protocol._ahead), 0)
        self.assertEqual(self.cuts(), {"refused": 4})

    def test_client_that_reads_the_refusal(self) -> None:
        """What it has sent already does not destroy the answer on its way."""
        peer = self.connect()
        peer.socket.incoming += b"PUT / HTTP/1.1\r\nHost: here\r\nContent-Length: 99999\r\n\r\n"
        peer.socket.incoming += b"x" * 99_999
        self.network.turn()
        self.assertTrue(peer.socket.half_closed)
        self.assertFalse(peer.closed)
        self.assertEqual(len(peer.socket.incoming), 0)
        self.assertIn("413", self.answer(peer)[0])
        peer.end()
        self.assertTrue(peer.closed)
        self.assertFalse(peer.aborted)

    def test_get(self) -> None:
        self.assertRefused(
            self.send(GET.replace(b"\r\n\r\n", b"\r\nContent-Length: 1\r\n\r\n")),
            "413 Request Entity Too Large",
        )
        self.assertEqual(self.page.asked, 0)

    def test_empty(self) -> None:
        status, _, body = self.ask("GET /", "Content-Length: 0", "Expect: 100-continue")
        self.assertEqual((status, body), ("HTTP/1.1 200 OK", CONTENT))

    def test_where_it_is_expected(self) -> None:
        for size in (0, 1, 1_000):
            body = b"b" * size
            peer = self.send(POST + b"Content-Length: %d\r\n\r\n%b" % (size, body))
            self.assertEqual(self.answer(peer)[2], body)

    def test_continue(self) -> None:
        peer = self.send(POST + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        self.assertEqual(peer.received(), b"HTTP/1.1 100 Continue\r\n\r\n")
        peer.send(b"abc")
        self.assertEqual(self.answer(peer)[2], b"abc")

    def test_too_large(self) -> None:
        peer = self.send(POST + b"Expect: 100-continue\r\nContent-Length: 1001\r\n\r\n")
        self.assertRefused(peer, "413 Request Entity Too Large")

    def test_without_length(self) -> None:
        peer = self.send(POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n")
        self.assertRefused(peer, "411 Length Required")

    def test_form(self) -> None:
        """A body is the resource's; it is not taken for a form."""
        form = b"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 3\r\n\r\nabc"
        self.assertEqual(self.answer(self.send(POST + form))[2], b"abc")


class AnswerTests(HttpTestCase):
    def assertProtected(self, headers: dict[str, str]) -> None:
        self.assertIn("default-src 'none'", headers["Content-Security-Policy"])
        self.assertIn("frame-ancestors 'none'", headers["Content-Security-Policy"])
        self.assertNotIn("unsafe", headers["Content-Security-Policy"])
        self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
        self.assertEqual(headers["X-Frame-Options"], "DENY")
        self.assertEqual(headers["Referrer-Policy"], "no-referrer")
        self.assertEqual(headers["Cross-Origin-Opener-Policy"], "same-origin")
        self.assertEqual(headers["Cross-Origin-Resource-Policy"], "same-origin")
        self.assertNotIn("Server", headers)
        self.assertNotIn("wisted", str(headers))

    def test_headers(self) -> None:
        """Every answer protects its reader and does not say what has made it."""
        for request, status in (
            ("GET /", "200 OK"),
            ("HEAD /", "200 OK"),
            ("OPTIONS /", "204 No Content"),
            ("OPTIONS *", "204 No Content"),
            ("GET /nothing", "404 Not Found"),
            ("POST /nothing", "404 Not Found"),
            ("POST /", "405 Method Not Allowed"),
            ("TRACE /", "405 Method Not Allowed"),
            ("CONNECT here:443", "405 Method Not Allowed"),
            ("GET /broken", "500 Internal Server Error"),
        ):
            found, headers, _ = self.ask(request)
            self.assertEqual(found, f"HTTP/1.1 {status}", request)
            self.assertProtected(headers)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_unknown_method(self) -> None:
        """The door would not have let it in as the first one."""
        peer = self.send(GET)
        peer.received()
        peer.send(GET.replace(b"GET", b"BREW"))
        status, headers, _ = self.answer(peer)
        self.assertEqual(status, "HTTP/1.1 501 Not Implemented")
        self.assertProtected(headers)

    def test_bad_requests(self) -> None:
        for request in (
            (b"GET /\r\nHost: here\r\n\r\n"),
            (b"GET / HTTP/1.1\r\n\r\n"),
            (b"GET / HTTP/1.1\r\nHost: here\r\nHost: there\r\n\r\n"),
            (b"GET / HTTP/1.1\r\nHost: here\r\nno colon\r\n\r\n"),
            (b"GET / HTTP/1.1\r\nno colon\r\nHost: here\r\n\r\n"),
            (GET[:-2] + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\n"),
            (GET[:-2] + b"Content-Length: -1\r\n\r\n"),
            (GET[:-2] + b"Transfer-Encoding: gzip\r\n\r\n"),
            (GET[:-2] + b"a: b\r\n" * 501 + b"\r\n"),
        ):
            before = self.cuts().get("malformed", 0)
            peer = self.send(request + GET)
            found, headers, body = self.answer(peer)
            self.assertEqual(found, "HTTP/1.1 400 Bad Request", request)
            self.assertEqual(headers["Connection"], "close")
            self.assertEqual(int(headers["Content-Length"]), len(body))
            self.assertProtected(headers)
            self.assertTrue(peer.ended)
            self.assertEqual(self.cuts(), {"malformed": before + 1})
        self.assertEqual(self.page.asked, 0)

    def test_long_head(self) -> None:
        """The door refuses the first one, and the site those after it."""
        peer = self.send(GET)
        peer.received()
        peer.send(GET[:-2] + b"a: " + b"b" * 17_000)
        found, headers, _ = self.answer(peer)
        self.assertEqual(found, "HTTP/1.1 431 Request Header Fields Too Large")
        self.assertProtected(headers)
        self.assertEqual(self.cuts(), {"malformed": 1})

    def test_head(self) -> None:
        """A HEAD request gets what a GET request does, without the content."""
        with capturedLogs() as logged:
            status, headers, body = self.ask("HEAD /")
        self.assertEqual((status, body), ("HTTP/1.1 200 OK", b""))
        self.assertEqual(headers, self.ask("GET /")[1])
        self.assertEqual(headers["Content-Length"], str(len(CONTENT)))
        self.assertEqual(logged, [])

    def test_methods(self) -> None:
        for path, allowed in (
            ("/", "GET, HEAD, OPTIONS"),
            ("/echo", "POST, OPTIONS"),
            ("/nothing", "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS"),
        ):
            for method in ("OPTIONS", "TRACE"):
                _, headers, body = self.ask(f"{method} {path}", "Secret: key")
                self.assertEqual(headers["Allow"], allowed)
                self.assertNotIn(b"key", body)
        self.assertIn("405", self.ask("HEAD /echo")[0])
        self.assertIn("405", self.ask("PUT /")[0])

    def test_options(self) -> None:
        _, headers, body = self.ask("OPTIONS /")
        self.assertEqual(body, b"")
        self.assertNotIn("Content-Length", headers)
        self.assertNotIn("Transfer-Encoding", headers)

    def test_bug(self) -> None:
        """A bug of a resource is logged, and its client is told no more than that."""
        _, _, body = self.ask("GET /broken")
        self.assertNotIn(b"a bug", body)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_nobody_is_told_who_asked(self) -> None:
        """There is no log of requests."""
        with capturedLogs() as logged:
            self.ask("GET /")
        self.assertEqual(logged, [])


class PageTests(HttpTestCase):
    def test_etag(self) -> None:
        """A browser that has the page already does not get it again."""
        _, headers, _ = self.ask("GET /")
        tag = headers["ETag"]
        self.assertRegex(tag, r'^"[0-9a-f]{32}"$')
        for named in (tag, f"W/{tag}", f'"a", {tag}', f'"a",{tag},"b"', "*"):
            for method in ("GET", "HEAD"):
                status, headers, body = self.ask(f"{method} /", f"If-None-Match: {named}")
                self.assertEqual((status, body), ("HTTP/1.1 304 Not Modified", b""), named)
                self.assertEqual(headers["ETag"], tag)
                self.assertNotIn("Content-Length", headers)
                self.assertNotIn("Transfer-Encoding", headers)
        for named in ('"a"', tag.strip('"'), '""', "", "\xff"):
            status, _, body = self.ask("GET /", f"If-None-Match: {named}")
            self.assertEqual((status, body), ("HTTP/1.1 200 OK", CONTENT), named)

    def test_other_content(self) -> None:
        self.assertNotEqual(Page("text/plain", b"a")._tag, Page("text/plain", b"b")._tag)

    def test_after_304(self) -> None:
        """The connection goes on."""
        tag = self.ask("GET /")[1]["ETag"]
        known = GET[:-2] + f"If-None-Match: {tag}\r\n\r\n".encode()
        answers = self.send(known + GET).received()
        self.assertTrue(answers.startswith(b"HTTP/1.1 304 Not Modified\r\n"))
        self.assertIn(b"\r\n\r\nHTTP/1.1 200 OK\r\n", answers)
