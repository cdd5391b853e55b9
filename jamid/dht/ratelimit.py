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
