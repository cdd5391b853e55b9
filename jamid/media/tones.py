"""Telephone tones by region and key tones (protocol: media, sections 3.3 and 3.4)."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from jamid.core.errors import LocalError

if TYPE_CHECKING:
    from jamid.media.frames import Frame

AMPLITUDE: Final = 2048
"""Of each sine, of 32768."""
DEFAULT_REGION: Final = "North America"
CALL_WAITING: Final = "440/160"
"""Beep while a call is up and another one rings."""
CALL_WAITING_EVERY: Final = 5.0
MILLISECONDS_MAX: Final = 30_000
"""Of a whole definition: 6 MB of samples."""


class Tone(enum.IntEnum):
    """The tones of a region, in the order of its table."""

    DIAL = 0
    BUSY = 1
    RINGBACK = 2
    CONGESTION = 3


REGIONS: Final = {
    "North America": ("350+440", "480+620/500,0/500", "440+480/2000,0/4000", "480+620/250,0/250"),
    "France": ("440", "440/500,0/500", "440/1500,0/3500", "440/250,0/250"),
    "Australia": ("413+438", "425/375,0/375", "413+438/400,0/200,413+438/400,0/2000", "425/375,0/375,420/375,8/375"),
    "United Kingdom": ("350+440", "400/375,0/375", "400+450/400,0/200,400+450/400,0/2000", "400/400,0/350,400/225,0/525"),
    "Spain": ("425", "425/200,0/200", "425/1500,0/3000", "425/200,0/200,425/200,0/200,425/200,0/600"),
    "Italy": ("425/600,0/1000,425/200,0/200", "425/500,0/500", "425/1000,0/4000", "425/200,0/200"),
    "Japan": ("400", "400/500,0/500", "400+15/1000,0/2000", "400/500,0/500"),
}
_SAMPLES_PER_READ: Final = 960
"""A frame; its own module needs numpy, which a daemon that is silent does without."""
_KEYS = "123A456B789C*0#D"
_ROWS, _COLUMNS = (697, 770, 852, 941), (1209, 1336, 1477, 1633)


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of one or two sines, or of silence (no frequency)."""

    frequencies: tuple[float, ...]
    milliseconds: int


def tone_definition(region: str, tone: Tone) -> str:
    """The definition of a tone where the user lives; North America's for unknown regions."""
    return REGIONS.get(region, REGIONS[DEFAULT_REGION])[tone]


def parse_tone(definition: str) -> tuple[Segment, ...]:
    """`F1[+F2][/MS],…`: without a duration one second. Raises `LocalError`."""
    segments = []
    for part in definition.split(","):
        sines, _, duration = part.partition("/")
        try:
            frequencies = tuple(float(sine) for sine in sines.split("+"))
            milliseconds = int(duration) if duration else 1000
        except ValueError as error:
            raise LocalError(f"'{definition}' is no tone: use F1[+F2][/MS],…") from error
        if milliseconds <= 0 or any(not 0 <= frequency <= 20_000 for frequency in frequencies):
            raise LocalError(f"'{definition}' is no tone: frequencies to 20000 Hz, durations above 0 ms")
        segments.append(Segment(tuple(frequency for frequency in frequencies if frequency), milliseconds))
    if sum(segment.milliseconds for segment in segments) > MILLISECONDS_MAX:
        raise LocalError(f"'{definition}' is no tone: longer than {MILLISECONDS_MAX // 1000} seconds")
    return tuple(segments)


def key_frequencies(key: str) -> tuple[float, float] | None:
    """Row and column frequency of a telephone key."""
    position = _KEYS.find(key.upper()) if len(key) == 1 else -1
    return None if position < 0 else (_ROWS[position // 4], _COLUMNS[position % 4])


def key_definition(key: str, milliseconds: int) -> str | None:
    """The tone of a telephone key; None for what is no key."""
    pair = key_frequencies(key)
    return None if pair is None else f"{pair[0]:g}+{pair[1]:g}/{milliseconds}"


class ToneGenerator:
    """A tone as endless frames (or once through); computed when it is made, so that a tick only cuts a piece off."""

    def __init__(self, definition: str, *, once: bool = False, amplitude: float = AMPLITUDE) -> None:
        self._samples = _render(parse_tone(definition), amplitude)
        self._once = once
        self._position = 0

    @property
    def ended(self) -> bool:
        """Whether a tone that plays once has been played."""
        return self._once and self._position >= len(self._samples)

    def read(self) -> Frame:
        """The next 20 ms."""
        begin, end = self._position, self._position + _SAMPLES_PER_READ
        self._position = end if self._once else end % len(self._samples)
        return self._samples[begin:end] if end <= len(self._samples) else self._around(begin)

    def _around(self, begin: int) -> Frame:
        import numpy as np

        from jamid.media.frames import SILENCE

        frame = self._samples[begin:]
        rest: Frame = SILENCE if self._once else self._samples
        while len(frame) < _SAMPLES_PER_READ:
            frame = np.concatenate((frame, rest[: _SAMPLES_PER_READ - len(frame)]))
        return frame


def _render(segments: tuple[Segment, ...], amplitude: float) -> Frame:
    import numpy as np

    from jamid.media.frames import from_mono

    parts = []
    for segment in segments:
        times = np.arange(segment.milliseconds * 48) / 48000
        samples = np.zeros(len(times), np.float32)
        for frequency in segment.frequencies:
            samples += (amplitude * np.sin(2 * np.pi * frequency * times)).astype(np.float32)
        parts.append(samples)
    return from_mono(np.concatenate(parts))
