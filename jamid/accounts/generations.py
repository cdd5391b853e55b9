"""Where the two generations differ for accounts: inboxes and sync messages; certificates are `jamid.dht.generations`' matter."""

from __future__ import annotations

from jamid.core.generations import Generation
from jamid.core.identifiers import InfoHash
from jamid.crypto.keys import PublicKey


def inbox_key(device: PublicKey | InfoHash) -> InfoHash:
    """Where a device's trust requests, sync and text messages lie: both generations hash the short device id as text."""
    short_id = device if isinstance(device, InfoHash) else device.id
    return InfoHash.of(f"inbox:{short_id.hex()}")


def sends_sync_on_dht(generations: frozenset[Generation]) -> bool:
    """Whether own devices may read sync messages from the DHT: only 13 does."""
    return Generation.G13 in generations
