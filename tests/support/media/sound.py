"""Sound in tests: tones, how much of a signal is one frequency, and two audio ends on a simulated clock and network."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np

from jamid.media.audio_stream import AudioParameters, AudioStream
from jamid.media.frames import FRAME_SAMPLES, Frame
from jamid.media.graph import Graph
from jamid.media.session import AudioSession, StreamEvents
from jamid.media.srtp import SrtpKeys, create_key

TICK = 0.02


def sine(frequency: float, seconds: float, amplitude: float = 8000) -> Frame:
    """A tone on both channels."""
    times = np.arange(int(48000 * seconds)) / 48000
    mono = np.rint(amplitude * np.sin(2 * np.pi * frequency * times)).astype(np.int16)
    return np.repeat(mono[:, None], 2, axis=1)


def share_of(samples: Frame, frequency: float, width: float = 15.0) -> float:
    """Which part of the signal's energy lies within WIDTH Hz of FREQUENCY."""
    mono = samples[:, 0].astype(np.float64)
    spectrum = np.abs(np.fft.rfft(mono * np.hanning(len(mono)))) ** 2
    frequencies = np.fft.rfftfreq(len(mono), 1 / 48000)
    return float(spectrum[np.abs(frequencies - frequency) <= width].sum() / max(1.0, spectrum.sum()))


def longest_silence(samples: Frame, threshold: int = 200) -> float:
    """Seconds of the longest stretch in which no sample is louder than THRESHOLD."""
    loud = np.flatnonzero(np.abs(samples[:, 0].astype(np.int32)) > threshold)
    if not len(loud):
        return len(samples) / 48000
    return float(np.diff(np.concatenate(([0], loud, [len(samples)]))).max()) / 48000


class DirectWorker:
    """Runs commands at once, as if this were the media thread."""

    def post(self, command: Callable[[], Any]) -> None:
        command()

    async def call(self, command: Callable[[], Any]) -> Any:
        return command()


class Recorder:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.closed = False

    def write(self, frame: Frame | None) -> None:
        self.frames.append(np.zeros((FRAME_SAMPLES, 2), np.int16) if frame is None else frame)

    def close(self) -> None:
        self.closed = True

    silent = False

    def release(self) -> None:
        """As a selected output."""

    @property
    def samples(self) -> Frame:
        return np.concatenate(self.frames)


class Call:
    """Two ends, each with its own graph, on a network with loss and delay (in ticks and parts of them)."""

    def __init__(
        self,
        *,
        codec: str = "opus",
        clock_rate: int = 48000,
        payload_type: int = 104,
        loss: float = 0.0,
        jitter: float = 0.0,
        seed: int = 1,
        encrypted: bool = True,
        sources: tuple[str, str] = ("tone:440", "tone:880"),
        name: str = "call",
        host: Graph | None = None,
    ) -> None:
        """HOST is a graph that has the near end of another call already."""
        self.now = 100.0
        self.random = random.Random(seed)
        self.loss, self.jitter = loss, jitter
        keys = (create_key(), create_key())
        self.told: list[list[tuple[Callable[..., Any], tuple[Any, ...]]]] = [[], []]
        self.digits: list[list[tuple[str, int]]] = [[], []]
        self.reports: list[list[Any]] = [[], []]
        self.graphs = [Graph(lambda callback, args, end=end: self.told[end].append((callback, args))) for end in (0, 1)]
        self.ticked = [0, 1] if host is None else [1]
        if host is not None:
            self.graphs[0] = host
        self.heard = [Recorder(), Recorder()]
        self.streams: list[AudioStream] = []
        self.sessions: list[AudioSession] = []
        self.sent: list[list[bytes]] = [[], []]
        self.stalled = False
        """Whether the network delivers nothing for now."""
        self._flying: list[tuple[float, int, int, bool, bytes]] = []
        for end in (0, 1):
            parameters = AudioParameters(
                f"{name}{end}_audio_0",
                codec,
                clock_rate,
                payload_type,
                101,
                SrtpKeys(keys[end], keys[1 - end]) if encrypted else None,
                source=sources[end],
            )
            stream = AudioStream(parameters, DirectWorker())
            session = AudioSession(
                stream,
                self._sender(end, rtcp=False),
                self._sender(end, rtcp=True),
                StreamEvents(
                    on_dtmf=lambda digit, duration, end=end: self.digits[end].append((digit, duration)),
                    on_report=self.reports[end].append,
                ),
                self.graphs[end],
                thread_safe=True,
            )
            stream.attach(session)
            self.graphs[end].add(session)
            if end in self.ticked:
                self.graphs[end].output = self.heard[end]  # type: ignore[assignment]
            self.streams.append(stream)
            self.sessions.append(session)

    def run(self, seconds: float) -> None:
        """Lets time pass."""
        for _ in range(round(seconds / TICK)):
            for end in (0, 1):
                # The two ends tick at different times, as two machines do.
                self.now += TICK / 2
                self._deliver()
                if end in self.ticked:
                    self.graphs[end].tick(self.now, 1_700_000_000 + self.now)
                for callback, args in self.told[end]:
                    callback(*args)
                self.told[end].clear()

    def _sender(self, end: int, *, rtcp: bool) -> Callable[[bytes], None]:
        def send(data: bytes) -> None:
            if not rtcp:
                self.sent[end].append(data)
            if self.random.random() >= self.loss:
                delay = 0.001 + self.random.random() * self.jitter
                self._flying.append((self.now + delay, len(self._flying), 1 - end, rtcp, data))

        return send

    def _deliver(self) -> None:
        if self.stalled:
            return
        due = sorted(packet for packet in self._flying if packet[0] <= self.now)
        self._flying = [packet for packet in self._flying if packet[0] > self.now]
        for at, _, end, rtcp, data in due:
            (self.streams[end].rtcp_inbox if rtcp else self.streams[end].rtp_inbox).append((at, data))
