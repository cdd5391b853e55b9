"""All sound of the daemon, as the main loop sees it: streams of calls, devices, volumes, tones, ringing, recording, playback."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from jamid.core import limits
from jamid.core.clock import Clock, SystemClock
from jamid.core.errors import LocalError
from jamid.core.events import Events
from jamid.core.settings import Settings
from jamid.core.signals import AudioDeviceEvent, AudioMeter, CallStateChanged, ErrorAlert, OnRtcpReportReceived, VolumeChanged
from jamid.core.tasks import Tasks
from jamid.media.audio_stream import AudioParameters, AudioStream, Path, Send
from jamid.media.devices import CAPTURE, PLAYBACK, RINGTONE, Devices
from jamid.media.engine import AudioEngine
from jamid.media.inputs import INPUT_VARIABLE, OUTPUT_VARIABLE, Endpoint, parse_input, parse_output
from jamid.media.listening import Listening
from jamid.media.recordings import Recordings
from jamid.media.statistics import AudioStatistics

if TYPE_CHECKING:
    from jamid.media.graph import Graph

_log = logging.getLogger(__name__)

SPEAKER, MICROPHONE = "speaker", "mic"
NO_PLAYBACK_DEVICE: Final = 0x0010
REPORT_EVERY: Final = 5.0
"""Seconds between two `onRtcpReportReceived` of a call."""
_VOLUMES = {SPEAKER: "audio.volumeSpkr", MICROPHONE: "audio.volumeMic"}


class Media:
    """One per process. It costs nothing until something is to be heard."""

    def __init__(
        self, settings: Settings, events: Events, *, clock: Clock | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        self._settings = settings
        self._events = events
        self._environment = os.environ if environment is None else environment
        self._tasks = Tasks("media")
        self._prepared = False
        self._captures = 0
        self._streams = 0
        self._reported: dict[str, float] = {}
        self._chosen: tuple[Any, ...] = ()
        self._processes = False
        self._processing = (False, False)
        self._meters: set[str] = set()
        self.capture_muted = settings.flag("audio.captureMuted")
        self.playback_muted = settings.flag("audio.playbackMuted")
        self.ringtone_muted = False
        events.subscribe(CallStateChanged, self._call_changed)
        self.engine = AudioEngine()
        self.devices = Devices(settings, self._devices_changed)
        self.recordings = Recordings(self.engine, settings, clock or SystemClock())
        self.listening = Listening(self.engine, settings, events, self._tasks, self.prepare)

    # -- life --------------------------------------------------------------------------------------------------------------
    def prepare(self) -> None:
        """Brings thread, libraries and devices up in the background; to be called when sound is likely soon."""
        if not self._prepared:
            self._prepared = True
            self.engine.command(_load_libraries)
            self._tasks.spawn(self._configure(), "configure")

    async def close(self) -> None:
        """Ends every stream, recording and device."""
        await self.listening.close()
        await self.recordings.close()
        await self._tasks.close()
        self.devices.close()
        await self.engine.close()

    # -- streams -----------------------------------------------------------------------------------------------------------
    def open_stream(
        self,
        parameters: AudioParameters,
        send_rtp: Path | Send,
        send_rtcp: Send,
        *,
        thread_safe: bool = False,
        on_first_packet: Callable[[], Any] | None = None,
        on_dtmf: Callable[[str, int], Any] | None = None,
        on_report: Callable[[AudioStatistics], Any] | None = None,
        on_failure: Callable[[str], Any] | None = None,
    ) -> AudioStream:
        """Starts one audio line of a call.

        Packets go to SEND_RTP and SEND_RTCP: on the main loop, or, when THREAD_SAFE or their attribute of that name is true, on the
        media thread, where a busy main loop cannot delay them. What comes from the network is given to the stream's `receive_rtp` and
        `receive_rtcp`, or waits in a Path until the media thread asks for it. The other callables run on the main loop: the peer's first
        packet, a key it pressed and for how long, its report on what we send, and why the stream cannot run on this machine.
        """
        self.prepare()
        stream = AudioStream(parameters, self.engine, lambda: self._stream_closed(parameters.stream_id))
        self._streams += 1
        if self._streams > limits.AUDIO_STREAMS:
            _leave(send_rtp)
            _log.error("[%s] no sound: %d audio streams are running", parameters.stream_id, limits.AUDIO_STREAMS)
            if on_failure is not None:
                on_failure("too many audio streams")
            return stream
        self._apply_processing()
        output = self._endpoint(OUTPUT_VARIABLE, "audio.outputSink", parse_output)
        call_id = parameters.stream_id.partition("_")[0]

        def told(statistics: AudioStatistics) -> None:
            now = time.monotonic()
            if now - self._reported.get(call_id, 0.0) >= REPORT_EVERY:
                self._reported[call_id] = now
                self._events.publish(OnRtcpReportReceived(call_id, statistics.as_report()))
            if on_report is not None:
                on_report(statistics)

        def start(graph: Graph) -> None:
            from jamid.media.session import AudioSession, StreamEvents
            from jamid.media.sinks import open_sink

            events = StreamEvents(on_first_packet, on_dtmf, told, on_failure)
            try:
                session = AudioSession(stream, send_rtp, send_rtcp, events, graph, thread_safe=thread_safe)
                if output.per_stream:
                    session.own_sink = open_sink(output, parameters.stream_id)
            except LocalError as error:
                _leave(send_rtp)
                _log.error("[%s] no sound: %s", parameters.stream_id, error)
                if on_failure is not None:
                    graph.tell(on_failure, str(error))
                return
            stream.attach(session)
            graph.add(session)

        self.engine.command(start)
        return stream

    def set_host(self, room: str, *, present: bool) -> None:
        """Whether the local user takes part in a conference: is heard there and hears it."""
        self.engine.command(lambda graph: graph.set_host(room, present))

    # -- what calls need besides -------------------------------------------------------------------------------------------
    def ringing(self, call_id: str, details: Mapping[str, str]) -> None:
        """An incoming call of the account with DETAILS rings: its ringtone plays, or the ringback tone when it has none.

        While the user talks in another call it is a beep now and then.
        """
        if self._streams:
            self.listening.wait(call_id)
            return
        enabled = details.get("Account.ringtoneEnabled", "true") == "true"
        self.listening.ring(call_id, details.get("Account.ringtonePath", "") if enabled else "")

    def ringback(self, call_id: str) -> None:
        """The peer's phone rings: the tone of the region plays."""
        self.listening.ringback(call_id)

    def quiet(self, call_id: str) -> None:
        """Neither any more."""
        self.listening.quiet(call_id)

    def dtmf(self, key: str) -> None:
        """Plays the tone of KEY to the user; without any output `errorAlert` says so, as the reference does."""
        self._tasks.spawn(self._play_key(key), "key")

    def telephone_tone(self, kind: int) -> None:
        """The dial tone (0) or the message tone (other numbers); -1 for silence."""
        self.listening.telephone_tone(kind)

    async def start_recording(self, call_id: str, streams: Sequence[str]) -> str:
        """Records the streams with these ids and the user into a file and returns its path; raises LocalError when it cannot."""
        return str(await self.recordings.start(call_id, streams))

    async def stop_recording(self, call_id: str) -> str:
        """Ends the recording and returns the file's path, "" when there was none."""
        return str(await self.recordings.stop(call_id) or "")

    # -- volumes -----------------------------------------------------------------------------------------------------------
    def volume(self, device: str) -> float:
        """The factor of `speaker` or `mic`; 0 for other names."""
        return self._settings.real(_VOLUMES[device]) if device in _VOLUMES else 0.0

    async def set_volume(self, device: str, factor: float) -> None:
        """Sets and keeps the factor; `volumeChanged` comes for other names too."""
        if device in _VOLUMES:
            await self._settings.change({_VOLUMES[device]: max(0.0, min(10.0, factor))})
            self._apply_levels()
        self._events.publish(VolumeChanged(device, factor))

    def mute_capture(self, muted: bool) -> None:
        """Silences the selected input for all calls."""
        self.capture_muted = muted
        self._apply_levels()

    def mute_playback(self, muted: bool) -> None:
        """Silences the output."""
        self.playback_muted = muted
        self._apply_levels()

    def mute_ringtone(self, muted: bool) -> None:
        """Silences ringing."""
        self.ringtone_muted = muted
        self._apply_levels()

    # -- meters and devices ------------------------------------------------------------------------------------------------
    async def start_capture(self) -> bool:
        """Holds the selected input open for a level meter; false when there is none."""
        self.prepare()
        await self.devices.prepare()
        if not self._has_input():
            return False
        self._captures += 1
        self._hold_capture()
        return True

    async def stop_capture(self) -> None:
        """Ends one `start_capture`."""
        self._captures = max(0, self._captures - 1)
        if self.engine.running:
            self._hold_capture()

    def set_meter(self, buffer: str, *, active: bool) -> None:
        """Starts or ends `audioMeter` signals of a buffer ("" is every one): a stream's id or `audiolayer_id`, the input."""
        if active and len(self._meters) < limits.METERED_BUFFERS:
            self._meters.add(buffer)
        elif not active:
            self._meters.discard(buffer)
            if not buffer:
                self._meters.clear()
        if self.engine.running:
            self._apply_meters()

    def meter_active(self, buffer: str) -> bool:
        """Whether levels of a buffer are told ("": of any)."""
        return bool(self._meters) if not buffer else buffer in self._meters

    def select_device(self, kind: str, index: int) -> None:
        """Selects PLAYBACK, CAPTURE or RINGTONE by its place in the list; streams that run move over."""
        if self.devices.select(kind, index):
            self._tasks.spawn(self._reselected(), "device")

    # -- details -----------------------------------------------------------------------------------------------------------
    def _call_changed(self, change: CallStateChanged) -> None:
        # Libraries take a quarter of a second to load: the time in which a call finds its peer.
        if change.state == "CONNECTING":
            self.prepare()

    async def _configure(self) -> None:
        await self.devices.prepare()
        self._apply_devices()
        self._apply_levels()
        self._hold_capture()
        self._apply_meters()

    async def _reselected(self) -> None:
        await self._settings.save()
        self._devices_changed()

    def _devices_changed(self) -> None:
        if self._prepared:
            self._apply_devices()
        self._events.publish(AudioDeviceEvent())

    def _endpoint(self, variable: str, setting: str, parse: Callable[[str], Endpoint]) -> Endpoint:
        text = self._environment.get(variable, "") or self._settings.text(setting)
        try:
            return parse(text)
        except LocalError as error:
            _log.error("%s (from %s or the setting %s)", error, variable, setting)
            return Endpoint("null")

    def _has_input(self) -> bool:
        endpoint = self._endpoint(INPUT_VARIABLE, "audio.inputSource", parse_input)
        return endpoint.kind not in ("device", "null") or (endpoint.kind == "device" and bool(self.devices.list(CAPTURE)))

    def _has_output(self) -> bool:
        endpoint = self._endpoint(OUTPUT_VARIABLE, "audio.outputSink", parse_output)
        return endpoint.kind not in ("device", "null") or (endpoint.kind == "device" and bool(self.devices.list(PLAYBACK)))

    def _apply_devices(self) -> None:
        source = self._endpoint(INPUT_VARIABLE, "audio.inputSource", parse_input)
        output = self._endpoint(OUTPUT_VARIABLE, "audio.outputSink", parse_output)
        pulse = self.devices.manager == "pulseaudio"
        names = {kind: self.devices.selected(kind).name if self.devices.list(kind) else None for kind in (CAPTURE, PLAYBACK, RINGTONE)}
        chosen = (source, output, pulse, tuple(names.values()))
        if chosen == self._chosen:
            return
        self._chosen = chosen
        _log.debug("audio input %s, output %s, devices %s", source, output, names)
        # Noise suppression and gain control are for microphones, not for what a script sends.
        self._processes = source.kind == "device" and names[CAPTURE] is not None
        self._processing = (False, False)

        def apply(graph: Graph) -> None:
            from jamid.media.selected import SelectedInput, SelectedOutput, input_of, output_of

            graph.input.release()
            graph.output.close()
            if graph.ringtone_output is not None:
                graph.ringtone_output.close()
            graph.process = None
            graph.input = SelectedInput(input_of(source, names[CAPTURE], pulse=pulse))
            graph.output = SelectedOutput(output_of(output, names[PLAYBACK], pulse=pulse), kept=output.kind == "file")
            if output.kind == "device" and names[RINGTONE] != names[PLAYBACK]:
                graph.ringtone_output = SelectedOutput(output_of(output, names[RINGTONE], pulse=pulse))
            else:
                graph.ringtone_output = None

        self.engine.command(apply)
        self._apply_processing()

    def _apply_processing(self) -> None:
        denoise = self._processes and self._settings.text("audio.noiseReduce") == "audioProcessor"
        gain_control = self._processes and self._settings.flag("audio.automaticGainControl")
        if (denoise, gain_control) == self._processing:
            return
        self._processing = (denoise, gain_control)

        def apply(graph: Graph) -> None:
            from jamid.media.processing import create_processor

            graph.process = create_processor(denoise=denoise, gain_control=gain_control)

        self.engine.command(apply)

    def _apply_levels(self) -> None:
        if not self.engine.running:
            return
        input_gain, output_gain = self.volume(MICROPHONE), self.volume(SPEAKER)
        capture_muted, playback_muted, ringtone_muted = self.capture_muted, self.playback_muted, self.ringtone_muted

        def apply(graph: Graph) -> None:
            graph.input_gain, graph.output_gain = input_gain, output_gain
            graph.input_muted, graph.output_muted, graph.ringtone_muted = capture_muted, playback_muted, ringtone_muted

        self.engine.command(apply)

    def _hold_capture(self) -> None:
        held = self._captures > 0

        def apply(graph: Graph) -> None:
            graph.capture_held = held

        self.engine.command(apply)

    def _apply_meters(self) -> None:
        meters = set(self._meters)

        def apply(graph: Graph) -> None:
            graph.meters = meters
            graph.on_meter = self._meter

        self.engine.command(apply)

    def _meter(self, buffer: str, level: float) -> None:
        if self._meters:
            self._events.publish(AudioMeter(buffer, level))

    async def _play_key(self, key: str) -> None:
        self.prepare()
        await self.devices.prepare()
        if not self._has_output():
            self._events.publish(ErrorAlert(NO_PLAYBACK_DEVICE))
        else:
            self.listening.key(key)

    def _stream_closed(self, stream_id: str) -> None:
        self._streams -= 1
        self._reported.pop(stream_id.partition("_")[0], None)


def _leave(send: Path | Send) -> None:
    """Gives a path back that no session will ask: checks of whether the peer is there come that way too."""
    if isinstance(send, Path):
        send.stop()


def _load_libraries(_: Graph) -> None:
    from jamid.media import session  # noqa: F401 - loaded here, so that the first stream need not wait for it
    from jamid.media.codecs.opus import libopus

    with contextlib.suppress(LocalError):  # said when a stream needs it
        libopus()
