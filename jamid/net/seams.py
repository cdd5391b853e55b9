"""What this room needs of others, as narrow as it is used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from jamid.core.identifiers import InfoHash, LongId
from jamid.crypto.certificates import Certificate
from jamid.crypto.keys import PublicKey
from jamid.dht.values import Value


class Listening(Protocol):
    """A running listen."""

    def cancel(self) -> None: ...


class RequestDht(Protocol):
    """The DHT as connection requests use it."""

    async def put_encrypted(self, key: InfoHash, to: PublicKey, value: Value) -> bool:
        """Signs VALUE, encrypts it to TO and stores it at KEY."""
        ...

    def listen(self, key: InfoHash, callback: Callable[[Value, bool], None]) -> Listening:
        """Calls CALLBACK with each value at KEY, decrypted and verified, and whether it expired."""
        ...


class PeerPolicy(Protocol):
    """What the account knows about peers."""

    def allows(self, certificate: Certificate) -> bool:
        """Whether this device may connect to us."""
        ...

    async def certificate(self, identifier: InfoHash | LongId) -> Certificate | None:
        """The device's certificate with its chain, from the store or the DHT."""
        ...
