"""git's pkt-lines: four hex digits of length, then the payload (protocol: swarm, section 8.2)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from jamid.core import limits
from jamid.core.errors import LimitError, RemoteError

FLUSH: Final = b"0000"
SIDE_BAND_DATA: Final = 1
SIDE_BAND_PROGRESS: Final = 2
SIDE_BAND_ERROR: Final = 3
SIDE_BAND_PAYLOAD: Final = 65515


def pkt_line(payload: bytes) -> bytes:
    """PAYLOAD as one pkt-line."""
    return b"%04x" % (len(payload) + 4) + payload


class PktReader:
    """Cuts a stream into pkt-lines; a flush comes as None."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes | None]:
        """The complete lines after DATA arrived; raises RemoteError."""
        self._buffer += data
        position = 0
        try:
            while len(self._buffer) - position >= 4:
                size = _length(bytes(self._buffer[position : position + 4]))
                if size == 0:
                    position += 4
                    yield None
                    continue
                if len(self._buffer) - position < size:
                    break
                line = bytes(self._buffer[position + 4 : position + size])
                position += size
                yield line
        finally:
            del self._buffer[:position]

    def rest(self) -> bytes:
        """What was fed and is no complete line yet."""
        return bytes(self._buffer)


def _length(digits: bytes) -> int:
    try:
        size = int(digits, 16) if digits.isalnum() else -1
    except ValueError:
        size = -1
    if size < 0 or 0 < size < 4:
        raise RemoteError(f"malformed pkt-line length {digits!r}")
    if size > limits.PKT_LINE_BYTES:
        raise LimitError(f"a pkt-line of {size} bytes")
    return size
