"""Mouths and ears for hosts of a lab with a sound server: a tone into the microphone, what comes out of the speaker."""

from __future__ import annotations

import time
import wave
from pathlib import Path

import numpy as np

from jamid.media.frames import Frame
from tests.interop.lab import Lab

RATE = 48000


class Host:
    """The sound of one host: says one tone all the time, listens to the speaker."""

    def __init__(self, lab: Lab, name: str, frequency: int) -> None:
        self._file = lab.home(name) / "heard.raw"
        tone = lab.home(name) / f"tone-{frequency}.wav"
        _write_tone(tone, frequency, 120)
        lab.spawn(name, "mouth", ["paplay", "--device=microphone", str(tone)])
        lab.spawn(name, "ear", [
            "parec", "--raw", "--device=speaker.monitor", "--format=s16le", f"--rate={RATE}", "--channels=2", "--latency-msec=20",
            str(self._file),
        ])  # fmt: skip

    @property
    def position(self) -> int:
        """Where what is heard from now on begins, for `since`."""
        return self._file.stat().st_size // 4 * 4 if self._file.exists() else 0

    def since(self, position: int) -> Frame:
        """What was heard since POSITION."""
        data = self._file.read_bytes()[position:]
        return np.frombuffer(data[: len(data) // 4 * 4], np.int16).reshape(-1, 2)

    def loudness(self, frequency: int, seconds: float) -> float:
        """Root mean square of FREQUENCY alone (20 Hz around it) in what was heard in the last SECONDS."""
        count = int(seconds * RATE) * 4
        data = self._file.read_bytes() if self._file.exists() else b""
        samples = np.frombuffer(data[-count - len(data) % 4 :][: count - count % 4], np.int16).astype(np.float64)
        mono = samples[: len(samples) // 2 * 2].reshape(-1, 2)[:, 0]
        if len(mono) < RATE // 10:
            return 0.0
        spectrum = np.fft.rfft(mono)
        near = np.abs(np.fft.rfftfreq(len(mono), 1 / RATE) - frequency) <= 20
        return float(np.sqrt(2 * (np.abs(spectrum[near]) ** 2).sum()) / len(mono))

    def wait_for(self, frequency: int, *, heard: bool = True, seconds: float = 10) -> float:
        """Blocks until the last half second contains FREQUENCY, or not; the time it took. AssertionError after SECONDS."""
        begin = time.monotonic()
        while (self.loudness(frequency, 0.5) > 100) is not heard:
            now = self.loudness(frequency, 0.5)
            assert time.monotonic() - begin < seconds, f"{frequency} Hz is {'not ' if heard else ''}heard, loudness {now:.0f}"
            time.sleep(0.05)
        return time.monotonic() - begin


def loudness_of(path: Path, frequency: int) -> float:
    """As `Host.loudness`, of a recorded file of any format."""
    import av

    frames = []
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("s16", "mono", RATE)
        for frame in container.decode(audio=0):
            frames += [each.to_ndarray()[0] for each in resampler.resample(frame)]
    mono = np.concatenate(frames).astype(np.float64)
    spectrum = np.fft.rfft(mono)
    near = np.abs(np.fft.rfftfreq(len(mono), 1 / RATE) - frequency) <= 20
    return float(np.sqrt(2 * (np.abs(spectrum[near]) ** 2).sum()) / len(mono))


def _write_tone(path: Path, frequency: int, seconds: float) -> None:
    samples = np.rint(8000 * np.sin(2 * np.pi * frequency * np.arange(int(RATE * seconds)) / RATE)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())
