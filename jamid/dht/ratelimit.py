"""How many requests are answered per second, to one sender and in all (protocol: opendht, section 7)."""

from __future__ import annotations

from collections import deque
from typing import Final

from jamid.core import limits
from jamid.dht.addresses import rate_group

WINDOW: Final = 1.0


class RateLimit:
    """A sliding window of one second; memory is bounded because what is refused is not remembered."""

    def __init__(self, total: int = limits.DHT_REQUESTS_PER_SECOND, per_host: int = limits.DHT_REQUESTS_PER_SECOND_AND_HOST) -> None:
        self._total = total
        self._per_host = per_host
        self._accepted: deque[tuple[float, bytes]] = deque()
        self._counts: dict[bytes, int] = {}

    def accepts(self, host: str, now: float) -> bool:
        """Whether a request of HOST may be answered; counts it if so. A limit of 0 means none."""
        if not self._total:
            return True
        accepted, counts = self._accepted, self._counts
        oldest = now - WINDOW
        while accepted and accepted[0][0] < oldest:
            group = accepted.popleft()[1]
            left = counts[group] - 1
            if left:
                counts[group] = left
            else:
                del counts[group]
        group = rate_group(host)
        count = counts.get(group, 0)
        if len(accepted) >= self._total or count >= self._per_host:
            return False
        accepted.append((now, group))
        counts[group] = count + 1
        return True


class ByteBudget:
    """How many bytes of large answers one host gets per second; whoever forges a victim's address cannot drown it through us."""

    def __init__(self, per_second: int = limits.DHT_REPLY_BYTES_PER_SECOND) -> None:
        self._per_second = per_second
        self._spent: dict[bytes, int] = {}
        self._until = 0.0

    def spend(self, host: str, count: int, now: float) -> bool:
        """Whether COUNT more bytes may go to HOST."""
        if now >= self._until:
            self._spent.clear()
            self._until = now + WINDOW
        group = rate_group(host)
        spent = self._spent.get(group, 0) + count
        if spent > self._per_second:
            return False
        self._spent[group] = spent
        return True
