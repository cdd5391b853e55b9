"""RTP packets (RFC 3550, section 5): bytes <-> `RtpPacket`, and the arithmetic of wrapping sequence numbers."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from jamid.core import limits
from jamid.core.errors import LimitError, RemoteError

HEADER_BYTES: Final = 12
ONE_BYTE_EXTENSIONS: Final = 0xBEDE
"""Profile of a header extension whose elements have a one-byte header (RFC 8285)."""
ABS_SEND_TIME_ID: Final = 3
"""Element that builds with a patched FFmpeg put on every packet without announcing it (protocol: media, section 7.3)."""

_HEADER = struct.Struct("!BBHII")


@dataclass(slots=True)
class RtpPacket:
    """One media packet in the clear. Not frozen: fifty a second are made per call, and freezing doubles what that costs."""

    payload_type: int
    """0 to 127."""
    sequence: int
    """16 bits, wraps."""
    timestamp: int
    """32 bits in the payload's clock, wraps."""
    ssrc: int
    payload: bytes
    marker: bool = False
    extension: bytes = b""
    """Body of the header extension, without its own header; empty when there is none."""
    extension_profile: int = 0


def parse_rtp(data: bytes) -> RtpPacket:
    """Takes a packet apart; CSRCs are skipped, padding is cut. Raises `RemoteError`."""
    if len(data) > limits.RTP_PACKET_BYTES:
        raise LimitError(f"RTP packet of {len(data)} bytes")
    if len(data) < HEADER_BYTES:
        raise RemoteError("RTP packet shorter than its header")
    first, second, sequence, timestamp, ssrc = _HEADER.unpack_from(data)
    if first >> 6 != 2:
        raise RemoteError(f"RTP version {first >> 6}")
    start = HEADER_BYTES + 4 * (first & 0x0F)
    end = len(data)
    extension, profile = b"", 0
    if first & 0x10:
        if end < start + 4:
            raise RemoteError("RTP header extension is cut off")
        profile = int.from_bytes(data[start : start + 2], "big")
        length = 4 * int.from_bytes(data[start + 2 : start + 4], "big")
        extension = data[start + 4 : start + 4 + length]
        start += 4 + length
    if first & 0x20:
        if end <= start or not 0 < data[-1] <= end - start:
            raise RemoteError("RTP padding longer than the payload")
        end -= data[-1]
    if start > end:
        raise RemoteError("RTP header longer than the packet")
    return RtpPacket(second & 0x7F, sequence, timestamp, ssrc, data[start:end], bool(second & 0x80), extension, profile)


def rtp_header(payload_type: int, sequence: int, timestamp: int, ssrc: int, *, marker: bool) -> bytes:
    """The header of a packet without extension."""
    return _HEADER.pack(0x80, payload_type | 0x80 if marker else payload_type, sequence, timestamp, ssrc)


def write_rtp(packet: RtpPacket) -> bytes:
    """The packet's bytes; the extension must be a multiple of four bytes."""
    header = rtp_header(packet.payload_type, packet.sequence, packet.timestamp, packet.ssrc, marker=packet.marker)
    if not packet.extension_profile:
        return header + packet.payload
    if len(packet.extension) % 4:
        raise ValueError("an RTP header extension is a multiple of four bytes")
    extension = struct.pack("!HH", packet.extension_profile, len(packet.extension) // 4) + packet.extension
    return b"".join((b"\x90", header[1:], extension, packet.payload))


def absolute_send_time(packet: RtpPacket) -> int | None:
    """The 24-bit send time (6.18 fixed-point seconds) of a packet that carries one."""
    if packet.extension_profile != ONE_BYTE_EXTENSIONS:
        return None
    position, body = 0, packet.extension
    while position < len(body):
        element, length = body[position] >> 4, (body[position] & 0x0F) + 1
        if element == ABS_SEND_TIME_ID and length == 3 and position + 4 <= len(body):
            return int.from_bytes(body[position + 1 : position + 4], "big")
        position += 1 if body[position] == 0 else 1 + length
    return None


def sequence_distance(newer: int, older: int) -> int:
    """How far NEWER is ahead of OLDER on the 16-bit circle: -32768 to 32767."""
    return ((newer - older + 0x8000) & 0xFFFF) - 0x8000


def timestamp_distance(newer: int, older: int) -> int:
    """How far NEWER is ahead of OLDER on the 32-bit circle."""
    return ((newer - older + 0x80000000) & 0xFFFFFFFF) - 0x80000000
