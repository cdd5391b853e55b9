"""Noise suppression and gain control of the microphone by libspeexdsp, if it is installed.

Only on explicit request (`audioProcessor`): `auto` and `system` leave it to the sound server. There is no echo canceller of our own:
the setting is stored and said to have no effect; PulseAudio's `module-echo-cancel` does it for all programs.
"""

from __future__ import annotations

import ctypes
import logging
from typing import Any

import numpy as np

from jamid.media.frames import FRAME_SAMPLES, SAMPLE_RATE, Frame, from_mono, to_mono

_log = logging.getLogger(__name__)

_SET_DENOISE, _SET_AGC, _SET_AGC_TARGET = 0, 2, 46
_AGC_TARGET = 8000


class SpeexProcessor:
    """The processing of one microphone; mono, both channels alike afterwards."""

    def __init__(self, lib: Any, *, denoise: bool, gain_control: bool) -> None:
        self._lib = lib
        self._state = lib.speex_preprocess_state_init(FRAME_SAMPLES, SAMPLE_RATE)
        self._set(_SET_DENOISE, int(denoise))
        self._set(_SET_AGC, int(gain_control))
        if gain_control:
            self._set(_SET_AGC_TARGET, _AGC_TARGET)
        self._buffer = np.zeros(FRAME_SAMPLES, np.int16)

    def __call__(self, frame: Frame) -> Frame:
        self._buffer[:] = to_mono(frame)
        self._lib.speex_preprocess_run(self._state, self._buffer.ctypes.data)
        return from_mono(self._buffer.astype(np.float32))

    def __del__(self) -> None:
        if self._state:
            self._lib.speex_preprocess_state_destroy(self._state)
            self._state = None

    def _set(self, request: int, value: int) -> None:
        self._lib.speex_preprocess_ctl(self._state, request, ctypes.byref(ctypes.c_int(value)))


def create_processor(*, denoise: bool, gain_control: bool) -> SpeexProcessor | None:
    """A processor for what is wanted; None when nothing is, or when this machine cannot (which is logged)."""
    if not (denoise or gain_control):
        return None
    try:
        lib: Any = ctypes.CDLL("libspeexdsp.so.1")
    except OSError:
        _log.warning("libspeexdsp is not installed (Debian: apt install libspeexdsp1): no noise suppression or gain control")
        return None
    lib.speex_preprocess_state_init.restype = ctypes.c_void_p
    lib.speex_preprocess_state_init.argtypes = [ctypes.c_int, ctypes.c_int]
    lib.speex_preprocess_run.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    lib.speex_preprocess_ctl.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p]
    lib.speex_preprocess_state_destroy.argtypes = [ctypes.c_void_p]
    lib.speex_preprocess_state_destroy.restype = None
    return SpeexProcessor(lib, denoise=denoise, gain_control=gain_control)
