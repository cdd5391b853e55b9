"""A channel: one named byte stream between two devices, as the rooms above see it."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from jamid.core import limits
from jamid.core.generations import Generation
from jamid.crypto.certificates import Certificate

if TYPE_CHECKING:
    from jamid.net.connection import Connection

WRITE_HIGH: Final = 256 * 1024
"""bytes of a channel waiting at which its writer has to wait"""
WRITE_LOW: Final = 64 * 1024
_YIELD_BYTES: Final = 1024 * 1024
"""bytes written without waiting after which other tasks get a turn"""
_SMALL_PIECE: Final = 4096
"""pieces below are joined, so that many tiny frames cost no more memory than their bytes"""


@dataclass(slots=True)
class Peer:
    """The device at the other end."""

    device_id: str
    """64 hex digits"""
    account_uri: str
    """40 hex digits"""
    certificate: Certificate
    generation: Generation | None = None
    """what it turned out to be; None while unknown"""


class ChannelHandler(Protocol):
    """Who serves the channels of one scheme that peers open."""

    def accepts(self, peer: Peer, name: str) -> bool:
        """Whether PEER may open the channel NAME."""
        ...

    def opened(self, channel: Channel) -> None:
        """The peer opened CHANNEL; called before its first byte can be read."""
        ...


class ChannelOutput(Protocol):
    """What a channel needs of the connection that carries it."""

    def write(self, channel: int, data: bytes | memoryview) -> int:
        """Sends or queues DATA; returns how many bytes of the channel now wait."""
        ...

    def end(self, channel: int) -> None:
        """The channel was closed here."""
        ...

    def taken(self, channel: Channel, size: int) -> None:
        """SIZE bytes that came were read, or thrown away."""
        ...


class Channel:
    """One end of a channel. Both ends close together: there is no half-close on the wire."""

    def __init__(self, number: int, name: str, connection: Connection, output: ChannelOutput, *, outgoing: bool, created: float) -> None:
        self.number = number
        self.name = name
        self.connection = connection
        self.outgoing = outgoing
        self.created = created
        self.closed = False
        self.received = 0
        self.sent = 0
        self._output = output
        self._pieces: deque[bytes | bytearray | memoryview] = deque()
        self._unread = 0
        self._since_yield = 0
        self._reader: asyncio.Future[None] | None = None
        self._writers: deque[asyncio.Future[None]] = deque()
        self._ended: asyncio.Future[None] | None = None

    @property
    def peer(self) -> Peer:
        """The device at the other end."""
        return self.connection.peer

    @property
    def unread(self) -> int:
        """Bytes that came and were not read yet."""
        return self._unread

    async def read(self, limit: int = 65536) -> bytes:
        """Up to LIMIT bytes, at least one; b"" when the channel has ended. One reader at a time."""
        while not self._pieces:
            if self.closed:
                return b""
            if self._reader is not None and not self._reader.done():
                raise RuntimeError(f"channel {self.name} is being read already")
            self._reader = reader = asyncio.get_running_loop().create_future()
            try:
                await reader
            finally:
                if self._reader is reader:
                    self._reader = None
        data = self._take(limit)
        self._output.taken(self, len(data))
        return data

    async def write(self, data: bytes | memoryview) -> None:
        """Sends DATA, waiting while too much waits already; raises ConnectionError when the channel is closed."""
        self._check_open()
        self.sent += len(data)
        waiting = self._output.write(self.number, data)
        if waiting > WRITE_HIGH:
            future = asyncio.get_running_loop().create_future()
            self._writers.append(future)
            self._since_yield = 0
            await future
            self._check_open()
            return
        self._since_yield += len(data)
        if self._since_yield >= _YIELD_BYTES:
            self._since_yield = 0
            await asyncio.sleep(0)

    def write_nowait(self, data: bytes) -> None:
        """Sends a small message without waiting; raises ConnectionError when the channel is closed or too much waits already."""
        self._check_open()
        self.sent += len(data)
        if self._output.write(self.number, data) > limits.CHANNEL_CONTROL_QUEUE:
            self.close()
            raise ConnectionError(f"the device does not take what channel {self.name} sends; it was closed")

    def close(self) -> None:
        """Ends the channel in both directions; what was written before is still sent."""
        if not self.closed:
            self._output.end(self.number)
            self.ended()

    def discard(self) -> None:
        """Ends the channel and throws away what was not read."""
        size, self._unread = self._unread, 0
        self._pieces.clear()
        self._output.taken(self, size)
        self.close()

    async def wait_closed(self) -> None:
        """Returns when either side has ended the channel."""
        if self.closed:
            return
        if self._ended is None:
            self._ended = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._ended)

    # -- the connection's side ------------------------------------------------------------------------------------------------

    def feed(self, piece: bytes | memoryview) -> None:
        """Bytes came from the peer."""
        self.received += len(piece)
        self._unread += len(piece)
        if len(piece) >= _SMALL_PIECE:
            self._pieces.append(_own(piece))
        elif self._pieces and isinstance(last := self._pieces[-1], bytearray) and len(last) < 16 * _SMALL_PIECE:
            last += piece
        else:
            self._pieces.append(bytearray(piece))
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def drained(self, waiting: int) -> None:
        """Bytes were sent; WAITING are left."""
        if waiting <= WRITE_LOW:
            self._release_writers()

    def ended(self) -> None:
        """The channel ended, by us, by the peer or with its connection."""
        if self.closed:
            return
        self.closed = True
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)
        self._release_writers()

    def _release_writers(self) -> None:
        while self._writers:
            future = self._writers.popleft()
            if not future.done():
                future.set_result(None)

    def _check_open(self) -> None:
        if self.closed:
            raise ConnectionError(f"channel {self.name} is closed")

    def _take(self, limit: int) -> bytes:
        first = self._pieces[0]
        if len(first) > limit:
            self._pieces[0] = memoryview(first)[limit:]
            self._unread -= limit
            return bytes(memoryview(first)[:limit])
        taken = []
        size = 0
        while self._pieces and size + len(self._pieces[0]) <= limit:
            piece = self._pieces.popleft()
            size += len(piece)
            taken.append(piece)
        self._unread -= size
        return bytes(first) if len(taken) == 1 else b"".join(taken)


def _own(piece: bytes | memoryview) -> bytes | memoryview:
    """PIECE, copied when it is the smaller part of what it would keep in memory."""
    if isinstance(piece, memoryview) and isinstance(piece.obj, bytes) and 2 * len(piece) < len(piece.obj):
        return bytes(piece)
    return piece
