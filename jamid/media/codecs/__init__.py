"""Encoders and decoders between 20 ms frames of 48 kHz stereo and RTP payloads. Imported by the media thread only."""

from __future__ import annotations

from typing import Protocol

from jamid.core.errors import LocalError
from jamid.media.frames import Frame


class Encoder(Protocol):
    """Frames to payloads."""

    ticks: int
    """RTP clock ticks per frame."""

    def encode(self, frame: Frame) -> bytes:
        """The payload of one frame of 20 ms."""
        ...

    def expect_loss(self, percent: int) -> None:
        """Tells how many packets of a hundred the peer loses, for codecs that can protect themselves."""
        ...

    def close(self) -> None: ...


class Decoder(Protocol):
    """Payloads to frames of any length."""

    def decode(self, payload: bytes) -> Frame:
        """The sound of a payload. Raises `RemoteError`."""
        ...

    def recover(self, successor: bytes) -> Frame | None:
        """The sound of a lost packet from what its successor repeats of it; None when the successor cannot hold any."""
        ...

    def conceal(self) -> Frame:
        """The sound of a lost packet, invented."""
        ...

    def close(self) -> None: ...


def create_encoder(codec: str, clock_rate: int) -> Encoder:
    """An encoder for the codec of an rtpmap line; `LocalError` if there is none."""
    match codec:
        case "opus":
            from jamid.media.codecs.opus import OpusEncoder

            return OpusEncoder()
        case "PCMA" | "PCMU":
            from jamid.media.codecs.g711 import G711Encoder

            return G711Encoder(codec)
        case "G722":
            from jamid.media.codecs.g722 import G722Encoder

            return G722Encoder()
    raise LocalError(f"no encoder for {codec}/{clock_rate}")


def create_decoder(codec: str, clock_rate: int) -> Decoder:
    """A decoder for the codec of an rtpmap line; `LocalError` if there is none."""
    match codec:
        case "opus":
            from jamid.media.codecs.opus import OpusDecoder

            return OpusDecoder()
        case "PCMA" | "PCMU":
            from jamid.media.codecs.g711 import G711Decoder

            return G711Decoder(codec)
        case "G722":
            from jamid.media.codecs.g722 import G722Decoder

            return G722Decoder()
    raise LocalError(f"no decoder for {codec}/{clock_rate}")
