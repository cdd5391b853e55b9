"""RTCP (RFC 3550, section 6): compound packets <-> records, with the reference's private feedback words.

RTCP travels in the clear on a component of its own even when RTP is encrypted, and the reference looks only at the first
record of a compound packet (protocol: media, sections 7.1 and 7.2).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Final

from jamid.core import limits
from jamid.core.errors import LimitError, RemoteError

SENDER_REPORT: Final = 200
RECEIVER_REPORT: Final = 201
SOURCE_DESCRIPTION: Final = 202
GOODBYE: Final = 203
PAYLOAD_FEEDBACK: Final = 206

CNAME: Final = 1
REMB_DECREASE: Final = bytes.fromhex("8fce0005123456780000000052454d42010068032345678b")
REMB_INCREASE: Final = bytes.fromhex("8fce0005123456780000000052454d42010073782345678b")
NTP_EPOCH: Final = 2_208_988_800
"""Seconds between 1900 and 1970."""

_REPORT_BLOCK = struct.Struct("!IIIIII")
_WORD_DECREASE, _WORD_INCREASE = 0x6803, 0x7378


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """What a receiver tells about one stream."""

    ssrc: int
    fraction_lost: int
    """Of 256, since the last report."""
    cumulative_lost: int
    """Signed, 24 bits."""
    highest_sequence: int
    """Extended by the count of wraps."""
    jitter: int
    """In ticks of the stream's clock."""
    last_sender_report: int
    """Middle 32 bits of the NTP time of the last sender report; 0 when none came."""
    delay_since_last: int
    """1/65536 seconds between that report and this one."""


@dataclass(frozen=True, slots=True)
class SenderReport:
    """What a sender tells about its own stream."""

    ssrc: int
    ntp: int
    """64-bit NTP time."""
    timestamp: int
    packets: int
    octets: int
    reports: tuple[ReportBlock, ...] = ()


@dataclass(frozen=True, slots=True)
class ReceiverReport:
    """What a receiver tells, without sending anything itself."""

    ssrc: int
    reports: tuple[ReportBlock, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceDescription:
    """Canonical names by SSRC; other items are dropped."""

    names: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Goodbye:
    """Streams that end."""

    sources: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class RateFeedback:
    """The reference's two-word rate control, shaped like REMB; no bitrate is in it (protocol: media, section 7.3)."""

    increase: bool


@dataclass(frozen=True, slots=True)
class UnknownRecord:
    """A record we have no use for."""

    packet_type: int
    count: int
    body: bytes = field(repr=False)


RtcpRecord = SenderReport | ReceiverReport | SourceDescription | Goodbye | RateFeedback | UnknownRecord


def parse_rtcp(data: bytes) -> list[RtcpRecord]:
    """The records of a compound packet, in order. Raises `RemoteError`."""
    if len(data) > limits.RTP_PACKET_BYTES:
        raise LimitError(f"RTCP packet of {len(data)} bytes")
    records: list[RtcpRecord] = []
    position = 0
    while position < len(data):
        if len(records) == limits.RTCP_RECORDS:
            raise LimitError("too many RTCP records in one packet")
        if len(data) < position + 4:
            raise RemoteError("RTCP header is cut off")
        first, packet_type, words = struct.unpack_from("!BBH", data, position)
        if first >> 6 != 2:
            raise RemoteError(f"RTCP version {first >> 6}")
        end = position + 4 + 4 * words
        if end > len(data):
            raise RemoteError("RTCP record is cut off")
        body = data[position + 4 : end]
        if first & 0x20:
            if not body or not 0 < body[-1] <= len(body):
                raise RemoteError("RTCP padding longer than the record")
            body = body[: -body[-1]]
        records.append(_parse_record(packet_type, first & 0x1F, body))
        position = end
    if not records:
        raise RemoteError("empty RTCP packet")
    return records


def write_sender_report(report: SenderReport) -> bytes:
    """The record's bytes; without reports the 28 bytes the reference sends."""
    body = struct.pack("!IQIII", report.ssrc, report.ntp, report.timestamp, report.packets & 0xFFFFFFFF, report.octets & 0xFFFFFFFF)
    return _record(SENDER_REPORT, len(report.reports), body + _write_blocks(report.reports))


def write_receiver_report(report: ReceiverReport) -> bytes:
    """The record's bytes."""
    return _record(RECEIVER_REPORT, len(report.reports), struct.pack("!I", report.ssrc) + _write_blocks(report.reports))


def write_source_description(ssrc: int, name: str) -> bytes:
    """A description of one source with its canonical name."""
    text = name.encode()[:255]
    chunk = struct.pack("!IBB", ssrc, CNAME, len(text)) + text + b"\0"
    return _record(SOURCE_DESCRIPTION, 1, chunk + bytes(-len(chunk) % 4))


def ntp_time(wall: float) -> int:
    """64-bit NTP time of WALL seconds since 1970."""
    return int((wall + NTP_EPOCH) * (1 << 32)) & 0xFFFFFFFFFFFFFFFF


def middle_bits(ntp: int) -> int:
    """The 32 bits of an NTP time that report blocks carry: 1/65536 seconds."""
    return (ntp >> 16) & 0xFFFFFFFF


def _parse_record(packet_type: int, count: int, body: bytes) -> RtcpRecord:
    match packet_type:
        case 200:
            if len(body) < 24:
                raise RemoteError("RTCP sender report is too short")
            ssrc, ntp, timestamp, packets, octets = struct.unpack_from("!IQIII", body)
            return SenderReport(ssrc, ntp, timestamp, packets, octets, _parse_blocks(body[24:], count))
        case 201:
            if len(body) < 4:
                raise RemoteError("RTCP receiver report is too short")
            return ReceiverReport(int.from_bytes(body[:4], "big"), _parse_blocks(body[4:], count))
        case 202:
            return SourceDescription(_parse_names(body, count))
        case 203:
            if len(body) < 4 * count:
                raise RemoteError("RTCP goodbye is too short")
            return Goodbye(struct.unpack_from(f"!{count}I", body))
        case 206 if len(body) == 20 and body[8:12] == b"REMB":
            word = int.from_bytes(body[13:16], "big") & 0x3FFFF
            if word in (_WORD_DECREASE, _WORD_INCREASE):
                return RateFeedback(word == _WORD_INCREASE)
    return UnknownRecord(packet_type, count, body)


def _parse_blocks(body: bytes, count: int) -> tuple[ReportBlock, ...]:
    if len(body) < count * _REPORT_BLOCK.size:
        raise RemoteError("RTCP report blocks are cut off")
    blocks = []
    for index in range(count):
        ssrc, loss, highest, jitter, last, delay = _REPORT_BLOCK.unpack_from(body, index * _REPORT_BLOCK.size)
        cumulative = loss & 0xFFFFFF
        if cumulative & 0x800000:
            cumulative -= 1 << 24
        blocks.append(ReportBlock(ssrc, loss >> 24, cumulative, highest, jitter, last, delay))
    return tuple(blocks)


def _write_blocks(blocks: tuple[ReportBlock, ...]) -> bytes:
    return b"".join(
        _REPORT_BLOCK.pack(
            block.ssrc,
            block.fraction_lost << 24 | (block.cumulative_lost & 0xFFFFFF),
            block.highest_sequence & 0xFFFFFFFF,
            block.jitter & 0xFFFFFFFF,
            block.last_sender_report,
            block.delay_since_last & 0xFFFFFFFF,
        )
        for block in blocks
    )


def _parse_names(body: bytes, count: int) -> tuple[tuple[int, str], ...]:
    names: list[tuple[int, str]] = []
    position = 0
    for _ in range(count):
        if len(body) < position + 4:
            raise RemoteError("RTCP source description is cut off")
        ssrc = int.from_bytes(body[position : position + 4], "big")
        position += 4
        while position < len(body) and body[position]:
            if len(body) < position + 2 or len(body) < position + 2 + body[position + 1]:
                raise RemoteError("RTCP description item is cut off")
            text = body[position + 2 : position + 2 + body[position + 1]]
            if body[position] == CNAME:
                names.append((ssrc, text.decode(errors="replace")))
            position += 2 + len(text)
        position += 4 - position % 4
    return tuple(names)


def _record(packet_type: int, count: int, body: bytes) -> bytes:
    return struct.pack("!BBH", 0x80 | count, packet_type, len(body) // 4) + body
