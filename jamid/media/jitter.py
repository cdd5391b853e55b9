"""An adaptive jitter buffer: packets in as they come, one decision per packet's worth of sound out. Pure; time is an argument.

How it adapts: it starts with the first packet and plays one per turn. A turn that finds nothing plays concealment *without* going on
in the numbering, so what was merely late is still heard and the buffer is one packet deeper from then on; it also raises the
`margin`, the depth that is kept. Whatever was deeper than the margin all through the last second is shortened by one packet. A
packet missing while later ones wait is lost: it is recovered from its successor's error correction or concealed.
"""

from __future__ import annotations

import enum
from typing import Final

from jamid.core import limits
from jamid.media.rtp import sequence_distance

MARGIN_MAX: Final = 6
"""Packets kept in store on a bad network: 120 ms of 20 ms frames."""
MARGIN_LASTS: Final = 15.0
"""Seconds without trouble after which the margin shrinks by one packet."""
CONCEALED_MAX: Final = 6
"""Turns without any packet after which the peer counts as silent: libopus has faded out by then."""
DEPTH_MAX: Final = 15
"""Packets; a deeper store is skipped down to the margin at once: nobody talks with 300 ms delay."""
LATE_MAX: Final = 25
"""Late packets in a row after which the sender has started anew with a lower number: half a second."""
RESTART_DISTANCE: Final = 1000
"""A sequence number this far off is a new stream (or a forged packet): believed when a second one confirms it."""
_TURNS_PER_TRIM: Final = 50
_TURNS_PER_FAST_TRIM: Final = 8


class Turn(enum.Enum):
    """What to do for one packet's worth of sound."""

    PLAY = enum.auto()
    """Decode the payload."""
    RECOVER = enum.auto()
    """A packet is lost; the payload is its successor, whose error correction may hold it."""
    CONCEAL = enum.auto()
    """A packet is lost or late; invent something from what was heard last."""
    EVENT = enum.auto()
    """A packet that carries no sound (a telephone event) has its turn."""
    SILENCE = enum.auto()
    """Nothing comes from the peer."""


class JitterBuffer:
    """Holds the packets of one SSRC until their turn."""

    def __init__(self) -> None:
        self._packets: dict[int, bytes | None] = {}
        self._next: int | None = None
        self._highest = -1
        self._playing = self._begun = False
        self._empty_turns = 0
        self._late_in_a_row = 0
        self._margin = 0
        self._margin_changed = 0.0
        self._stray: int | None = None
        self._late_in_a_row = 0
        self._turns = 0
        self._shallowest = 0
        self.late = 0
        """Packets that came after their turn, or twice."""
        self.skipped = 0
        """Packets left out to shorten the delay."""

    def __len__(self) -> int:
        """Packets that are held."""
        return len(self._packets)

    @property
    def depth(self) -> int:
        """Packets from the next due to the newest, missing ones counted."""
        return 0 if self._next is None else max(0, self._highest - self._next + 1)

    @property
    def margin(self) -> int:
        """Packets kept in store against late arrivals."""
        return self._margin

    def put(self, sequence: int, payload: bytes | None, now: float) -> bool:
        """Stores a packet (None: one without sound); false when it comes too late or twice."""
        if self._next is None:
            self._restart(sequence)
        assert self._next is not None
        reference = self._highest if self._highest >= 0 else self._next
        extended = reference + sequence_distance(sequence, reference & 0xFFFF)
        if abs(extended - reference) > RESTART_DISTANCE:
            if self._stray is None or abs(sequence_distance(sequence, self._stray)) > 2:
                self._stray = sequence
                return False
            self._restart(sequence)
            extended = self._next
        self._stray = None
        if not self._begun and self._next - DEPTH_MAX < extended < self._next:
            self._next = extended
        if extended < self._next or extended in self._packets:
            self.late += 1
            self._late_in_a_row += 1
            if self._late_in_a_row >= LATE_MAX:
                self._restart(sequence)
                return self.put(sequence, payload, now)
            if extended < self._next and self._next - extended < MARGIN_MAX:
                self._raise_margin(now)
            return False
        if len(self._packets) >= limits.JITTER_PACKETS:
            self._packets.clear()
            self._next = extended
        self._late_in_a_row = 0
        self._packets[extended] = payload
        self._highest = max(self._highest, extended)
        return True

    def get(self, now: float) -> tuple[Turn, bytes]:
        """What to play next. To be called once per packet's worth of sound."""
        if self._next is None:
            return Turn.SILENCE, b""
        if not self._playing:
            if self.depth <= self._margin:
                self._empty_turns += 1
                if not self._packets or self._empty_turns <= self._margin + 1:
                    return Turn.SILENCE, b""
            self._playing, self._begun, self._empty_turns, self._turns = True, True, 0, 0
            self._skip_to(max(self._next, self._highest - self._margin))
        self._shorten(now)
        if self._next in self._packets:
            payload = self._packets.pop(self._next)
            self._next += 1
            self._empty_turns = 0
            return (Turn.EVENT, b"") if payload is None else (Turn.PLAY, payload)
        if self._highest < self._next:
            self._empty_turns += 1
            if self._empty_turns == 1:
                self._raise_margin(now)
            if self._empty_turns > CONCEALED_MAX:
                self._playing = False
                self._empty_turns = 0
                return Turn.SILENCE, b""
            return Turn.CONCEAL, b""
        self._next += 1
        successor = self._packets.get(self._next)
        return (Turn.CONCEAL, b"") if successor is None else (Turn.RECOVER, successor)

    def _shorten(self, now: float) -> None:
        assert self._next is not None
        left = self._highest - self._next
        if left >= DEPTH_MAX:
            self._skip_to(self._highest - self._margin)
            self._turns = 0
            return
        self._shallowest = left if self._turns == 0 else min(self._shallowest, left)
        self._turns += 1
        excess = self._shallowest - self._margin
        if excess >= 1 and self._turns >= (_TURNS_PER_TRIM if excess == 1 else _TURNS_PER_FAST_TRIM):
            self._skip_to(self._next + 1)
            self._turns = 0
        elif self._turns >= _TURNS_PER_TRIM:
            self._turns = 0
        if self._margin and now - self._margin_changed > MARGIN_LASTS:
            self._margin -= 1
            self._margin_changed = now

    def _skip_to(self, sequence: int) -> None:
        assert self._next is not None
        for old in range(self._next, sequence):
            if self._packets.pop(old, None) is not None:
                self.skipped += 1
        self._next = max(self._next, sequence)

    def _raise_margin(self, now: float) -> None:
        if self._margin < MARGIN_MAX and (now - self._margin_changed > 0.2 or self._margin == 0):
            self._margin += 1
        self._margin_changed = now

    def _restart(self, sequence: int) -> None:
        self._packets.clear()
        # Far from zero, so that packets from before the first one have a number too.
        self._next = 0x10000 + sequence
        self._highest = self._next - 1
        self._playing = self._begun = False
        self._empty_turns = 0
        self._late_in_a_row = 0
