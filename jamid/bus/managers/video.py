"""Video devices, previews, renderers and media players, as a daemon without cameras and decoders answers (protocol: media, section 8).

Device settings and acceleration flags are real and kept in `dring.yml`. No picture is ever produced: `decodingStarted` is never sent and
a media player reports that it could not open its file, which every client takes as "no video".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from jamid.core.events import Events
from jamid.core.settings import Settings, Tree
from jamid.core.signals import ErrorAlert, FileOpened, HardwareDecodingChanged, HardwareEncodingChanged

_CAPTURE_FAILED = 0x0001
_DESKTOP = "desktop"
_DESKTOP_RATES = ("5", "10", "15", "20", "25", "30", "60", "120", "144")
_KEYS = {"channel": "channel", "id": "id", "input": "input", "name": "name", "rate": "framerate", "size": "video_size"}
"""what a setting is called on the bus and in the file"""


class CaptureHold(Protocol):
    """The microphone, held open for the level meter of a settings page."""

    async def start_capture(self) -> bool:
        """Whether there is a microphone."""
        ...

    async def stop_capture(self) -> None: ...


class NoCapture:
    """No microphone."""

    async def start_capture(self) -> bool:
        return False

    async def stop_capture(self) -> None:
        return


class VideoPart:
    """The video interface."""

    def __init__(self, settings: Settings, events: Events, capture: CaptureHold | None = None) -> None:
        self._settings = settings
        self._events = events
        self._capture = capture or NoCapture()
        self._inputs: set[str] = set()
        self._orientations: dict[str, int] = {}

    # -- devices --

    def getDeviceList(self) -> list[str]:
        return []

    def getCapabilities(self, device: str) -> dict[str, Any]:
        return {"default": {"0x0": list(_DESKTOP_RATES)}} if _matches(device, _DESKTOP) else {}

    def getSettings(self, device: str) -> dict[str, str]:
        found = next((one for one in self._devices() if _matches(device, one.get("id", ""))), {})
        return {key: str(found.get(name, "")) for key, name in _KEYS.items()}

    async def applySettings(self, device: str, settings: Mapping[str, str]) -> None:
        devices = self._devices()
        for one in devices:
            if _matches(device, one.get("id", "")):
                one["framerate"] = _nearest(settings.get("rate", "30"))
                one["video_size"] = settings.get("size") or "0x0"
                break
        await self._settings.change({"video.devices": devices})

    def getDefaultDevice(self) -> str:
        return ""

    def setDefaultDevice(self, device: str) -> None:
        """Devices nobody knows are ignored, and there are no others."""

    def setDeviceOrientation(self, device: str, angle: int) -> None:
        if device in self._inputs or device == _DESKTOP:
            self._orientations[device] = angle

    # -- the microphone of the settings page --

    async def startAudioDevice(self) -> None:
        if not await self._capture.start_capture():
            self._events.publish(ErrorAlert(_CAPTURE_FAILED))

    async def stopAudioDevice(self) -> None:
        await self._capture.stop_capture()

    # -- previews and recordings --

    def openVideoInput(self, source: str) -> str:
        if len(self._inputs) < _INPUTS:
            self._inputs.add(source)
        return source

    def closeVideoInput(self, source: str) -> bool:
        known = source in self._inputs
        self._inputs.discard(source)
        return known

    # -- acceleration --

    def getDecodingAccelerated(self) -> bool:
        return self._settings.flag("video.decodingAccelerated")

    async def setDecodingAccelerated(self, enabled: bool) -> None:
        if self.getDecodingAccelerated() != enabled:
            await self._settings.change({"video.decodingAccelerated": enabled})
            self._events.publish(HardwareDecodingChanged(enabled))

    def getEncodingAccelerated(self) -> bool:
        return self._settings.flag("video.encodingAccelerated")

    async def setEncodingAccelerated(self, enabled: bool) -> None:
        if self.getEncodingAccelerated() != enabled:
            await self._settings.change({"video.encodingAccelerated": enabled})
            self._events.publish(HardwareEncodingChanged(enabled))

    # -- sinks --

    def getRenderer(self, sink: str) -> dict[str, str]:
        return {"CALL_ID": sink, "SHM_PATH": "", "WIDTH": "0", "HEIGHT": "0"}

    def startShmSink(self, sink: str, enabled: bool) -> None:
        """Sinks nobody knows are ignored, and there are no others."""

    # -- media players --

    def createMediaPlayer(self, path: str) -> str:
        opened = path.removeprefix("file://")
        self._events.publish(FileOpened(opened, {"audio_stream": "-1", "duration": "0", "video_stream": "-1"}))
        return path

    def pausePlayer(self, player: str, pause: bool) -> bool:
        return False

    def closeMediaPlayer(self, player: str) -> bool:
        return False

    def mutePlayerAudio(self, player: str, mute: bool) -> bool:
        return False

    def playerSeekToTime(self, player: str, microseconds: int) -> bool:
        return False

    def getPlayerPosition(self, player: str) -> int:
        return -1

    def getPlayerDuration(self, player: str) -> int:
        return -1

    def setAutoRestart(self, player: str, enabled: bool) -> None:
        """Players nobody knows are ignored, and none ever opens."""

    def _devices(self) -> list[Tree]:
        return self._settings.maps("video.devices")


_INPUTS = 1024
"""Previews remembered as open; what a client opens it also closes."""


def _matches(wanted: str, device: str) -> bool:
    # The real daemon takes the first device whose id contains the wanted one, so "" is the first device.
    return wanted in device


def _nearest(rate: str) -> str:
    try:
        wanted = float(rate)
    except ValueError:
        wanted = 30
    return min(_DESKTOP_RATES, key=lambda one: abs(float(one) - wanted))
