"""The audio graph: who hears whom, computed once per 20 ms for all streams. Media thread only; no clock, thread or lock in here."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from jamid.media.frames import CHANNELS, FRAME_SAMPLES, SILENCE, Frame, Wide, level, scaled, to_frame
from jamid.media.selected import SelectedInput, SelectedOutput
from jamid.media.session import AudioSession
from jamid.media.sinks import Sink
from jamid.media.sources import Source

_log = logging.getLogger(__name__)

DEVICE_BUFFER: Final = "audiolayer_id"
"""Id of the microphone's buffer, as meters know it."""
FRAMES_PER_METER: Final = 5
"""Frames whose mean level is one meter reading: ten a second."""
TICKS_PER_SECOND: Final = 50

Tell = Callable[..., None]


class Graph:
    """All streams, the selected input and output, and what plays besides."""

    def __init__(self, tell: Callable[[Callable[..., Any], tuple[Any, ...]], None]) -> None:
        self._tell = tell
        self.sessions: dict[str, AudioSession] = {}
        self._absent_hosts: set[str] = set()
        self.input = SelectedInput()
        self.output = SelectedOutput()
        self.ringtone_output: SelectedOutput | None = None
        """None: ringing goes to the output."""
        self.input_gain = self.output_gain = 1.0
        self.input_muted = self.output_muted = self.ringtone_muted = False
        self.urgent: Source | None = None
        """Key tones and the call-waiting beep: silence everything else at the speaker."""
        self.tone: Source | None = None
        """Ringback and other tones: in place of the calls' sound."""
        self.players: dict[str, Source] = {}
        """Files the user listens to, mixed into the output."""
        self.ringtone: Source | None = None
        self.recorders: dict[str, tuple[Sink, tuple[str, ...]]] = {}
        """Sink of a recording, and the streams that are recorded; none: the selected input."""
        self.capture_held = False
        """Whether the input is read although nobody sends it (a level meter in the settings page)."""
        self.process: Callable[[Frame], Frame] | None = None
        """Noise suppression and gain control of the selected input."""
        self.meters: set[str] = set()
        self.on_meter: Callable[[str, float], Any] | None = None
        self._levels: dict[str, list[float]] = {}
        self._ticks = 0

    # -- host of the sessions ----------------------------------------------------------------------------------------------
    def tell(self, callback: Callable[..., Any], *args: Any) -> None:
        self._tell(callback, args)

    def add(self, session: AudioSession) -> None:
        """Takes a stream in; one with the same id is replaced."""
        old = self.sessions.get(session.id)
        if old is not None:
            old.close()
        self.sessions[session.id] = session

    def moved(self, session: AudioSession, room: str) -> None:
        session.room = room

    def closed(self, session: AudioSession) -> None:
        if self.sessions.get(session.id) is session:
            del self.sessions[session.id]
            self._levels.pop(session.id, None)

    def set_host(self, room: str, present: bool) -> None:
        """Whether the local user takes part in a room: is heard there and hears it."""
        if present:
            self._absent_hosts.discard(room)
        else:
            self._absent_hosts.add(room)

    # -- time --------------------------------------------------------------------------------------------------------------
    @property
    def playing(self) -> bool:
        """Whether something is to be heard besides streams."""
        return self.urgent is not None or self.tone is not None or self.ringtone is not None or bool(self.players)

    @property
    def capturing(self) -> bool:
        """Whether the selected input is needed."""
        if self.capture_held:
            return True
        for session in self.sessions.values():
            if session.needs_input:
                return True
        return any(not streams for _, streams in self.recorders.values()) if self.recorders else False

    @property
    def busy(self) -> bool:
        """Whether ticks are needed at all."""
        return bool(self.sessions or self.recorders or self.capture_held) or self.playing

    def tick(self, now: float, wall: float) -> None:
        """One frame's time for everything."""
        self._ticks += 1
        sessions = list(self.sessions.values())
        if self.capturing:
            selected = self._read_input()
        else:
            selected = None
            self.input.release()
        audible = not self.output.silent or bool(self.recorders or self.meters)
        for session in sessions:
            session.listen(now, audible=audible or session.room != "" or session.has_own_sink)
        owns: dict[str, Frame | None] = {}
        rooms: dict[str, list[AudioSession]] = {}
        for session in sessions:
            own = owns[session.id] = session.own_input(selected)
            if session.room:
                rooms.setdefault(session.room, []).append(session)
            else:
                session.speak(own, now, wall)
            session.own_sink.write(session.heard)
        for room, members in rooms.items():
            self._mix_room(room, members, owns, now, wall)
        self._play(sessions)
        if self.recorders:
            self._record(selected, owns)
        if self.meters:
            self._meter(selected, sessions)
        if self._ticks % TICKS_PER_SECOND == 0:
            for session in sessions:
                session.measure(now)

    def rest(self) -> None:
        """There will be no tick for a while: lets go of the devices."""
        self.input.release()
        self.output.release()
        if self.ringtone_output is not None:
            self.ringtone_output.release()

    def close(self) -> None:
        """Ends everything that is left."""
        for session in list(self.sessions.values()):
            session.close()
        self.rest()
        self.output.close()

    # -- details -----------------------------------------------------------------------------------------------------------
    def _read_input(self) -> Frame | None:
        frame = self.input.read()
        if frame is None or self.input_muted:
            return None
        if self.process is not None:
            frame = self.process(frame)
        return scaled(frame, self.input_gain)

    def _mix_room(self, room: str, members: list[AudioSession], owns: dict[str, Frame | None], now: float, wall: float) -> None:
        heard = [member.heard for member in members if member.heard is not None]
        total = _sum(heard)
        host_present = room not in self._absent_hosts
        for member in members:
            mine = owns[member.id] if host_present else None
            own = member.heard
            if total is None or (own is not None and len(heard) == 1):
                member.speak(mine, now, wall)
                continue
            mix = total if own is None else total - own
            member.speak(to_frame(mix if mine is None else mix + mine), now, wall)

    def _play(self, sessions: list[AudioSession]) -> None:
        if self.ringtone is not None:
            ringing = None if self.ringtone_muted else self.ringtone.read()
            if self.ringtone_output is not None:
                self.ringtone_output.write(ringing)
        else:
            ringing = None
        frame = self._speaker_frame(sessions, None if self.ringtone_output is not None else ringing)
        self.output.write(None if frame is None or self.output_muted else scaled(frame, self.output_gain))

    def _speaker_frame(self, sessions: list[AudioSession], ringing: Frame | None) -> Frame | None:
        if self.urgent is not None:
            frame = self.urgent.read()
            if frame is not None:
                return frame
            self.urgent = None
        if self.tone is not None:
            return self.tone.read()
        absent = self._absent_hosts
        if self.output.silent and not self.players and ringing is None:
            return None
        frames = [s.heard for s in sessions if s.heard is not None and (not s.room or s.room not in absent)]
        frames += [frame for player in self.players.values() if (frame := player.read()) is not None]
        if ringing is not None:
            frames.append(ringing)
        return _mixed(frames)

    def _record(self, selected: Frame | None, owns: dict[str, Frame | None]) -> None:
        for sink, streams in self.recorders.values():
            if not streams:
                sink.write(selected)
                continue
            frames, shared = [], False
            for stream_id in streams:
                session = self.sessions.get(stream_id)
                if session is None:
                    continue
                if session.heard is not None:
                    frames.append(session.heard)
                own = None if session.held else owns.get(stream_id)
                if own is not None and not (own is selected and shared):
                    frames.append(own)
                    shared = shared or own is selected
            sink.write(_mixed(frames))

    def _meter(self, selected: Frame | None, sessions: list[AudioSession]) -> None:
        everything = "" in self.meters
        if everything or DEVICE_BUFFER in self.meters:
            self._take_level(DEVICE_BUFFER, selected)
        for session in sessions:
            if everything or session.id in self.meters:
                self._take_level(session.id, session.heard)

    def _take_level(self, buffer: str, frame: Frame | None) -> None:
        levels = self._levels.setdefault(buffer, [])
        levels.append(0.0 if frame is None else level(frame))
        if len(levels) >= FRAMES_PER_METER:
            if self.on_meter is not None:
                self.tell(self.on_meter, buffer, sum(levels) / len(levels))
            levels.clear()


def _sum(frames: list[Frame]) -> Wide | None:
    if not frames:
        return None
    total: Wide = np.zeros((FRAME_SAMPLES, CHANNELS), np.int32)
    for frame in frames:
        total += frame
    return total


def _mixed(frames: list[Frame]) -> Frame | None:
    if len(frames) < 2:
        return frames[0] if frames else None
    total = _sum(frames)
    return SILENCE if total is None else to_frame(total)
