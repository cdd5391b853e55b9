"""Where frames come from: silence, tones, files, pipes; a device's source is in `jamid.media.devices`. Media thread only."""

from __future__ import annotations

import logging
import os
import queue
import stat
import threading
from collections.abc import Iterator
from typing import Any, Final, Protocol

import numpy as np

from jamid.core.errors import LocalError
from jamid.media.frames import CHANNELS, FRAME_BYTES, FRAME_SAMPLES, SAMPLE_RATE, SILENCE, Frame
from jamid.media.inputs import Endpoint
from jamid.media.tones import ToneGenerator

_log = logging.getLogger(__name__)

READ_AHEAD_FRAMES: Final = 50
"""Decoded frames that wait for their turn: a second hides any disk."""
TONE_AMPLITUDE: Final = 8192
"""Of a tone used as input: loud enough for any microphone gain behind it, far from clipping."""


class Source(Protocol):
    """Something that is asked for 20 ms of sound fifty times a second and must answer at once."""

    def read(self) -> Frame | None:
        """The next frame; None for silence."""
        ...

    def close(self) -> None: ...


class NullSource:
    """Silence."""

    def read(self) -> Frame | None:
        return None

    def close(self) -> None:
        """Holds nothing."""


class ToneSource:
    """A tone definition, repeated."""

    def __init__(self, definition: str, *, once: bool = False) -> None:
        self._generator = ToneGenerator(definition, once=once, amplitude=TONE_AMPLITUDE)

    def read(self) -> Frame | None:
        return None if self._generator.ended else self._generator.read()

    def close(self) -> None:
        """Holds nothing."""


class FileSource:
    """The sound of a file at its own rate, over and over; decoded ahead by a thread of its own."""

    def __init__(self, path: str, *, once: bool = False) -> None:
        self._path = path
        self._once = once
        self._frames: queue.Queue[Frame | None] = queue.Queue(READ_AHEAD_FRAMES)
        self._stopped = threading.Event()
        self._ended = False
        self.failed = False
        """Whether the file holds no sound that can be read."""
        threading.Thread(target=self._decode, name="audio-file", daemon=True).start()

    def read(self) -> Frame | None:
        if self._ended:
            return None
        try:
            frame = self._frames.get_nowait()
        except queue.Empty:
            return None
        if frame is None:
            self._ended = True
        return frame

    def close(self) -> None:
        self._stopped.set()
        self._ended = True

    def _decode(self) -> None:
        try:
            while not self._stopped.is_set():
                any_frame = False
                for frame in decode_file(self._path):
                    any_frame = True
                    if not self._put(frame):
                        return
                self.failed = not any_frame
                if self._once or self.failed:
                    break
        except LocalError as error:
            _log.warning("%s", error)
            self.failed = True
        self._put(None)

    def _put(self, frame: Frame | None) -> bool:
        while not self._stopped.is_set():
            try:
                self._frames.put(frame, timeout=0.5)
                return True
            except queue.Full:
                continue
        return False


class PipeSource:
    """Raw 48 kHz stereo s16le from a named pipe or file; silence while nobody writes."""

    def __init__(self, path: str) -> None:
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            raise LocalError(f"cannot read audio from pipe '{path}': {error.strerror}") from error
        self._rest = b""

    def read(self) -> Frame | None:
        try:
            data = self._rest + os.read(self._descriptor, FRAME_BYTES - len(self._rest))
        except OSError:
            return None
        if len(data) < FRAME_BYTES:
            self._rest = data
            return None
        self._rest = b""
        return np.frombuffer(data, np.int16).reshape(FRAME_SAMPLES, CHANNELS)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def open_source(endpoint: Endpoint) -> Source:
    """The source of an endpoint that is no device. Raises `LocalError` when it cannot be opened."""
    match endpoint.kind:
        case "file":
            return FileSource(endpoint.argument, once=endpoint.once)
        case "pipe":
            return PipeSource(endpoint.argument)
        case "tone":
            return ToneSource(endpoint.argument, once=endpoint.once)
    return NullSource()


def decode_file(path: str) -> Iterator[Frame]:
    """The sound of a file in frames of 20 ms; the last one is filled up with silence. Raises `LocalError`. Blocks."""
    import av

    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            # A pipe would hold the thread until somebody writes to it.
            raise LocalError(f"cannot read audio file '{path}': it is no regular file")
        with av.open(path, mode="r") as container:
            resampler: Any = av.AudioResampler(format="s16", layout="stereo", rate=SAMPLE_RATE, frame_size=FRAME_SAMPLES)
            for decoded in container.decode(audio=0):
                decoded.pts = None
                for audio in resampler.resample(decoded):
                    yield _whole(audio.to_ndarray())
            for audio in resampler.resample(None):
                yield _whole(audio.to_ndarray())
    except (av.FFmpegError, OSError, ValueError, IndexError) as error:
        raise LocalError(f"cannot read audio file '{path}': {error}") from error


def _whole(interleaved: Any) -> Frame:
    samples: Frame = interleaved.reshape(-1, CHANNELS).astype(np.int16, copy=False)
    if len(samples) < FRAME_SAMPLES:
        samples = np.concatenate((samples, SILENCE[: FRAME_SAMPLES - len(samples)]))
    return samples[:FRAME_SAMPLES]
