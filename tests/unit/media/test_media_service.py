"""The service with its real thread: streams, recordings, playback, tones and their signals."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from jamid.core import limits
from jamid.core.clock import ManualClock
from jamid.core.errors import LocalError
from jamid.core.events import Events
from jamid.core.settings import Settings
from jamid.core.signals import (
    AudioMeter,
    CallStateChanged,
    ErrorAlert,
    OnRtcpReportReceived,
    RecordPlaybackStopped,
    UpdatePlaybackScale,
    VolumeChanged,
)
from jamid.core.signals.base import Signal
from jamid.media.audio_stream import AudioParameters, AudioStream
from jamid.media.service import Media
from jamid.media.sinks import FileSink
from jamid.media.sources import decode_file
from jamid.media.srtp import SrtpKeys, create_key
from tests.support.media.sound import share_of, sine


class Desk:
    """A media service, its settings and everything it published."""

    def __init__(self, directory: Path, **environment: str) -> None:
        self.settings = Settings(directory / "dring.yml")
        self.settings.set("audio.recordPath", str(directory / "recordings"))
        self.settings.set("audio.audioApi", "alsa")
        self.events = Events()
        self.signals: list[Signal] = []
        self.events.subscribe(Signal, self.signals.append)
        self.media = Media(self.settings, self.events, clock=ManualClock(), environment=environment)
        self.streams: list[AudioStream] = []
        self.told: list[Any] = []

    def of(self, kind: type[Signal]) -> list[Any]:
        return [signal for signal in self.signals if isinstance(signal, kind)]

    async def until(self, condition: Any, seconds: float = 8.0) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.01)

    def call(self, name: str = "1", sources: tuple[str, str] = ("tone:440", "tone:880"), codec: str = "opus") -> list[AudioStream]:
        """Both ends of a call that lead to each other."""
        keys = (create_key(), create_key())
        ends: list[AudioStream] = []
        for end in (0, 1):
            parameters = AudioParameters(
                f"{name}.{end}_audio_0", codec, 48000, 104, 101, SrtpKeys(keys[end], keys[1 - end]), source=sources[end]
            )
            ends.append(
                self.media.open_stream(
                    parameters,
                    lambda data, end=end: ends[1 - end].receive_rtp(data),  # type: ignore[misc]
                    lambda data, end=end: ends[1 - end].receive_rtcp(data),  # type: ignore[misc]
                    on_first_packet=lambda end=end: self.told.append(end),  # type: ignore[misc]
                    on_failure=self.told.append,
                )
            )
        self.streams += ends
        return ends


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(tmp_path, JAMID_AUDIO_OUTPUT=f"file:{tmp_path}/heard-{{stream}}.wav")
    yield desk
    await desk.media.close()


def _read(path: Path | str) -> np.ndarray[Any, Any]:
    return np.concatenate(list(decode_file(str(path))))


async def test_media_each_call_reports_now_and_then(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jamid.media.receiver.FIRST_REPORT_AFTER", 0.1)
    monkeypatch.setattr("jamid.media.receiver.REPORT_EVERY", 0.1)
    desk.call()
    await desk.until(lambda: len(desk.of(OnRtcpReportReceived)) == 2)
    await asyncio.sleep(0.5)
    reports = desk.of(OnRtcpReportReceived)
    assert sorted(report.call_id for report in reports) == ["1.0", "1.1"]
    assert all(report.report["PACKET_LOSS"] == 0 and report.report["PACKET_COUNT"] > 0 for report in reports)


async def test_media_two_streams_talk_and_end(desk: Desk, tmp_path: Path) -> None:
    first, second = desk.call()
    await desk.until(lambda: len(desk.told) == 2)
    assert sorted(desk.told) == [0, 1]
    await asyncio.sleep(1.2)
    statistics = await first.close()
    assert statistics.packets_sent > 50
    assert statistics.packets_lost == statistics.packets_refused == 0
    assert await first.close() == statistics
    await second.close()
    heard = _read(tmp_path / "heard-1.0_audio_0.wav")
    assert share_of(heard[9600:], 880) > 0.95
    assert first.next_sequence is not None
    sequence = first.next_sequence
    first.set_muted(True)
    first.send_dtmf("1")
    assert first.next_sequence == sequence


async def test_media_unknown_codec_is_told_and_harms_nobody(desk: Desk) -> None:
    desk.call(codec="speex")
    await desk.until(lambda: len(desk.told) == 2)
    assert "no encoder for speex" in desk.told[0]
    desk.told.clear()
    desk.call("2")
    await desk.until(lambda: len(desk.told) == 2)
    for stream in desk.streams:
        stream.close_soon()
        assert stream.statistics().packets_refused == 0


class Way:
    """A path that leads to itself."""

    thread_safe = True

    def __init__(self) -> None:
        self.under_way: list[tuple[float, bytes]] = []
        self.stopped = False

    def __call__(self, data: bytes) -> None:
        self.under_way.append((time.monotonic(), data))

    def arrived(self) -> list[tuple[float, bytes]]:
        packets, self.under_way = self.under_way, []
        return packets

    def stop(self) -> None:
        self.stopped = True


@pytest.mark.parametrize("codec", ["PCMU", "speex"])
async def test_media_a_path_is_asked_while_its_stream_runs_and_given_back(desk: Desk, codec: str) -> None:
    way, told = Way(), desk.told
    parameters = AudioParameters("1_audio_0", codec, 8000, 0, source="tone:440")
    stream = desk.media.open_stream(parameters, way, lambda _: None, on_first_packet=lambda: told.append("heard"), on_failure=told.append)
    await desk.until(lambda: bool(told))
    assert told == (["heard"] if codec == "PCMU" else ["no encoder for speex/8000"])
    assert way.stopped is (codec == "speex")
    await stream.close()
    assert way.stopped


async def test_media_more_streams_than_a_machine_can_bear_are_silent(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "AUDIO_STREAMS", 2)
    desk.call()
    third, _ = desk.call("2")
    assert desk.told[:2] == ["too many audio streams"] * 2
    assert (await third.close()).packets_sent == 0
    await desk.until(lambda: len(desk.told) == 4)


async def test_media_recording_holds_both_sides(desk: Desk, tmp_path: Path) -> None:
    first, _ = desk.call()
    await desk.until(lambda: len(desk.told) == 2)
    path = await desk.media.start_recording("1", [first.id])
    assert Path(path).parent == tmp_path / "recordings"
    assert Path(path).name == "20231114-221320.ogg"
    assert desk.media.recordings.active("1")
    with pytest.raises(LocalError, match="is being recorded"):
        await desk.media.start_recording("1", [first.id])
    other = await desk.media.start_recording("2", [first.id])
    assert Path(other).name == "20231114-221320.000000000.ogg"
    await asyncio.sleep(1.5)
    assert await desk.media.stop_recording("1") == path
    assert await desk.media.stop_recording("1") == ""
    with av.open(path) as container:
        stream = container.streams.audio[0]
        assert "opus" in stream.codec_context.name
        assert (stream.rate, stream.channels) == (48000, 2)
        metadata = {**container.metadata, **stream.metadata}
        assert {key.lower(): value for key, value in metadata.items()}["title"].startswith("Conversation at 2023-11-14")
    samples = _read(path)
    assert len(samples) > 48000
    assert share_of(samples, 440) > 0.3
    assert share_of(samples, 880) > 0.3


async def test_media_recordings_that_begin_together_get_files_of_their_own(desk: Desk) -> None:
    first, second = await asyncio.gather(desk.media.start_recording("1", ["1"]), desk.media.start_recording("2", ["2"]))
    assert first != second
    assert await desk.media.stop_recording("1") == first
    assert await desk.media.stop_recording("2") == second


async def test_media_a_recording_whose_call_ends_at_once_leaves_no_thread(desk: Desk) -> None:
    starting = asyncio.ensure_future(desk.media.start_recording("1", ["1"]))
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await asyncio.sleep(0.5)
    await desk.until(lambda: all(thread.name != "audio-recorder" for thread in threading.enumerate()))
    assert not desk.media.recordings.active("1")


async def test_media_voice_message_is_the_selected_input(tmp_path: Path) -> None:
    desk = Desk(tmp_path, JAMID_AUDIO_INPUT="tone:700")
    desk.media.prepare()
    path = tmp_path / "voice.ogg"
    assert await desk.media.recordings.start_voice(path)
    assert not await desk.media.recordings.start_voice(path)
    await asyncio.sleep(1.0)
    assert await desk.media.recordings.stop(str(path)) == path
    assert share_of(_read(path)[4800:], 700) > 0.9
    await desk.media.close()


async def test_media_playback_tells_where_it_is(desk: Desk, tmp_path: Path) -> None:
    sink = FileSink(tmp_path / "tone.wav")
    for k in range(0, 96000, 960):
        sink.write(sine(500, 2.0)[k : k + 960])
    sink.close()
    path = str(tmp_path / "tone.wav")
    assert not await desk.media.listening.play(str(tmp_path / "nothing.wav"))
    assert await desk.media.listening.play(path)
    await desk.until(lambda: len(desk.of(UpdatePlaybackScale)) >= 3)
    first, second, *_ = desk.of(UpdatePlaybackScale)
    assert (first.filepath, first.size) == (path, 2000)
    assert second.position - first.position == 100
    desk.media.listening.seek(75)
    await desk.until(lambda: desk.of(UpdatePlaybackScale)[-1].position >= 1500)
    desk.media.listening.stop()
    desk.media.listening.stop()
    assert desk.of(RecordPlaybackStopped) == [RecordPlaybackStopped(path)]


async def test_media_playback_that_is_stopped_before_it_begins_stays_silent(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = FileSink(tmp_path / "tone.wav")
    for _ in range(10):
        sink.write(sine(500, 0.02))
    sink.close()
    listening = desk.media.listening
    make = listening._player

    async def stopped_meanwhile(samples: Any, path: str) -> Any:
        player = await make(samples, path)
        listening.stop()
        return player

    monkeypatch.setattr(listening, "_player", stopped_meanwhile)
    assert await listening.play(str(tmp_path / "tone.wav"))
    assert not await desk.media.engine.ask(lambda graph: graph.players)


async def test_media_ringing_plays_the_ringtone_and_quiet_ends_it(desk: Desk, tmp_path: Path) -> None:
    sink = FileSink(tmp_path / "ring.wav")
    for _ in range(50):
        sink.write(sine(600, 0.02))
    sink.close()
    ringtone = {"Account.ringtoneEnabled": "true", "Account.ringtonePath": str(tmp_path / "ring.wav")}
    desk.media.ringing("1", ringtone)
    await desk.until(lambda: desk.of(UpdatePlaybackScale))
    desk.media.ringing("2", ringtone)
    desk.media.quiet("1")
    assert not desk.of(RecordPlaybackStopped)
    desk.media.quiet("2")
    desk.media.quiet("2")
    assert desk.of(RecordPlaybackStopped) == [RecordPlaybackStopped(str(tmp_path / "ring.wav"))]


async def test_media_without_a_ringtone_the_ringback_tone_rings(desk: Desk) -> None:
    desk.media.ringing("1", {"Account.ringtoneEnabled": "false", "Account.ringtonePath": "/x.wav"})
    await asyncio.sleep(0.05)
    assert await desk.media.engine.ask(lambda graph: graph.tone is not None)
    desk.media.quiet("1")
    assert await desk.media.engine.ask(lambda graph: graph.tone is None)
    desk.media.ringback("2")
    assert await desk.media.engine.ask(lambda graph: graph.tone is not None)
    desk.settings.set("voipPreferences.playTones", False)
    desk.media.telephone_tone(0)
    assert await desk.media.engine.ask(lambda graph: graph.tone is None)


async def test_media_volumes_act_and_are_told(tmp_path: Path) -> None:
    desk = Desk(tmp_path, JAMID_AUDIO_INPUT="tone:440", JAMID_AUDIO_OUTPUT="null")
    await desk.media.set_volume("mic", 0.5)
    await desk.media.set_volume("nothing", 3.0)
    assert desk.of(VolumeChanged) == [VolumeChanged("mic", 0.5), VolumeChanged("nothing", 3.0)]
    assert (desk.media.volume("mic"), desk.media.volume("speaker"), desk.media.volume("nothing")) == (0.5, 1.0, 0.0)
    desk.media.set_meter("audiolayer_id", active=True)
    assert await desk.media.start_capture()
    await desk.until(lambda: len(desk.of(AudioMeter)) > 3)
    full = 8192 / np.sqrt(2) / 32768
    assert desk.of(AudioMeter)[-1].level == pytest.approx(full / 2, rel=0.05)
    desk.media.mute_capture(True)
    await desk.until(lambda: desk.of(AudioMeter)[-1].level == 0.0)
    await desk.media.stop_capture()
    desk.media.set_meter("", active=False)
    assert not desk.media.meter_active("audiolayer_id")
    await desk.media.close()


async def test_media_without_any_device_the_client_is_told(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    assert not await desk.media.start_capture()
    desk.media.dtmf("5")
    await desk.until(lambda: desk.of(ErrorAlert))
    assert desk.of(ErrorAlert) == [ErrorAlert(16)]
    await desk.media.close()


async def test_media_nothing_runs_before_there_is_sound_and_after(desk: Desk) -> None:
    assert not desk.media.engine.running
    first, second = desk.call()
    await desk.until(lambda: len(desk.told) == 2)
    await first.close()
    await second.close()
    await asyncio.sleep(2.2)
    ticks = desk.media.engine.ticks
    await asyncio.sleep(0.2)
    assert desk.media.engine.ticks == ticks


async def test_media_a_call_that_connects_brings_the_thread_up(desk: Desk) -> None:
    desk.events.publish(CallStateChanged("account", "call", "RINGING", 0))
    assert not desk.media.engine.running
    desk.events.publish(CallStateChanged("account", "call", "CONNECTING", 0))
    assert desk.media.engine.running


async def test_media_a_file_that_cannot_be_read_gives_the_selected_input(tmp_path: Path) -> None:
    desk = Desk(tmp_path, JAMID_AUDIO_INPUT="tone:440", JAMID_AUDIO_OUTPUT=f"file:{tmp_path}/heard-{{stream}}.wav")
    (tmp_path / "bad.wav").write_bytes(b"this is no sound")
    _, second = desk.call(sources=(f"file://{tmp_path}/bad.wav", "null"))
    await desk.until(lambda: len(desk.told) == 2)
    await asyncio.sleep(1.0)
    await second.close()
    assert share_of(_read(tmp_path / "heard-1.1_audio_0.wav")[-24000:], 440) > 0.9
    await desk.media.close()


async def test_media_a_thread_that_cannot_start_leaves_nobody_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jamid.media.graph", None)
    desk = Desk(tmp_path)
    first, _ = desk.call()
    async with asyncio.timeout(5):
        assert (await first.close()).packets_sent == 0
        await desk.until(lambda: desk.media.engine.ended)
        with pytest.raises(LocalError, match="there is no sound"):
            await desk.media.engine.ask(lambda graph: None)
        await desk.media.close()
