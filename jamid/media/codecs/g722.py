"""G.722 through FFmpeg's codec (PyAV): 16 kHz wide-band speech in 64 kbit/s."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from jamid.core import limits
from jamid.core.errors import LimitError, RemoteError
from jamid.media.frames import FRAME_SAMPLES, SAMPLE_RATE, Frame, from_mono, to_mono
from jamid.media.resampling import Decimator, Interpolator

RATE: Final = 16000
_FACTOR: Final = SAMPLE_RATE // RATE
_SAMPLES_PER_BYTE: Final = 2
_TICKS: Final = FRAME_SAMPLES // 6
"""The RTP clock is 8 kHz, half the sample rate (RFC 3551, section 4.5.2)."""


class G722Encoder:
    """Frames to 160 bytes."""

    ticks = _TICKS

    def __init__(self) -> None:
        import av

        context: Any = av.CodecContext.create("g722", "w")
        context.sample_rate = RATE
        context.layout = "mono"
        context.format = "s16"
        context.bit_rate = 64000
        context.time_base = Fraction(1, RATE)
        context.open()
        self._context: Any = context
        self._decimator = Decimator(_FACTOR)
        self._pts = 0

    def encode(self, frame: Frame) -> bytes:
        import av

        samples = np.clip(np.rint(self._decimator.process(to_mono(frame))), -32768, 32767).astype(np.int16)
        audio: Any = av.AudioFrame.from_ndarray(samples[None, :], format="s16", layout="mono")
        audio.sample_rate = RATE
        audio.pts = self._pts
        audio.time_base = Fraction(1, RATE)
        self._pts += len(samples)
        return b"".join(bytes(packet) for packet in self._context.encode(audio))

    def expect_loss(self, percent: int) -> None:
        """G.722 cannot protect itself."""

    def close(self) -> None:
        self._context = None


class G722Decoder:
    """Payloads of any length to frames; what is lost becomes a fading repetition."""

    def __init__(self) -> None:
        import av

        context: Any = av.CodecContext.create("g722", "r")
        context.sample_rate = RATE
        context.layout = "mono"
        context.open()
        self._context: Any = context
        self._error: type[Exception] = av.FFmpegError
        self._interpolator = Interpolator(_FACTOR)
        self._last: npt.NDArray[np.float32] = np.zeros(FRAME_SAMPLES // _FACTOR, np.float32)

    def decode(self, payload: bytes) -> Frame:
        import av

        if len(payload) * _SAMPLES_PER_BYTE * _FACTOR > limits.AUDIO_FRAME_SAMPLES:
            raise LimitError(f"audio payload of {len(payload)} bytes")
        if not payload:
            raise RemoteError("empty audio payload")
        packet: Any = av.Packet(payload)
        try:
            frames = self._context.decode(packet)
        except self._error as error:
            raise RemoteError("audio payload does not decode") from error
        if not frames:
            raise RemoteError("audio payload holds no sound")
        self._last = np.concatenate([audio.to_ndarray().reshape(-1) for audio in frames]).astype(np.float32)
        return from_mono(self._interpolator.process(self._last))

    def recover(self, successor: bytes) -> Frame | None:
        return None

    def conceal(self) -> Frame:
        self._last = self._last * np.float32(0.7)
        return from_mono(self._interpolator.process(self._last))

    def close(self) -> None:
        self._context = None
