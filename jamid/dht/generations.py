"""Where the two generations keep certificates on the DHT (protocol: opendht, sections 20 and 21).

Storers before OpenDHT 3.5 confirm a certificate under its long id without keeping it; those since 3.5 keep both.
"""

from __future__ import annotations

from jamid.core.generations import Generation
from jamid.core.identifiers import InfoHash, LongId
from jamid.crypto.keys import PublicKey


def long_id_key(long_id: LongId) -> InfoHash:
    """The DHT key of a long id: the SHA-1 of its 32 bytes."""
    return InfoHash.of(bytes(long_id))


def certificate_keys(key: PublicKey, generations: frozenset[Generation]) -> list[InfoHash]:
    """Where the certificate of KEY is published so that peers of GENERATIONS find it."""
    keys = []
    if Generation.G17 in generations:
        keys.append(long_id_key(key.long_id))
    if Generation.G13 in generations:
        keys.append(key.id)
    return keys


def lookup_keys(short_id: InfoHash | None, long_id: LongId | None, generations: frozenset[Generation]) -> list[InfoHash]:
    """Where to look for a certificate of which one or both ids are known; what is known must serve when the other form is unknown."""
    keys = []
    if long_id is not None and (Generation.G17 in generations or short_id is None):
        keys.append(long_id_key(long_id))
    if short_id is not None and (Generation.G13 in generations or long_id is None):
        keys.append(short_id)
    return keys
