"""What D-Bus clients get about sound, as recorded from real daemons without a sound device."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from jamid.accounts.service import Accounts
from jamid.bus.managers.audio import AudioPart
from jamid.bus.managers.codecs import CodecsPart
from jamid.bus.managers.recording import LocalRecorderPart, PlaybackPart
from jamid.core.events import Events
from jamid.core.settings import Settings
from jamid.core.signals import ErrorAlert, MediaParametersChanged, VolumeChanged
from jamid.core.signals.base import Signal
from jamid.media.service import Media


class OneAccount:
    """An account `known` of a given type that counts how often it is saved."""

    def __init__(self, kind: str = "RING") -> None:
        self.config = SimpleNamespace(active_codecs=None)
        self.type = kind
        self.saved = 0

    def get(self, account_id: str) -> OneAccount | None:
        return self if account_id == "known" else None

    async def save(self) -> None:
        self.saved += 1


@pytest.fixture
def signals() -> list[Signal]:
    return []


@pytest.fixture
def events(signals: list[Signal]) -> Events:
    events = Events()
    events.subscribe(Signal, signals.append)
    return events


async def test_media_answers_without_a_device(tmp_path: Path, events: Events, signals: list[Signal]) -> None:
    settings = Settings(tmp_path / "dring.yml")
    media = Media(settings, events, environment={})
    part = AudioPart(media, settings)
    assert part.getSupportedAudioManagers() == ["alsa", "pulseaudio"]
    assert await part.getAudioManager() == "alsa"
    assert await part.setAudioManager("nonexistent") is False
    assert await part.getAudioOutputDeviceList() == await part.getAudioInputDeviceList() == []
    assert await part.getCurrentAudioDevicesIndex() == ["0", "0", "0"]
    assert await part.getAudioInputDeviceIndex("nonexistent") == await part.getAudioOutputDeviceIndex("nonexistent") == 0
    for select in (part.setAudioOutputDevice, part.setAudioInputDevice, part.setAudioRingtoneDevice):
        await select(0)
    assert (part.getAudioPluginList(), part.getCurrentAudioOutputPlugin()) == (["default", "dmix/dsnoop"], "default")
    await part.setAudioPlugin("nonexistent")
    assert part.getCurrentAudioOutputPlugin() == "nonexistent"
    assert not any((part.isCaptureMuted(), part.isPlaybackMuted(), part.isRingtoneMuted(), part.isDtmfMuted()))
    part.muteCapture(True)
    part.mutePlayback(True)
    part.muteRingtone(True)
    await part.muteDtmf(True)
    assert part.isCaptureMuted()
    assert part.isPlaybackMuted()
    assert part.isRingtoneMuted()
    assert part.isDtmfMuted()
    assert (part.getVolume("mic"), part.getVolume("nonexistent")) == (1.0, 0.0)
    await part.setVolume("nonexistent", 0.0)
    assert signals == [VolumeChanged("nonexistent", 0.0)]
    part.setAudioMeterState("", True)
    assert part.isAudioMeterActive("")
    part.setAudioMeterState("", False)
    assert not part.isAudioMeterActive("nonexistent")
    await media.close()


async def test_media_playback_and_voice_messages_of_what_cannot_be(tmp_path: Path, events: Events, signals: list[Signal]) -> None:
    media = Media(Settings(tmp_path / "dring.yml"), events, environment={})
    playback, recorder = PlaybackPart(media), LocalRecorderPart(media, events)
    assert await playback.startRecordedFilePlayback("/nonexistent/x") is False
    playback.recordPlaybackSeek(0.0)
    playback.stopRecordedFilePlayback()
    assert await recorder.startLocalMediaRecorder("nonexistent", "") == ""
    await recorder.stopLocalRecorder("/nonexistent/x")
    assert await recorder.startLocalMediaRecorder("", str(tmp_path / "voice")) == str(tmp_path / "voice.ogg")
    await recorder.stopLocalRecorder(str(tmp_path / "voice.ogg"))
    assert len(signals) == 1
    await media.close()


async def test_media_codecs_of_known_and_unknown_accounts(events: Events, signals: list[Signal]) -> None:
    accounts = OneAccount()
    part = CodecsPart(cast("Accounts", cast("Any", accounts)), events)
    everything = [27, 139, 12, 4, 86076, 69660, 69643, 536956963, 268521507, 86051, 65543, 65542]
    assert part.getCodecList() == part.getActiveCodecList("ffffffffffffffff") == everything
    assert part.getCodecDetails("ffffffffffffffff", 0) == {}
    assert signals == []
    assert part.getCodecDetails("known", 0) == {}
    assert signals == [ErrorAlert(4096)]
    assert part.setCodecDetails("ffffffffffffffff", 86076, {}) is False
    assert part.setCodecDetails("known", 86076, {"CodecInfo.bitrate": "64"}) is False
    assert part.setCodecDetails("known", 86076, {"CodecInfo.bitrate": "64", "CodecInfo.sampleRate": "48000"}) is True
    assert signals[1:] == [MediaParametersChanged("known")]
    assert part.getCodecDetails("known", 86076)["CodecInfo.bitrate"] == "64"
    assert part.getCodecDetails("ffffffffffffffff", 86076)["CodecInfo.bitrate"] == "0"
    assert part.getActiveCodecList("known") == [27, 139, 86076]
    await part.setActiveCodecList("known", [139, 86076, 65542, 69660, 12345])
    await part.setActiveCodecList("ffffffffffffffff", [])
    assert part.getActiveCodecList("known") == [139, 86076, 65542, 69660]
    assert (accounts.config.active_codecs, accounts.saved) == ((139, 86076, 65542, 69660), 1)


async def test_media_codecs_of_a_sip_account_are_all(events: Events) -> None:
    part = CodecsPart(cast("Accounts", cast("Any", OneAccount("SIP"))), events)
    assert len(part.getActiveCodecList("known")) == 12
    await part.setActiveCodecList("known", [65543])
    assert part.getActiveCodecList("known") == [65543]
