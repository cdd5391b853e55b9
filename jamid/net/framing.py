"""RFC 4571: a 16-bit length before each STUN message or piece of the TLS stream (protocol: connection, section 5.1)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from jamid.net import stun

MAX_FRAME: Final = 0xFFFF
_RECORD_HEADER: Final = 5
_FIRST_TLS_TYPE: Final = 0x14
_LAST_TLS_TYPE: Final = 0x17


def frame(payload: bytes) -> bytes:
    """PAYLOAD as one frame."""
    return struct.pack("!H", len(payload)) + payload


def frame_records(stream: bytes) -> list[bytes | memoryview]:
    """The pieces to write for STREAM, whole TLS records: a frame each, so that none can be mistaken for STUN."""
    pieces: list[bytes | memoryview] = []
    view = memoryview(stream)
    position, end = 0, len(stream)
    while position < end:
        length = _RECORD_HEADER + (stream[position + 3] << 8 | stream[position + 4]) if end - position >= _RECORD_HEADER else end - position
        following = min(position + length, end)
        pieces.append(struct.pack("!H", following - position))
        pieces.append(view[position:following])
        position = following
    return pieces


class Deframer:
    """Cuts a TCP stream into frames. Pieces of TLS are handed on as they come, so that bulk data is never assembled here."""

    __slots__ = ("_left", "_partial")

    def __init__(self) -> None:
        self._partial = bytearray()
        self._left = 0
        """bytes still to come of a TLS frame whose beginning was handed on"""

    @property
    def inside_frame(self) -> bool:
        """Whether the stream stopped in the middle of a frame."""
        return bool(self._partial) or self._left > 0

    def feed(self, data: memoryview) -> Iterator[tuple[bool, bytes | memoryview]]:
        """Yields (is STUN, bytes): STUN messages whole, TLS in pieces that are valid only until the next step."""
        position, end = 0, len(data)
        if self._left:
            position = min(self._left, end)
            self._left -= position
            yield False, data[:position]
        if self._partial and position < end:
            # The rest of a cut frame is rare and small against a read buffer: it is joined, then handled like the others.
            needed = self._missing()
            while needed and position < end:
                taken = min(needed, end - position)
                self._partial += data[position : position + taken]
                position += taken
                needed = self._missing()
            if needed:
                return
            whole, self._partial = bytes(memoryview(self._partial)[2:]), bytearray()
            if whole:
                yield stun.is_message(whole), whole
        while end - position >= 2:
            length = data[position] << 8 | data[position + 1]
            start, following = position + 2, position + 2 + length
            if following <= end:
                piece = data[start:following]
                if length:
                    is_stun = stun.is_message(piece)
                    yield is_stun, bytes(piece) if is_stun else piece
                position = following
            elif start < end and _FIRST_TLS_TYPE <= data[start] <= _LAST_TLS_TYPE:
                self._left = following - end
                yield False, data[start:end]
                return
            else:
                break
        if position < end:
            self._partial += data[position:]

    def _missing(self) -> int:
        have = len(self._partial)
        if have < 2:
            return 2 - have
        return 2 + (self._partial[0] << 8 | self._partial[1]) - have
