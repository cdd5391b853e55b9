"""The bodies of INFO requests (protocol: calls, section 8). They look like XML and are not: both sides compare text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

MEDIA_CONTROL: Final = "application/media_control+xml"
DTMF_RELAY: Final = "application/dtmf-relay"
DTMF_KEYS: Final = "0123456789*#ABCD!"

_STREAM = re.compile(r"<stream_id>([0-9]{1,9})</stream_id>")
_ORIENTATION = re.compile(r"device_orientation=([-+]?[0-9]{1,6})")
_FLAGS = {name: re.compile(rf"{name}=([01])") for name in ("recording_state", "mute_state", "voice_activity")}
_HEAD = '<?xml version="1.0" encoding="utf-8" ?><media_control><vc_primitive>'
_TAIL = "</vc_primitive></media_control>"


@dataclass(frozen=True, slots=True)
class MediaControl:
    """One order; exactly one of the last five fields is set. `stream` is a media line's index, -1 for all."""

    stream: int = -1
    key_frame: bool = False
    orientation: int | None = None
    recording: bool | None = None
    muted: bool | None = None
    voice: bool | None = None


def parse_media_control(body: bytes) -> MediaControl | None:
    """What BODY orders, None when it is nothing we know."""
    text = body.decode("utf-8", "replace")
    found = _STREAM.search(text)
    stream = int(found[1]) if found is not None else -1
    if "picture_fast_update" in text:
        return MediaControl(stream, key_frame=True)
    orientation = _ORIENTATION.search(text)
    if orientation is not None:
        return MediaControl(stream, orientation=int(orientation[1]))
    flags = {name: match[1] == "1" for name, pattern in _FLAGS.items() if (match := pattern.search(text)) is not None}
    if "recording_state" in flags:
        return MediaControl(stream, recording=flags["recording_state"])
    if "mute_state" in flags:
        return MediaControl(stream, muted=flags["mute_state"])
    if "voice_activity" in flags:
        return MediaControl(stream, voice=flags["voice_activity"])
    return None


def mute_body(muted: bool) -> bytes:
    return _flag_body("mute_state", muted)


def recording_body(recording: bool) -> bytes:
    return _flag_body("recording_state", recording)


def voice_body(voice: bool) -> bytes:
    return _flag_body("voice_activity", voice)


def key_frame_body(stream: int) -> bytes:
    """The space after `<vc_primitive>` belongs to it."""
    return f"{_HEAD} <stream_id>{stream}</stream_id><to_encoder><picture_fast_update/></to_encoder>{_TAIL}".encode()


def orientation_body(stream: int, degrees: int) -> bytes:
    return f"{_HEAD}<to_encoder><device_orientation={degrees}/></to_encoder><stream_id>{stream}</stream_id>{_TAIL}".encode()


def dtmf_body(key: str, duration_ms: int = 250) -> bytes:
    """KEY is one of 0-9 * # A-D, or ! for flash, which is 16 on the wire."""
    return f"Signal={'16' if key == '!' else key}\r\nDuration={duration_ms}\r\n".encode()


def _flag_body(name: str, flag: bool) -> bytes:
    return f"{_HEAD}<to_encoder><{name}={int(flag)}/></to_encoder>{_TAIL}".encode()
