"""msgpack as OpenDHT uses it: the exact bytes on the way out, anything on the way in (protocol: opendht, section 30)."""

from __future__ import annotations

from typing import Any

import msgpack

from jamid.core.errors import RemoteError

_STR8, _BIN8, _BIN16, _BIN32 = b"\xd9", b"\xc4", b"\xc5", b"\xc6"


def pack(value: object) -> bytes:
    """VALUE in msgpack's shortest form."""
    packed: bytes = msgpack.packb(value, unicode_errors="surrogateescape")
    return packed


def pack_uint(number: int) -> bytes:
    """An unsigned integer in its shortest form."""
    if number < 0x80:
        return bytes((number,))
    if number < 0x100:
        return bytes((0xCC, number))
    if number < 0x10000:
        return b"\xcd" + number.to_bytes(2, "big")
    if number < 0x100000000:
        return b"\xce" + number.to_bytes(4, "big")
    return b"\xcf" + number.to_bytes(8, "big")


def pack_bin(data: bytes) -> bytes:
    """DATA as `bin`."""
    length = len(data)
    if length < 0x100:
        return bytes((0xC4, length)) + data
    if length < 0x10000:
        return _BIN16 + length.to_bytes(2, "big") + data
    return _BIN32 + length.to_bytes(4, "big") + data


def pack_str(text: str) -> bytes:
    """TEXT as `str`; what was not UTF-8 when it was read is written as it was."""
    data = text.encode("utf-8", "surrogateescape")
    length = len(data)
    if length < 0x20:
        return bytes((0xA0 | length,)) + data
    if length < 0x100:
        return _STR8 + bytes((length,)) + data
    return pack(text)


def map_header(length: int) -> bytes:
    """The head of a map of LENGTH pairs."""
    if length < 16:
        return bytes((0x80 | length,))
    return b"\xde" + length.to_bytes(2, "big")


def array_header(length: int) -> bytes:
    """The head of an array of LENGTH elements."""
    if length < 16:
        return bytes((0x90 | length,))
    if length < 0x10000:
        return b"\xdc" + length.to_bytes(2, "big")
    return b"\xdd" + length.to_bytes(4, "big")


def unpack(data: bytes) -> Any:
    """The first msgpack object in DATA, whatever follows it; raises RemoteError."""
    try:
        return msgpack.unpackb(data, raw=False, strict_map_key=False, unicode_errors="surrogateescape")
    except msgpack.ExtraData as extra:
        return extra.unpacked
    except Exception as error:  # the library raises a dozen kinds, from ValueError to TypeError for unhashable map keys
        raise RemoteError(f"not msgpack: {type(error).__name__}") from None


def as_bytes(raw: object, what: str) -> bytes:
    """RAW as bytes: `bin`, `str` or an array of integers; raises RemoteError."""
    if type(raw) is bytes:
        return raw
    if isinstance(raw, str):
        try:
            return raw.encode("utf-8", "surrogateescape")
        except UnicodeError:
            raise RemoteError(f"{what} is not bytes") from None
    if isinstance(raw, list):
        try:
            return bytes(raw)
        except (TypeError, ValueError):
            raise RemoteError(f"{what} is not an array of bytes") from None
    raise RemoteError(f"{what} is not bytes but {type(raw).__name__}")


def as_uint(raw: object, bits: int, what: str) -> int:
    """RAW as an unsigned integer of at most BITS; raises RemoteError."""
    if type(raw) is not int or raw < 0 or raw >> bits:
        raise RemoteError(f"{what} is not an unsigned integer of {bits} bits")
    return raw


def as_text(raw: object, limit: int, what: str) -> str:
    """RAW as text of at most LIMIT bytes, where bytes that are not UTF-8 stay as surrogates; raises RemoteError."""
    if isinstance(raw, bytes):
        raw = raw.decode("utf-8", "surrogateescape")
    if not isinstance(raw, str) or len(raw) > limit:
        raise RemoteError(f"{what} is not a text of at most {limit} bytes")
    return raw
