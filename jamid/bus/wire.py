"""D-Bus messages: our own headers around bodies that the library marshals, and the framing of a byte stream into messages."""

from __future__ import annotations

import enum
import logging
import struct
from dataclasses import dataclass
from typing import Any, Final

from jamid.bus.library import Library
from jamid.bus.signature import clean
from jamid.core import limits
from jamid.core.errors import LocalError, RemoteError

_log = logging.getLogger(__name__)

NO_REPLY_EXPECTED: Final = 0x1
NO_AUTO_START: Final = 0x2

_FIXED = struct.Struct("<cBBBIII")
_FIXED_BIG = struct.Struct(">cBBBIII")
_PATH, _INTERFACE, _MEMBER, _ERROR, _REPLY_SERIAL, _DESTINATION, _SIGNATURE = 1, 2, 3, 4, 5, 6, 8


class Kind(enum.IntEnum):
    """The four kinds of message."""

    CALL = 1
    RETURN = 2
    ERROR = 3
    SIGNAL = 4


@dataclass(frozen=True, slots=True)
class Message:
    """A message as received."""

    kind: Kind
    flags: int
    serial: int
    reply_serial: int
    sender: str
    path: str
    interface: str
    member: str
    error_name: str
    signature: str
    body: list[Any]

    @property
    def wants_reply(self) -> bool:
        return not self.flags & NO_REPLY_EXPECTED


@dataclass(frozen=True, slots=True)
class Header:
    """The constant part of a message's header, encoded once and used for every message that shares it."""

    kind: Kind
    flags: int
    fields: bytes
    length: int

    def message(self, serial: int, body: bytes) -> bytes:
        """The whole message with SERIAL and the already encoded BODY."""
        return self.start(serial, len(body)) + body

    def start(self, serial: int, length: int) -> bytes:
        """What comes before a body of LENGTH bytes."""
        return _FIXED.pack(b"l", self.kind, self.flags, 1, length, serial, self.length) + self.fields


def header(
    kind: Kind,
    *,
    flags: int = NO_REPLY_EXPECTED,
    path: str = "",
    interface: str = "",
    member: str = "",
    error_name: str = "",
    reply_serial: int = 0,
    destination: str = "",
    signature: str = "",
) -> Header:
    """A header with the fields that are not empty."""
    fields = bytearray()
    if path:
        _add_string(fields, _PATH, b"o", path)
    if interface:
        _add_string(fields, _INTERFACE, b"s", interface)
    if member:
        _add_string(fields, _MEMBER, b"s", member)
    if error_name:
        _add_string(fields, _ERROR, b"s", error_name)
    if reply_serial:
        _align(fields)
        fields += bytes((_REPLY_SERIAL, 1)) + b"u\0" + struct.pack("<I", reply_serial)
    if destination:
        _add_string(fields, _DESTINATION, b"s", destination)
    if signature:
        raw = signature.encode()
        _align(fields)
        fields += bytes((_SIGNATURE, 1)) + b"g\0" + bytes((len(raw),)) + raw + b"\0"
    length = len(fields)
    _align(fields)
    return Header(kind, flags, bytes(fields), length)


def encode_body(library: Library, signature: str, body: list[Any]) -> bytes:
    """BODY in SIGNATURE; strings unfit for D-Bus are cleaned, anything else that does not fit raises LocalError."""
    if not signature:
        return b""
    try:
        return library.encode_body(signature, body)
    except Exception:
        pass
    try:
        return library.encode_body(signature, clean(body))
    except Exception as error:
        raise LocalError(f"a value does not fit the D-Bus signature {signature!r}: {error}") from error


class Framer:
    """Cuts a byte stream into messages; raises RemoteError when the stream cannot be D-Bus.

    A single message that cannot be understood is skipped: any client may send us one, of a kind yet unknown for example.
    """

    def __init__(self, library: Library) -> None:
        self._library = library
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """The messages that DATA completes."""
        buffer = self._buffer
        buffer += data
        messages = []
        start = 0
        while len(buffer) - start >= _FIXED.size:
            length = _length(buffer, start)
            if len(buffer) - start < length:
                break
            message = self._parse(bytes(buffer[start : start + length]))
            if message is not None:
                messages.append(message)
            start += length
        del buffer[:start]
        return messages

    def _parse(self, data: bytes) -> Message | None:
        try:
            raw = self._library.decode(data)
            return Message(
                Kind(int(raw.message_type.value)),
                int(raw.flags.value),
                raw.serial,
                raw.reply_serial or 0,
                raw.sender or "",
                raw.path or "",
                raw.interface or "",
                raw.member or "",
                raw.error_name or "",
                raw.signature or "",
                raw.body,
            )
        except Exception as error:
            _log.warning("a D-Bus message of %d bytes is not understood and ignored: %s", len(data), error)
            return None


def _length(buffer: bytearray, start: int) -> int:
    order = buffer[start]
    if order not in b"lB":
        raise RemoteError(f"a D-Bus message begins with byte {order:#x}")
    fixed = (_FIXED if order == 0x6C else _FIXED_BIG).unpack_from(buffer, start)
    body, fields = fixed[4], fixed[6]
    length: int = _FIXED.size + (fields + 7 & ~7) + body
    if length > limits.BUS_MESSAGE_BYTES:
        raise RemoteError(f"a D-Bus message of {length} bytes is larger than {limits.BUS_MESSAGE_BYTES}")
    return length


def _align(fields: bytearray) -> None:
    fields += bytes(-len(fields) % 8)


def _add_string(fields: bytearray, code: int, kind: bytes, value: str) -> None:
    raw = value.encode()
    _align(fields)
    fields += bytes((code, 1)) + kind + b"\0" + struct.pack("<I", len(raw)) + raw + b"\0"
