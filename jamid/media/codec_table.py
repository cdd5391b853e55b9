"""The codecs by their D-Bus ids, with what SDP and clients are told about them (protocol: media, section 4).

The ids are those of libavcodec, as constants: clients store them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Codec:
    """One row of the table."""

    id: int
    rtp_name: str
    """As in `a=rtpmap`; compared case-sensitively by the reference."""
    name: str
    """As on D-Bus."""
    video: bool
    clock_rate: int
    """Of the rtpmap line and the timestamps."""
    sample_rate: int = 0
    channels: int = 0
    payload_type: int | None = None
    """None: dynamic, assigned from 96 on in the offer's order."""
    bitrate: int = 0
    """kbit/s that clients are told."""
    sendable: bool = True
    """Whether we have an encoder; others are listed but never offered."""
    minimum_quality: int = 0
    maximum_quality: int = 0

    @property
    def rtpmap(self) -> str:
        """`opus/48000/2`: the value after the payload type."""
        return f"{self.rtp_name}/{self.clock_rate}" + (f"/{self.channels}" if self.channels > 1 else "")


H264: Final = Codec(27, "H264", "H.264/AVC", True, 90000, bitrate=800, minimum_quality=40, maximum_quality=20)
VP8: Final = Codec(139, "VP8", "VP8", True, 90000, bitrate=800, minimum_quality=50, maximum_quality=20)
MPEG4: Final = Codec(12, "MP4V-ES", "MP4V-ES", True, 90000, bitrate=800)
H263: Final = Codec(4, "H263-1998", "H.263", True, 90000, bitrate=800)
OPUS: Final = Codec(86076, "opus", "Opus", False, 48000, 48000, 2, 104)
G722: Final = Codec(69660, "G722", "G.722", False, 8000, 16000, 1, 9)
G726: Final = Codec(69643, "G726-32", "G.726", False, 8000, 8000, 1, 2, sendable=False)
SPEEX_32: Final = Codec(86051 | 0x20000000, "speex", "Speex", False, 32000, 32000, 1, 112, sendable=False)
SPEEX_16: Final = Codec(86051 | 0x10000000, "speex", "Speex", False, 16000, 16000, 1, 111, sendable=False)
SPEEX_8: Final = Codec(86051, "speex", "Speex", False, 8000, 8000, 1, 110, sendable=False)
PCMA: Final = Codec(65543, "PCMA", "G.711a", False, 8000, 8000, 1, 8, 64)
PCMU: Final = Codec(65542, "PCMU", "G.711u", False, 8000, 8000, 1, 0, 64)

CODECS: Final = (H264, VP8, MPEG4, H263, OPUS, G722, G726, SPEEX_32, SPEEX_16, SPEEX_8, PCMA, PCMU)
"""In the order in which D-Bus lists them."""
DEFAULT_OF_JAMI: Final = (H264.id, VP8.id, OPUS.id)
"""Active in a new Jami account; in a SIP account all are."""

_BY_ID: Final = {codec.id: codec for codec in CODECS}
_MINIMUM_BITRATE, _MAXIMUM_BITRATE = 200, 6000


def codec_by_id(codec_id: int) -> Codec | None:
    """The codec of a D-Bus id."""
    return _BY_ID.get(codec_id)


def codec_by_rtpmap(rtp_name: str, clock_rate: int, *, video: bool = False) -> Codec | None:
    """The codec an rtpmap line names; names are compared as the reference does, case-sensitively."""
    for codec in CODECS:
        if codec.video is video and codec.rtp_name == rtp_name and codec.clock_rate == clock_rate:
            return codec
    return None


def all_ids() -> list[int]:
    """Every codec's id, in order."""
    return [codec.id for codec in CODECS]


def active_codecs(ids: Iterable[int], *, jami: bool = True) -> list[int]:
    """What becomes of a client's wish: unknown ids and repetitions go; a Jami account always keeps an audio and a video codec."""
    kept = [codec_id for codec_id in dict.fromkeys(ids) if codec_id in _BY_ID]
    if jami:
        if all(_BY_ID[codec_id].video for codec_id in kept):
            kept.append(OPUS.id)
        if not any(_BY_ID[codec_id].video for codec_id in kept):
            kept = [H264.id, VP8.id, *kept]
    return kept


def stored_codecs(stored: Sequence[int] | None, *, jami: bool = True) -> list[int]:
    """The active codecs of an account whose configuration says STORED; None is the choice of a new account."""
    if stored is None:
        return list(DEFAULT_OF_JAMI) if jami else all_ids()
    return active_codecs(stored, jami=jami)


def audio_offer(ids: Iterable[int]) -> list[Codec]:
    """The audio codecs of an account's list that can be offered, in its order; Opus when it has none that we can encode."""
    usable = [codec for codec_id in ids if (codec := _BY_ID.get(codec_id)) is not None and not codec.video and codec.sendable]
    return usable or [OPUS]


def codec_details(codec: Codec, changed: Mapping[str, str] | None = None, *, of_account: bool = False) -> dict[str, str]:
    """The CodecInfo map of D-Bus; CHANGED are values a client has set, OF_ACCOUNT adds the quality keys of 13."""
    details = {"CodecInfo.name": codec.name, "CodecInfo.bitrate": str(codec.bitrate)}
    if codec.video:
        details |= {
            "CodecInfo.type": "VIDEO",
            "CodecInfo.frameRate": "0",
            "CodecInfo.min_bitrate": str(_MINIMUM_BITRATE),
            "CodecInfo.max_bitrate": str(_MAXIMUM_BITRATE),
        }
        if of_account:
            details |= {
                "CodecInfo.quality": "30",
                "CodecInfo.min_quality": str(codec.minimum_quality),
                "CodecInfo.max_quality": str(codec.maximum_quality),
                "CodecInfo.autoQualityEnabled": "true",
            }
    else:
        details |= {
            "CodecInfo.type": "AUDIO",
            "CodecInfo.sampleRate": str(codec.sample_rate),
            "CodecInfo.channelNumber": str(codec.channels),
        }
    return details | {key: value for key, value in (changed or {}).items() if key in details}


def accepted_changes(codec: Codec, wanted: Mapping[str, str]) -> dict[str, str] | None:
    """The part of a client's CodecInfo map that may be stored; None when it must be refused as a whole."""
    if codec.video:
        keys = ("CodecInfo.bitrate", "CodecInfo.frameRate", "CodecInfo.quality")
        changes = {key: wanted[key] for key in keys if key in wanted}
        if "CodecInfo.autoQualityEnabled" in wanted:
            changes["CodecInfo.autoQualityEnabled"] = "true" if wanted["CodecInfo.autoQualityEnabled"] == "true" else "false"
        numbers = [value for key, value in changes.items() if key in keys]
    else:
        if "CodecInfo.bitrate" not in wanted or "CodecInfo.sampleRate" not in wanted:
            return None
        changes = {key: wanted[key] for key in ("CodecInfo.bitrate", "CodecInfo.sampleRate")}
        numbers = list(changes.values())
    if not all(value.isascii() and value.isdigit() and len(value) < 10 for value in numbers):
        return None
    return {key: str(int(value)) if value.isdigit() else value for key, value in changes.items()}
