"""STUN and TURN messages as bytes: RFC 5389, 5245, 5766 and the TCP relay of RFC 6062 (protocol: connection, sections 5.3 and 6)."""

from __future__ import annotations

import enum
import hmac
import ipaddress
import secrets
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from jamid.core import limits
from jamid.core.errors import RemoteError

HEADER_LENGTH: Final = 20
MAGIC_COOKIE: Final = 0x2112A442
_FINGERPRINT_MASK: Final = 0x5354554E
_INTEGRITY_LENGTH: Final = 24
_FINGERPRINT_LENGTH: Final = 8

Address = tuple[str, int]
Value = int | str | bytes | Address | tuple[int, str] | None


class Method(enum.IntEnum):
    """What a message is about."""

    BINDING = 0x001
    ALLOCATE = 0x003
    REFRESH = 0x004
    SEND = 0x006
    DATA = 0x007
    CREATE_PERMISSION = 0x008
    CHANNEL_BIND = 0x009
    CONNECT = 0x00A
    CONNECTION_BIND = 0x00B
    CONNECTION_ATTEMPT = 0x00C


class Class(enum.IntEnum):
    """What part a message plays in its transaction, as the bits of its type."""

    REQUEST = 0x000
    INDICATION = 0x010
    SUCCESS = 0x100
    ERROR = 0x110


class Attribute(enum.IntEnum):
    """The attributes used by Jami's peers and its TURN servers."""

    MAPPED_ADDRESS = 0x0001
    USERNAME = 0x0006
    MESSAGE_INTEGRITY = 0x0008
    ERROR_CODE = 0x0009
    UNKNOWN_ATTRIBUTES = 0x000A
    CHANNEL_NUMBER = 0x000C
    LIFETIME = 0x000D
    XOR_PEER_ADDRESS = 0x0012
    DATA = 0x0013
    REALM = 0x0014
    NONCE = 0x0015
    XOR_RELAYED_ADDRESS = 0x0016
    REQUESTED_ADDRESS_FAMILY = 0x0017
    REQUESTED_TRANSPORT = 0x0019
    XOR_MAPPED_ADDRESS = 0x0020
    PRIORITY = 0x0024
    USE_CANDIDATE = 0x0025
    CONNECTION_ID = 0x002A
    SOFTWARE = 0x8022
    FINGERPRINT = 0x8028
    ICE_CONTROLLED = 0x8029
    ICE_CONTROLLING = 0x802A


@dataclass(frozen=True, slots=True)
class Message:
    """One STUN message; attributes keep their order and may repeat."""

    method: int
    cls: Class
    transaction: bytes
    """12 bytes"""
    attributes: tuple[tuple[int, Value], ...] = ()
    """Pairs of type and decoded value, raw bytes for a type that is not in the table; without integrity and fingerprint."""

    def get(self, attribute: Attribute) -> Value:
        """The first value of ATTRIBUTE, None when it is missing."""
        for kind, value in self.attributes:
            if kind == attribute:
                return value
        return None

    def has(self, attribute: Attribute) -> bool:
        """Whether ATTRIBUTE is present, whatever its value."""
        return any(kind == attribute for kind, _ in self.attributes)

    def number(self, attribute: Attribute) -> int | None:
        """The value of an integer ATTRIBUTE."""
        value = self.get(attribute)
        return value if isinstance(value, int) else None

    def text(self, attribute: Attribute) -> str:
        """The value of a text ATTRIBUTE, empty when it is missing."""
        value = self.get(attribute)
        return value if isinstance(value, str) else ""

    def address(self, attribute: Attribute) -> Address | None:
        """The value of an address ATTRIBUTE."""
        value = self.get(attribute)
        if isinstance(value, tuple):
            host, port = value
            if isinstance(host, str) and isinstance(port, int):
                return host, port
        return None

    def error(self) -> tuple[int, str]:
        """Code and reason of an error response, (0, "") when it carries none."""
        value = self.get(Attribute.ERROR_CODE)
        if isinstance(value, tuple):
            code, reason = value
            if isinstance(code, int) and isinstance(reason, str):
                return code, reason
        return 0, ""

    def encode(self, key: bytes | None = None, *, fingerprint: bool = True) -> bytes:
        """The bytes of the message, with a MESSAGE-INTEGRITY by KEY and a FINGERPRINT where asked for."""
        body = b"".join(_encode_attribute(kind, value, self.transaction) for kind, value in self.attributes)
        if key is not None:
            signed = self._header(len(body) + _INTEGRITY_LENGTH) + body
            body += struct.pack("!HH", Attribute.MESSAGE_INTEGRITY, 20) + hmac.digest(key, signed, "sha1")
        if fingerprint:
            checked = self._header(len(body) + _FINGERPRINT_LENGTH) + body
            body += struct.pack("!HHI", Attribute.FINGERPRINT, 4, zlib.crc32(checked) ^ _FINGERPRINT_MASK)
        return self._header(len(body)) + body

    def _header(self, length: int) -> bytes:
        method = self.method
        kind = (method & 0x000F) | (method & 0x0070) << 1 | (method & 0x0F80) << 2 | self.cls
        return struct.pack("!HHI", kind, length, MAGIC_COOKIE) + self.transaction


def new_transaction() -> bytes:
    """A random transaction id."""
    return secrets.token_bytes(12)


def is_message(frame: bytes | bytearray | memoryview) -> bool:
    """Whether a frame is STUN and not TLS: the reference's own test, which looks at neither cookie nor fingerprint."""
    return len(frame) >= HEADER_LENGTH and frame[0] < 2 and frame[2] << 8 | frame[3] == len(frame) - HEADER_LENGTH and not frame[3] & 3


def parse(data: bytes) -> Message:
    """Decodes one whole message; raises RemoteError when it is none, or a known attribute or the fingerprint is wrong."""
    if len(data) < HEADER_LENGTH:
        raise RemoteError(f"a STUN message has at least {HEADER_LENGTH} bytes, not {len(data)}")
    if len(data) > limits.STUN_MESSAGE_BYTES:
        raise RemoteError(f"a STUN message of {len(data)} bytes")
    kind, length, cookie = struct.unpack_from("!HHI", data)
    if kind & 0xC000 or cookie != MAGIC_COOKIE or length != len(data) - HEADER_LENGTH or length & 3:
        raise RemoteError("not a STUN message")
    method = (kind & 0x000F) | (kind & 0x00E0) >> 1 | (kind & 0x3E00) >> 2
    transaction = data[8:20]
    attributes: list[tuple[int, Value]] = []
    protected = False
    for attribute, start, end in _walk(data):
        value = data[start:end]
        if attribute == Attribute.FINGERPRINT:
            _check_fingerprint(data, start, value)
        elif attribute == Attribute.MESSAGE_INTEGRITY:
            if len(value) != 20:
                raise RemoteError(f"a STUN MESSAGE-INTEGRITY of {len(value)} bytes")
            protected = True
        elif not protected:  # what follows the integrity is not covered by it and must be ignored (RFC 5389, section 15.4)
            codec = _CODECS.get(attribute)
            attributes.append((attribute, codec[0](value, transaction) if codec else value))
    return Message(method, Class(kind & 0x0110), transaction, tuple(attributes))


def has_integrity(data: bytes) -> bool:
    """Whether DATA, which `parse` accepted, carries a MESSAGE-INTEGRITY."""
    return any(attribute == Attribute.MESSAGE_INTEGRITY for attribute, _, _ in _walk(data))


def verify(data: bytes, key: bytes) -> bool:
    """Whether DATA, which `parse` accepted, carries a MESSAGE-INTEGRITY made with KEY."""
    for attribute, start, end in _walk(data):
        if attribute == Attribute.MESSAGE_INTEGRITY:
            length = struct.pack("!H", end - HEADER_LENGTH)
            expected = hmac.digest(key, data[:2] + length + data[4 : start - 4], "sha1")
            return hmac.compare_digest(expected, data[start:end])
    return False


def _walk(data: bytes) -> list[tuple[int, int, int]]:
    found = []
    position = HEADER_LENGTH
    while position < len(data):
        if len(data) - position < 4:
            raise RemoteError("a STUN attribute is cut off")
        attribute, length = struct.unpack_from("!HH", data, position)
        start = position + 4
        if start + length > len(data):
            raise RemoteError(f"STUN attribute {attribute:#06x} is longer than its message")
        found.append((attribute, start, start + length))
        position = start + length + (-length & 3)
    return found


def _check_fingerprint(data: bytes, start: int, value: bytes) -> None:
    checked = data[:2] + struct.pack("!H", start + 4 - HEADER_LENGTH) + data[4 : start - 4]
    if value != struct.pack("!I", zlib.crc32(checked) ^ _FINGERPRINT_MASK):
        raise RemoteError("wrong STUN fingerprint")


def _encode_attribute(kind: int, value: Value, transaction: bytes) -> bytes:
    codec = _CODECS.get(kind)
    if codec is not None:
        raw = codec[1](value, transaction)
    else:
        if not isinstance(value, bytes):
            raise TypeError(f"STUN attribute {kind:#06x} takes bytes")
        raw = value
    return struct.pack("!HH", kind, len(raw)) + raw + bytes(-len(raw) & 3)


# -- one decoder and one encoder per form of value ----------------------------------------------------------------------------


def _decode_number(width: int) -> Callable[[bytes, bytes], int]:
    def decode(raw: bytes, transaction: bytes) -> int:
        if len(raw) != width:
            raise RemoteError(f"a STUN number of {len(raw)} bytes instead of {width}")
        return int.from_bytes(raw, "big")

    return decode


def _encode_number(width: int) -> Callable[[Value, bytes], bytes]:
    def encode(value: Value, transaction: bytes) -> bytes:
        if not isinstance(value, int):
            raise TypeError("this STUN attribute takes a number")
        return value.to_bytes(width, "big")

    return encode


def _decode_text(raw: bytes, transaction: bytes) -> str:
    # pjnath counts the padding of SOFTWARE into its length and fills it with NULs.
    return raw.rstrip(b"\0").decode("utf-8", "replace")


def _encode_text(value: Value, transaction: bytes) -> bytes:
    if not isinstance(value, str):
        raise TypeError("this STUN attribute takes text")
    return value.encode()


def _decode_flag(raw: bytes, transaction: bytes) -> None:
    return None


def _encode_flag(value: Value, transaction: bytes) -> bytes:
    return b""


def _decode_raw(raw: bytes, transaction: bytes) -> bytes:
    return raw


def _encode_raw(value: Value, transaction: bytes) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError("this STUN attribute takes bytes")
    return value


def _decode_address(raw: bytes, transaction: bytes) -> Address:
    lengths = {1: 8, 2: 20}
    if len(raw) < 4 or len(raw) != lengths.get(raw[1]):
        raise RemoteError(f"a STUN address of {len(raw)} bytes and unknown family")
    return str(ipaddress.ip_address(raw[4:])), raw[2] << 8 | raw[3]


def _encode_address(value: Value, transaction: bytes) -> bytes:
    if not (isinstance(value, tuple) and isinstance(value[0], str) and isinstance(value[1], int)):
        raise TypeError("this STUN attribute takes an address and a port")
    packed = ipaddress.ip_address(value[0]).packed
    return struct.pack("!BBH", 0, 1 if len(packed) == 4 else 2, value[1]) + packed


def _xor_address(raw: bytes, transaction: bytes) -> bytes:
    mask = struct.pack("!HI", MAGIC_COOKIE >> 16, MAGIC_COOKIE) + transaction
    return raw[:2] + bytes(a ^ b for a, b in zip(raw[2:], mask, strict=False))


def _decode_xor_address(raw: bytes, transaction: bytes) -> Address:
    return _decode_address(_xor_address(raw, transaction), transaction)


def _encode_xor_address(value: Value, transaction: bytes) -> bytes:
    return _xor_address(_encode_address(value, transaction), transaction)


def _decode_error(raw: bytes, transaction: bytes) -> tuple[int, str]:
    if len(raw) < 4:
        raise RemoteError(f"a STUN ERROR-CODE of {len(raw)} bytes")
    return (raw[2] & 7) * 100 + raw[3], raw[4:].rstrip(b"\0").decode("utf-8", "replace")


def _encode_error(value: Value, transaction: bytes) -> bytes:
    if not (isinstance(value, tuple) and isinstance(value[0], int) and isinstance(value[1], str)):
        raise TypeError("ERROR-CODE takes a code and a reason")
    return struct.pack("!HBB", 0, value[0] // 100, value[0] % 100) + value[1].encode()


_Codec = tuple[Callable[[bytes, bytes], Value], Callable[[Value, bytes], bytes]]
_NUMBER32: Final[_Codec] = (_decode_number(4), _encode_number(4))
_NUMBER64: Final[_Codec] = (_decode_number(8), _encode_number(8))
_TEXT: Final[_Codec] = (_decode_text, _encode_text)
_RAW: Final[_Codec] = (_decode_raw, _encode_raw)
_PLAIN_ADDRESS: Final[_Codec] = (_decode_address, _encode_address)
_XORED_ADDRESS: Final[_Codec] = (_decode_xor_address, _encode_xor_address)

_CODECS: Final[dict[int, _Codec]] = {
    Attribute.MAPPED_ADDRESS: _PLAIN_ADDRESS,
    Attribute.USERNAME: _TEXT,
    Attribute.ERROR_CODE: (_decode_error, _encode_error),
    Attribute.UNKNOWN_ATTRIBUTES: _RAW,
    Attribute.CHANNEL_NUMBER: _NUMBER32,
    Attribute.LIFETIME: _NUMBER32,
    Attribute.XOR_PEER_ADDRESS: _XORED_ADDRESS,
    Attribute.DATA: _RAW,
    Attribute.REALM: _TEXT,
    Attribute.NONCE: _RAW,
    Attribute.XOR_RELAYED_ADDRESS: _XORED_ADDRESS,
    Attribute.REQUESTED_ADDRESS_FAMILY: _NUMBER32,
    Attribute.REQUESTED_TRANSPORT: _NUMBER32,
    Attribute.XOR_MAPPED_ADDRESS: _XORED_ADDRESS,
    Attribute.PRIORITY: _NUMBER32,
    Attribute.USE_CANDIDATE: (_decode_flag, _encode_flag),
    Attribute.CONNECTION_ID: _NUMBER32,
    Attribute.SOFTWARE: _TEXT,
    Attribute.ICE_CONTROLLED: _NUMBER64,
    Attribute.ICE_CONTROLLING: _NUMBER64,
}
