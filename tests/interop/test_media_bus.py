"""The same questions about sound to ours and to the real daemon, each with a sound server of its own: the answers are equal."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.interop.driver import Driver
from tests.interop.lab import Lab

pytestmark = pytest.mark.interop

QUESTIONS: list[tuple[str, tuple[Any, ...]]] = [
    ("getSupportedAudioManagers", ()),
    ("getAudioManager", ()),
    ("getAudioOutputDeviceList", ()),
    ("getAudioInputDeviceList", ()),
    ("getCurrentAudioDevicesIndex", ()),
    ("getAudioOutputDeviceIndex", ("Null Output",)),
    ("getAudioOutputDeviceIndex", ("nothing",)),
    ("getAudioInputDeviceIndex", ("Monitor of Null Output",)),
    ("setAudioOutputDevice", (2,)),
    ("setAudioInputDevice", (1,)),
    ("setAudioRingtoneDevice", (1,)),
    ("getCurrentAudioDevicesIndex", ()),
    ("setAudioOutputDevice", (77,)),
    ("getCurrentAudioDevicesIndex", ()),
    ("getVolume", ("mic",)),
    ("setVolume", ("mic", 0.5)),
    ("getVolume", ("mic",)),
    ("getVolume", ("nothing",)),
    ("isCaptureMuted", ()),
    ("muteCapture", (True,)),
    ("isCaptureMuted", ()),
    ("mutePlayback", (True,)),
    ("isPlaybackMuted", ()),
    ("muteRingtone", (True,)),
    ("isRingtoneMuted", ()),
    ("muteDtmf", (True,)),
    ("isDtmfMuted", ()),
    ("getAudioPluginList", ()),
    ("getCurrentAudioOutputPlugin", ()),
    ("getCodecList", ()),
    ("getCodecDetails", ("", 86076)),
    ("getCodecDetails", ("", 27)),
    ("getActiveCodecList", ("nothing",)),
    ("setCodecDetails", ("nothing", 86076, {})),
    ("isAudioMeterActive", ("",)),
    ("setAudioMeterState", ("", True)),
    ("isAudioMeterActive", ("",)),
    ("setAudioManager", ("pulseaudio",)),
    ("setAudioManager", ("bogus",)),
    ("getAudioManager", ()),
]


async def _ask(driver: Driver) -> list[Any]:
    answers = []
    for method, arguments in QUESTIONS:
        answer = await getattr(driver.configuration, method)(*arguments)
        answers.append((method, arguments, answer))
    return answers


async def _use(lab: Lab, host: str, driver: Driver) -> dict[str, Any]:
    """Meters, playback and a voice message: what came of them."""
    found: dict[str, Any] = {}
    ringtone = "/usr/share/jami/ringtones/default.opus"
    await driver.configuration.setAudioMeterState("", True)
    await driver.video.startAudioDevice()
    await driver.signal("audioMeter", lambda name, _: name == "audiolayer_id", seconds=8)
    await driver.video.stopAudioDevice()
    await driver.configuration.setAudioMeterState("", False)
    found["plays nothing"] = await driver.call.startRecordedFilePlayback("/nothing.ogg")
    found["plays"] = await driver.call.startRecordedFilePlayback(ringtone)
    since = len(driver.signals)
    path, _, length = await driver.signal("updatePlaybackScale", seconds=8, since=since)
    found["length"] = (path, length // 1000)
    await driver.call.recordPlaybackSeek(50.0)
    await driver.signal("updatePlaybackScale", lambda _, at, whole: at > 0.45 * whole, seconds=8, since=since)
    await driver.call.stopRecordedFilePlayback()
    found["stopped"] = await driver.signal("recordPlaybackStopped", seconds=8, since=since)
    base = lab.home(host) / "voice"
    recorded = await driver.video.startLocalMediaRecorder("", str(base))
    found["recorder"] = Path(recorded).name
    await asyncio.sleep(3)
    since = len(driver.signals)
    await driver.video.stopLocalRecorder(recorded)
    (stopped,) = await driver.signal("recordPlaybackStopped", seconds=8, since=since)
    found["recorded"] = (Path(stopped).name, Path(stopped).stat().st_size > 1000)
    return found


async def test_media_ours_answers_as_the_real_one(lab: Lab) -> None:
    lab.up(["a", "b"])
    lab.start_jamid("a", pulse=True)
    lab.ours("b", pulse=True)
    lab.spawn("a", "voice", ["paplay", "-d", "microphone", "/usr/share/jami/ringtones/default.opus"])
    lab.spawn("b", "voice", ["paplay", "-d", "microphone", "/usr/share/jami/ringtones/default.opus"])
    async with await Driver.connect(lab.bus("a"), "real") as real, await Driver.connect(lab.bus("b"), "ours") as ours:
        assert await _use(lab, "b", ours) == await _use(lab, "a", real)
        for given, expected in zip(await _ask(ours), await _ask(real), strict=True):
            assert given == expected
        since = len(ours.signals)
        await ours.configuration.setAudioManager("pulseaudio")
        lab.run("b", "pactl", "load-module", "module-null-sink", "sink_name=head")
        await ours.signal("audioDeviceEvent", seconds=5, since=since)
        assert len(await ours.configuration.getAudioOutputDeviceList()) == 4
