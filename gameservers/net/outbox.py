"""
The outbox: what is sent to one recipient, collected over a reactor turn.

A reactor turn is the unit of work.  What it produces for one recipient is collected in order in
that recipient's L{Outbox} and is sent in one go when the L{Turn} ends, so ten lines to each of
forty players cost forty system calls and not four hundred.

What the network does not take stays in the outbox, where its size is known.  If more than C{limit}
bytes wait at the end of a turn, the recipient does not read: the outbox drops what it held and
tells its owner, once, which cuts the connection.  L{gameservers.net.backlog} has the limits that
concern all outboxes together.

A L{Topic} is a list whose newest state replaces all earlier ones, such as the players present:
changed ten times in a turn it is sent once, and when it changes all the time, once per
C{interval}.
"""

from __future__ import annotations

import enum
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import accumulate
from typing import Any, Generic, TypeVar

from twisted.internet.interfaces import (
    IDelayedCall,
    IPullProducer,
    IPushProducer,
    ITransport,
)
from twisted.internet.tcp import Connection
from zope.interface import implementer

from gameservers.net.bypass import is_plain, send_some, unsent
from gameservers.net.turn import Turn

#: Maximum size of one write, in bytes, where the output may be split anywhere.
MAX_PIECE = 64 * 1024

#: How long the peer of a closed connection may take to read the rest and close its side, in
#: seconds.
LINGER = 5.0

#: Minimum time between two broadcasts of a topic, in seconds.
INTERVAL = 0.1

Form = TypeVar("Form", bound=Hashable)


def pieces(messages: Sequence[bytes], cut: int | None = None) -> list[bytes]:
    """
    Join messages into chunks that are written at once.

    With C{cut}, a chunk ends where a message ends and has at most C{cut} bytes, unless one message
    alone has more.  Without it, a chunk has at most L{MAX_PIECE} bytes.
    """
    whole = b"".join(messages)
    if len(whole) <= (cut or MAX_PIECE):
        return [whole] if whole else []
    ends = list(accumulate(map(len, messages))) if cut else [len(whole)]
    result: list[bytes] = []
    start = index = 0
    while start < len(whole):
        index = bisect_right(ends, start + (cut or 0), index)
        end = ends[index - 1] if index and ends[index - 1] > start else ends[index]
        size = end - start if cut else MAX_PIECE
        result += [whole[at : min(at + size, end)] for at in range(start, end, size)]
        start = end
    return result


class Batch:
    """
    Consecutive messages of one turn to many recipients, joined once for all of them.

    It takes messages until it is sealed, which is when anything else is sent to one of them.
    """

    __slots__ = ("_pieces", "messages", "sealed")

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.sealed = False
        self._pieces: dict[int | None, list[bytes]] = {}

    def pieces(self, cut: int | None) -> list[bytes]:
        """The chunks to write, see L{pieces}; the batch must be sealed."""
        made = self._pieces.get(cut)
        if made is None:
            made = self._pieces[cut] = pieces(self.messages, cut)
        return made


class Audience:
    """
    A set of outboxes that are repeatedly sent the same messages.

    The effect is that of L{Outbox.send} to each of them, at hardly more cost than to one.
    """

    __slots__ = ("_batch", "_outboxes")

    def __init__(self, outboxes: Iterable[Outbox]) -> None:
        self._outboxes = tuple(outboxes)
        self._batch = Batch()
        self._batch.sealed = True

    @property
    def lags(self) -> bool:
        """Whether one of them does."""
        return any(outbox.lags for outbox in self._outboxes)

    def send(self, message: bytes) -> None:
        """Send one message to all when the turn ends."""
        if self._batch.sealed:
            self._batch = Batch()
            for outbox in self._outboxes:
                outbox.share(self._batch)
        self._batch.messages.append(message)
        if self._outboxes:
            self._outboxes[0].turn.output += len(message) * len(self._outboxes)


def _flat(queue: Iterable[bytes | Batch]) -> list[bytes]:
    flat: list[bytes] = []
    for each in queue:
        if isinstance(each, Batch):
            flat += each.messages
        else:
            flat.append(each)
    return flat


class _State(enum.Enum):
    OPEN = "open"
    CLOSING = "closing"  # what was sent before is flushed, what is sent now is not
    OVER = "over"  # closed, overflowed, aborted or lost: nothing is sent any more


@implementer(IPushProducer, IPullProducer)
class Outbox:
    """
    Ordered output to one stream transport; nothing else may write to it.

    On a plain TCP connection bytes go to the socket directly; what the kernel does not take is
    given to the transport one chunk at a time, which asks for more when that is sent.  Any other
    transport (TLS, those of tests) is written to until it asks for a pause.

    Its owner calls L{lost} when the connection is lost.

    @ivar queue: the messages of this turn so far.
    @ivar congested: whether something waits for the network.
    """

    __slots__ = (
        "_at_once",
        "_backlog",
        "_backlog_size",
        "_closed_at",
        "_cut",
        "_farewell",
        "_flow",
        "_frame",
        "_given",
        "_last",
        "_limit",
        "_overflowed",
        "_paused",
        "_posted",
        "_registered",
        "_send",
        "_sent",
        "_shared",
        "_state",
        "_transport",
        "congested",
        "queue",
        "turn",
    )

    def __init__(
        self,
        transport: ITransport,
        turn: Turn,
        *,
        limit: int,
        overflowed: Callable[[], None],
        cut: int | None = None,
        frame: Callable[[bytes], bytes] | None = None,
        flow: Callable[[bool], None] | None = None,
        send: Callable[[Connection, bytes | memoryview], int] = send_some,
    ) -> None:
        """
        Write to this transport at the end of each turn.

        @param limit: bytes that may wait for the recipient at the end of a turn.
        @param overflowed: called once, when more than C{limit} bytes wait; they are dropped, and
            the owner aborts the connection.
        @param cut: bytes; output is split into chunks of at most this size, each written by
            itself and ending where a message ends.  L{None}: not split.
        @param frame: wraps each chunk, for instance into a WebSocket message.
        @param flow: called with L{True} when output begins to wait for the network, and with
            L{False} when all of it is sent.
        @param send: sends to a plain transport what the network takes now, like L{send_some}.
        """
        self.turn = turn
        self.queue: list[bytes | Batch] = []
        self._shared: Batch | None = None  # the last item of the queue, if it still takes messages
        self._transport: Any = transport
        self._limit = limit
        self._overflowed = overflowed
        self._cut = cut
        self._frame = frame
        self._flow = flow
        self._send = send
        self._last = b""
        self._sent: Callable[[], None] = self.shut
        self.congested = False
        self._at_once = is_plain(transport)
        self._state = _State.OPEN
        self._closed_at = 0  # the length of the queue at L{close}
        self._backlog: deque[bytes] = deque()  # chunks that wait for the transport
        self._backlog_size = 0
        self._given = 0  # bytes that a plain TCP transport has not sent yet
        self._posted = 0  # bytes that did not leave at once, since the beginning
        self._registered = False
        self._paused = False
        self._farewell: IDelayedCall | None = None

    @property
    def pending(self) -> int:
        """The number of bytes that wait to be sent."""
        return self._backlog_size + self._given + sum(map(len, _flat(self.queue)))

    @property
    def taken(self) -> int:
        """A number that grows as the network takes what waits."""
        given = unsent(self._transport) if self._at_once else self._given
        return self._posted - self._backlog_size - given

    @property
    def lags(self) -> bool:
        """Whether so much waits that those who send to it should slow down."""
        return self in self.turn.backlog.lagging

    def send(self, message: bytes) -> None:
        """Send one message when the turn ends.  After L{close} nothing is sent."""
        if not self.queue:
            self.turn.flush_at_end(self)
        elif self._shared is not None:
            self._seal()
        self.queue.append(message)
        self.turn.output += len(message)

    def share(self, batch: Batch) -> None:
        """Send what a batch holds, including messages added until it is sealed."""
        if not self.queue:
            self.turn.flush_at_end(self)
        self._seal()
        self.queue.append(batch)
        self._shared = batch

    def _seal(self) -> None:
        shared, self._shared = self._shared, None
        if shared is not None:
            shared.sealed = True

    def pass_on(self, whole: bytes) -> None:
        """
        Send, at the end of a turn, output that was joined elsewhere for many recipients.

        If nothing else waits for this recipient, it is sent as it is, at once.
        """
        if self.queue or self._registered or not self._at_once or self._state is not _State.OPEN:
            self.send(whole)
            return
        if self._frame is not None:
            whole = self._frame(whole)
        transport, view, at = self._transport, memoryview(whole), 0
        while at < len(whole) and transport.connected:
            sent = self._send(transport, view[at:])
            if not sent:
                self._post([whole[at:]])
                return
            at += sent

    def interject(self, frame: bytes) -> None:
        """Send this between two chunks, at once, before the messages of this turn."""
        if self._state is not _State.OPEN:
            return
        if self._at_once and not self._registered:
            frame = frame[self._send(self._transport, frame) :]
        if frame:
            self._post([frame])

    def reserve(self) -> int:
        """Reserve a place among the messages of this turn for L{fill}."""
        self.send(b"")
        return len(self.queue) - 1

    def fill(self, place: int, message: bytes) -> None:
        """Put a message at a place that was reserved in this turn."""
        self.queue[place] = message

    def close(
        self, linger: float = LINGER, last: bytes = b"", sent: Callable[[], None] | None = None
    ) -> None:
        """
        Send nothing more, and close the connection after the last byte.

        C{last} is sent as it is, after everything else.  If C{sent} is given, it is called when
        everything is sent, and the caller must then L{shut} the connection.

        Plain TCP is half-closed, because closing a socket with unread input discards the output
        that is still on its way; the owner must ignore input from now on. If the peer has not
        closed its side after C{linger} seconds, the connection is aborted.
        """
        if self._state is _State.OPEN:
            self._state = _State.CLOSING
            self._last = last
            self._sent = sent or self.shut
            self._seal()
            self._closed_at = len(self.queue)
            if not self.queue:
                self.turn.flush_at_end(self)
            self._farewell = self.turn.clock.callLater(linger, self.abort)

    def abort(self) -> None:
        """Cut the connection now; what waits is dropped."""
        self.lost()
        self._transport.abortConnection()

    def overflow(self) -> None:
        """Drop what waits, and tell the owner that the recipient does not read."""
        if self._state is not _State.OVER:
            self.lost()
            self._overflowed()

    def lost(self) -> None:
        """Note that the connection is lost: what waits is dropped."""
        self._state = _State.OVER
        self.turn.backlog.discard(self)
        self._backlog.clear()
        self._backlog_size = self._given = 0
        self._release()
        farewell, self._farewell = self._farewell, None
        if farewell is not None and farewell.active():
            farewell.cancel()

    def take(self) -> list[bytes | Batch]:
        """Take the messages of the turn that has ended, for L{flush}."""
        self._seal()
        messages, self.queue = self.queue, []
        if self._state is _State.CLOSING:
            del messages[self._closed_at :]
            self._closed_at = 0
        return messages

    def flush(self, messages: list[bytes | Batch]) -> None:
        """Send what was taken."""
        if self._at_once and not self._transport.connected:
            self.lost()
        if self._state is _State.OVER:
            return
        match messages:
            case [Batch() as alone]:
                new = alone.pieces(self._cut)
            case _:
                new = pieces(_flat(messages), self._cut)
        if self._frame is not None:
            new = list(map(self._frame, new))
        if self._last:
            new = [*new, self._last]
            self._last = b""
        if len(new) == 1 and self._at_once and not self._registered and self._state is _State.OPEN:
            # Usually everything is sent in one go.
            (chunk,) = new
            sent = self._send(self._transport, chunk)
            if sent == len(chunk):
                return
            new = [chunk[sent:]]
        self._post(new)

    def _post(self, new: list[bytes]) -> None:
        """Send these after what waits, and check how much waits then."""
        size = sum(map(len, new))
        self._backlog += new
        self._backlog_size += size
        self._posted += size
        if not self._registered:
            self._push()
        self._report()

    def _report(self) -> None:
        """Report how much waits, and check it."""
        if not self._registered:
            return
        waits = self._backlog_size + self._given
        if waits > self._limit:
            self.overflow()
        else:
            self.turn.backlog.update(self, waits, self._limit)

    def _push(self) -> None:
        """Send from the backlog until the network takes no more."""
        if self._send_at_once() if self._at_once else self._write():
            self._release()
            if self._state is _State.CLOSING:
                self._state = _State.OVER
                self._sent()

    def shut(self) -> None:
        """Close our side of the connection, after everything has been sent."""
        if self._at_once:
            self._transport.loseWriteConnection()
        else:
            self._transport.loseConnection()

    def _next(self) -> bytes:
        piece = self._backlog.popleft()
        self._backlog_size -= len(piece)
        return piece

    def _send_at_once(self) -> bool:
        """Send to the socket, and return whether all of it was sent."""
        transport = self._transport
        while self._backlog:
            piece = self._next()
            sent = self._send(transport, piece)
            if sent != len(piece):  # full, or lost
                rest = piece[sent:]
                self._register(streaming=False)
                self._congest(True)
                self._given = len(rest)
                transport.write(rest)
                return False
        return True

    def _write(self) -> bool:
        """Write to the transport, and return whether it did not ask for a pause."""
        if self._backlog:
            self._register(streaming=True)
        while self._backlog and not self._paused:
            self._transport.write(self._next())
        return not self._paused

    def _register(self, *, streaming: bool) -> None:
        if not self._registered:
            self._registered = True
            self._transport.registerProducer(self, streaming)

    def _congest(self, congested: bool) -> None:
        if self.congested is not congested:
            self.congested = congested
            if self._flow is not None and self._state is _State.OPEN:
                self._flow(congested)

    def _release(self) -> None:
        if self._registered:
            self._registered = False
            self._transport.unregisterProducer()
            self.turn.backlog.discard(self)

    def resumeProducing(self) -> None:
        """The transport's buffer is empty."""
        if self._at_once and not self._given:
            return  # registering asks for data, which is given next
        self._given = 0
        self._paused = False
        self._push()
        if self._registered:
            self._report()
        else:
            self._congest(False)

    def pauseProducing(self) -> None:
        """The transport's buffer is full."""
        self._paused = True
        self._congest(True)

    def stopProducing(self) -> None:
        """The transport lost the connection."""
        self._registered = False
        self.lost()


class Topic(Generic[Form]):
    """
    A list whose newest state all subscribers must know.

    The first change after a pause reserves a place in every subscriber's outbox; at the end of the
    turn the newest state is put there, so it keeps its order among the other messages. Changes
    less than C{interval} after a broadcast wait for the next one.  A subscriber that has the
    newest state already is skipped.

    A subscriber's C{form} says how the list is encoded for it (a character encoding, for
    instance); each state is rendered once per form.
    """

    def __init__(
        self, turn: Turn, render: Callable[[Form], bytes], interval: float = INTERVAL
    ) -> None:
        self._turn = turn
        self._render = render
        self._interval = interval
        self._version = 0
        self._rendered: dict[Form, bytes] = {}  # of this version
        self._forms: dict[Outbox, Form] = {}
        self._told: dict[Outbox, int] = {}  # the version each subscriber has
        self._places: dict[Outbox, int] = {}
        self._reserved = False
        self._waiting: IDelayedCall | None = None
        self._last = float("-inf")  # the time of the last broadcast

    def subscribe(self, outbox: Outbox, form: Form) -> None:
        """Send the list to this outbox in this form, from the next change on."""
        self._forms[outbox] = form
        self._told[outbox] = self._version

    def unsubscribe(self, outbox: Outbox) -> None:
        """Stop sending the list to this outbox."""
        self._forms.pop(outbox, None)
        self._told.pop(outbox, None)
        self._places.pop(outbox, None)
        if not self._forms and self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def tell(self, outbox: Outbox) -> None:
        """Send one subscriber the present state, at this place among its messages."""
        outbox.send(self._state(self._forms[outbox]))
        self._told[outbox] = self._version
        self._places.pop(outbox, None)  # a newer state must not precede this one

    def touch(self) -> None:
        """Note that the list has changed."""
        self._version += 1
        self._rendered.clear()
        if self._reserved or self._waiting is not None or not self._forms:
            return
        clock = self._turn.clock
        wait = self._last + self._interval - clock.seconds()
        if wait > 0:
            self._waiting = clock.callLater(wait, self._reserve)
        else:
            self._reserve()

    def _reserve(self) -> None:
        self._waiting = None
        self._reserved = True
        self._places = {outbox: outbox.reserve() for outbox in self._forms}
        self._turn.at_end(self._broadcast)

    def _broadcast(self) -> None:
        places, self._places = self._places, {}
        self._reserved = False
        self._last = self._turn.clock.seconds()
        for outbox, form in self._forms.items():
            if self._told[outbox] == self._version:
                continue
            state = self._state(form)
            if outbox in places:
                outbox.fill(places[outbox], state)
            else:  # it subscribed after the place was reserved
                outbox.send(state)
            self._told[outbox] = self._version

    def _state(self, form: Form) -> bytes:
        state = self._rendered.get(form)
        if state is None:
            state = self._rendered[form] = self._render(form)
        return state
