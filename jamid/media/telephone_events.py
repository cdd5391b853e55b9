"""Key presses as RTP packets (RFC 4733, telephone-event/8000). Pure."""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass
from typing import Final

from jamid.core import limits
from jamid.core.errors import RemoteError

DIGITS: Final = "0123456789*#ABCD!"
"""Event numbers 0 to 16; `!` is the hook flash."""
TICKS_PER_FRAME: Final = 160
"""Of 20 ms at the event's clock of 8 kHz."""
VOLUME: Final = 10
"""dBm0 below full scale."""
FORGOTTEN_AFTER: Final = 0.2
"""Seconds without a packet after which a key counts as released, its end packets being lost."""
_END_REPEATED = 3
_PAUSE_FRAMES = 3


@dataclass(frozen=True, slots=True)
class TelephoneEvent:
    """One packet's payload."""

    event: int
    end: bool
    volume: int
    duration: int
    """Ticks of 8 kHz since the key went down."""


def parse_event(payload: bytes) -> TelephoneEvent:
    """The event of a payload. Raises `RemoteError`."""
    if len(payload) < 4:
        raise RemoteError("telephone event is too short")
    event, flags, duration = struct.unpack_from("!BBH", payload)
    return TelephoneEvent(event, bool(flags & 0x80), flags & 0x3F, duration)


def write_event(event: TelephoneEvent) -> bytes:
    """The payload of an event."""
    return struct.pack("!BBH", event.event, (0x80 if event.end else 0) | event.volume, event.duration)


class EventSender:
    """Says, frame by frame, what is sent in place of sound while keys are pressed."""

    def __init__(self) -> None:
        self._queue: deque[tuple[int, int]] = deque(maxlen=limits.DTMF_QUEUE)
        self._event: int | None = None
        self._frames = 0
        self._elapsed = 0
        self._ends = 0
        self._pause = 0

    def press(self, digits: str, duration_ms: int) -> None:
        """Queues keys; characters that are none are left out."""
        frames = max(2, min(400, duration_ms // 20))
        for digit in digits.upper():
            if digit in DIGITS:
                self._queue.append((DIGITS.index(digit), frames))

    @property
    def idle(self) -> bool:
        """Whether sound may be sent."""
        return self._event is None and not self._queue

    def next_payload(self) -> tuple[bytes, bool, int] | None:
        """Payload, marker (first packet of a key) and frames since the key went down; None when sound is sent in this frame."""
        if self._pause:
            self._pause -= 1
            return None
        if self._event is None:
            if not self._queue:
                return None
            self._event, self._frames = self._queue.popleft()
            self._elapsed, self._ends = 0, 0
        first = self._elapsed == 0
        start = self._elapsed
        if self._elapsed < self._frames:
            self._elapsed += 1
        end = self._elapsed >= self._frames
        event = TelephoneEvent(self._event, end, VOLUME, min(0xFFFF, self._elapsed * TICKS_PER_FRAME))
        if end:
            self._ends += 1
            start = self._frames - 1 + self._ends - 1
            if self._ends == _END_REPEATED:
                self._event, self._pause = None, _PAUSE_FRAMES
        return write_event(event), first, start


class EventReceiver:
    """Turns event packets into one digit per key press."""

    def __init__(self) -> None:
        self._timestamp: int | None = None
        self._event = 0
        self._duration = 0
        self._told = True
        self._last_seen = 0.0

    def take(self, payload: bytes, timestamp: int, now: float) -> list[tuple[str, int]]:
        """The keys (digit, milliseconds) that are known to be released after this packet. Raises `RemoteError`."""
        event = parse_event(payload)
        released: list[tuple[str, int]] = []
        if timestamp != self._timestamp:
            released += self._release()
            self._timestamp, self._event, self._duration, self._told = timestamp, event.event, 0, False
        self._last_seen = now
        self._duration = max(self._duration, event.duration)
        if event.end:
            released += self._release()
        return released

    def expire(self, now: float) -> list[tuple[str, int]]:
        """The key whose end packets are lost, once it is old enough."""
        return self._release() if not self._told and now - self._last_seen > FORGOTTEN_AFTER else []

    def _release(self) -> list[tuple[str, int]]:
        if self._told:
            return []
        self._told = True
        return [(DIGITS[self._event], self._duration // 8)] if self._event < len(DIGITS) else []
