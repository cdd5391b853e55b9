"""What the user hears besides calls: ringtone, telephone tones, key tones, and files that are played (protocol: media, section 3)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jamid.core.errors import LocalError
from jamid.core.events import Events
from jamid.core.settings import Settings
from jamid.core.signals import RecordPlaybackStopped, UpdatePlaybackScale
from jamid.core.tasks import Tasks, in_thread
from jamid.media.engine import AudioEngine
from jamid.media.tones import CALL_WAITING, CALL_WAITING_EVERY, Tone, ToneGenerator, key_definition, tone_definition

if TYPE_CHECKING:
    from jamid.media.frames import Frame
    from jamid.media.graph import Graph
    from jamid.media.players import FilePlayer

_log = logging.getLogger(__name__)

RINGTONES: Final = Path("/usr/share/jami/ringtones")
"""Where the packages put the ringtones that account details name without a directory."""
_RECORDED = "recorded file"


class Listening:
    """Who makes the user's loudspeaker sound: calls by their ids, clients by path."""

    def __init__(self, engine: AudioEngine, settings: Settings, events: Events, tasks: Tasks, prepare: Callable[[], None]) -> None:
        self._engine = engine
        self._settings = settings
        self._events = events
        self._tasks = tasks
        self._prepare = prepare
        self._ringing: dict[str, str] = {}
        self._ringback: set[str] = set()
        self._waiting: set[str] = set()
        self._beeping: asyncio.Task[None] | None = None
        self._asked_tone: str = ""
        self._ringtone = ""
        self._playing = ""
        self._tone = ""

    # -- calls -------------------------------------------------------------------------------------------------------------
    def ring(self, call_id: str, path: str) -> None:
        """An incoming call rings with the ringtone of PATH; "" or an unreadable one: with the ringback tone."""
        self._ringing[call_id] = path
        self._tasks.spawn(self._start_ringing(call_id, path), "ring")

    def ringback(self, call_id: str) -> None:
        """An outgoing call rings at the peer's."""
        self._ringback.add(call_id)
        self._update_tone()

    def quiet(self, call_id: str) -> None:
        """The call rings no more, at either end."""
        self._ringback.discard(call_id)
        self._waiting.discard(call_id)
        if self._ringing.pop(call_id, None) is not None and not self._ringing:
            self._stop_ringtone()
        self._update_tone()

    def wait(self, call_id: str) -> None:
        """An incoming call rings while the user talks in another one: beeps now and then."""
        self._waiting.add(call_id)
        if self._beeping is None or self._beeping.done():
            self._beeping = self._tasks.spawn(self._beep(), "call waiting")

    # -- the user ----------------------------------------------------------------------------------------------------------
    def telephone_tone(self, kind: int) -> None:
        """The dial tone (0), the congestion tone (other numbers), or neither (-1)."""
        region = self._settings.text("preferences.zoneToneChoice")
        self._asked_tone = "" if kind < 0 else tone_definition(region, Tone.DIAL if kind == 0 else Tone.CONGESTION)
        self._update_tone()

    def key(self, key: str) -> None:
        """The tone of a telephone key, unless key tones are off."""
        definition = key_definition(key[:1], self._settings.number("voipPreferences.pulseLength"))
        if definition is not None and self._settings.flag("voipPreferences.playDtmf"):
            self._play_once(definition)

    async def play(self, path: str) -> bool:
        """Plays a file over and over, telling the position; false when it cannot be read."""
        self._prepare()
        try:
            samples = await _load(path)
        except LocalError as error:
            _log.info("%s", error)
            return False
        self.stop()
        self._playing = path
        player = await self._player(samples, path)

        def start(graph: Graph) -> None:
            graph.players[_RECORDED] = player

        # It may have been stopped while the player was made.
        if self._playing == path:
            self._engine.command(start)
        return True

    def stop(self) -> None:
        """Ends what `play` started."""
        if self._playing:
            path, self._playing = self._playing, ""
            self._engine.command(lambda graph: graph.players.pop(_RECORDED, None))
            self._events.publish(RecordPlaybackStopped(path))

    def seek(self, percent: float) -> None:
        """Moves what `play` started to PERCENT of its length."""

        def seek(graph: Graph) -> None:
            player: Any = graph.players.get(_RECORDED)
            if player is not None:
                player.seek(percent)

        if self._playing:
            self._engine.command(seek)

    async def close(self) -> None:
        """Ends everything."""
        self._playing = ""
        self._ringing.clear()
        self._waiting.clear()

    # -- details -----------------------------------------------------------------------------------------------------------
    async def _start_ringing(self, call_id: str, path: str) -> None:
        self._prepare()
        if self._ringtone:
            return
        try:
            if not path:
                raise LocalError("the account has no ringtone")
            file = path if path.startswith("/") else str(RINGTONES / path)
            samples = await _load(file)
        except LocalError as error:
            _log.debug("ringing with the ringback tone: %s", error)
            self._update_tone()
            return
        if call_id not in self._ringing or self._ringtone:
            return
        self._ringtone = file
        player = await self._player(samples, file)

        def start(graph: Graph) -> None:
            graph.ringtone = player

        # It may have stopped ringing while the player was made.
        if self._ringtone == file:
            self._engine.command(start)

    async def _beep(self) -> None:
        while self._waiting:
            if self._settings.flag("voipPreferences.playTones"):
                self._play_once(CALL_WAITING)
            await asyncio.sleep(CALL_WAITING_EVERY)

    def _stop_ringtone(self) -> None:
        if self._ringtone:
            path, self._ringtone = self._ringtone, ""

            def stop(graph: Graph) -> None:
                graph.ringtone = None

            self._engine.command(stop)
            self._events.publish(RecordPlaybackStopped(path))

    def _update_tone(self) -> None:
        rings_without_tone = bool(self._ringing) and not self._ringtone
        wanted = self._asked_tone
        if self._ringback or rings_without_tone:
            wanted = tone_definition(self._settings.text("preferences.zoneToneChoice"), Tone.RINGBACK)
        if not self._settings.flag("voipPreferences.playTones"):
            wanted = ""
        if wanted == self._tone:
            return
        self._tone = wanted
        if wanted:
            self._prepare()

        def change(graph: Graph) -> None:
            graph.tone = _Endless(wanted) if wanted else None

        self._engine.command(change)

    def _play_once(self, definition: str) -> None:
        self._prepare()

        def play(graph: Graph) -> None:
            graph.urgent = _Once(definition)

        self._engine.command(play)

    async def _player(self, samples: Frame, path: str) -> FilePlayer:
        from jamid.media.players import FilePlayer

        def position(graph: Graph) -> FilePlayer:
            def tell(at: int, length: int) -> None:
                graph.tell(self._position, path, at, length)

            return FilePlayer(samples, tell)

        player: FilePlayer = await self._engine.ask(position)
        return player

    def _position(self, path: str, at: int, length: int) -> None:
        if path in (self._ringtone, self._playing):
            self._events.publish(UpdatePlaybackScale(path, at, length))


class _Endless:
    """A tone as a source."""

    def __init__(self, definition: str) -> None:
        self._generator = ToneGenerator(definition)

    def read(self) -> Frame | None:
        return self._generator.read()

    def close(self) -> None:
        """Holds nothing."""


class _Once:
    """A tone that ends."""

    def __init__(self, definition: str) -> None:
        self._generator = ToneGenerator(definition, once=True)

    def read(self) -> Frame | None:
        return None if self._generator.ended else self._generator.read()

    def close(self) -> None:
        """Holds nothing."""


async def _load(path: str) -> Frame:
    def load() -> Frame:
        from jamid.media import players

        return players.load(path)

    return await in_thread(load)
