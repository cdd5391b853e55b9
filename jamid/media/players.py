"""A file the local user listens to: a recording or the ringtone. Media thread only, except for `load`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from jamid.core import limits
from jamid.core.errors import LocalError
from jamid.media.frames import FRAME_SAMPLES, SAMPLE_RATE, Frame
from jamid.media.sources import decode_file

FRAMES_PER_POSITION: Final = 5
"""Frames between two words on the position: 100 ms."""
_FRAMES_MAX = limits.PLAYBACK_SECONDS * SAMPLE_RATE // FRAME_SAMPLES


def load(path: str) -> Frame:
    """The whole sound of a file. Raises `LocalError`. Blocks: for an executor."""
    frames = []
    for frame in decode_file(path):
        frames.append(frame)
        if len(frames) >= _FRAMES_MAX:
            break
    if not frames:
        raise LocalError(f"no sound in '{path}'")
    return np.concatenate(frames)


class FilePlayer:
    """Plays loaded sound over and over and tells where it is."""

    def __init__(self, samples: Frame, on_position: Callable[[int, int], Any] | None = None) -> None:
        self._samples = samples
        self._on_position = on_position
        self._position = 0
        self._reads = 0

    def read(self) -> Frame | None:
        """The next frame."""
        frame = self._samples[self._position : self._position + FRAME_SAMPLES]
        self._position += FRAME_SAMPLES
        if self._reads % FRAMES_PER_POSITION == 0 and self._on_position is not None:
            self._on_position(self._milliseconds(self._position), self._milliseconds(len(self._samples)))
        self._reads += 1
        if self._position >= len(self._samples):
            self._position = 0
        return frame if len(frame) == FRAME_SAMPLES else None

    def seek(self, percent: float) -> None:
        """Goes on from PERCENT of the length."""
        frames = len(self._samples) // FRAME_SAMPLES
        self._position = min(frames - 1, max(0, int(frames * percent / 100))) * FRAME_SAMPLES

    def close(self) -> None:
        """Holds nothing but memory."""

    @staticmethod
    def _milliseconds(samples: int) -> int:
        return samples * 1000 // SAMPLE_RATE
