"""The frames of the multiplexed stream: `[channel, data]` in msgpack, one after another (protocol: connection, section 10)."""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgpack

from jamid.core import limits
from jamid.core.errors import RemoteError

CONTROL_CHANNEL: Final = 0
PROTOCOL_CHANNEL: Final = 0xFFFF
MAX_PAYLOAD: Final = 0xFFFF
BULK_PAYLOAD: Final = 4 * 16384 - 7
"""Fills four TLS records together with its header (1 + 3 + 3 bytes)."""
_PAIR: Final = 0x92
_LONGEST_HEADER: Final = 16


class ChannelState(enum.IntEnum):
    """What a control message says about its channel."""

    REQUEST = 0
    ACCEPT = 1
    DECLINE = 2


@dataclass(frozen=True, slots=True)
class ChannelMessage:
    """One control message."""

    name: str
    channel: int
    state: ChannelState


@dataclass(frozen=True, slots=True)
class ProtocolMessage:
    """A message of the protocol channel; one of the two is set, neither for a message that we do not know."""

    version: int | None = None
    beacon: bool | None = None
    """True asks for a sign of life, False is one"""


def encode_frame(channel: int, payload: bytes | memoryview) -> bytes:
    """One frame of at most 65535 bytes of payload; an empty one ends the channel."""
    length = len(payload)
    if channel < 0x80:
        head = bytes((_PAIR, channel))
    elif channel < 0x100:
        head = bytes((_PAIR, 0xCC, channel))
    else:
        head = struct.pack("!BBH", _PAIR, 0xCD, channel)
    head += bytes((0xC4, length)) if length < 0x100 else struct.pack("!BH", 0xC5, length)
    return b"".join((head, payload))


def encode_channel_message(message: ChannelMessage) -> bytes:
    """A frame of the control channel."""
    return encode_frame(CONTROL_CHANNEL, msgpack.packb([message.name, message.channel, int(message.state)]))


def encode_protocol_message(message: ProtocolMessage) -> bytes:
    """A frame of the protocol channel."""
    content: dict[str, Any] = {"v": message.version} if message.version is not None else {"p": message.beacon}
    return encode_frame(PROTOCOL_CHANNEL, msgpack.packb(content))


def parse_control(payload: bytes) -> list[ChannelMessage | ProtocolMessage]:
    """The messages of a control frame, which may hold several and maps too; raises RemoteError."""
    found: list[ChannelMessage | ProtocolMessage] = []
    for item in _unpack(payload):
        if isinstance(item, dict):
            found.append(_protocol_message(item))
            continue
        if not isinstance(item, list) or len(item) < 3:
            raise RemoteError("a control message is [name, channel, state]")
        name, channel, state = item[:3]
        if isinstance(name, bytes):
            name = name.decode("utf-8", "replace")
        if not (isinstance(name, str) and type(channel) is int and type(state) is int):
            raise RemoteError("a control message is [text, number, number]")
        if len(name) > limits.CHANNEL_NAME_BYTES:
            raise RemoteError(f"a channel name of {len(name)} characters")
        if not 0 < channel < PROTOCOL_CHANNEL or state not in (0, 1, 2):
            raise RemoteError(f"channel {channel} in state {state}")
        found.append(ChannelMessage(name, channel, ChannelState(state)))
    return found


def parse_protocol(payload: bytes) -> list[ProtocolMessage]:
    """The messages of a protocol frame, unknown ones as empty; raises RemoteError."""
    return [_protocol_message(item) for item in _unpack(payload) if isinstance(item, dict)]


def _protocol_message(content: dict[Any, Any]) -> ProtocolMessage:
    key, value = next(iter(content.items()), (None, None))
    if isinstance(key, bytes):
        key = key.decode("utf-8", "replace")
    if key == "v" and type(value) is int:
        return ProtocolMessage(version=value)
    if key == "p" and isinstance(value, bool):
        return ProtocolMessage(beacon=value)
    return ProtocolMessage()


def _unpack(payload: bytes) -> list[Any]:
    unpacker = msgpack.Unpacker(
        raw=False,
        strict_map_key=False,
        unicode_errors="replace",
        max_buffer_size=limits.MUX_CONTROL_BYTES,
        max_str_len=limits.MUX_CONTROL_BYTES,
        max_array_len=64,
        max_map_len=64,
    )
    try:
        unpacker.feed(payload)
        return list(unpacker)
    except Exception as error:  # msgpack raises several kinds, ValueError and RecursionError among them
        raise RemoteError(f"broken msgpack in a control frame: {type(error).__name__}") from None


class MuxParser:
    """Cuts the plaintext into frames and hands payloads on in pieces as they come, so that big ones are never assembled here."""

    __slots__ = ("_channel", "_head", "_left")

    def __init__(self) -> None:
        self._head = b""
        self._channel = 0
        self._left = 0

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes | memoryview, bool]]:
        """Yields (channel, piece, whether it ends the frame); an empty piece is an empty frame. Raises RemoteError for other things."""
        if self._left >= len(data) and not self._head:
            self._left -= len(data)
            if data:
                yield self._channel, data, self._left == 0
            return
        view = memoryview(data)
        position, end = 0, len(data)
        if self._left:
            position, self._left = self._left, 0
            yield self._channel, view[:position], True
        while position < end:
            if self._head:
                known = len(self._head)
                joined = self._head + bytes(view[position : position + _LONGEST_HEADER])
                header = _parse_header(joined, 0)
                if header is None:
                    self._head = joined
                    return
                self._head = b""
                channel, length, start = header
                start += position - known
            else:
                header = _parse_header(data, position)
                if header is None:
                    self._head = bytes(view[position:])
                    return
                channel, length, start = header
            following = start + length
            if following <= end:
                yield channel, view[start:following], True
                position = following
            else:
                self._channel, self._left = channel, following - end
                if start < end:
                    yield channel, view[start:end], False
                return


def _parse_header(data: bytes, position: int) -> tuple[int, int, int] | None:
    """(channel, payload length, where the payload starts) of the frame at POSITION; None when it is cut off."""
    end = len(data)
    if data[position] != _PAIR:
        raise RemoteError(f"a frame begins with {data[position]:#04x} instead of a pair")
    position += 1
    if position >= end:
        return None
    kind = data[position]
    position += 1
    if kind < 0x80:
        channel = kind
    else:
        width = _NUMBER_WIDTH.get(kind)
        if width is None:
            raise RemoteError(f"a channel number of msgpack type {kind:#04x}")
        if position + width > end:
            return None
        channel = int.from_bytes(data[position : position + width], "big")
        position += width
        if channel > PROTOCOL_CHANNEL:
            raise RemoteError(f"channel number {channel}")
    if position >= end:
        return None
    kind = data[position]
    position += 1
    if 0xA0 <= kind < 0xC0:
        return channel, kind - 0xA0, position
    width = _BYTES_WIDTH.get(kind)
    if width is None:
        raise RemoteError(f"a payload of msgpack type {kind:#04x}")
    if position + width > end:
        return None
    return channel, int.from_bytes(data[position : position + width], "big"), position + width


_NUMBER_WIDTH: Final = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}
_BYTES_WIDTH: Final = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
