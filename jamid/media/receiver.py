"""The receiving half of an audio line: datagrams to frames, receiver reports and key presses. Media thread only."""

from __future__ import annotations

import logging
from typing import Final

import numpy as np

from jamid.core.errors import RemoteError
from jamid.media.audio_stream import AudioParameters
from jamid.media.codecs import Decoder, create_decoder
from jamid.media.frames import FRAME_SAMPLES, SILENCE, Frame
from jamid.media.jitter import JitterBuffer, Turn
from jamid.media.rtcp import ReceiverReport, ReportBlock, SenderReport, middle_bits, write_receiver_report, write_source_description
from jamid.media.rtp import RtpPacket, parse_rtp, sequence_distance, timestamp_distance
from jamid.media.srtp import SrtpReceiver
from jamid.media.telephone_events import EventReceiver

_log = logging.getLogger(__name__)

REPORT_EVERY: Final = 2.0
"""Seconds between receiver reports; the reference adapts its error correction to them."""
FIRST_REPORT_AFTER: Final = 1.0
SKIPPED_MAX: Final = 50
"""Packets in a row that are not decoded when nobody listens; the next one tells whether they are still as long."""
NEW_SOURCE_AFTER: Final = 3
"""Packets in a row of another SSRC after which the peer's sender has started anew."""


class RtpReceiver:
    """One incoming stream; follows the peer's sender when it restarts with a new SSRC."""

    def __init__(self, parameters: AudioParameters) -> None:
        self.packets = 0
        self.octets = 0
        self.refused = 0
        self.concealed = 0
        self.recovered = 0
        self.digits: list[tuple[str, int]] = []
        """Keys the peer released since they were last taken: digit, milliseconds."""
        self._payload_type = parameters.payload_type
        self._event_type = parameters.telephone_event
        self._decoder: Decoder = create_decoder(parameters.codec, parameters.clock_rate)
        self._srtp = SrtpReceiver(parameters.keys.remote, parameters.keys.suite) if parameters.keys else None
        self._clock_rate = 48000 if parameters.codec == "opus" else parameters.clock_rate
        self._buffer = JitterBuffer()
        self._events = EventReceiver()
        self._counts = _Counts()
        self._ssrc: int | None = None
        self._other_ssrc: int | None = None
        self._others = 0
        self._rest: Frame = SILENCE[:0]
        self._packet_samples = FRAME_SAMPLES
        self._skipped = SKIPPED_MAX
        self._last_report: tuple[int, float] = (0, 0.0)
        self._next_report = 0.0
        self._late_before = 0

    def receive(self, data: bytes, arrival: float) -> None:
        """Takes a datagram; what is not a packet of this stream is counted and dropped."""
        try:
            packet = parse_rtp(self._srtp.unprotect(data) if self._srtp is not None else data)
        except RemoteError as error:
            self.refused += 1
            if self.refused == 1:
                _log.info("refused a packet: %s", error)
            return
        if packet.payload_type not in (self._payload_type, self._event_type) or not self._follow(packet):
            self.refused += 1
            return
        self.packets += 1
        self.octets += len(packet.payload)
        self._counts.count(packet.sequence)
        if packet.payload_type == self._event_type:
            self._buffer.put(packet.sequence, None, arrival)
            try:
                self.digits += self._events.take(packet.payload, packet.timestamp, arrival)
            except RemoteError:
                self.refused += 1
            return
        self._counts.measure(packet.timestamp, arrival, self._clock_rate)
        self._buffer.put(packet.sequence, packet.payload, arrival)

    def frame(self, now: float, *, wanted: bool = True) -> Frame | None:
        """The next 20 ms of the peer's sound; None for silence, and mostly when it is not WANTED: decoding costs more than all the rest."""
        if not wanted and self._skipped < SKIPPED_MAX and self._packet_samples == FRAME_SAMPLES and not len(self._rest):
            self._skipped += 1
            if self._buffer.get(now)[0] is Turn.SILENCE:
                self.digits += self._events.expire(now)
            return None
        self._skipped = 0
        if len(self._rest) == FRAME_SAMPLES:
            frame, self._rest = self._rest, self._rest[:0]
            return frame
        heard = False
        while len(self._rest) < FRAME_SAMPLES:
            turn, payload = self._buffer.get(now)
            if turn is Turn.SILENCE and not len(self._rest):
                self.digits += self._events.expire(now)
                return None
            decoded = self._turn(turn, payload)
            if not len(self._rest) and len(decoded) == FRAME_SAMPLES:
                return decoded
            heard = True
            self._rest = np.concatenate((self._rest, decoded))
        frame, self._rest = self._rest[:FRAME_SAMPLES], self._rest[FRAME_SAMPLES:]
        return frame if heard or len(frame) else None

    def report(self, now: float, our_ssrc: int, name: str) -> bytes | None:
        """The receiver report when one is due; None before anything came."""
        if self._ssrc is None or now < self._next_report:
            return None
        if self._next_report == 0.0:
            self._next_report = now + FIRST_REPORT_AFTER
            return None
        self._next_report = now + REPORT_EVERY
        last, heard = self._last_report
        block = ReportBlock(
            self._ssrc,
            self._counts.fraction_lost(),
            max(-0x800000, min(0x7FFFFF, self._counts.lost)),
            self._counts.highest,
            int(self._counts.jitter * self._clock_rate),
            last,
            int((now - heard) * 65536) if last else 0,
        )
        return write_receiver_report(ReceiverReport(our_ssrc, (block,))) + write_source_description(our_ssrc, name)

    def heard_report(self, report: SenderReport, now: float) -> None:
        """Remembers the peer's sender report, so that ours lets it measure the round trip."""
        if report.ssrc == self._ssrc:
            self._last_report = (middle_bits(report.ntp), now)

    @property
    def lost(self) -> int:
        """Packets that never came."""
        return max(0, self._counts.lost)

    @property
    def loss_percent(self) -> float:
        """Lost of expected since the start."""
        return 100 * self.lost / self._counts.expected if self._counts.expected else 0.0

    @property
    def late(self) -> int:
        """Packets that came after their turn, or twice."""
        return self._late_before + self._buffer.late

    @property
    def jitter(self) -> float:
        """Seconds (RFC 3550, section 6.4.1)."""
        return self._counts.jitter

    @property
    def buffered(self) -> float:
        """Seconds of sound that wait."""
        return (self._buffer.depth * self._packet_samples + len(self._rest)) / 48000

    def close(self) -> None:
        """Frees the decoder."""
        self._decoder.close()

    def _turn(self, turn: Turn, payload: bytes) -> Frame:
        try:
            if turn is Turn.PLAY:
                decoded = self._decoder.decode(payload)
                if len(decoded):
                    self._packet_samples = len(decoded)
                    return decoded
            elif turn is Turn.RECOVER:
                recovered = self._decoder.recover(payload)
                if recovered is not None and len(recovered):
                    self.recovered += 1
                    return recovered
            elif turn in (Turn.SILENCE, Turn.EVENT):
                return SILENCE
        except RemoteError:
            self.refused += 1
        self.concealed += 1
        concealed = self._decoder.conceal()
        return concealed if len(concealed) else SILENCE

    def _follow(self, packet: RtpPacket) -> bool:
        """Whether the packet belongs to the stream that is heard; moves to another SSRC when that one is there to stay."""
        if packet.ssrc == self._ssrc:
            self._others = 0
            return True
        self._others = self._others + 1 if packet.ssrc == self._other_ssrc else 1
        self._other_ssrc = packet.ssrc
        # An encrypted packet comes from the peer for certain; in the clear a stranger's must not silence the peer's.
        if self._ssrc is not None and self._srtp is None and self._others < NEW_SOURCE_AFTER:
            return False
        self._ssrc, self._others = packet.ssrc, 0
        self._late_before += self._buffer.late
        self._buffer = JitterBuffer()
        self._counts.restart()
        self._last_report = (0, 0.0)
        return True


class _Counts:
    """Loss and jitter of one stream (RFC 3550, appendices A.3 and A.8), summed over restarts."""

    def __init__(self) -> None:
        self.jitter = 0.0
        self.highest = 0
        self._base: int | None = None
        self._received = 0
        self._expected_before = 0
        self._received_before = 0
        self._expected_reported = 0
        self._received_reported = 0
        self._transit: tuple[int, float] | None = None

    def count(self, sequence: int) -> None:
        if self._base is None:
            self._base = self.highest = sequence
        else:
            distance = sequence_distance(sequence, self.highest & 0xFFFF)
            if distance > 0:
                self.highest += distance
        self._received += 1

    def measure(self, timestamp: int, arrival: float, clock_rate: int) -> None:
        if self._transit is not None:
            before, arrived = self._transit
            difference = (arrival - arrived) - timestamp_distance(timestamp, before) / clock_rate
            if abs(difference) < 5:
                self.jitter += (abs(difference) - self.jitter) / 16
        self._transit = (timestamp, arrival)

    @property
    def expected(self) -> int:
        return self._expected_before + (0 if self._base is None else self.highest - self._base + 1)

    @property
    def lost(self) -> int:
        return self.expected - self._received_before - self._received

    def fraction_lost(self) -> int:
        """Of 256, since the last time this was asked."""
        expected, received = self.expected, self._received_before + self._received
        interval, got = expected - self._expected_reported, received - self._received_reported
        self._expected_reported, self._received_reported = expected, received
        return min(255, max(0, interval - got) * 256 // interval) if interval > 0 else 0

    def restart(self) -> None:
        self._expected_before, self._received_before = self.expected, self._received_before + self._received
        self._received, self._base, self.highest, self._transit = 0, None, 0, None
