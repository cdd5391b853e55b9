"""One audio line on the media thread: what the handle `AudioStream` commands and the graph drives tick by tick."""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from jamid.core.errors import LocalError, RemoteError
from jamid.media.audio_stream import AudioParameters, AudioStream, Path, Send
from jamid.media.frames import SILENCE, Frame
from jamid.media.inputs import DEVICE, parse_input
from jamid.media.receiver import RtpReceiver
from jamid.media.rtcp import ReceiverReport, SenderReport, parse_rtcp
from jamid.media.sender import RtpSender
from jamid.media.sinks import NullSink, Sink
from jamid.media.sources import FileSource, Source, open_source
from jamid.media.statistics import AudioStatistics

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StreamEvents:
    """What the owner of a stream wants to be told, on the main loop."""

    on_first_packet: Callable[[], Any] | None = None
    on_dtmf: Callable[[str, int], Any] | None = None
    """A key the peer pressed, and for how many milliseconds."""
    on_report: Callable[[AudioStatistics], Any] | None = None
    """The peer reported on what we send."""
    on_failure: Callable[[str], Any] | None = None
    """The stream cannot run on this machine, and why."""


class Host(Protocol):
    """What a session needs of the graph."""

    def tell(self, callback: Callable[..., Any], *args: Any) -> None:
        """Has CALLBACK called on the main loop after this tick."""
        ...

    def moved(self, session: AudioSession, room: str) -> None:
        """The session belongs to another room from now on."""
        ...

    def closed(self, session: AudioSession) -> None:
        """The session is gone."""
        ...


class AudioSession:
    """Sender, receiver and source of one stream."""

    def __init__(
        self, stream: AudioStream, send_rtp: Path | Send, send_rtcp: Send, events: StreamEvents, host: Host, *, thread_safe: bool = False
    ) -> None:
        parameters: AudioParameters = stream.parameters
        self.id = parameters.stream_id
        self.room = ""
        self.muted = parameters.muted
        self.held = parameters.held
        self.peer_muted = False
        self.statistics = AudioStatistics()
        self.heard: Frame | None = None
        """The peer's sound of this tick."""
        self.own_sink: Sink = NullSink()
        """Output of this stream alone, if the configured output is one per stream."""
        self._stream = stream
        self._host = host
        self._events = events
        self._path = send_rtp if isinstance(send_rtp, Path) else None
        self._send_rtp = send_rtp if thread_safe or getattr(send_rtp, "thread_safe", False) else self._later(send_rtp)
        self._send_rtcp = send_rtcp if thread_safe or getattr(send_rtcp, "thread_safe", False) else self._later(send_rtcp)
        self._sender = RtpSender(parameters)
        self._receiver = RtpReceiver(parameters)
        self._source: Source | None = None
        self._counted = (0.0, 0, 0)
        self._name = platform.node()[:64]
        self._heard_any = False
        self._send_failed = False
        self.set_source(parameters.source)

    # -- commands of the handle --------------------------------------------------------------------------------------------
    @property
    def next_sequence(self) -> int:
        return self._sender.next_sequence

    def set_muted(self, muted: bool) -> None:
        self.muted = muted

    def set_peer_muted(self, muted: bool) -> None:
        self.peer_muted = muted

    def set_held(self, held: bool) -> None:
        self.held = held

    def set_source(self, source: str) -> None:
        endpoint = parse_input(source)
        if self._source is not None:
            self._source.close()
            self._source = None
        if endpoint != DEVICE:
            try:
                self._source = open_source(endpoint)
            except LocalError as error:
                _log.warning("[%s] %s; sending the selected input instead", self.id, error)

    def send_dtmf(self, digits: str, duration_ms: int) -> None:
        self._sender.events.press(digits, duration_ms)

    def join(self, room: str) -> None:
        self._host.moved(self, room)

    def leave(self) -> None:
        self._host.moved(self, "")

    def close(self) -> None:
        if self._path is not None:
            self._path.stop()
        self._host.closed(self)
        self._measure(self._counted[0] + 1.0)
        for part in (self._source, self.own_sink, self._sender, self._receiver):
            if part is not None:
                part.close()

    # -- the tick ----------------------------------------------------------------------------------------------------------
    @property
    def has_own_sink(self) -> bool:
        """Whether its sound goes somewhere whoever else hears it."""
        return not isinstance(self.own_sink, NullSink)

    @property
    def needs_input(self) -> bool:
        """Whether it sends the selected input's sound."""
        return self._source is None and not self.held

    def listen(self, now: float, *, audible: bool) -> None:
        """Takes what has come from the network and sets `heard`; unless it is AUDIBLE to anybody, only time passes there."""
        inbox, receiver = self._stream.rtp_inbox, self._receiver
        while inbox:
            arrival, data = inbox.popleft()
            receiver.receive(data, arrival)
        if self._path is not None:
            for arrival, data in self._path.arrived():
                receiver.receive(data, arrival)
        while self._stream.rtcp_inbox:
            arrival, data = self._stream.rtcp_inbox.popleft()
            self._take_reports(data, arrival)
        if receiver.packets and not self._heard_any:
            self._heard_any = True
            self._tell(self._events.on_first_packet)
        dropped = self.held or self.peer_muted
        frame = receiver.frame(now, wanted=audible and not dropped)
        self.heard = None if dropped else frame
        for digit, milliseconds in receiver.digits:
            self._tell(self._events.on_dtmf, digit, milliseconds)
        receiver.digits.clear()

    def own_input(self, selected: Frame | None) -> Frame | None:
        """What the local user contributes in this tick; SELECTED is the selected input's frame."""
        if self._source is None:
            return None if self.muted else selected
        frame = self._source.read()
        if frame is None and isinstance(self._source, FileSource) and self._source.failed:
            self.set_source("")
        return None if self.muted else frame

    def speak(self, frame: Frame | None, now: float, wall: float) -> None:
        """Sends FRAME (None: silence) to the peer; on hold nothing."""
        if self.held:
            self._sender.pause()
            return
        report = self._sender.report(now, wall)
        if report is not None:
            self._put(self._send_rtcp, report)
        self._put(self._send_rtp, self._sender.packet(SILENCE if frame is None else frame))
        report = self._receiver.report(now, self._sender.ssrc, self._name)
        if report is not None:
            self._put(self._send_rtcp, report)

    def measure(self, now: float) -> None:
        """Renews the statistics; to be called once a second."""
        self._measure(now)

    # -- details -----------------------------------------------------------------------------------------------------------
    def _measure(self, now: float) -> None:
        sender, receiver = self._sender, self._receiver
        since, sent, received = self._counted
        seconds = max(0.001, now - since)
        sent_now, received_now = sender.octets + 12 * sender.packets, receiver.octets + 12 * receiver.packets
        self._counted = (now, sent_now, received_now)
        self.statistics = AudioStatistics(
            packets_sent=sender.packets,
            octets_sent=sender.octets,
            packets_received=receiver.packets,
            octets_received=receiver.octets,
            packets_lost=receiver.lost,
            packets_late=receiver.late,
            packets_refused=receiver.refused,
            frames_concealed=receiver.concealed,
            frames_recovered=receiver.recovered,
            loss_percent=receiver.loss_percent,
            peer_loss_percent=sender.peer_loss_percent,
            jitter_ms=receiver.jitter * 1000,
            round_trip_ms=sender.round_trip * 1000,
            buffer_ms=receiver.buffered * 1000,
            bitrate_sent=round(8 * (sent_now - sent) / seconds) if since else 0,
            bitrate_received=round(8 * (received_now - received) / seconds) if since else 0,
        )

    def _take_reports(self, data: bytes, arrival: float) -> None:
        try:
            records = parse_rtcp(data)
        except RemoteError as error:
            _log.debug("[%s] dropped an RTCP packet: %s", self.id, error)
            return
        for record in records:
            if isinstance(record, SenderReport):
                self._receiver.heard_report(record, arrival)
            if isinstance(record, SenderReport | ReceiverReport):
                for block in record.reports:
                    self._sender.heard(block, arrival)
                if record.reports and self._events.on_report is not None:
                    self._measure(arrival)
                    self._tell(self._events.on_report, self.statistics)

    def _later(self, send: Send) -> Send:
        return lambda data: self._host.tell(send, data)

    def _put(self, send: Send, data: bytes) -> None:
        try:
            send(data)
        except Exception as error:  # whatever the caller's socket raises: a packet is lost, no more
            if not self._send_failed:
                self._send_failed = True
                _log.warning("[%s] cannot send: %s", self.id, error)

    def _tell(self, callback: Callable[..., Any] | None, *args: Any) -> None:
        if callback is not None:
            self._host.tell(callback, *args)
