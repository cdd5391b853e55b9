"""What the two generations of peers do differently on the way to a connection (protocol: connection, sections 2.2 and 15)."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from typing import Final

from jamid.core.generations import Generation
from jamid.core.identifiers import InfoHash
from jamid.crypto.certificates import Certificate

SECOND_FORM_DELAY: Final = 1.0
"""Seconds without answer after which a device that is known to be of one generation is asked at the other one's key, too."""


@dataclass(frozen=True, slots=True)
class OfferKey:
    """A DHT key of a device for connection requests, and whose form it is."""

    key: InfoHash
    generation: Generation


def offer_keys(device: Certificate, generations: Set[Generation]) -> list[OfferKey]:
    """The keys where DEVICE may be listening for offers and answers."""
    names = {Generation.G13: device.id.hex(), Generation.G17: device.long_id.hex()}
    return [OfferKey(InfoHash.of("peer:" + names[generation]), generation) for generation in sorted(generations)]


def generation_of_software(software: str) -> Generation | None:
    """What the SOFTWARE of a peer's checks tells about it; None for our own kind, which speaks both."""
    if software.startswith("pjnath-2.12"):
        return Generation.G13
    if software.startswith("pjnath-2.13"):
        return Generation.G17
    return None


def keeps_spare_links(generation: Generation | None) -> bool:
    """Whether the TCP connections that were not selected must stay open until the session ends.

    13.7.0 keeps the descriptor of one that we close in its event loop, which from then on sleeps for 500 ms between looks at the network:
    every step of every exchange would wait for that.
    """
    return generation is Generation.G13
