"""Where the two generations differ for accounts: under which ids certificates are looked up, and which inbox is listened to."""

from __future__ import annotations

from typing import Final

from jamid.core.generations import Generation
from jamid.core.identifiers import InfoHash, LongId
from jamid.crypto.keys import PublicKey

CERTIFICATE_STATE_SIGNAL: Final = frozenset({Generation.G17})
"""Generations that tell of their own account's certificate with certificateStateChanged."""


def inbox_key(device: PublicKey | InfoHash) -> InfoHash:
    """Where a device's trust requests, sync and text messages lie: both generations hash the short device id as text."""
    short_id = device if isinstance(device, InfoHash) else device.id
    return InfoHash.of(f"inbox:{short_id.hex()}")


def certificate_ids(key: PublicKey, generations: frozenset[Generation]) -> list[InfoHash | LongId]:
    """Under which ids a device's certificate may be found: by the long one for 17, by the short one for 13."""
    ids: list[InfoHash | LongId] = []
    if Generation.G17 in generations:
        ids.append(key.long_id)
    if Generation.G13 in generations:
        ids.append(key.id)
    return ids


def sends_sync_on_dht(generations: frozenset[Generation]) -> bool:
    """Whether own devices may read sync messages from the DHT: only 13 does."""
    return Generation.G13 in generations
