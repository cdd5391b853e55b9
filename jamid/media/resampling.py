"""Rate conversion by whole factors between 48 kHz and the rates of telephony, with state across frames."""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

Samples: TypeAlias = npt.NDArray[np.float32]

_TAPS_PER_PHASE: Final = 24
_PASSBAND: Final = 0.90
"""Of the lower rate's Nyquist frequency."""


class Decimator:
    """Keeps every FACTOR-th sample after a low-pass; delay 12 samples of the lower rate."""

    def __init__(self, factor: int) -> None:
        self._factor = factor
        self._taps = _low_pass(factor)
        self._history: Samples = np.zeros(len(self._taps) - 1, np.float32)

    def process(self, samples: Samples) -> Samples:
        """The samples at the lower rate; the number must be a multiple of the factor."""
        joined = np.concatenate((self._history, samples))
        self._history = joined[len(joined) - len(self._history) :]
        windows = np.lib.stride_tricks.sliding_window_view(joined, len(self._taps))[:: self._factor]
        kept: Samples = np.ascontiguousarray(windows[: len(samples) // self._factor]) @ self._taps
        return kept


class Interpolator:
    """Puts FACTOR samples in place of each; delay 12 samples of the lower rate."""

    def __init__(self, factor: int) -> None:
        # Row k of the matrix: what the k-th newest-but-last input adds to each of the FACTOR output phases.
        self._phases = (_low_pass(factor) * factor).reshape(_TAPS_PER_PHASE, factor)[::-1].copy()
        self._history: Samples = np.zeros(_TAPS_PER_PHASE - 1, np.float32)

    def process(self, samples: Samples) -> Samples:
        """The samples at the higher rate."""
        joined = np.concatenate((self._history, samples))
        self._history = joined[len(joined) - len(self._history) :]
        windows = np.lib.stride_tricks.sliding_window_view(joined, _TAPS_PER_PHASE)
        filled: Samples = (windows @ self._phases).reshape(-1)
        return filled


def _low_pass(factor: int) -> Samples:
    length = _TAPS_PER_PHASE * factor
    cutoff = 0.5 * _PASSBAND / factor
    positions = np.arange(length) - (length - 1) / 2
    taps = 2 * cutoff * np.sinc(2 * cutoff * positions) * np.kaiser(length, 7.0)
    normalised: Samples = (taps / taps.sum()).astype(np.float32)
    return normalised
