"""Pages of messages on their way to clients: each message is encoded once, and the forms of the signal are put together as they leave.

As values and bytes of their own, the two forms of ten thousand messages would take 60 MiB for a moment.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator
from typing import Final

from jamid.bus import generations, wire
from jamid.bus.library import Library
from jamid.bus.signature import adapter
from jamid.core.signals import SwarmLoaded

_PIECE: Final = 128 * 1024
_ZEROS: Final = bytes(16)


class Page:
    """The messages of a `swarmLoaded`, encoded."""

    def __init__(self, library: Library, event: SwarmLoaded) -> None:
        adapt = adapter(generations.MESSAGE)
        assert adapt is not None
        self.begin = wire.encode_body(library, "uss", [event.id, event.account_id, event.conversation_id])
        # A structure begins at a multiple of 8 wherever it is, so that its bytes are the same everywhere.
        self.messages = bytearray()
        self.lengths = array("I")
        for message in event.messages:
            encoded = wire.encode_body(library, generations.MESSAGE, [adapt(generations.message(message))])
            self.messages += encoded
            self.lengths.append(len(encoded))

    def body(self, signature: str) -> PageBody:
        """The body of the signal in the form SIGNATURE."""
        return PageBody(self, longer=signature.endswith(generations.MESSAGE_WITH_PLUGIN_DATA))


class PageBody:
    """A body that is made piece by piece; with LONGER each message has an empty map at its end."""

    def __init__(self, page: Page, *, longer: bool) -> None:
        self._page = page
        self._gap = _empty_map if longer else _padding
        array_bytes = len(page.messages) + sum(map(self._gap, page.lengths))
        # Nothing follows the last message that would have to be aligned.
        self._excess = 0 if longer or not page.lengths else _padding(page.lengths[-1])
        begin = page.begin + _ZEROS[: -len(page.begin) % 4] + struct.pack("<I", array_bytes - self._excess)
        self._begin = begin + _ZEROS[: _padding(len(begin))]
        self._length = len(self._begin) + array_bytes - self._excess

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[bytes]:
        piece = bytearray(self._begin)
        messages = memoryview(self._page.messages)
        left, offset = self._length, 0
        for length in self._page.lengths:
            piece += messages[offset : offset + length]
            piece += _ZEROS[: self._gap(length)]
            offset += length
            if len(piece) >= _PIECE:
                yield bytes(piece[:left])
                left -= len(piece)
                piece.clear()
        yield bytes(piece[:left])


def _padding(offset: int) -> int:
    return -offset % 8


def _empty_map(offset: int) -> int:
    """Bytes, all zero, of an empty map at OFFSET: its length, and where its entries would begin."""
    end = offset + -offset % 4 + 4
    return end + _padding(end) - offset
