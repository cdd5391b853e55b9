"""What waits to be sent on one connection, and whose turn it is: control first, short messages before bulk, bulk channels in turn."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from jamid.net import mux_wire

INTERACTIVE_BYTES: Final = 8 * 1024
"""A write of at most so much into an empty queue overtakes bulk: a SIP message, not a pack of commits."""
_INTERACTIVE_RUN: Final = 64 * 1024
"""Interactive bytes in a row after which bulk gets a turn."""


@dataclass(slots=True)
class _ChannelQueue:
    pieces: deque[memoryview] = field(default_factory=deque)
    size: int = 0
    ending: bool = False
    interactive: bool = False


class OutgoingQueue:
    """Frames in the order of sending."""

    def __init__(self) -> None:
        self.control_waiting = 0
        """bytes of control frames that wait"""
        self._control: deque[bytes] = deque()
        self._queues: dict[int, _ChannelQueue] = {}
        self._interactive: deque[int] = deque()
        self._bulk: deque[int] = deque()
        self._run = 0

    def __bool__(self) -> bool:
        return bool(self._control or self._interactive or self._bulk)

    def put_control(self, frame: bytes) -> None:
        """A whole frame that goes before all data."""
        self._control.append(frame)
        self.control_waiting += len(frame)

    def put(self, channel: int, data: bytes | memoryview) -> None:
        """DATA for CHANNEL; it is not copied and must not change."""
        if not len(data):
            return
        queue = self._queue(channel, len(data))
        queue.pieces.append(memoryview(data))
        queue.size += len(data)

    def put_end(self, channel: int) -> None:
        """The end of CHANNEL, after its data."""
        self._queue(channel, 0).ending = True

    def drop(self, channel: int) -> None:
        """Forgets what waits for CHANNEL."""
        queue = self._queues.pop(channel, None)
        if queue is not None:
            (self._interactive if queue.interactive else self._bulk).remove(channel)

    def waiting(self, channel: int) -> int:
        """Bytes that wait for CHANNEL."""
        queue = self._queues.get(channel)
        return queue.size if queue is not None else 0

    def next_frames(self, limit: int, piece: int = mux_wire.BULK_PAYLOAD) -> list[bytes]:
        """The next frames of together about LIMIT bytes, the more important first; empty when nothing waits.

        PIECE is the most that a frame of bulk may carry; 0 leaves bulk waiting.
        """
        frames: list[bytes] = []
        size = 0
        while size < limit:
            if self._control:
                frame = self._control.popleft()
                self.control_waiting -= len(frame)
            elif self._interactive and (self._run < _INTERACTIVE_RUN or not self._bulk or not piece):
                frame = self._take(self._interactive, mux_wire.BULK_PAYLOAD)
                self._run += len(frame)
            elif self._bulk and piece:
                frame = self._take(self._bulk, min(piece, mux_wire.BULK_PAYLOAD))
                self._run = 0
            else:
                break
            frames.append(frame)
            size += len(frame)
        return frames

    def _queue(self, channel: int, size: int) -> _ChannelQueue:
        queue = self._queues.get(channel)
        if queue is None:
            queue = self._queues[channel] = _ChannelQueue(interactive=size <= INTERACTIVE_BYTES)
            (self._interactive if queue.interactive else self._bulk).append(channel)
        elif queue.interactive and queue.size + size > INTERACTIVE_BYTES:
            queue.interactive = False
            self._interactive.remove(channel)
            self._bulk.append(channel)
        return queue

    def _take(self, turn: deque[int], most: int) -> bytes:
        """One frame of at most MOST bytes of the channel whose turn it is, which then goes to the end of its line or leaves it."""
        channel = turn.popleft()
        queue = self._queues[channel]
        if not queue.size:
            del self._queues[channel]
            return mux_wire.encode_frame(channel, b"")
        piece = queue.pieces.popleft()
        if len(piece) > most:
            queue.pieces.appendleft(piece[most:])
            piece = piece[:most]
        queue.size -= len(piece)
        if queue.size or queue.ending:
            turn.append(channel)
        else:
            del self._queues[channel]
        return mux_wire.encode_frame(channel, piece)
