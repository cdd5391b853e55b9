"""Preferences that belong to no account: recording, history, ringing time, and what is done to the microphone's sound."""

from __future__ import annotations

import logging
import os

from jamid.core.settings import Settings
from jamid.core.tasks import in_thread

_log = logging.getLogger(__name__)


class PreferencesPart:
    """Reads and writes `dring.yml`; a setter's reply means that the file has been written."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    # -- recording --

    def getRecordPath(self) -> str:
        return self._settings.text("audio.recordPath")

    async def setRecordPath(self, path: str) -> None:
        directory = await in_thread(_writable_directory, path)
        if directory is None:
            _log.warning("recordings cannot go to %s: no directory we may write to; the old one stays", path)
            return
        await self._settings.change({"audio.recordPath": directory})

    def getIsAlwaysRecording(self) -> bool:
        return self._settings.flag("audio.alwaysRecording")

    async def setIsAlwaysRecording(self, enabled: bool) -> None:
        await self._settings.change({"audio.alwaysRecording": enabled})

    def getRecordPreview(self) -> bool:
        return self._settings.flag("video.recordPreview")

    async def setRecordPreview(self, enabled: bool) -> None:
        await self._settings.change({"video.recordPreview": enabled})

    def getRecordQuality(self) -> int:
        return self._settings.number("video.recordQuality")

    async def setRecordQuality(self, quality: int) -> None:
        await self._settings.change({"video.recordQuality": quality})

    # -- history and ringing --

    def getHistoryLimit(self) -> int:
        return self._settings.number("preferences.historyLimit")

    async def setHistoryLimit(self, days: int) -> None:
        await self._settings.change({"preferences.historyLimit": days})

    def getRingingTimeout(self) -> int:
        return self._settings.number("preferences.ringingTimeout")

    async def setRingingTimeout(self, seconds: int) -> None:
        await self._settings.change({"preferences.ringingTimeout": seconds})

    # -- the microphone's sound --

    def getNoiseSuppressState(self) -> str:
        return self._settings.text("audio.noiseReduce")

    async def setNoiseSuppressState(self, state: str) -> None:
        await self._settings.change({"audio.noiseReduce": state})

    def isAgcEnabled(self) -> bool:
        return self._settings.flag("audio.automaticGainControl")

    async def setAgcState(self, enabled: bool) -> None:
        await self._settings.change({"audio.automaticGainControl": enabled})

    def getEchoCancellationState(self) -> str:
        return self._settings.text("audio.echoCancel")

    async def setEchoCancellationState(self, state: str) -> None:
        await self._settings.change({"audio.echoCancel": state})

    def getVoiceActivityDetectionState(self) -> bool:
        return self._settings.flag("audio.voiceActivityDetection")

    async def setVoiceActivityDetectionState(self, enabled: bool) -> None:
        await self._settings.change({"audio.voiceActivityDetection": enabled})

    # -- conferences --

    def getConferenceResolution(self) -> str:
        return self._settings.text("video.conferenceResolution")

    async def setConferenceResolution(self, resolution: str) -> None:
        await self._settings.change({"video.conferenceResolution": resolution})


def _writable_directory(path: str) -> str | None:
    """PATH with the home directory filled in, "" for none chosen, None when nothing can be written there."""
    if not path:
        return ""
    directory = os.path.expanduser(path)
    return directory if "\0" not in path and os.path.isdir(directory) and os.access(directory, os.W_OK | os.X_OK) else None
