"""Signals of `cx.ring.Ring.VideoManager`: what the daemon tells of video."""

from __future__ import annotations

from collections.abc import Mapping

from jamid.core.signals.base import Signal, event


@event
class DecodingStarted(Signal):
    """A sink has pictures of this size now; they can be read from shared memory after startShmSink."""

    id: str
    shm_path: str
    width: int
    height: int
    is_mixer: bool


@event
class DecodingStopped(Signal):
    """A sink has no more pictures."""

    id: str
    shm_path: str
    is_mixer: bool


@event
class DeviceEvent(Signal):
    """There are other cameras."""


@event
class FileOpened(Signal):
    """A media player has opened its file, or could not: the streams are -1 then."""

    player_id: str
    info: Mapping[str, str]
