"""Any bytes are a message or a `RemoteError`, nothing else; and no packet of a stranger ends a stream."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from jamid.core.errors import RemoteError
from jamid.media.codecs import create_decoder
from jamid.media.rtcp import REMB_DECREASE, parse_rtcp, write_sender_report
from jamid.media.rtcp import SenderReport as Report
from jamid.media.rtp import RtpPacket, absolute_send_time, parse_rtp, write_rtp
from jamid.media.srtp import SrtpReceiver, create_key, parse_inline
from jamid.media.telephone_events import EventReceiver, parse_event
from tests.support.media.sound import Call

RTP = write_rtp(RtpPacket(104, 7, 960, 1, bytes(20), True, b"\x32abc", 0xBEDE))
RTCP = write_sender_report(Report(1, 2, 3, 4, 5)) + REMB_DECREASE


@st.composite
def damaged(draw: st.DrawFn, sample: bytes) -> bytes:
    """A real packet with a few bytes changed and its end cut off."""
    data = bytearray(sample)
    for _ in range(draw(st.integers(0, 6))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(0, len(data)))])


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=300), damaged(RTP)))
def test_media_fuzz_rtp(data: bytes) -> None:
    with suppress(RemoteError):
        packet = parse_rtp(data)
        absolute_send_time(packet)
        assert len(packet.payload) <= len(data)


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=300), damaged(RTCP)))
def test_media_fuzz_rtcp(data: bytes) -> None:
    with suppress(RemoteError):
        assert parse_rtcp(data)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=2100))
def test_media_fuzz_srtp(data: bytes) -> None:
    with suppress(RemoteError):
        SrtpReceiver(bytes(30)).unprotect(data)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80))
def test_media_fuzz_inline_keys(text: str) -> None:
    with suppress(RemoteError):
        assert len(parse_inline(text)) == len(create_key())


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.binary(max_size=8), st.integers(0, 3)), max_size=10))
def test_media_fuzz_telephone_events(packets: list[tuple[bytes, int]]) -> None:
    receiver = EventReceiver()
    for payload, timestamp in packets:
        with suppress(RemoteError):
            parse_event(payload)
        with suppress(RemoteError):
            for digit, duration in receiver.take(payload, timestamp, 0.0):
                assert len(digit) == 1
                assert duration >= 0


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["opus", "PCMA", "PCMU", "G722"]), st.lists(st.binary(max_size=1500), max_size=4))
def test_media_fuzz_payloads(codec: str, payloads: list[bytes]) -> None:
    decoder = create_decoder(codec, 8000)
    for payload in payloads:
        with suppress(RemoteError):
            assert len(decoder.decode(payload)) <= 5760
        with suppress(RemoteError):
            decoder.recover(payload)
        decoder.conceal()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.one_of(st.binary(max_size=100), damaged(RTP), damaged(RTCP))), max_size=30))
def test_media_fuzz_stream_survives_any_datagrams(datagrams: list[tuple[bool, bytes]]) -> None:
    call = Call(encrypted=False, sources=("null", "null"))
    call.run(0.04)
    for rtcp, data in datagrams:
        (call.streams[0].receive_rtcp if rtcp else call.streams[0].receive_rtp)(data)
    call.run(0.1)
    assert len(call.sent[0]) == 7
