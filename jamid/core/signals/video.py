"""Signals of `cx.ring.Ring.VideoManager`: what the daemon tells of video."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jamid.core.signals.base import Signal


@dataclass(frozen=True, slots=True)
class DecodingStarted(Signal):
    """sink id, shm path, width, height, is mixer: frames can be read."""

    id: str
    shm_path: str
    width: int
    height: int
    is_mixer: bool


@dataclass(frozen=True, slots=True)
class DecodingStopped(Signal):
    """sink id, shm path, is mixer."""

    id: str
    shm_path: str
    is_mixer: bool


@dataclass(frozen=True, slots=True)
class DeviceEvent(Signal):
    """camera list changed."""


@dataclass(frozen=True, slots=True)
class FileOpened(Signal):
    """17: **path** (without `file://`, not always the player id), map (duration in µs, audio_stream, video_stream index or -1)."""

    player_id: str
    info: Mapping[str, str]
