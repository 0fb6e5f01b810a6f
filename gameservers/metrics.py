"""
Every counter and gauge of the server, declared once: name, unit, help, labels.

Events are counted in plain integers: a counter is a L{collections.Counter} whose keys are the
values of its labels, a text or a tuple of texts.  A state, such as the number of players, is a
L{Gauge}, which asks the owner of the state.  Both are read only when they are collected from
C{registry} (U{https://prometheus.io/docs/concepts/data_model/}).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


class Gauge:
    """
    A number that goes up and down.

    @ivar read: returns its present value for each combination of labels; set by the owner of the
        state.
    """

    read: Callable[[], Mapping[Any, float]] | None = None


class Metrics(Collector):
    """
    The metrics of one server.

    Names are declared without the prefix C{gameservers_} and, for counters, without the suffix
    C{_total}.

    @ivar registry: collects all of them.
    """

    def __init__(self) -> None:
        self._counters: list[tuple[str, str, tuple[str, ...], Counter[Any]]] = []
        self._gauges: list[tuple[str, str, tuple[str, ...], Gauge]] = []
        counter, gauge = self._counter, self._gauge

        self.connections = gauge("connections", "Open connections")
        self.players = gauge("players", "Players in the lobby", "game")
        self.rooms = gauge("rooms", "Open rooms", "game")

        self.players_entered = counter("players_entered", "Players that have entered", "game")
        self.rooms_opened = counter("rooms_opened", "Rooms that were opened", "game")
        self.rooms_started = counter("rooms_started", "Rooms whose game has started", "game")
        self.chat_lines = counter("chat_lines", "Chat lines that were delivered", "game")
        self.cuts = counter(
            "cuts", "Connections and players that the server has cut off", "game", "reason"
        )
        self.messages_relayed = counter(
            "messages_relayed", "Payloads that players sent to each other", "game"
        )
        self.messages_delivered = counter(
            "messages_delivered", "Copies of relayed payloads, one per receiver", "game"
        )
        self.datagrams_dropped = counter(
            "datagrams_dropped", "Datagrams that were not read or not sent", "game", "reason"
        )
        self.datagram_addresses_changed = counter(
            "datagram_addresses_changed",
            "Players whose datagrams come from another address than before",
            "game",
        )
        self.requests_refused = counter(
            "requests_refused", "Messages that the rules of a game forbade", "game"
        )
        self.pipes_opened = counter("pipes_opened", "Game pipe connections", "game")
        self.pipes_paired = counter("pipes_paired", "Pairs of game pipe connections", "game")
        self.matches_opened = counter("matches_opened", "Matches that were started", "game")
        self.moves_made = counter("moves_made", "Moves made in matches", "game")

        self.registry = CollectorRegistry()
        self.registry.register(self)

    def _counter(self, name: str, description: str, *labels: str) -> Counter[Any]:
        counted: Counter[Any] = Counter()
        self._counters.append((f"gameservers_{name}", description, labels, counted))
        return counted

    def _gauge(self, name: str, description: str, *labels: str) -> Gauge:
        gauge = Gauge()
        self._gauges.append((f"gameservers_{name}", description, labels, gauge))
        return gauge

    def describe(self) -> Iterator[Metric]:
        """The metrics without their values, as a registry asks for them."""
        for name, description, labels, _ in self._counters:
            yield CounterMetricFamily(name, description, labels=labels)
        for name, description, labels, _ in self._gauges:
            yield GaugeMetricFamily(name, description, labels=labels)

    def collect(self) -> Iterator[Metric]:
        """The metrics with their present values."""
        for name, description, labels, counted in self._counters:
            counters = CounterMetricFamily(name, description, labels=labels)
            _fill(counters, counted)
            yield counters
        for name, description, labels, gauge in self._gauges:
            gauges = GaugeMetricFamily(name, description, labels=labels)
            _fill(gauges, gauge.read() if gauge.read else {})
            yield gauges


def _fill(family: Any, values: Mapping[Any, float]) -> None:
    for labels, value in tuple(values.items()):
        family.add_metric((labels,) if isinstance(labels, str) else labels, value)
