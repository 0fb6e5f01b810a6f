"""
How often somebody may try: a few times freely, then with growing delays.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass


@dataclass(slots=True)
class _Tries:
    count: int = 0
    last: float = 0.0
    not_before: float = 0.0


class Attempts:
    """
    Attempts by key, an address or a name.

    The first C{free} attempts cost nothing.  After each further one comes a pause, C{pause}
    seconds at first and twice as long each time, up to C{longest}.  An attempt counts when it
    begins, so that many at once are no way around; one that succeeds is given back.  Whoever
    does not try for C{forget} seconds starts anew.  At most C{keys} are remembered; then the
    one that has not tried for longest is forgotten.
    """

    def __init__(
        self, free: int, *, pause: float, longest: float, forget: float, keys: int
    ) -> None:
        self._free = free
        self._pause = pause
        self._longest = longest
        self._forget = forget
        self._keys = keys
        self._tries: OrderedDict[str, _Tries] = OrderedDict()

    def __len__(self) -> int:
        return len(self._tries)

    def wait(self, key: str, now: float) -> float:
        """Seconds until the next attempt may begin; 0: at once."""
        tries = self._tries.get(key)
        if tries is None or now - tries.last > self._forget:
            return 0.0
        return max(0.0, tries.not_before - now)

    def begin(self, key: str, now: float) -> None:
        """An attempt begins (one that had not to wait)."""
        tries = self._tries.setdefault(key, _Tries())
        self._tries.move_to_end(key)
        if now - tries.last > self._forget:
            tries.count = 0
        tries.count += 1
        tries.last = now
        beyond = tries.count - self._free
        if beyond > 0:
            # The exponent is bounded: a float has an end.
            tries.not_before = now + min(self._pause * 2 ** min(beyond - 1, 64), self._longest)
        while len(self._tries) > self._keys:
            self._tries.popitem(last=False)

    def give_back(self, key: str) -> None:
        """An attempt that has begun was a good one."""
        tries = self._tries.get(key)
        if tries is not None:
            tries.count -= 1
            if tries.count <= self._free:
                tries.not_before = 0.0
            if tries.count <= 0:
                del self._tries[key]

    def clear(self, key: str) -> None:
        """Forget all attempts under this key."""
        self._tries.pop(key, None)


def network_of(host: str) -> str:
    """The key of an address: itself or, as one subscriber has all of it, an IPv6 /64."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
