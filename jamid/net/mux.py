"""The multiplexer of one connection, without I/O: plaintext in, channels out, and frames to send (protocol: connection, section 10)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from jamid.core import limits
from jamid.core.errors import RemoteError
from jamid.net import mux_wire
from jamid.net.channels import Channel
from jamid.net.mux_backlog import Backlog
from jamid.net.mux_queue import OutgoingQueue
from jamid.net.mux_wire import CONTROL_CHANNEL, PROTOCOL_CHANNEL, ChannelMessage, ChannelState, MuxParser, ProtocolMessage

if TYPE_CHECKING:
    from jamid.net.connection import Connection

_log = logging.getLogger(__name__)

VERSION: Final = 1
_FIRST_NUMBER: Final = {True: 0x8000, False: 0x0001}
"""of the channels that the TLS server and the TLS client ask for, so that both never pick the same one"""


class MuxOwner(Protocol):
    """What the multiplexer needs of its connection."""

    def frames_waiting(self) -> None:
        """Something is to be sent: call `next_frames` when there is room."""
        ...

    def channel_requested(self, name: str) -> Callable[[Channel], None] | None:
        """Whether the peer may open NAME: the function that takes the channel, or None to decline."""
        ...

    def stalled(self) -> None:
        """`backlog.stalled` has changed: stop reading, or read again."""
        ...

    def now(self) -> float:
        """Wall-clock seconds."""
        ...


class Multiplexer:
    """The channels of one connection."""

    def __init__(self, owner: MuxOwner, connection: Connection, *, server: bool) -> None:
        self.channels: dict[int, Channel] = {}
        self.peer_version: int | None = None
        self.pongs = 0
        """signs of life that came"""
        self._owner = owner
        self._connection = connection
        self._queue = OutgoingQueue()
        self._parser = MuxParser()
        self._control = bytearray()
        self._protocol = bytearray()
        self._next_number = _FIRST_NUMBER[server]
        self._requested: dict[int, asyncio.Future[Channel]] = {}
        self.backlog = Backlog(owner.stalled)
        self._closed = False

    def start(self) -> None:
        """Greets the peer."""
        self._put_control(mux_wire.encode_protocol_message(ProtocolMessage(version=VERSION)))

    async def open(self, name: str, timeout: float) -> Channel:
        """Asks the peer for a channel; raises ConnectionError when it declines, does not answer or the connection ends."""
        if self._closed:
            raise ConnectionError("the connection is closed")
        number = self._free_number()
        channel = Channel(number, name, self._connection, self, outgoing=True, created=self._owner.now())
        future: asyncio.Future[Channel] = asyncio.get_running_loop().create_future()
        self.channels[number] = channel
        self._requested[number] = future
        self._put_control(mux_wire.encode_channel_message(ChannelMessage(name, number, ChannelState.REQUEST)))
        opened = False
        try:
            async with asyncio.timeout(timeout):
                await future
            opened = True
        except TimeoutError:
            raise ConnectionError(f"the device did not answer the request for channel {name} within {timeout:.0f} s") from None
        finally:
            self._requested.pop(number, None)
            if not opened:
                channel.close()  # also when the answer and our cancellation came together: nobody would own it
        return channel

    def beacon(self, *, ask: bool) -> None:
        """Asks for a sign of life, or gives one."""
        self._put_control(mux_wire.encode_protocol_message(ProtocolMessage(beacon=ask)))

    def feed(self, plain: bytes) -> None:
        """Takes plaintext; raises RemoteError when the stream is broken and the connection must end."""
        for number, piece, last in self._parser.feed(plain):
            if number == CONTROL_CHANNEL:
                self._collect(self._control, piece, last, self._control_frame)
            elif number == PROTOCOL_CHANNEL:
                self._collect(self._protocol, piece, last, self._protocol_frame)
            else:
                channel = self.channels.get(number)
                if channel is None or number in self._requested:
                    continue
                if not len(piece):
                    self._forget(number)
                    channel.ended()
                    continue
                channel.feed(piece)
                self.backlog.came(channel, len(piece))

    def next_frames(self, limit: int, piece: int) -> list[bytes]:
        """The frames to send next, of together about LIMIT bytes, and of bulk with at most PIECE bytes each; none with 0."""
        return self._queue.next_frames(limit, piece)

    def release_writers(self) -> None:
        """Wakes the writers for whose bytes there is room again."""
        for number, channel in self.channels.items():
            channel.drained(self._queue.waiting(number))

    @property
    def has_frames(self) -> bool:
        """Whether something waits to be sent."""
        return bool(self._queue)

    @property
    def control_waiting(self) -> int:
        """Bytes of control frames that wait: answers to a peer that asks and does not read."""
        return self._queue.control_waiting

    def close(self, reason: str) -> None:
        """The connection has ended: so have its channels, and requests fail with REASON."""
        self._closed = True
        channels, self.channels = self.channels, {}
        requested, self._requested = self._requested, {}
        for future in requested.values():
            if not future.done():
                future.set_exception(ConnectionError(reason))
        for channel in channels.values():
            channel.ended()

    # -- the channels' side ---------------------------------------------------------------------------------------------------

    def write(self, channel: int, data: bytes | memoryview) -> int:
        self._queue.put(channel, data)
        self._owner.frames_waiting()
        return self._queue.waiting(channel)

    def end(self, channel: int) -> None:
        self._forget(channel, by_us=True)
        if not self._closed:
            self._queue.put_end(channel)
            self._owner.frames_waiting()

    def taken(self, channel: Channel, size: int) -> None:
        self.backlog.taken(channel, size)

    # -- details --------------------------------------------------------------------------------------------------------------

    def _collect(self, buffer: bytearray, piece: bytes | memoryview, last: bool, handle: Callable[[bytes], None]) -> None:
        if len(buffer) + len(piece) > limits.MUX_CONTROL_BYTES:
            raise RemoteError("a control frame without end")
        buffer += piece
        if not last:
            return
        payload = bytes(buffer)
        buffer.clear()
        try:
            handle(payload)
        except RemoteError as error:
            _log.debug("control frame dropped: %s", error)  # as the reference does: only this frame is lost

    def _control_frame(self, payload: bytes) -> None:
        for message in mux_wire.parse_control(payload):
            if isinstance(message, ProtocolMessage):
                self._protocol_message(message)
            elif message.state is ChannelState.REQUEST:
                self._channel_request(message)
            else:
                self._channel_answer(message)

    def _protocol_frame(self, payload: bytes) -> None:
        for message in mux_wire.parse_protocol(payload):
            self._protocol_message(message)

    def _protocol_message(self, message: ProtocolMessage) -> None:
        if message.version is not None:
            self.peer_version = message.version
        elif message.beacon is True:
            self.beacon(ask=False)
        elif message.beacon is False:
            self.pongs += 1

    def _channel_request(self, message: ChannelMessage) -> None:
        number = message.channel
        take = None
        held = len(self.channels) + self.backlog.ended
        if number not in self.channels and held < limits.CHANNELS_PER_CONNECTION and not self._closed:
            take = self._owner.channel_requested(message.name)
        if take is None:
            self._put_control(mux_wire.encode_channel_message(ChannelMessage(message.name, number, ChannelState.DECLINE)))
            return
        channel = Channel(number, message.name, self._connection, self, outgoing=False, created=self._owner.now())
        self.channels[number] = channel
        self._put_control(mux_wire.encode_channel_message(ChannelMessage(message.name, number, ChannelState.ACCEPT)))
        take(channel)

    def _channel_answer(self, message: ChannelMessage) -> None:
        future = self._requested.pop(message.channel, None)
        if future is None or future.done():
            return
        if message.state is ChannelState.ACCEPT:
            future.set_result(self.channels[message.channel])
        else:
            channel = self.channels.pop(message.channel)
            channel.ended()
            future.set_exception(ConnectionRefusedError(f"the device declined channel {message.name}"))

    def _forget(self, number: int, *, by_us: bool = False) -> None:
        channel = self.channels.pop(number, None)
        if not by_us:
            self._queue.drop(number)
        if channel is not None:
            self.backlog.forget(channel, readable=not by_us)

    def _free_number(self) -> int:
        for _ in range(PROTOCOL_CHANNEL):
            number = self._next_number
            self._next_number = number % (PROTOCOL_CHANNEL - 1) + 1
            if number not in self.channels:
                return number
        raise ConnectionError("every channel number of the connection is in use")

    def _put_control(self, frame: bytes) -> None:
        if not self._closed:
            self._queue.put_control(frame)
            self._owner.frames_waiting()
