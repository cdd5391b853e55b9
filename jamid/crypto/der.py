"""The little DER that revocation lists need; real ones carry negative numbers, which the usual library refuses (X.690)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from jamid.core.errors import RemoteError

INTEGER = 0x02
BIT_STRING = 0x03
OCTET_STRING = 0x04
NULL = 0x05
OBJECT_IDENTIFIER = 0x06
SEQUENCE = 0x30
UTC_TIME = 0x17
GENERALIZED_TIME = 0x18
CONTEXT_0 = 0xA0


@dataclass(frozen=True, slots=True)
class Element:
    """One tag, length, value."""

    tag: int
    content: bytes
    encoded: bytes
    """the whole element, header included"""

    def children(self) -> list[Element]:
        """The elements inside a constructed one."""
        return list(read_elements(self.content))

    def expect(self, tag: int) -> Element:
        """Itself when it has TAG; raises RemoteError else."""
        if self.tag != tag:
            raise RemoteError(f"DER: expected tag {tag:#04x}, found {self.tag:#04x}")
        return self


def read_elements(data: bytes) -> Iterator[Element]:
    """The consecutive elements of DATA; raises RemoteError on bad lengths."""
    at = 0
    while at < len(data):
        element = _read_one(data, at)
        yield element
        at += len(element.encoded)


def read_element(data: bytes) -> Element:
    """The single element that DATA is; raises RemoteError when it is cut short or followed by more."""
    element = _read_one(data, 0)
    if len(element.encoded) != len(data):
        raise RemoteError(f"DER: {len(data) - len(element.encoded)} bytes too many")
    return element


def write(tag: int, *parts: bytes) -> bytes:
    """An element of TAG around the concatenated PARTS."""
    content = b"".join(parts)
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def integer(value: int) -> bytes:
    """A positive, zero or negative INTEGER in the fewest bytes."""
    magnitude = value if value >= 0 else -value - 1
    return write(INTEGER, value.to_bytes(magnitude.bit_length() // 8 + 1, "big", signed=True))


def _read_one(data: bytes, at: int) -> Element:
    if at + 2 > len(data):
        raise RemoteError("DER: cut short")
    tag, size, start = data[at], data[at + 1], at + 2
    if size == 0x80 or size > 0x84:
        raise RemoteError(f"DER: length byte {size:#04x} is not supported")
    if size > 0x80:
        octets = size & 0x7F
        if start + octets > len(data):
            raise RemoteError("DER: cut short")
        size, start = int.from_bytes(data[start : start + octets], "big"), start + octets
    end = start + size
    if end > len(data):
        raise RemoteError("DER: cut short")
    return Element(tag, data[start:end], data[at:end])
