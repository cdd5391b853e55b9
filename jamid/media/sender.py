"""The sending half of an audio line: frames to protected RTP packets, sender reports and key presses. Media thread only."""

from __future__ import annotations

import random
from typing import Final

from jamid.media.audio_stream import AudioParameters
from jamid.media.codecs import Encoder, create_encoder
from jamid.media.frames import Frame
from jamid.media.rtcp import ReportBlock, SenderReport, middle_bits, ntp_time, write_sender_report
from jamid.media.rtp import rtp_header
from jamid.media.srtp import SrtpSender
from jamid.media.telephone_events import EventSender

REPORT_EVERY: Final = 5.0
"""Seconds between sender reports, as the reference sends them."""
LOSS_EXPECTED: Final = 5
"""Percent that the encoder is told at the start and below the next value: libopus stays in its transform mode, whose concealment loses
1 % of a tone's energy at 5 % loss where the speech mode loses 10 %, at half the cost."""
LOSS_FOR_CORRECTION: Final = 8
"""Percent, smoothed, above which speech with in-band error correction is worth it."""
_SMOOTHING = 0.25


class RtpSender:
    """One outgoing stream: one SSRC, one SRTP key."""

    def __init__(self, parameters: AudioParameters, *, randomness: random.Random | None = None) -> None:
        chance = randomness or random.SystemRandom()
        self.ssrc = chance.getrandbits(32)
        self.next_sequence = parameters.first_sequence if parameters.first_sequence is not None else chance.randrange(1, 4096)
        self.events = EventSender()
        self.packets = 0
        self.octets = 0
        self.peer_loss_percent = 0.0
        self.round_trip = 0.0
        self._payload_type = parameters.payload_type
        self._event_type = parameters.telephone_event
        self._encoder: Encoder = create_encoder(parameters.codec, parameters.clock_rate)
        self._encoder.expect_loss(LOSS_EXPECTED)
        self._srtp = SrtpSender(parameters.keys.local, parameters.keys.suite) if parameters.keys else None
        self._timestamp = chance.getrandbits(32)
        self._clock_rate = 48000 if parameters.codec == "opus" else parameters.clock_rate
        self._smoothed_loss = 0.0
        self._next_report: float | None = None
        self._reported: dict[int, float] = {}

    def packet(self, frame: Frame) -> bytes:
        """The datagram for one frame; a key that is pressed goes in its place."""
        event = None if self._event_type is None or self.events.idle else self.events.next_payload()
        if event is not None and self._event_type is not None:
            payload, marker, frames = event
            timestamp = self._timestamp - frames * self._encoder.ticks
            header = rtp_header(self._event_type, self.next_sequence, timestamp & 0xFFFFFFFF, self.ssrc, marker=marker)
        else:
            payload = self._encoder.encode(frame)
            # The marker is set on each packet, as the reference does.
            header = rtp_header(self._payload_type, self.next_sequence, self._timestamp, self.ssrc, marker=True)
        self.next_sequence = (self.next_sequence + 1) & 0xFFFF
        self._timestamp = (self._timestamp + self._encoder.ticks) & 0xFFFFFFFF
        self.packets += 1
        self.octets += len(payload)
        data = header + payload
        return self._srtp.protect(data) if self._srtp is not None else data

    def pause(self) -> None:
        """Lets a frame's time pass without a packet, so that the peer sees a gap in time and none in the numbers."""
        self._timestamp = (self._timestamp + self._encoder.ticks) & 0xFFFFFFFF

    def report(self, now: float, wall: float) -> bytes | None:
        """The sender report when one is due: before the first packet, then every five seconds."""
        if self._next_report is not None and now < self._next_report:
            return None
        self._next_report = now + REPORT_EVERY
        ntp = ntp_time(wall)
        self._reported[middle_bits(ntp)] = now
        while len(self._reported) > 16:
            self._reported.pop(next(iter(self._reported)))
        return write_sender_report(SenderReport(self.ssrc, ntp, self._timestamp, self.packets, self.octets))

    def heard(self, block: ReportBlock, now: float) -> None:
        """Takes the peer's word on our stream: adapts error correction to its loss and measures the round trip."""
        if block.ssrc != self.ssrc:
            return
        loss = 100 * block.fraction_lost / 256
        self.peer_loss_percent = loss
        self._smoothed_loss += _SMOOTHING * (loss - self._smoothed_loss)
        self._encoder.expect_loss(round(self._smoothed_loss) if self._smoothed_loss > LOSS_FOR_CORRECTION else LOSS_EXPECTED)
        sent = self._reported.get(block.last_sender_report)
        if sent is not None:
            self.round_trip = max(0.0, now - sent - block.delay_since_last / 65536)

    def close(self) -> None:
        """Frees the encoder."""
        self._encoder.close()
