"""Where frames go: nowhere, wave files, pipes, anything FFmpeg writes; a device's sink is in `jamid.media.devices`."""

from __future__ import annotations

import logging
import os
import queue
import threading
import wave
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from jamid.core import limits
from jamid.core.errors import LocalError
from jamid.media.frames import CHANNELS, FRAME_SAMPLES, SAMPLE_RATE, SILENCE, Frame
from jamid.media.inputs import Endpoint

_log = logging.getLogger(__name__)

_FRAMES_PER_WRITE = 50
_FRAMES_PER_BATCH = 10
"""handed to a writer's thread at once: waking it for each frame costs more than writing"""


class Sink(Protocol):
    """Something that takes 20 ms of sound fifty times a second and must return at once."""

    def write(self, frame: Frame | None) -> None:
        """Takes the next frame; None is silence."""
        ...

    def close(self) -> None:
        """Ends it; what was taken is complete afterwards."""
        ...


class NullSink:
    """Takes everything, keeps nothing."""

    def write(self, frame: Frame | None) -> None:
        """Drops it."""

    def close(self) -> None:
        """Holds nothing."""


class FileSink:
    """Writes a sound file from a thread of its own: `.wav` as it is, everything else encoded by FFmpeg (ogg and webm as Opus)."""

    def __init__(self, path: str | Path, *, metadata: dict[str, str] | None = None) -> None:
        self.path = Path(path)
        self._gathered: list[Frame] = []
        self._frames: queue.Queue[list[Frame] | None] = queue.Queue(limits.RECORDER_FRAMES // _FRAMES_PER_BATCH)
        self._end = False
        self.dropped = 0
        """Frames the disk was too slow for."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = _WaveWriter(self.path) if self.path.suffix == ".wav" else _EncodedWriter(self.path, metadata or {})
        except (OSError, LocalError) as error:
            raise LocalError(f"cannot write audio file '{path}': {error}") from error
        self._thread = threading.Thread(target=self._run, name="audio-recorder", daemon=True)
        self._thread.start()

    def write(self, frame: Frame | None) -> None:
        self._gathered.append(SILENCE if frame is None else frame)
        if len(self._gathered) < _FRAMES_PER_BATCH:
            return
        batch, self._gathered = self._gathered, []
        try:
            self._frames.put_nowait(batch)
        except queue.Full:
            self.dropped += len(batch)

    def close(self) -> None:
        if not self._end:
            self._end = True
            # The frames in the queue are written first; a full queue means a dead disk.
            try:
                self._frames.put(self._gathered, timeout=1.0)
                self._frames.put(None, timeout=1.0)
            except queue.Full:
                _log.warning("audio file '%s' stays incomplete: its disk takes nothing", self.path)
            self._thread.join(5.0)

    def _run(self) -> None:
        try:
            while (batch := self._frames.get()) is not None:
                for frame in batch:
                    self._writer.write(frame)
        except Exception as error:  # whatever FFmpeg or the disk say: the call goes on
            _log.warning("cannot go on writing audio file '%s': %s", self.path, error)
            while self._frames.get() is not None:
                pass
        finally:
            try:
                self._writer.close()
            except Exception as error:
                _log.warning("cannot finish audio file '%s': %s", self.path, error)


class PipeSink:
    """Raw 48 kHz stereo s16le into a named pipe; frames are dropped while nobody reads or the reader is slow."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor = -1
        self._rest = b""
        if not os.path.exists(path):
            raise LocalError(f"cannot write audio to pipe '{path}': it does not exist (make it with mkfifo)")
        self._open()

    def write(self, frame: Frame | None) -> None:
        if self._descriptor < 0 and not self._open():
            return
        # What a full pipe took half of must be completed, or every later sample would be shifted.
        data = self._rest or (SILENCE if frame is None else frame).tobytes()
        try:
            written = os.write(self._descriptor, data)
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        self._rest = data[written:] if written % (2 * CHANNELS) or written < len(data) else b""

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor, self._rest = -1, b""

    def _open(self) -> bool:
        try:
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return False
        return True


def open_sink(endpoint: Endpoint, stream_id: str = "") -> Sink:
    """The sink of an endpoint that is no device. Raises `LocalError` when it cannot be opened."""
    path = endpoint.argument.replace("{stream}", stream_id)
    match endpoint.kind:
        case "file":
            return FileSink(path)
        case "pipe":
            return PipeSink(path)
    return NullSink()


class _WaveWriter:
    """Writes the header anew once a second, so that a file is whole up to then whatever happens."""

    def __init__(self, path: Path) -> None:
        self._file = wave.open(str(path), "wb")  # noqa: SIM115 - closed by close()
        self._file.setnchannels(CHANNELS)
        self._file.setsampwidth(2)
        self._file.setframerate(SAMPLE_RATE)
        self._file.writeframes(b"")
        self._frames: list[bytes] = []

    def write(self, frame: Frame) -> None:
        self._frames.append(frame.tobytes())
        if len(self._frames) >= _FRAMES_PER_WRITE:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._file.close()

    def _flush(self) -> None:
        self._file.writeframes(b"".join(self._frames))
        self._frames.clear()


class _EncodedWriter:
    def __init__(self, path: Path, metadata: dict[str, str]) -> None:
        import av

        codec = {".flac": "flac", ".mp3": "libmp3lame"}.get(path.suffix, "libopus")
        try:
            container: Any = av.open(str(path), mode="w", format={".opus": "ogg"}.get(path.suffix))
            stream: Any = container.add_stream(codec, rate=SAMPLE_RATE, layout="stereo")
        except (av.FFmpegError, OSError, ValueError) as error:
            raise LocalError(str(error)) from error
        self._container: Any = container
        self._stream: Any = stream
        container.metadata.update(metadata)
        self._pts = 0

    def write(self, frame: Frame) -> None:
        import av

        audio: Any = av.AudioFrame.from_ndarray(np.ascontiguousarray(frame).reshape(1, -1), format="s16", layout="stereo")
        audio.sample_rate = SAMPLE_RATE
        audio.pts = self._pts
        self._pts += FRAME_SAMPLES
        for packet in self._stream.encode(audio):
            self._container.mux(packet)

    def close(self) -> None:
        for packet in self._stream.encode(None):
            self._container.mux(packet)
        self._container.close()
