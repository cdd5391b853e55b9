"""Media maps: how clients write and read the streams of a call (protocol: calls, section 11.1)."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace


class MediaType(enum.Enum):
    """The kind of a stream; the value is D-Bus's word, `sdp` the one in SDP."""

    AUDIO = "MEDIA_TYPE_AUDIO"
    VIDEO = "MEDIA_TYPE_VIDEO"

    @property
    def sdp(self) -> str:
        return "audio" if self is MediaType.AUDIO else "video"


@dataclass(frozen=True, slots=True)
class MediaAttribute:
    """One stream as its client wants it."""

    kind: MediaType
    enabled: bool = True
    muted: bool = False
    held: bool = False
    source: str = ""
    """"" = the selected input, else an input string such as `file:///tmp/a.ogg`"""
    label: str = ""
    """`audio_0`: names the stream here, never on the wire"""

    @classmethod
    def from_map(cls, media: Mapping[str, str]) -> MediaAttribute | None:
        """What a client wrote; None without a usable MEDIA_TYPE. SOURCE and LABEL count even without ENABLED."""
        try:
            kind = MediaType(media.get("MEDIA_TYPE", ""))
        except ValueError:
            return None
        held = media.get("HOLD", media.get("ON_HOLD", "false"))
        return cls(
            kind,
            media.get("ENABLED", "true") == "true",
            media.get("MUTED", "false") == "true",
            held == "true",
            media.get("SOURCE", ""),
            media.get("LABEL", ""),
        )

    def to_map(self) -> dict[str, str]:
        """As clients of both generations read it."""
        held = _word(self.held)
        return {
            "ENABLED": _word(self.enabled),
            "HOLD": held,
            "LABEL": self.label,
            "MEDIA_TYPE": self.kind.value,
            "MUTED": _word(self.muted),
            "ON_HOLD": held,
            "SOURCE": self.source,
        }


def from_maps(maps: Iterable[Mapping[str, str]]) -> list[MediaAttribute]:
    """A client's media list, unusable entries left out, labels given to those without."""
    return labelled([media for each in maps if (media := MediaAttribute.from_map(each)) is not None])


def to_maps(media: Iterable[MediaAttribute]) -> list[dict[str, str]]:
    return [each.to_map() for each in media]


def labelled(media: Sequence[MediaAttribute]) -> list[MediaAttribute]:
    """MEDIA with the missing labels filled in: the n-th audio stream is `audio_n`."""
    counts = dict.fromkeys(MediaType, 0)
    result = []
    for each in media:
        label = each.label or f"{each.kind.sdp}_{counts[each.kind]}"
        counts[each.kind] += 1
        result.append(replace(each, label=label))
    return result


def is_audio_only(media: Iterable[MediaAttribute]) -> bool:
    """Whether no video is enabled."""
    return not any(each.kind is MediaType.VIDEO and each.enabled for each in media)


def _word(flag: bool) -> str:
    return "true" if flag else "false"
