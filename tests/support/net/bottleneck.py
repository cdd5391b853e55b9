"""A TCP sender behind one narrow link, simulated: slow start and Reno, a queue, a token bucket, and delays that are not ours."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from jamid.net.pacing import Pacer, TcpState

STEP: Final = 0.00025
_SEGMENT: Final = 1448
_BUCKET: Final = 5000
_NOT_SENT: Final = 40_000
"""bytes that the kernel and asyncio take before writers have to wait"""


def _none(now: float) -> float:
    return 0.0


@dataclass
class Bottleneck:
    """The connection as its sender's kernel sees it."""

    rate: Callable[[float], float]
    """bytes a second at a time"""
    round_trip: float
    longest_queue: float = 0.2
    """seconds; more is lost"""
    others: Callable[[float], float] = _none
    """seconds by which acknowledgements come later, at a time"""
    unsent: float = 0
    acked: float = 0
    _flying: float = 0
    _most_flying: float = 0
    _window: float = 10
    _slow_start: bool = True
    _recovered: float = 0
    _smoothed: float = 0
    _shortest: float = 0
    _tokens: float = _BUCKET
    _queue: deque[tuple[float, float]] = field(default_factory=deque)
    _queued: float = 0
    _acks: deque[tuple[float, float, float]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self._smoothed = self._shortest = self.round_trip

    def state(self) -> TcpState:
        """What TCP_INFO would say."""
        window = int(self._window) * _SEGMENT
        return TcpState(int(self.unsent), int(self._flying), int(self.acked), window, self._smoothed, self._shortest)

    def delay(self, now: float) -> float:
        """Seconds that a message handed over now waits behind what was before it."""
        return (self._queued + self.unsent) / self.rate(now)

    def step(self, now: float) -> None:
        """Lets STEP seconds pass."""
        while self._acks and self._acks[0][0] <= now:
            self._acknowledged(*self._acks.popleft()[1:])
        while self.unsent > 0 and self._flying + _SEGMENT <= int(self._window) * _SEGMENT and self._send(now, min(_SEGMENT, self.unsent)):
            pass
        self._most_flying = max(self._most_flying * 0.999, self._flying)
        self._tokens = min(self._tokens + self.rate(now) * STEP, max(_BUCKET, self.rate(now) * STEP))
        while self._queue and self._tokens >= self._queue[0][1]:
            sent, size = self._queue.popleft()
            self._queued -= size
            self._tokens -= size
            back = max(now + self.round_trip + self.others(now), self._acks[-1][0] if self._acks else 0)
            self._acks.append((back, size, back - sent))

    def _send(self, now: float, size: float) -> bool:
        if (self._queued + size) / self.rate(now) > self.longest_queue:
            if now > self._recovered:
                self._window, self._slow_start, self._recovered = max(self._window / 2, 2), False, now + self._smoothed
            return False  # lost; sent again when there is room
        self.unsent -= size
        self._flying += size
        self._queue.append((now, size))
        self._queued += size
        return True

    def _acknowledged(self, size: float, round_trip: float) -> None:
        window = int(self._window) * _SEGMENT
        limited = window < 2 * self._most_flying if self._slow_start else self._flying + _SEGMENT >= window
        self._flying -= size
        self.acked += size
        self._smoothed += (round_trip - self._smoothed) / 8
        self._shortest = min(self._shortest, round_trip)
        if limited:
            self._window += 1 if self._slow_start else 1 / self._window


def send_bulk(link: Bottleneck, seconds: float, *, paced: bool = True, late: float = 0.0) -> list[float]:
    """Sends as much as LINK takes, with an event loop that wakes up LATE; the delays that a short message would have met."""
    pacer, now, wake = Pacer(), STEP, 0.0
    delays = []
    while now < seconds:
        link.step(now)
        while now >= wake and link.unsent <= _NOT_SENT:
            wait, piece = pacer.pace(link.state(), now) if paced else (0.0, 32 * 1024)
            if wait:
                wake = now + wait + late
            else:
                link.unsent += min(piece, 32 * 1024)
        delays.append(link.delay(now))
        now += STEP
    return delays
