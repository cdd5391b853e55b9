"""A small world for tests of connections: identities, a DHT in memory, and accounts that know each other."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Set
from dataclasses import dataclass, field, replace
from pathlib import Path

from jamid.core.clock import SystemClock
from jamid.core.generations import BOTH, Generation
from jamid.core.identifiers import InfoHash, LongId
from jamid.crypto.certificates import Certificate
from jamid.crypto.identity import Identity
from jamid.crypto.keys import PrivateKey, PublicKey
from jamid.dht.values import Value
from jamid.net.channels import Channel, Peer
from jamid.net.connections import Connections, ConnectionSettings

DATA = Path(__file__).resolve().parents[2] / "data" / "net"


@functools.cache
def load_identity(name: str) -> Identity:
    """One of the three recorded identities: a, b or c."""
    key = PrivateKey.from_pem((DATA / "identities" / f"{name}-key.pem").read_bytes())
    return Identity(key, Certificate.from_pem((DATA / "identities" / f"{name}-chain.pem").read_bytes()))


@dataclass
class MemoryDht:
    """Values that all accounts of a test share; what is put is delivered after `delay` seconds."""

    delay: float = 0.0
    values: dict[InfoHash, list[tuple[Value, PublicKey]]] = field(default_factory=dict)
    listeners: dict[InfoHash, list[tuple[PublicKey, Callable[[Value, bool], None]]]] = field(default_factory=dict)
    lost: Callable[[InfoHash, Value], bool] = lambda key, value: False

    def view(self, identity: Identity) -> MemoryView:
        return MemoryView(self, identity)


@dataclass
class MemoryView:
    """The DHT as one identity sees it."""

    dht: MemoryDht
    identity: Identity

    async def put_encrypted(self, key: InfoHash, to: PublicKey, value: Value) -> bool:
        delivered = replace(value, owner=self.identity.certificate.public_key, recipient=to.id)
        if self.dht.lost(key, delivered):
            return True
        self.dht.values.setdefault(key, []).append((delivered, to))
        for owner, callback in self.dht.listeners.get(key, []):
            if owner == to:
                asyncio.get_running_loop().call_later(self.dht.delay, callback, delivered, False)
        return True

    def listen(self, key: InfoHash, callback: Callable[[Value, bool], None]) -> MemoryListening:
        own = self.identity.certificate.public_key
        self.dht.listeners.setdefault(key, []).append((own, callback))
        for value, to in self.dht.values.get(key, []):
            if to == own:
                asyncio.get_running_loop().call_soon(callback, value, False)
        return MemoryListening(self.dht, key, own, callback)


@dataclass
class MemoryListening:
    dht: MemoryDht
    key: InfoHash
    own: PublicKey
    callback: Callable[[Value, bool], None]

    def cancel(self) -> None:
        self.dht.listeners[self.key].remove((self.own, self.callback))


@dataclass
class Policy:
    """Knows the certificates it is given and allows everyone but the refused."""

    known: list[Certificate]
    refused: set[str] = field(default_factory=set)

    def allows(self, certificate: Certificate) -> bool:
        return certificate.account_uri not in self.refused

    async def certificate(self, identifier: InfoHash | LongId) -> Certificate | None:
        return next((known for known in self.known if identifier in (known.id, known.long_id)), None)


@dataclass
class Handler:
    """Accepts every channel and keeps those that peers opened."""

    opened_channels: asyncio.Queue[Channel] = field(default_factory=asyncio.Queue)
    declined: set[str] = field(default_factory=set)

    def accepts(self, peer: Peer, name: str) -> bool:
        return name not in self.declined

    def opened(self, channel: Channel) -> None:
        self.opened_channels.put_nowait(channel)


@dataclass
class Account:
    """One account device with its connections."""

    identity: Identity
    connections: Connections
    handler: Handler
    policy: Policy

    @property
    def certificate(self) -> Certificate:
        return self.identity.certificate


async def make_account(
    name: str, dht: MemoryDht, directory: Path, *, settings: ConnectionSettings | None = None, generations: Set[Generation] = BOTH
) -> Account:
    """An account that knows the three identities and serves `sip`, `git` and `test` channels."""
    identity = load_identity(name)
    policy = Policy([load_identity(other).certificate for other in "abc"])
    connections = Connections(
        identity,
        dht.view(identity),
        policy=policy,
        settings=settings or ConnectionSettings(),
        clock=SystemClock(),
        state_dir=directory / name,
        generations=generations,
    )
    handler = Handler()
    for scheme in ("sip", "git", "test"):
        connections.handle(scheme, handler)
    await connections.start()
    return Account(identity, connections, handler, policy)


Pair = tuple[Account, Account]


async def opened(pair: Pair, name: str = "test") -> tuple[Channel, Channel]:
    """A channel from the first account to the second: its two ends."""
    a, b = pair
    channel = await a.connections.open(b.certificate, name)
    return channel, await b.handler.opened_channels.get()
