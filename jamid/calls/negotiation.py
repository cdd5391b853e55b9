"""From a client's media list to SDP and from both SDPs to what may flow; pure (protocol: calls, sections 5.3 to 5.6)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from jamid.calls.media_maps import MediaAttribute, MediaType, labelled
from jamid.core.errors import RemoteError
from jamid.core.limits import SDP_MEDIA
from jamid.media.codec_table import audio_offer
from jamid.media.srtp import SrtpKeys, create_key
from jamid.sip.offers import TELEPHONE_EVENT, IceDescription, SdpAuthor, StreamDescription, agreed, crypto_of
from jamid.sip.sdp import Direction, Format, Media, SessionDescription

VideoFormats = Callable[[], tuple[Format, ...]]


@dataclass(frozen=True, slots=True)
class AgreedStream:
    """One media line both sides accepted."""

    index: int
    """position in the SDP: the `stream_id` of INFO bodies, and components 2 * index + 1 and + 2"""
    label: str
    """of the client's media list"""
    kind: MediaType
    format: Format
    """what we send, with the payload type to send it with"""
    telephone_event: int | None
    keys: SrtpKeys | None = field(repr=False)
    peer_direction: Direction = Direction.SENDRECV
    peer_address: tuple[str, int, int] = ("", 0, 0)
    """host, RTP and RTCP port of `c=`, `m=` and `a=rtcp`: for peers without ICE"""

    @property
    def components(self) -> tuple[int, int]:
        """(RTP, RTCP)."""
        return (2 * self.index + 1, 2 * self.index + 2)


@dataclass(frozen=True, slots=True)
class Formats:
    """The codecs of an account."""

    audio: tuple[Format, ...]
    video: tuple[Format, ...] = ()
    """empty while nothing here can show a picture: video lines are then declined"""

    @classmethod
    def of_account(cls, codecs: Sequence[int]) -> Formats:
        """The formats of a list of codec ids."""
        rows = audio_offer(codecs)
        return cls(tuple(Format(row.payload_type or 0, row.rtp_name, row.clock_rate, max(1, row.channels)) for row in rows))


@dataclass(frozen=True, slots=True)
class RemoteIce:
    """The peer's end of an ICE session."""

    ufrag: str
    pwd: str
    candidates: tuple[str, ...]

    @classmethod
    def of(cls, description: SessionDescription) -> RemoteIce | None:
        """What DESCRIPTION says; None when it brings no new ICE session."""
        ufrag, pwd = description.ice_credentials
        if not (ufrag and pwd):
            return None
        return cls(ufrag, pwd, tuple(candidate for media in description.media for candidate in media.candidates))


class Negotiator:
    """The SDP side of one session: what we last said, and what was agreed."""

    def __init__(self, author: SdpAuthor, formats: Formats, *, encrypted: bool = True) -> None:
        self._author = author
        self._formats = formats
        self._encrypted = encrypted
        self._offered: list[tuple[str, StreamDescription]] = []
        self._lines = 0

    def offer(self, media: Sequence[MediaAttribute], ice: IceDescription | None) -> bytes:
        """An offer of MEDIA; streams that were in the last description and are no longer wanted end with port 0."""
        self._offered = [(each.label, self._describe(each)) for each in media if each.enabled]
        removed = ["video"] * max(0, self._lines - len(self._offered))
        description = self._author.offer([stream for _, stream in self._offered], ice, removed=removed)
        self._lines = len(description.media)
        return bytes(description)

    def take_answer(self, answer: SessionDescription) -> list[AgreedStream]:
        """What the peer's answer to our last offer agreed on; raises RemoteError when there is nothing left."""
        result = []
        for index, ((label, stream), media) in enumerate(zip(self._offered, answer.media, strict=False)):
            chosen = agreed(media, stream)
            if chosen is not None:
                result.append(_agreed(index, label, answer, media, stream, chosen))
        if not any(each.kind is MediaType.AUDIO for each in result):
            raise RemoteError("the peer accepted no stream of the call")
        return result

    def answer(
        self, offer: SessionDescription, media: Sequence[MediaAttribute], ice: IceDescription | None, *, keep_closed: bool = True
    ) -> tuple[bytes, list[AgreedStream]]:
        """Our answer to OFFER and what it agrees on; raises RemoteError when that is nothing. MEDIA follows `offered_media`."""
        rest = list(media)
        wanted: list[tuple[str, StreamDescription] | None] = []
        for line in offer.media:
            known = any(each.sdp == line.kind for each in MediaType) and (line.enabled or keep_closed)
            own = rest.pop(0) if known and rest else None
            usable = own is not None and own.enabled and own.kind.sdp == line.kind and ("SAVP" in line.profile or not self._encrypted)
            wanted.append((own.label, self._describe(own, line)) if own is not None and usable else None)
        answer = self._author.answer(offer, [each and each[1] for each in wanted], ice)
        self._lines = len(answer.media)
        result = []
        for index, (line, ours, entry) in enumerate(zip(offer.media, answer.media, wanted, strict=True)):
            if entry is not None and ours.enabled:
                result.append(_agreed(index, entry[0], offer, line, entry[1], ours.formats[0]))
        if not any(each.kind is MediaType.AUDIO for each in result):
            raise RemoteError("there is no codec that both sides know")
        return bytes(answer), result

    def _describe(self, media: MediaAttribute, offered: Media | None = None) -> StreamDescription:
        encrypted = "SAVP" in offered.profile if offered is not None else self._encrypted
        video = media.kind is MediaType.VIDEO
        direction = Direction.of(sends=not media.muted, receives=not media.held) if video else Direction.SENDRECV
        formats = self._formats.video if video else self._formats.audio
        return StreamDescription(
            media.kind.sdp,
            formats,
            direction,
            enabled=bool(formats),
            key=create_key() if encrypted else b"",
            telephone_event=None if video else TELEPHONE_EVENT,
        )


def offered_media(description: SessionDescription, *, keep_closed: bool) -> list[MediaAttribute]:
    """The media list of an offer as its receiver's client sees it.

    A closed line counts in an INVITE (KEEP_CLOSED) and is left out of a re-INVITE; unknown kinds of media are never shown.
    Raises RemoteError when there are too many lines.
    """
    if len(description.media) > SDP_MEDIA:
        raise RemoteError(f"{len(description.media)} media lines are more than {SDP_MEDIA}")
    result = []
    for line in description.media:
        kind = next((each for each in MediaType if each.sdp == line.kind), None)
        if kind is not None and (line.enabled or keep_closed):
            direction = description.direction_of(line)
            result.append(MediaAttribute(kind, enabled=line.enabled, muted=kind is MediaType.VIDEO and not direction.sends))
    return labelled(result)


def same_shape(own: Sequence[MediaAttribute], offered: Sequence[MediaAttribute]) -> bool:
    """Whether an offer has our streams in number, kind and enabled flags, so that nobody needs to be asked."""
    shape = [(each.kind, each.enabled) for each in own if each.enabled]
    return shape == [(each.kind, each.enabled) for each in offered if each.enabled]


def without_source(media: Sequence[MediaAttribute]) -> list[MediaAttribute]:
    """MEDIA without what only its own client may know."""
    return [replace(each, source="") for each in media]


def _agreed(
    index: int, label: str, description: SessionDescription, line: Media, stream: StreamDescription, chosen: Format
) -> AgreedStream:
    crypto = crypto_of(line)
    keys = SrtpKeys(stream.key, crypto.key, crypto.suite) if crypto is not None and stream.key else None
    kind = MediaType.VIDEO if line.kind == "video" else MediaType.AUDIO
    address = (description.address_of(line), line.port, line.rtcp_port)
    return AgreedStream(index, label, kind, chosen, line.telephone_event, keys, description.direction_of(line), address)
