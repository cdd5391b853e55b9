"""Files the user listens to (`CallManager`) and voice messages he records (`VideoManager`); recordings of calls are the calls' part."""

from __future__ import annotations

import logging
from pathlib import Path

from jamid.core.errors import LocalError
from jamid.core.events import Events
from jamid.core.signals import RecordPlaybackStopped
from jamid.media.service import Media

_log = logging.getLogger(__name__)


class PlaybackPart:
    """Plays recorded files through the user's loudspeaker."""

    def __init__(self, media: Media) -> None:
        self._media = media

    async def startRecordedFilePlayback(self, path: str) -> bool:
        return await self._media.listening.play(path)

    def stopRecordedFilePlayback(self) -> None:
        self._media.listening.stop()

    def recordPlaybackSeek(self, percent: float) -> None:
        self._media.listening.seek(percent)


class LocalRecorderPart:
    """Records voice messages from the selected input; of a video input only the sound."""

    def __init__(self, media: Media, events: Events) -> None:
        self._media = media
        self._events = events

    async def startLocalMediaRecorder(self, source: str, path: str) -> str:
        extension = ".webm" if source else ".ogg"
        if not path or not path.startswith("/"):
            return ""
        try:
            self._media.prepare()
            started = await self._media.recordings.start_voice(Path(path + extension))
        except LocalError as error:
            _log.warning("%s", error)
            return ""
        return path + extension if started else ""

    async def stopLocalRecorder(self, path: str) -> None:
        if await self._media.recordings.stop(path) is not None:
            self._events.publish(RecordPlaybackStopped(path))
