"""DHT nodes shared by accounts: those with the same bootstrap, port and discovery use one UDP node and keep one routing table."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from jamid.accounts.certificate_store import CertificateStore
from jamid.accounts.details import AccountDetails
from jamid.core.clock import Clock
from jamid.core.errors import LocalError
from jamid.core.generations import Generation
from jamid.core.identifiers import InfoHash
from jamid.core.tasks import Tasks
from jamid.crypto.identity import Identity
from jamid.dht.service import Dht, DhtNode, DhtSettings, Status

if TYPE_CHECKING:
    from jamid.dht.proxy_client import ProxyClient

_log = logging.getLogger(__name__)
_LINGER = 3.0
_DEFAULT_PORT = "4222"


@dataclass(frozen=True, slots=True)
class NodeKey:
    """What makes two accounts share a node."""

    bootstrap: tuple[str, ...]
    """`host:port` each"""
    port: int
    peer_discovery: bool
    proxy: str = ""
    """the DHT proxy that takes the node's place"""

    @classmethod
    def from_details(cls, details: AccountDetails, proxy: str = "") -> NodeKey:
        """The node that an account's configuration asks for."""
        hosts = []
        for entry in details["Account.hostname"].replace(",", ";").split(";"):
            host = entry.strip()
            if host:
                hosts.append(_with_port(host))
        if proxy:
            return cls((), 0, False, proxy)
        return cls(tuple(hosts), details.number("DHT.port"), details.flag("Account.peerDiscovery"))


@dataclass(slots=True)
class _Shared:
    """A node and who uses it."""

    node: DhtNode | ProxyClient
    users: int = 0
    started: asyncio.Task[None] | None = None
    watchers: list[Callable[[Status], None]] = field(default_factory=list)


class DhtPool:
    """The nodes of a daemon; a node nobody uses any more stays a moment, for those who register again."""

    def __init__(self, state_directory: Path, certificates: CertificateStore, clock: Clock, generations: frozenset[Generation]) -> None:
        self._state_directory = state_directory
        self._certificates = certificates
        self._clock = clock
        self._generations = generations
        self._shared: dict[NodeKey, _Shared] = {}
        self._tasks = Tasks("dht pool")

    def lease(self, details: AccountDetails, identity: Identity | None, proxy: str = "") -> Lease:
        """A use of the node that fits DETAILS, or of the PROXY in its place, with a DHT for IDENTITY."""
        key = NodeKey.from_details(details, proxy)
        shared = self._shared.get(key)
        if shared is None and key.proxy:
            from jamid.dht.proxy_client import ProxyClient  # few accounts use one

            shared = self._shared[key] = _Shared(ProxyClient(key.proxy))
        elif shared is None:
            settings = DhtSettings(
                port=key.port,
                bootstrap=key.bootstrap,
                peer_discovery=key.peer_discovery,
                state_file=self._state_directory / f"dhtstate-{InfoHash.of(repr(key)).hex()[:16]}",
            )
            shared = self._shared[key] = _Shared(DhtNode(settings, clock=self._clock))
        shared.users += 1
        dht = Dht(shared.node, identity, certificates=self._certificates, generations=self._generations)
        return Lease(self, key, shared, dht)

    async def close(self) -> None:
        """Stops every node."""
        await self._tasks.close()
        shared, self._shared = list(self._shared.values()), {}
        await asyncio.gather(*(entry.node.stop() for entry in shared if entry.started is not None))

    def release(self, key: NodeKey, shared: _Shared) -> None:
        """One use less."""
        shared.users -= 1
        if shared.users == 0:
            self._tasks.spawn(self._stop_if_unused(key, shared), "linger")

    async def _stop_if_unused(self, key: NodeKey, shared: _Shared) -> None:
        await asyncio.sleep(_LINGER)
        if shared.users == 0 and self._shared.get(key) is shared:
            del self._shared[key]
            if shared.started is not None:
                await shared.node.stop()


class Lease:
    """One account's use of a shared node."""

    def __init__(self, pool: DhtPool, key: NodeKey, shared: _Shared, dht: Dht) -> None:
        self._pool = pool
        self._key = key
        self._shared = shared
        self.dht = dht

    @property
    def status(self) -> Status:
        return self._shared.node.status

    @property
    def port(self) -> int:
        """The UDP port, 0 without one."""
        return self._shared.node.port if isinstance(self._shared.node, DhtNode) else 0

    @property
    def node(self) -> DhtNode | None:
        """The UDP node, None behind a proxy."""
        return self._shared.node if isinstance(self._shared.node, DhtNode) else None

    def own_addresses(self) -> list[str]:
        """Our addresses as other nodes see them, as far as known."""
        node = self._shared.node
        return node.own_addresses() if isinstance(node, DhtNode) and node.running else []

    async def start(self) -> None:
        """Starts the node if it does not run yet; raises LocalError when its port cannot be bound."""
        if self._shared.started is None:
            self._shared.started = asyncio.ensure_future(self._shared.node.start())
        try:
            await asyncio.shield(self._shared.started)
        except LocalError:
            self._shared.started = None
            raise

    def on_status(self, callback: Callable[[Status], None]) -> Callable[[], None]:
        """Calls CALLBACK whenever the node's status changes; returns the function that ends it."""
        return self._shared.node.on_status(callback)

    async def connected(self, seconds: float) -> None:
        """Waits until the node is connected; raises LocalError when it is not within SECONDS."""
        changed = asyncio.Event()
        stop = self.on_status(lambda status: changed.set() if status is Status.CONNECTED else None)
        try:
            async with asyncio.timeout(seconds):
                while self.status is not Status.CONNECTED:
                    changed.clear()
                    await changed.wait()
        except TimeoutError:
            raise LocalError(f"the DHT cannot be reached over {', '.join(self._key.bootstrap)}") from None
        finally:
            stop()

    def connectivity_changed(self) -> None:
        self._shared.node.connectivity_changed()

    async def close(self) -> None:
        """Ends the use: puts and listens of this account's DHT end, the node lives on for others."""
        await self.dht.close()
        self._pool.release(self._key, self._shared)


def _with_port(host: str) -> str:
    """HOST as `name:port` or `[address]:port`, whichever form it came in."""
    if host.startswith("["):
        return host if "]:" in host else f"{host}:{_DEFAULT_PORT}"
    if host.count(":") > 1:
        return f"[{host}]:{_DEFAULT_PORT}"
    return host if ":" in host else f"{host}:{_DEFAULT_PORT}"
