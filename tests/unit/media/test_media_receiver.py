"""What a receiver makes of senders that restart, strangers, and packets of unusual form."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from jamid.core.errors import LimitError, RemoteError
from jamid.media.audio_stream import AudioParameters
from jamid.media.codecs import create_encoder
from jamid.media.codecs.opus import OpusDecoder
from jamid.media.receiver import RtpReceiver
from jamid.media.rtcp import ReceiverReport, SenderReport, ntp_time, parse_rtcp
from jamid.media.rtp import RtpPacket, absolute_send_time, parse_rtp, sequence_distance, timestamp_distance, write_rtp
from jamid.media.sender import RtpSender
from jamid.media.srtp import RESTART_AFTER, SUITES, SrtpKeys, SrtpReceiver, SrtpSender, create_key, parse_inline, write_inline
from tests.support.media.sound import share_of, sine

CLEAR = AudioParameters("x", "opus", 48000, 104, 101)


def _hear(receiver: RtpReceiver, sender: RtpSender, frames: int, start: int = 0, lose: frozenset[int] = frozenset()) -> np.ndarray:
    heard = []
    tone = sine(440, 0.02 * frames)
    for index in range(frames):
        now = (start + index) * 0.02
        packet = sender.packet(tone[index * 960 : (index + 1) * 960])
        if index not in lose:
            receiver.receive(packet, now)
        frame = receiver.frame(now)
        heard.append(np.zeros((960, 2), np.int16) if frame is None else frame)
    return np.concatenate(heard)


@pytest.mark.parametrize("encrypted", [True, False])
def test_media_receiver_follows_a_sender_that_restarts_with_another_ssrc(encrypted: bool) -> None:
    keys = SrtpKeys(create_key(), create_key()) if encrypted else None
    mirrored = SrtpKeys(keys.remote, keys.local) if keys else None
    receiver = RtpReceiver(replace(CLEAR, keys=mirrored))
    first = RtpSender(replace(CLEAR, keys=keys), randomness=random.Random(1))
    _hear(receiver, first, 50)
    second = RtpSender(replace(CLEAR, keys=keys, first_sequence=first.next_sequence), randomness=random.Random(2))
    assert second.ssrc != first.ssrc
    assert share_of(_hear(receiver, second, 100, 50)[24000:], 440) > 0.99
    assert receiver.lost == 0
    assert receiver.refused == (0 if encrypted else 2)


def test_media_unheard_sound_is_not_decoded_and_is_there_at_once_when_somebody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    receiver, sender = RtpReceiver(CLEAR), RtpSender(CLEAR, randomness=random.Random(1))
    decoded = 0
    decode = OpusDecoder.decode

    def counting(self: OpusDecoder, payload: bytes) -> np.ndarray:
        nonlocal decoded
        decoded += 1
        return decode(self, payload)

    monkeypatch.setattr(OpusDecoder, "decode", counting)
    tone = sine(440, 6.0)
    frames = [tone[index * 960 : (index + 1) * 960] for index in range(300)]
    for index, frame in enumerate(frames[:250]):
        receiver.receive(sender.packet(frame), index * 0.02)
        receiver.frame(index * 0.02, wanted=False)
    assert decoded <= 6
    assert (receiver.packets, receiver.lost, receiver.late) == (250, 0, 0)
    heard = []
    for index, frame in enumerate(frames[250:], 250):
        receiver.receive(sender.packet(frame), index * 0.02)
        heard.append(receiver.frame(index * 0.02))
    assert all(frame is not None for frame in heard)
    assert share_of(np.concatenate(heard[5:]), 440) > 0.99


def test_media_single_packets_of_strangers_do_not_take_an_open_line_over() -> None:
    receiver = RtpReceiver(CLEAR)
    sender, stranger = RtpSender(CLEAR, randomness=random.Random(1)), RtpSender(CLEAR, randomness=random.Random(2))
    noise = np.random.default_rng(1).normal(0, 5000, (960, 2)).astype(np.int16)
    heard = []
    for index in range(150):
        receiver.receive(sender.packet(sine(440, 0.02 * 150)[index * 960 : (index + 1) * 960]), index * 0.02)
        receiver.receive(stranger.packet(noise), index * 0.02)
        frame = receiver.frame(index * 0.02)
        heard.append(np.zeros((960, 2), np.int16) if frame is None else frame)
    assert share_of(np.concatenate(heard[50:]), 440) > 0.99
    assert receiver.refused == 150


def test_media_receiver_reports_what_was_lost_and_when_the_sender_reported() -> None:
    receiver, sender = RtpReceiver(CLEAR), RtpSender(CLEAR, randomness=random.Random(1))
    assert receiver.report(0.0, 1, "me") is None
    _hear(receiver, sender, 40)
    assert receiver.report(0.8, 1, "me") is None
    receiver.heard_report(SenderReport(sender.ssrc, ntp_time(1_700_000_000.5), 0, 0, 0), 1.0)
    receiver.heard_report(SenderReport(12345, ntp_time(1.0), 0, 0, 0), 1.0)
    _hear(receiver, sender, 60, 40, frozenset({10, 20, 30, 40, 50}))
    data = receiver.report(2.0, 1, "me")
    assert data is not None
    report = parse_rtcp(data)[0]
    assert isinstance(report, ReceiverReport)
    (block,) = report.reports
    assert (block.ssrc, block.cumulative_lost, block.fraction_lost) == (sender.ssrc, 5, 256 * 5 // 100)
    assert block.last_sender_report == (ntp_time(1_700_000_000.5) >> 16) & 0xFFFFFFFF
    assert block.delay_since_last == 65536
    assert receiver.report(2.1, 1, "me") is None
    assert receiver.loss_percent == pytest.approx(5.0)
    # The sender measures the round trip with it.
    assert sender.report(0.0, 1_700_000_000.5) is not None
    sender.heard(block, 1.3)
    assert sender.round_trip == pytest.approx(0.3)
    assert sender.peer_loss_percent == pytest.approx(4.7, abs=0.1)


def test_media_longer_and_shorter_packets_play_without_gaps() -> None:
    """The real daemon's G.711 packets have 155 to 171 samples."""
    receiver = RtpReceiver(replace(CLEAR, codec="PCMU", clock_rate=8000, payload_type=0))
    encoder = create_encoder("PCMU", 8000)
    tone = sine(440, 4.0)
    law = b"".join(encoder.encode(tone[k : k + 960]) for k in range(0, len(tone), 960))
    heard, position, number = [], 0, 0
    for tick in range(190):
        while position < (tick + 2) * 160:
            size = (155, 170, 171)[number % 3]
            receiver.receive(write_rtp(RtpPacket(0, number, position, 9, law[position : position + size], True)), tick * 0.02)
            position += size
            number += 1
        frame = receiver.frame(tick * 0.02)
        heard.append(np.zeros((960, 2), np.int16) if frame is None else frame)
    assert share_of(np.concatenate(heard[20:]), 440) > 0.98
    assert receiver.concealed <= 2


def test_media_header_extensions_csrcs_and_padding_are_skipped() -> None:
    packet = RtpPacket(104, 1, 2, 3, b"sound", True, b"\x32abc", 0xBEDE)
    assert parse_rtp(write_rtp(packet)) == packet
    assert absolute_send_time(packet) == int.from_bytes(b"abc", "big")
    assert absolute_send_time(RtpPacket(104, 1, 2, 3, b"", False, b"\0\0\x10xabc"[:8].ljust(8, b"\0"), 0xBEDE)) is None
    assert absolute_send_time(RtpPacket(104, 1, 2, 3, b"")) is None
    data = bytes.fromhex("a2e80001000000020000000311111111222222226162630000000004")
    assert parse_rtp(data).payload == b"abc\0"
    with pytest.raises(ValueError, match="multiple of four"):
        write_rtp(RtpPacket(104, 1, 2, 3, b"", False, b"abc", 0xBEDE))
    with pytest.raises(LimitError, match="3000 bytes"):
        parse_rtp(bytes(3000))


def test_media_circular_distances() -> None:
    assert (sequence_distance(2, 0xFFFE), sequence_distance(0xFFFE, 2)) == (4, -4)
    assert timestamp_distance(960, 0xFFFFFC40) == 1920


@pytest.mark.parametrize("suite", SUITES)
def test_media_srtp_restart_under_the_same_key_and_ssrc_is_followed(suite: str) -> None:
    key = create_key()
    assert parse_inline(write_inline(key)) == parse_inline(write_inline(key) + "|2^20|1:4") == key
    receiver, sender = SrtpReceiver(key, suite), SrtpSender(key, suite)
    packets = [sender.protect(write_rtp(RtpPacket(104, 5000 + n, n * 960, 7, bytes(30)))) for n in range(60)]
    for packet in packets:
        receiver.unprotect(packet)
    fresh = SrtpSender(key, suite)
    refused = 0
    for n in range(RESTART_AFTER + 10):
        try:
            receiver.unprotect(fresh.protect(write_rtp(RtpPacket(104, 100 + n, n * 960, 7, bytes(30)))))
        except RemoteError:
            refused += 1
    assert refused == RESTART_AFTER - 1


@pytest.mark.parametrize("text", ["", "inline:", "inline:!!!!", "inline:AAAA", "key:" + "A" * 40, "inline:" + "A" * 44])
def test_media_wrong_keys_are_refused(text: str) -> None:
    with pytest.raises(RemoteError, match="crypto line"):
        parse_inline(text)
