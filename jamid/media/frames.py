"""Sound inside the media thread: frames of 20 ms, 48 kHz, stereo, 16 bits, as numpy arrays of shape (960, 2)."""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

SAMPLE_RATE: Final = 48000
CHANNELS: Final = 2
FRAME_SAMPLES: Final = 960
FRAME_SECONDS: Final = 0.02
FRAME_BYTES: Final = FRAME_SAMPLES * CHANNELS * 2

Frame: TypeAlias = npt.NDArray[np.int16]
"""Shape (n, 2); (960, 2) where nothing else is said."""
Wide: TypeAlias = npt.NDArray[np.int32]
"""A sum of frames, before it is cut to 16 bits."""

SILENCE: Final[Frame] = np.zeros((FRAME_SAMPLES, CHANNELS), np.int16)
SILENCE.setflags(write=False)


def to_frame(total: Wide) -> Frame:
    """A sum of frames with saturation."""
    cut: Frame = np.clip(total, -32768, 32767).astype(np.int16)
    return cut


def scaled(frame: Frame, factor: float) -> Frame:
    """FRAME louder or softer, with saturation."""
    if factor == 1.0:
        return frame
    changed: Frame = np.clip(frame * np.float32(factor), -32768, 32767).astype(np.int16)
    return changed


def level(frame: Frame) -> float:
    """Root mean square, 0 to 1."""
    if not len(frame):
        return 0.0
    samples = frame.reshape(-1).astype(np.float32)
    return float(np.sqrt(np.dot(samples, samples) / samples.size)) / 32768.0


def to_mono(frame: Frame) -> npt.NDArray[np.float32]:
    """The mean of both channels."""
    mono: npt.NDArray[np.float32] = frame.mean(axis=1, dtype=np.float32)
    return mono


def from_mono(samples: npt.NDArray[np.float32]) -> Frame:
    """Both channels alike, with saturation."""
    mono = np.clip(np.rint(samples), -32768, 32767).astype(np.int16)
    return np.repeat(mono[:, None], CHANNELS, axis=1)
