"""Sound devices through PortAudio: one thread per direction that reads or writes 20 ms at a time.

PortAudio's callback mode spins a core while PulseAudio prepares a stream and calls Python from a thread of its own; blocking reads and
writes cost a tenth of it. Devices that vanish are tried again every two seconds; meanwhile they are silent.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import queue
import threading
from collections import deque
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from jamid.core.errors import LocalError
from jamid.media.frames import CHANNELS, FRAME_SAMPLES, SAMPLE_RATE, SILENCE, Frame

_log = logging.getLogger(__name__)

LATENCY: Final = 0.08
"""Seconds that PortAudio may keep: they hide the scheduling of a busy machine. With less it wakes up every 10 ms, at twice the cost."""
STANDING_FRAMES: Final = 3
"""Frames that may wait between a device and the tick; more are dropped, the two clocks being different ones."""
TRY_AGAIN: Final = 2.0
PULSE: Final = "pulse"
"""PortAudio's name of the PulseAudio server, provided by ALSA's plugin."""

# Protects PortAudio's global state and the environment variables through which the server learns the device.
_portaudio = threading.Lock()
_open_streams = 0
_quiet: Any = None


def list_devices() -> tuple[list[str], list[str]]:
    """Names of the outputs and inputs PortAudio sees; `LocalError` when its library is missing. Blocks."""
    with _portaudio:
        devices = [device for device in _library().query_devices() if device["name"] not in (PULSE,)]
    return (
        [device["name"] for device in devices if device["max_output_channels"] > 0],
        [device["name"] for device in devices if device["max_input_channels"] > 0],
    )


class DeviceInput:
    """A microphone as a source."""

    def __init__(self, name: str, *, pulse: bool) -> None:
        self._frames: deque[Frame] = deque(maxlen=STANDING_FRAMES * 4)
        self._closed = threading.Event()
        self._name, self._pulse = name, pulse
        threading.Thread(target=self._run, name="microphone", daemon=True).start()

    def read(self) -> Frame | None:
        while len(self._frames) > STANDING_FRAMES:
            self._frames.popleft()
        try:
            return self._frames.popleft()
        except IndexError:
            return None

    def close(self) -> None:
        self._closed.set()

    def _run(self) -> None:
        def use(stream: Any, channels: int) -> None:
            data, _ = stream.read(FRAME_SAMPLES)
            samples = np.frombuffer(data, np.int16).reshape(-1, channels)
            self._frames.append(samples if channels == CHANNELS else np.repeat(samples, CHANNELS, axis=1))

        _serve("input", self._name, self._pulse, self._closed, use)


class DeviceOutput:
    """A loudspeaker as a sink."""

    def __init__(self, name: str, *, pulse: bool) -> None:
        self._frames: queue.Queue[Frame | None] = queue.Queue(STANDING_FRAMES)
        self._closed = threading.Event()
        self._name, self._pulse = name, pulse
        threading.Thread(target=self._run, name="loudspeaker", daemon=True).start()

    def write(self, frame: Frame | None) -> None:
        try:
            self._frames.put_nowait(frame)
        except queue.Full:
            with contextlib.suppress(queue.Empty, queue.Full):
                self._frames.get_nowait()
                self._frames.put_nowait(frame)

    def close(self) -> None:
        self._closed.set()

    def _run(self) -> None:
        def use(stream: Any, channels: int) -> None:
            try:
                frame = self._frames.get(timeout=0.5)
            except queue.Empty:
                return
            samples = SILENCE if frame is None else frame
            stream.write((samples if channels == CHANNELS else np.ascontiguousarray(samples[:, :channels])).tobytes())

        _serve("output", self._name, self._pulse, self._closed, use)


def _serve(direction: str, name: str, pulse: bool, closed: threading.Event, use: Any) -> None:
    complained = False
    while not closed.is_set():
        try:
            with _stream(direction, name, pulse) as (stream, channels):
                _log.info("audio %s is '%s'", direction, name or "default")
                complained = False
                while not closed.is_set():
                    use(stream, channels)
        except Exception as error:  # PortAudio's own class, and whatever a vanishing device brings
            if not complained:
                complained = True
                _log.warning("audio %s '%s' is not usable: %s", direction, name or "default", error)
            closed.wait(TRY_AGAIN)


@contextlib.contextmanager
def _stream(direction: str, name: str, pulse: bool) -> Iterator[tuple[Any, int]]:
    global _open_streams
    variable = "PULSE_SINK" if direction == "output" else "PULSE_SOURCE"
    with _portaudio:
        library = _library()
        if _open_streams == 0:
            # PortAudio sees only the devices there were when it was initialised.
            library._terminate()
            library._initialize()
        device = PULSE if pulse else name or None
        information = library.query_devices(device, direction)
        channels = min(CHANNELS, information[f"max_{direction}_channels"])
        before = os.environ.get(variable)
        if pulse and name:
            os.environ[variable] = name
        try:
            create = library.RawOutputStream if direction == "output" else library.RawInputStream
            stream = create(
                samplerate=SAMPLE_RATE, channels=channels, dtype="int16", blocksize=FRAME_SAMPLES, device=device, latency=LATENCY
            )
        finally:
            if pulse and name:
                if before is None:
                    del os.environ[variable]
                else:
                    os.environ[variable] = before
        _open_streams += 1
    try:
        stream.start()
        yield stream, channels
    finally:
        with contextlib.suppress(Exception):
            stream.abort()
        with _portaudio:
            _open_streams -= 1
            with contextlib.suppress(Exception):
                stream.close()


def _library() -> Any:
    global _quiet
    if _quiet is None:
        _quiet = _silence_alsa()
    try:
        import sounddevice
    except OSError as error:
        raise LocalError("PortAudio is not installed (Debian: apt install libportaudio2): no sound devices") from error
    return sounddevice


def _silence_alsa() -> Any:
    # ALSA's library prints every configuration it does not find to the standard error.
    handler = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p)(lambda *_: None)
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libasound.so.2").snd_lib_error_set_handler(handler)
    return handler
