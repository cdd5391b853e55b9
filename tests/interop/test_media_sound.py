"""Sound through real calls: tones that go in at one end and come out at the other, with and without sound servers."""

from __future__ import annotations

import asyncio
import os
import wave
from pathlib import Path

import numpy as np
import pytest

from tests.interop.driver import AUDIO, Driver, befriend
from tests.interop.lab import Lab
from tests.support.media.sound import longest_silence, share_of, sine

pytestmark = pytest.mark.interop

FILE_MIB = 200
FINISHED = 6


def _write_tone(path: Path, frequency: float, seconds: float) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(48000)
        file.writeframes(sine(frequency, seconds).tobytes())


def _read(path: Path) -> np.ndarray:
    """The samples of a wave file that may still be growing; parec leaves its header unfinished."""
    data = path.read_bytes()
    start = data.index(b"data") + 8
    assert int.from_bytes(data[24:28], "little") == 48000
    return np.frombuffer(data[start : start + (len(data) - start) // 4 * 4], np.int16).reshape(-1, 2)


def _speak(lab: Lab, host: str, frequency: float) -> None:
    """Plays a tone into the microphone of HOST."""
    _write_tone(lab.home(host) / "tone.wav", frequency, 40)
    lab.spawn(host, "voice", ["paplay", "-d", "microphone", str(lab.home(host) / "tone.wav")])


def _listen(lab: Lab, host: str) -> Path:
    """Records the loudspeaker of HOST."""
    path = lab.home(host) / "heard.wav"
    lab.spawn(host, "ear", ["parec", "-d", "speaker.monitor", "--rate=48000", "--channels=2", "--file-format=wav", str(path)])
    return path


async def _befriend(lab: Lab, a: Driver, b: Driver) -> tuple[str, str, str]:
    """Both accounts and the Jami id of B's, once they may call each other."""
    bootstrap, turn = f"{lab.address('d')}:4222", lab.address("d")
    (account_a, _), (account_b, id_b) = await asyncio.gather(a.add_account(bootstrap, turn), b.add_account(bootstrap, turn))
    id_a = (await a.configuration.getAccountDetails(account_a))["Account.username"]
    await a.configuration.sendTrustRequest(account_a, id_b, b"")
    await b.signal("incomingTrustRequest", lambda account, *_: account == account_b)
    await b.configuration.acceptTrustRequest(account_b, id_a)
    await asyncio.sleep(2)
    return account_a, account_b, id_b


async def _call(a: Driver, account_a: str, b: Driver, account_b: str, id_b: str) -> tuple[str, str]:
    since_a, since_b = len(a.signals), len(b.signals)
    call = await a.call.placeCallWithMedia(account_a, id_b, [AUDIO])
    _, incoming, _, media = await b.signal("incomingCallWithMedia", since=since_b)
    await b.call.acceptWithMedia(account_b, incoming, media)
    await a.signal("mediaNegotiationStatus", lambda c, status, *_: c == call and status == "NEGOTIATION_SUCCESS", since=since_a)
    return call, incoming


async def test_media_tone_and_recording_with_a_real_peer(lab: Lab) -> None:
    lab.up(["d", "a", "b"])
    lab.start_dht("d")
    lab.start_turn("d")
    heard_by_us = lab.home("a") / "heard.wav"
    lab.ours("a", env={"JAMID_AUDIO_INPUT": "tone:440", "JAMID_AUDIO_OUTPUT": f"file:{heard_by_us}"})
    lab.start_jamid("b", pulse=True)
    async with await Driver.connect(lab.bus("a"), "a") as a, await Driver.connect(lab.bus("b"), "b") as b:
        account_a, account_b, id_b = await _befriend(lab, a, b)
        await a.configuration.setRecordPath(str(lab.home("a")))
        _speak(lab, "b", 880)
        heard_by_real = _listen(lab, "b")
        call, _ = await _call(a, account_a, b, account_b, id_b)
        await asyncio.sleep(3)
        assert await a.call.toggleRecording(account_a, call) is True
        _, recording = await a.signal("recordPlaybackFilepath", lambda c, _: c == call)
        await asyncio.sleep(4)
        assert await a.call.toggleRecording(account_a, call) is False
        since = len(b.signals)
        await a.call.hangUp(account_a, call)
        await b.signal("callStateChanged", lambda _, __, state, *___: state == "OVER", since=since)
        await asyncio.sleep(0.5)

    real = _read(heard_by_real)
    loud = np.flatnonzero(np.abs(real[:, 0].astype(np.int32)) > 1000)
    assert share_of(real[loud[-1] - 3 * 48000 : loud[-1]], 440) > 0.95
    # The real daemon's noise suppression takes a steady tone for noise: most of it goes, what is left is the tone.
    ours = _read(heard_by_us)
    assert share_of(ours[-4 * 48000 : -48000], 880) > 0.8

    from jamid.media.sources import decode_file

    recorded = np.concatenate(list(decode_file(recording)))
    assert len(recorded) > 3 * 48000
    assert share_of(recorded, 440) > 0.5


async def test_media_two_of_ours_with_sound_servers_at_5_percent_loss(lab: Lab) -> None:
    lab.up(["d", "a", "b"])
    lab.start_dht("d")
    lab.start_turn("d")
    lab.ours("a", pulse=True)
    lab.ours("b", pulse=True)
    async with await Driver.connect(lab.bus("a"), "a") as a, await Driver.connect(lab.bus("b"), "b") as b:
        account_a, account_b, id_b = await _befriend(lab, a, b)
        assert await a.configuration.getAudioManager() == "pulseaudio"
        assert await a.configuration.getAudioOutputDeviceList() == ["default", "Null Output", "Null Output"]
        assert await a.configuration.getAudioInputDeviceList() == ["default", "Monitor of Null Output", "Monitor of Null Output"]
        _speak(lab, "a", 440)
        _speak(lab, "b", 880)
        ears = {"a": _listen(lab, "a"), "b": _listen(lab, "b")}
        call, incoming = await _call(a, account_a, b, account_b, id_b)
        await asyncio.sleep(4)
        marks = {host: len(_read(path)) for host, path in ears.items()}
        lab.loss("b", 5)
        await asyncio.sleep(8)
        lab.loss("b", 0)
        lossy = {host: _read(path)[marks[host] :] for host, path in ears.items()}
        since = len(a.signals)
        assert await a.call.hold(account_a, call)
        await a.signal("callStateChanged", lambda _, c, state, *__: c == call and state == "HOLD", since=since)
        await asyncio.sleep(1.5)
        marks = {host: len(_read(path)) for host, path in ears.items()}
        await asyncio.sleep(2)
        held = {host: _read(path)[marks[host] :] for host, path in ears.items()}
        since = len(a.signals)
        assert await a.call.unhold(account_a, call)
        await a.signal("mediaNegotiationStatus", lambda c, status, *_: c == call and status == "NEGOTIATION_SUCCESS", since=since)
        await asyncio.sleep(3)
        resumed = {host: _read(path)[-48000:] for host, path in ears.items()}
        await b.call.hangUp(account_b, incoming)
    for host, frequency in (("a", 880), ("b", 440)):
        assert share_of(lossy[host][24000:], frequency) >= 0.95
        assert longest_silence(held[host]) > 1.0
        assert share_of(resumed[host], frequency) >= 0.95
    assert longest_silence(lossy["b"]) < 0.06


async def test_media_no_gap_while_a_file_goes_through_the_same_daemons(lab: Lab) -> None:
    lab.up(["d", "a", "b"])
    lab.start_dht("d")
    lab.start_turn("d")
    for host, frequency in (("a", 440), ("b", 880)):
        lab.ours(host, env={"JAMID_AUDIO_INPUT": f"tone:{frequency}", "JAMID_AUDIO_OUTPUT": f"file:{lab.home(host)}/{{stream}}.wav"})
    file = lab.home("a") / "big.bin"
    file.write_bytes(os.urandom(1 << 20) * FILE_MIB)
    async with await Driver.connect(lab.bus("a"), "a") as a, await Driver.connect(lab.bus("b"), "b") as b:
        bootstrap, turn = f"{lab.address('d')}:4222", lab.address("d")
        (account_a, id_a), (account_b, id_b) = await asyncio.gather(a.add_account(bootstrap, turn), b.add_account(bootstrap, turn))
        conversation = await befriend(a, account_a, id_a, b, account_b, id_b)
        call, incoming = await _call(a, account_a, b, account_b, id_b)
        await asyncio.sleep(1)
        since = len(b.signals)
        await a.configuration.sendFile(account_a, conversation, str(file), "big.bin", "")
        _, _, message = await b.signal("messageReceived", lambda _, __, m: m.get("type") == "application/data-transfer+json", since=since)
        target = lab.home("b") / "big.bin"
        await b.configuration.downloadFile(account_b, conversation, message["id"], message["fileId"], str(target))
        await b.signal("dataTransferEvent", lambda *transfer: transfer[-1] == FINISHED, seconds=50, since=since)
        await a.call.hangUp(account_a, call)
        await b.signal("callStateChanged", lambda _, c, state, *__: c == incoming and state == "OVER", since=since)
        await asyncio.sleep(1)
    assert target.stat().st_size == FILE_MIB << 20
    for host, call_id, frequency in (("a", call, 880), ("b", incoming, 440)):
        heard = _read(lab.home(host) / f"{call_id}_audio_0.wav")
        loud = np.flatnonzero(np.abs(heard[:, 0].astype(np.int32)) > 300)
        talk = heard[loud[0] : loud[-1]]
        assert longest_silence(talk) < 0.06
        assert share_of(talk, frequency) > 0.98
