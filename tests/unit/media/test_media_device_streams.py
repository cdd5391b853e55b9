"""Microphones and loudspeakers on a PortAudio of the test's own."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import pytest

from jamid.media import device_streams
from jamid.media.device_streams import DeviceInput, DeviceOutput, list_devices
from jamid.media.frames import FRAME_SAMPLES
from tests.support.media.sound import sine


class FakeStream:
    """One direction; fails for good when its device vanishes."""

    def __init__(self, library: FakePortAudio, **settings: Any) -> None:
        self.library, self.settings = library, settings
        self.environment = dict(os.environ)
        library.streams.append(self)
        if library.gone:
            raise OSError("no such device")

    def start(self) -> None: ...

    def read(self, frames: int) -> tuple[bytes, bool]:
        time.sleep(0.002)
        if self.library.gone:
            raise OSError("device is gone")
        return sine(440, 0.02)[:frames, : self.settings["channels"]].tobytes(), False

    def write(self, data: bytes) -> None:
        if self.library.gone:
            raise OSError("device is gone")
        self.library.played.append(data)

    def abort(self) -> None: ...

    def close(self) -> None:
        self.library.closed += 1


class FakePortAudio:
    """What of `sounddevice` is used."""

    def __init__(self) -> None:
        self.streams: list[FakeStream] = []
        self.played: list[bytes] = []
        self.closed = 0
        self.gone = False
        self.channels = 2

    def _initialize(self) -> None: ...

    def _terminate(self) -> None: ...

    def query_devices(self, device: Any = None, kind: str = "") -> Any:
        both = {"max_output_channels": self.channels, "max_input_channels": self.channels}
        return {"name": "Card", **both} if kind else [{"name": "pulse", **both}, {"name": "Card", **both}]

    def RawInputStream(self, **settings: Any) -> FakeStream:  # noqa: N802
        return FakeStream(self, **settings)

    RawOutputStream = RawInputStream


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> FakePortAudio:
    library = FakePortAudio()
    monkeypatch.setattr(device_streams, "_library", lambda: library)
    monkeypatch.setattr(device_streams, "TRY_AGAIN", 0.02)
    return library


def _until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_media_devices_are_listed_without_the_server_itself(library: FakePortAudio) -> None:
    assert list_devices() == (["Card"], ["Card"])


def test_media_microphone_delivers_frames_and_keeps_no_backlog(library: FakePortAudio) -> None:
    microphone = DeviceInput("mic.monitor", pulse=True)
    _until(lambda: microphone.read() is not None)
    time.sleep(0.1)
    assert sum(microphone.read() is not None for _ in range(5)) <= 4
    assert library.streams[0].environment["PULSE_SOURCE"] == "mic.monitor"
    assert "PULSE_SOURCE" not in os.environ
    microphone.close()
    _until(lambda: library.closed == 1)


def test_media_mono_devices_get_and_give_both_channels(library: FakePortAudio) -> None:
    library.channels = 1
    microphone, loudspeaker = DeviceInput("Card", pulse=False), DeviceOutput("Card", pulse=False)
    _until(lambda: len(library.streams) == 2)
    assert {stream.settings["device"] for stream in library.streams} == {"Card"}
    frames: list[Any] = []
    _until(lambda: frames.append(microphone.read()) or frames[-1] is not None)
    assert frames[-1].shape == (FRAME_SAMPLES, 2)
    loudspeaker.write(sine(440, 0.02))
    _until(lambda: library.played)
    assert len(library.played[0]) == FRAME_SAMPLES * 2
    microphone.close()
    loudspeaker.close()


def test_media_loudspeaker_that_vanishes_is_silent_and_comes_back(library: FakePortAudio) -> None:
    loudspeaker = DeviceOutput("", pulse=True)
    loudspeaker.write(None)
    _until(lambda: library.played)
    library.gone = True
    for _ in range(20):
        loudspeaker.write(sine(440, 0.02))
        time.sleep(0.005)
    before = len(library.played)
    library.gone = False
    _until(lambda: loudspeaker.write(sine(440, 0.02)) or time.sleep(0.01) or len(library.played) > before)
    assert len(library.streams) >= 2
    loudspeaker.close()
