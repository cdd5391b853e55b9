"""Offers and answers in the reference's line order (RFC 3264; protocol: calls, sections 5.1 to 5.6)."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from jamid.sip.sdp import SUITE_80, Crypto, Direction, Format, Media, SessionDescription

_NTP_EPOCH = 2_208_988_800
TELEPHONE_EVENT = 101
_PORTS = {"audio": (16384, 32766), "video": (49152, 65534)}


@dataclass(frozen=True, slots=True)
class IceDescription:
    """Our end of an ICE session: credentials, and candidate lines by component."""

    ufrag: str
    pwd: str
    candidates: dict[int, list[str]] = field(default_factory=dict)
    """component -> values of `a=candidate`"""

    def of_stream(self, index: int) -> list[str]:
        """The candidates of stream INDEX: components 2 * index + 1 and + 2, counted on over all media lines."""
        return [*self.candidates.get(2 * index + 1, []), *self.candidates.get(2 * index + 2, [])]


@dataclass(frozen=True, slots=True)
class StreamDescription:
    """What we say of one stream."""

    kind: str
    formats: tuple[Format, ...]
    direction: Direction = Direction.SENDRECV
    enabled: bool = True
    key: bytes = field(default=b"", repr=False)
    """our SDES key; empty writes RTP/AVP"""
    suite: str = SUITE_80
    telephone_event: int | None = TELEPHONE_EVENT
    port: int = 0
    """where we receive without ICE; 0 picks a number for show"""


class SdpAuthor:
    """Writes the descriptions of one side of one session; the version in `o=` rises with each."""

    def __init__(self, name: str, address: str, *, answering: bool, now: float) -> None:
        self._name = name
        self._address = address
        self._id = int(now) + _NTP_EPOCH
        self._version = 1 if answering else 0
        self._ports: dict[str, int] = {}

    def offer(self, streams: Sequence[StreamDescription], ice: IceDescription | None, *, removed: Sequence[str] = ()) -> SessionDescription:
        """An offer of STREAMS; REMOVED are the kinds of earlier streams that end, kept as closing lines with port 0."""
        media = [self._media(index, stream, stream.formats, ice) for index, stream in enumerate(streams)]
        media += [Media((), kind, 0, "RTP/SAVP", ("96" if kind == "video" else "104",)) for kind in removed]
        return self._description(media, ice)

    def answer(
        self, offer: SessionDescription, streams: Sequence[StreamDescription | None], ice: IceDescription | None
    ) -> SessionDescription:
        """An answer with one entry of STREAMS for each line of OFFER; None, or a stream with nothing in common, closes the line."""
        media = []
        for index, offered in enumerate(offer.media):
            stream = streams[index] if index < len(streams) else None
            chosen = agree(offered, stream) if stream is not None else None
            if stream is None or chosen is None:
                media.append(Media((), offered.kind, 0, offered.profile, offered.payload_types))
            else:
                media.append(self._media(index, _answering(offer, offered, stream), (chosen,), ice))
        return self._description(media, ice)

    def _description(self, media: Sequence[Media], ice: IceDescription | None) -> SessionDescription:
        family = "IP6" if ":" in self._address else "IP4"
        lines = [
            ("v", "0"),
            ("o", f"jami {self._id} {self._version} IN {family} {self._address}"),
            ("s", f"Call ID {self._name}"),
            ("c", f"IN {family} {self._address}"),
            ("t", "0 0"),
        ]
        self._version += 1
        if ice is not None:
            lines += [("a", f"ice-ufrag:{ice.ufrag}"), ("a", f"ice-pwd:{ice.pwd}")]
        return SessionDescription(tuple(lines), tuple(media))

    def _media(self, index: int, stream: StreamDescription, formats: Sequence[Format], ice: IceDescription | None) -> Media:
        numbers = [str(each.payload_type) for each in formats]
        if not stream.enabled:
            return Media((), stream.kind, 0, _profile(stream), tuple(numbers))
        lines = []
        for each in formats:
            lines.append(("a", f"rtpmap:{each.rtpmap}"))
            if each.parameters:
                lines.append(("a", f"fmtp:{each.payload_type} {each.parameters}"))
        if stream.kind == "audio" and stream.telephone_event is not None:
            numbers.append(str(stream.telephone_event))
            lines.append(("a", f"rtpmap:{stream.telephone_event} telephone-event/8000"))
            lines.append(("a", f"fmtp:{stream.telephone_event} 0-15"))
        port = stream.port or self._port(stream.kind)
        family = "IP6" if ":" in self._address else "IP4"
        lines.append(("a", f"rtcp:{port + 1} IN {family} {self._address}"))
        lines.append(("a", stream.direction.value))
        if stream.key:
            lines.append(("a", f"crypto:1 {stream.suite} inline:{base64.b64encode(stream.key).decode()}"))
        if ice is not None:
            lines += [("a", f"candidate:{candidate}") for candidate in ice.of_stream(index)]
        return Media(tuple(lines), stream.kind, port, _profile(stream), tuple(numbers))

    def _port(self, kind: str) -> int:
        low, high = _PORTS.get(kind, _PORTS["video"])
        return self._ports.setdefault(kind, low + 2 * secrets.randbelow((high - low) // 2))


def agree(offered: Media, stream: StreamDescription) -> Format | None:
    """The codec of our answer: the first offered one that we have, with the offerer's payload type; None when there is none."""
    if not offered.enabled or not stream.enabled or offered.kind != stream.kind or bool(stream.key) != ("SAVP" in offered.profile):
        return None
    if stream.key and not offered.cryptos:
        return None
    return next((each for each in offered.formats if any(each.matches(ours) for ours in stream.formats)), None)


def agreed(answered: Media, stream: StreamDescription) -> Format | None:
    """The codec a peer's answer to our STREAM chose: its first payload type that we offered."""
    if not answered.enabled or answered.kind != stream.kind or bool(stream.key) != bool(answered.cryptos):
        return None
    return next((each for each in answered.formats if any(each.matches(ours) for ours in stream.formats)), None)


def crypto_of(media: Media) -> Crypto | None:
    """The SDES line both sides use: the first we understand."""
    return next(iter(media.cryptos), None)


def _answering(offer: SessionDescription, offered: Media, stream: StreamDescription) -> StreamDescription:
    """STREAM with what an answer takes from the offer: direction, telephone events, suite."""
    crypto = crypto_of(offered)
    return StreamDescription(
        stream.kind,
        stream.formats,
        stream.direction.answered(offer.direction_of(offered)),
        stream.enabled,
        stream.key,
        crypto.suite if crypto is not None else stream.suite,
        offered.telephone_event if stream.telephone_event is not None else None,
        stream.port,
    )


def _profile(stream: StreamDescription) -> str:
    return "RTP/SAVP" if stream.key else "RTP/AVP"
