"""G.711: A-law and mu-law by table (ITU-T G.711; the standard library's audioop is gone from Python 3.13)."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from jamid.core import limits
from jamid.core.errors import LimitError, RemoteError
from jamid.media.frames import FRAME_SAMPLES, SAMPLE_RATE, Frame, from_mono, to_mono
from jamid.media.resampling import Decimator, Interpolator

RATE = 8000
_FACTOR = SAMPLE_RATE // RATE


class G711Encoder:
    """Frames to 160 bytes."""

    ticks = FRAME_SAMPLES // _FACTOR

    def __init__(self, law: str) -> None:
        self._table = encoding_table(law)
        self._decimator = Decimator(_FACTOR)

    def encode(self, frame: Frame) -> bytes:
        samples = np.clip(np.rint(self._decimator.process(to_mono(frame))), -32768, 32767).astype(np.int16)
        return self._table[samples.view(np.uint16)].tobytes()

    def expect_loss(self, percent: int) -> None:
        """G.711 cannot protect itself."""

    def close(self) -> None:
        """Holds nothing."""


class G711Decoder:
    """Any number of bytes to frames; what is lost becomes a fading repetition."""

    def __init__(self, law: str) -> None:
        self._table = decoding_table(law)
        self._interpolator = Interpolator(_FACTOR)
        self._last: npt.NDArray[np.float32] = np.zeros(FRAME_SAMPLES // _FACTOR, np.float32)

    def decode(self, payload: bytes) -> Frame:
        if not payload:
            raise RemoteError("empty G.711 payload")
        if len(payload) * _FACTOR > limits.AUDIO_FRAME_SAMPLES:
            raise LimitError(f"G.711 payload of {len(payload)} bytes")
        self._last = self._table[np.frombuffer(payload, np.uint8)].astype(np.float32)
        return from_mono(self._interpolator.process(self._last))

    def recover(self, successor: bytes) -> Frame | None:
        return None

    def conceal(self) -> Frame:
        self._last = self._last * np.float32(0.7)
        return from_mono(self._interpolator.process(self._last))

    def close(self) -> None:
        """Holds nothing."""


@cache
def decoding_table(law: str) -> npt.NDArray[np.int16]:
    """16-bit sample of each of the 256 codes of `PCMA` or `PCMU`."""
    codes = np.arange(256, dtype=np.int32)
    if law == "PCMU":
        inverted = ~codes & 0xFF
        exponent, mantissa = (inverted >> 4) & 7, inverted & 15
        magnitude = (((mantissa << 3) + 0x84) << exponent) - 0x84
        return np.where(inverted & 0x80, -magnitude, magnitude).astype(np.int16)
    inverted = codes ^ 0x55
    exponent, mantissa = (inverted >> 4) & 7, inverted & 15
    magnitude = np.where(exponent == 0, (mantissa << 4) + 8, ((mantissa << 4) + 0x108) << np.maximum(exponent - 1, 0))
    return np.where(inverted & 0x80, magnitude, -magnitude).astype(np.int16)


@cache
def encoding_table(law: str) -> npt.NDArray[np.uint8]:
    """Code of each 16-bit sample, indexed by the sample's unsigned view: the nearest value of the decoding table."""
    decoded = decoding_table(law).astype(np.int32)
    order = np.argsort(decoded, kind="stable")
    values = decoded[order]
    samples = np.arange(65536, dtype=np.int32)
    samples = np.where(samples >= 32768, samples - 65536, samples)
    above = np.clip(np.searchsorted(values, samples), 1, 255)
    nearest = np.where(samples - values[above - 1] <= values[above] - samples, above - 1, above)
    return order[nearest].astype(np.uint8)
