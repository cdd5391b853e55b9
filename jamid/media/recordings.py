"""Recordings of calls and of the user's own voice: names, places and life of the files (protocol: media, section 11)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jamid.core.clock import Clock
from jamid.core.errors import LocalError
from jamid.core.settings import Settings
from jamid.core.tasks import in_thread
from jamid.media.engine import AudioEngine

if TYPE_CHECKING:
    from jamid.media.graph import Graph
    from jamid.media.sinks import FileSink


class Recordings:
    """The recordings under way, by the id of the call or conference, or by path for voice messages."""

    def __init__(self, engine: AudioEngine, settings: Settings, clock: Clock) -> None:
        self._engine = engine
        self._settings = settings
        self._clock = clock
        self._sinks: dict[str, FileSink] = {}
        self._starting: set[str] = set()
        self._paths: set[Path] = set()
        """of files that are being opened"""

    def active(self, recording_id: str) -> bool:
        """Whether it runs."""
        return recording_id in self._sinks

    async def start(self, recording_id: str, streams: Sequence[str], *, video: bool = False) -> Path:
        """Records the streams with these ids and what the user says into a new file in the user's directory. Raises `LocalError`."""
        wall = self._clock.time()
        name = time.strftime("%Y%m%d-%H%M%S", time.localtime(wall))
        directory = Path(self._settings.text("audio.recordPath") or os.environ.get("HOME") or Path.home())
        extension = ".webm" if video else ".ogg"
        path = directory / f"{name}{extension}"
        if path.exists() or path in self._paths or any(sink.path == path for sink in self._sinks.values()):
            # As newer releases name all of theirs.
            path = directory / f"{name}.{int(wall % 1 * 1_000_000_000):09d}{extension}"
        title = time.strftime("Conversation at %Y-%m-%d %H:%M:%S", time.localtime(wall))
        self._paths.add(path)
        try:
            await self._start(recording_id, path, streams, {"title": title, "description": "Recorded with jamid"})
        finally:
            self._paths.discard(path)
        return path

    async def start_voice(self, path: Path) -> bool:
        """Records the selected input into PATH; false when that is under way already. Raises `LocalError`."""
        if str(path) in self._sinks or str(path) in self._starting:
            return False
        await self._start(str(path), path, (), {})
        return True

    async def stop(self, recording_id: str) -> Path | None:
        """Ends a recording; the file is complete afterwards. None when there was none."""
        sink = self._sinks.pop(recording_id, None)
        if sink is None:
            return None
        with contextlib.suppress(LocalError):  # the media thread has ended: nothing is written any more
            await self._engine.ask(lambda graph: graph.recorders.pop(recording_id, None))
        await in_thread(sink.close)
        return sink.path

    async def close(self) -> None:
        """Ends all."""
        for recording_id in list(self._sinks):
            await self.stop(recording_id)

    async def _start(self, recording_id: str, path: Path, streams: Sequence[str], metadata: dict[str, str]) -> None:
        if recording_id in self._sinks or recording_id in self._starting:
            raise LocalError(f"'{recording_id}' is being recorded")
        self._starting.add(recording_id)
        try:
            opening = asyncio.ensure_future(in_thread(_open, path, metadata))
            try:
                sink = await asyncio.shield(opening)
            except asyncio.CancelledError:
                # Its call is over; the file is being opened all the same.
                opening.add_done_callback(_close_unused)
                raise
        finally:
            self._starting.discard(recording_id)
        self._sinks[recording_id] = sink

        def start(graph: Graph) -> None:
            graph.recorders[recording_id] = (sink, tuple(streams))

        self._engine.command(start)


def _close_unused(opening: asyncio.Future[FileSink]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.get_loop().run_in_executor(None, opening.result().close)


def _open(path: Path, metadata: dict[str, str]) -> FileSink:
    from jamid.media.sinks import FileSink

    return FileSink(path, metadata=metadata)
