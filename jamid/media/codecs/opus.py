"""Opus through libopus, called directly: opuslib's own functions convert sample by sample and cost three times as much.

The library is called with the interpreter lock held: a call takes 0.1 ms, and giving the lock away in each would let a busy main loop
take five milliseconds before every one of them.
"""

from __future__ import annotations

import ctypes
import glob
import os
import warnings
from typing import Any, Final

import numpy as np

from jamid.core import limits
from jamid.core.errors import LocalError, RemoteError
from jamid.media.frames import CHANNELS, FRAME_SAMPLES, SAMPLE_RATE, Frame

PAYLOAD_BYTES: Final = 1275
"""The longest payload of one 20 ms frame (RFC 6716)."""
COMPLEXITY: Final = 3
"""Of 10: a third of the cost of 10 and within half a decibel of it at the 100 kbit/s that libopus chooses."""

_APPLICATION_AUDIO = 2049
_FIRST_TRANSFORM_CONFIGURATION = 16
_SET_COMPLEXITY, _SET_FEC, _SET_LOSS = 4010, 4012, 4014

_library: Any = None


def libopus() -> Any:
    """The loaded library with its signatures declared; `LocalError` when this machine has none."""
    global _library
    if _library is None:
        _library = _declare(_load())
    return _library


class OpusEncoder:
    """48 kHz stereo, in-band error correction on, no discontinuous transmission."""

    ticks = FRAME_SAMPLES

    def __init__(self) -> None:
        self._lib = libopus()
        error = ctypes.c_int()
        self._state = self._lib.opus_encoder_create(SAMPLE_RATE, CHANNELS, _APPLICATION_AUDIO, ctypes.byref(error))
        if not self._state or error.value:
            raise LocalError(f"libopus cannot create an encoder (error {error.value})")
        self._input = np.zeros((FRAME_SAMPLES, CHANNELS), np.int16)
        self._input_address = self._input.ctypes.data
        self._output = ctypes.create_string_buffer(PAYLOAD_BYTES)
        self._output_address = ctypes.addressof(self._output)
        self._loss = -1
        self._lib.opus_encoder_ctl(self._state, _SET_COMPLEXITY, COMPLEXITY)
        self._lib.opus_encoder_ctl(self._state, _SET_FEC, 1)
        self.expect_loss(0)

    def encode(self, frame: Frame) -> bytes:
        self._input[:] = frame
        length = self._lib.opus_encode(self._state, self._input_address, FRAME_SAMPLES, self._output_address, PAYLOAD_BYTES)
        if length < 0:
            raise LocalError(f"libopus cannot encode (error {length})")
        return ctypes.string_at(self._output_address, length)

    def expect_loss(self, percent: int) -> None:
        percent = max(0, min(100, percent))
        if percent != self._loss:
            self._loss = percent
            self._lib.opus_encoder_ctl(self._state, _SET_LOSS, percent)

    def close(self) -> None:
        if self._state:
            self._lib.opus_encoder_destroy(self._state)
            self._state = None

    def __del__(self) -> None:
        self.close()


class OpusDecoder:
    """Decodes any Opus stream to 48 kHz stereo."""

    def __init__(self) -> None:
        self._lib = libopus()
        error = ctypes.c_int()
        self._state = self._lib.opus_decoder_create(SAMPLE_RATE, CHANNELS, ctypes.byref(error))
        if not self._state or error.value:
            raise LocalError(f"libopus cannot create a decoder (error {error.value})")
        self._output = np.zeros((limits.AUDIO_FRAME_SAMPLES, CHANNELS), np.int16)
        self._address = self._output.ctypes.data
        self._last = FRAME_SAMPLES

    def decode(self, payload: bytes) -> Frame:
        if not payload:
            raise RemoteError("empty Opus payload")
        frame = self._run(payload, limits.AUDIO_FRAME_SAMPLES, fec=False)
        self._last = len(frame)
        return frame

    def recover(self, successor: bytes) -> Frame | None:
        # Only packets of the speech and hybrid modes can hold a copy of their predecessor.
        if not successor or successor[0] >> 3 >= _FIRST_TRANSFORM_CONFIGURATION:
            return None
        return self._run(successor, self._last, fec=True)

    def conceal(self) -> Frame:
        return self._run(None, self._last, fec=False)

    def close(self) -> None:
        if self._state:
            self._lib.opus_decoder_destroy(self._state)
            self._state = None

    def _run(self, payload: bytes | None, samples: int, *, fec: bool) -> Frame:
        length = 0 if payload is None else len(payload)
        count = self._lib.opus_decode(self._state, payload, length, self._address, samples, int(fec))
        if count < 0:
            raise RemoteError(f"not an Opus payload (error {count})")
        return self._output[:count].copy()

    def __del__(self) -> None:
        self.close()


def _load() -> Any:
    for name in ("libopus.so.0", "libopus.so"):
        try:
            return ctypes.PyDLL(name)
        except OSError:
            continue
    with warnings.catch_warnings():
        # opuslib compares integers with `is`, which newer interpreters warn of.
        warnings.simplefilter("ignore")
        try:
            from opuslib import api

            return ctypes.PyDLL(api.lib_location)
        except Exception:  # it raises the bare class when it finds nothing
            pass
    import av

    beside = os.path.join(os.path.dirname(os.path.dirname(av.__file__)), "av.libs", "libopus*.so*")
    for path in glob.glob(beside):
        try:
            return ctypes.PyDLL(path)
        except OSError:
            continue
    raise LocalError("libopus is not installed (Debian: apt install libopus0): calls with Opus are not possible")


def _declare(lib: Any) -> Any:
    integer, pointer = ctypes.c_int, ctypes.c_void_p
    for name, result, arguments in (
        ("opus_encoder_create", pointer, [integer, integer, integer, ctypes.POINTER(integer)]),
        ("opus_encode", integer, [pointer, pointer, integer, pointer, integer]),
        ("opus_encoder_destroy", None, [pointer]),
        ("opus_decoder_create", pointer, [integer, integer, ctypes.POINTER(integer)]),
        ("opus_decode", integer, [pointer, ctypes.c_char_p, integer, pointer, integer, integer]),
        ("opus_decoder_destroy", None, [pointer]),
    ):
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    lib.opus_encoder_ctl.restype = integer
    # Variadic: the fixed arguments are declared, the value goes as an int.
    lib.opus_encoder_ctl.argtypes = [pointer, integer, integer]
    return lib
