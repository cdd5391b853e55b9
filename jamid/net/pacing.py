"""How much bulk goes to the kernel: so little that a short message, which can only queue behind it, is soon on its way.

Congestion control fills the queue of the narrowest link before it slows down, most of all while TCP starts. So bulk in flight is
bounded by the rate at which it is acknowledged and the round trip without a queue, with a little more that finds out whether a higher
rate is possible.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

TCP_INFO_BYTES: Final = 216
"""the kernel's account of a TCP connection, as far as it is read here (linux/tcp.h, struct tcp_info)"""
_AHEAD_SECONDS: Final = 0.005
"""of bulk in the kernel that congestion control does not let out yet, and as much again in one piece that was begun"""
_LEAST: Final = 4096
"""below 3 Mbit/s the overhead of smaller pieces costs more than it helps"""
_QUEUE_SECONDS: Final = 0.02
"""of queue that bulk may make at the narrowest link"""
_PROBE: Final = 0.25
"""of the round trip, that much more may be in flight: a higher rate is found on long paths too"""
_START: Final = 6144
"""bytes that may fly at any rate; then half of what is acknowledged more, until that is measured"""
_MEASURE_SECONDS: Final = 0.02
"""over which the rate is measured: a shorter time sees only the bursts that shapers let through"""
_DECAY: Final = 0.9
"""of the rate is kept at least over a round trip: what was acknowledged may have been all there was to send"""
_STRANGE: Final = 1.5
_STRANGE_SECONDS: Final = 1.0
"""Of round trips so much longer than our own queue makes them, after which they are taken as given: others fill the queue, the path is
another, or it has such delays."""
_SHORTEST_WAIT: Final = 0.001
_LONGEST_WAIT: Final = 0.02


@dataclass(frozen=True, slots=True)
class TcpState:
    """What the kernel knows of a connection."""

    unsent: int
    """bytes that the network has not taken yet"""
    flying: int
    """bytes that it has taken and the peer has not acknowledged"""
    acked: int
    """bytes acknowledged since the connection began"""
    window: int
    """bytes that congestion control lets fly"""
    round_trip: float
    """seconds, of late"""
    shortest: float
    """seconds of the shortest round trip of the last minutes"""

    @property
    def rate(self) -> float:
        """Bytes a second that congestion control lets out."""
        return self.window / self.round_trip


def parse_tcp_info(info: bytes) -> TcpState | None:
    """The state of a connection; None of a kernel that tells less."""
    if len(info) < TCP_INFO_BYTES:
        return None
    (segment,) = struct.unpack_from("=I", info, 16)
    round_trip, _, _, window = struct.unpack_from("=IIII", info, 68)
    (acked,) = struct.unpack_from("=Q", info, 120)
    unsent, shortest = struct.unpack_from("=II", info, 144)
    sent, sent_again = struct.unpack_from("=QQ", info, 200)
    round_trip = max(round_trip, 1)
    flying = max(sent - sent_again - acked, 0)
    return TcpState(unsent, flying, acked, window * segment, round_trip / 1e6, min(shortest, round_trip) / 1e6)


class Pacer:
    """Says of one connection when bulk goes on."""

    __slots__ = ("_acked", "_base", "_rate", "_since", "_strange")

    def __init__(self) -> None:
        self._rate = 0.0
        """bytes a second, as acknowledged; 0 while unknown"""
        self._base = 0.0
        """the round trip without our queue"""
        self._since = -1.0
        self._acked = 0
        """bytes acknowledged at `_since`, when this measurement began"""
        self._strange = 0.0
        """seconds that the round trip was longer than our queue explains, less those that it was not"""

    def pace(self, state: TcpState, now: float) -> tuple[float, int]:
        """(seconds that bulk waits, bytes of its next piece)."""
        self._measure(state, now)
        most = max(self._rate * self._longest, _START + (state.acked - self._acked) / 2)
        held = state.flying + state.unsent
        room = most - held
        ahead = max(state.rate * _AHEAD_SECONDS, _LEAST)
        if room >= most / 4 and state.unsent < ahead:
            return 0.0, int(min(ahead, max(room, _LEAST)))
        wait = state.round_trip * (most / 4 - room) / max(held, 1)
        if state.unsent >= ahead:
            wait = max(wait, (state.unsent - ahead / 2) / state.rate)
        return min(max(wait, _SHORTEST_WAIT), _LONGEST_WAIT), int(ahead)

    def _measure(self, state: TcpState, now: float) -> None:
        self._base = min(self._base, state.round_trip) if self._base else state.shortest
        span = now - self._since
        if span < _MEASURE_SECONDS:
            return
        if span < 4 * _MEASURE_SECONDS:  # otherwise there was nothing to send
            kept = _DECAY ** (span / max(self._base, _MEASURE_SECONDS))
            self._rate = max((state.acked - self._acked) / span, kept * self._rate)
            self._strange = max(0.0, self._strange + (span if state.round_trip > _STRANGE * self._longest else -span / 2))
            if self._strange > _STRANGE_SECONDS:
                self._base, self._strange = state.round_trip, 0.0
        self._since, self._acked = now, state.acked

    @property
    def _longest(self) -> float:
        """The round trip that our own queue may lead to."""
        return (1 + _PROBE) * self._base + _QUEUE_SECONDS
