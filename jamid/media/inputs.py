"""Where sound comes from and goes to, as text: the input strings of D-Bus, of the settings and of the environment.

Inputs: `""` or `device` (the selected microphone), `null`, `file://PATH` or `file:PATH` (anything FFmpeg reads, looped; `once:` in
front plays it once), `pipe:PATH` (raw 48 kHz stereo s16le), `tone:440+480` or a whole tone definition. Outputs: `device`, `null`,
`file:PATH.wav` (or any container FFmpeg writes), `pipe:PATH`; `{stream}` in a path makes one output per audio stream, which then
gets that peer's sound alone. Paths are taken as they are, without percent decoding (protocol: media, section 8.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from jamid.core.errors import LocalError

INPUT_VARIABLE: Final = "JAMID_AUDIO_INPUT"
OUTPUT_VARIABLE: Final = "JAMID_AUDIO_OUTPUT"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One end of the sound's way."""

    kind: str
    """`device`, `null`, `file`, `pipe` or `tone`."""
    argument: str = ""
    """Path, tone definition or device name."""
    once: bool = False

    @property
    def per_stream(self) -> bool:
        """Whether each audio stream has an output of its own."""
        return self.kind in ("file", "pipe") and "{stream}" in self.argument


DEVICE: Final = Endpoint("device")
NULL: Final = Endpoint("null")


def parse_input(text: str) -> Endpoint:
    """Where an input string says that sound comes from; cameras and screens have none of their own: the microphone's."""
    if text in ("", "default"):
        return DEVICE
    if text.startswith("once:"):
        inner = parse_input(text[5:])
        return Endpoint(inner.kind, inner.argument, once=True)
    scheme, separator, rest = text.partition(":")
    if not separator:
        scheme, rest = text, ""
    match scheme:
        case "file" | "pipe":
            path = rest.removeprefix("//")
            return Endpoint(scheme, path) if path else DEVICE
        case "tone":
            return Endpoint("tone", rest or "440")
        case "null" | "device":
            return Endpoint(scheme, rest)
        case "camera" | "display" | "v4l2":
            return DEVICE
    return DEVICE


def parse_output(text: str) -> Endpoint:
    """Where an output string says that sound goes; `LocalError` for what is none."""
    if text in ("", "default", "device"):
        return DEVICE
    scheme, separator, rest = text.partition(":")
    path = rest.removeprefix("//")
    if scheme in ("file", "pipe") and separator and path:
        return Endpoint(scheme, path)
    if scheme in ("null", "device"):
        return Endpoint(scheme, rest)
    raise LocalError(f"'{text}' is no audio output: use device, null, file:PATH or pipe:PATH")
