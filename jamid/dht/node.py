"""A DHT node on the machine's sockets (protocol: opendht, sections 7, 10 and 23)."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from jamid.core import limits
from jamid.core.clock import Clock, SystemClock
from jamid.core.errors import LocalError
from jamid.core.identifiers import InfoHash
from jamid.core.tasks import Tasks, in_thread
from jamid.dht.addresses import Address, Family, is_numeric, split_host_port
from jamid.dht.core import CoreSettings, DhtCore, Status
from jamid.dht.discovery import Discovery, NodeDiscovery
from jamid.dht.operations import OnRows
from jamid.dht.outbox import Outbox
from jamid.dht.query import Query
from jamid.dht.seams import GetResult, OnWireNews, OnWireValues
from jamid.dht.state import NodeState, read_state, write_state
from jamid.dht.timers import Timer
from jamid.dht.types import ValueTypes
from jamid.dht.upkeep import Upkeep
from jamid.dht.values import WireValue

_log = logging.getLogger(__name__)
_BATCH: Final = 64
"""Packets read in a row before other work of the loop gets its turn."""
_RECEIVE_BUFFER: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class DhtSettings:
    """How a node runs."""

    port: int = 0
    """UDP port; 0 = the one of the state file if it is free, else any"""
    host4: str = "0.0.0.0"
    """address to bind to; "" = no IPv4"""
    host6: str = "::"
    """address to bind to; "" = no IPv6"""
    bootstrap: tuple[str, ...] = ()
    """`host`, `host:port` or `[v6]:port` each; more by `DhtNode.bootstrap`"""
    network: int = 0
    peer_discovery: bool = False
    """finds other nodes on the local network by multicast, and is found"""
    node_id: InfoHash | None = None
    """None = the state file's, else random"""
    state_file: Path | None = None
    """nodes, id and values between two runs; the ports stand in `<path>_port.txt` beside it"""
    client: bool = False
    is_bootstrap: bool = False
    maintain_storage: bool = False
    requests_per_second: int = limits.DHT_REQUESTS_PER_SECOND
    storage_bytes: int = limits.DHT_STORED_BYTES


def node_id_of(short_id: InfoHash | str) -> InfoHash:
    """The node id of whoever has the key with this short id."""
    return InfoHash.of(f"node:{short_id}")


class DhtNode:
    """One UDP node on IPv4 and IPv6."""

    def __init__(self, settings: DhtSettings | None = None, *, clock: Clock | None = None) -> None:
        self.settings = settings or DhtSettings()
        self.types = ValueTypes()
        self._clock = clock or SystemClock()
        self._sockets: dict[Family, socket.socket] = {}
        self._outboxes: dict[Family, Outbox] = {}
        self._core: DhtCore | None = None
        self._upkeep: Upkeep | None = None
        self._hosts: dict[tuple[str, int], None] = {}
        self._tasks = Tasks("dht")
        self._on_status: list[Callable[[Status], None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._discovery: NodeDiscovery | None = None

    # -- life

    async def start(self) -> None:
        """Binds the sockets and takes up the state of the last run; raises LocalError when no port can be had."""
        self._loop = asyncio.get_running_loop()
        state, ports = NodeState(), dict[Family, int]()
        if self.settings.state_file is not None:
            state, ports = await in_thread(read_state, self.settings.state_file)
        self._bind(ports)
        node_id = self.settings.node_id or state.node_id or InfoHash.random()
        settings = CoreSettings(
            node_id=node_id,
            network=self.settings.network,
            client=self.settings.client,
            is_bootstrap=self.settings.is_bootstrap,
            maintain_storage=self.settings.maintain_storage,
            requests_per_second=self.settings.requests_per_second,
            storage_bytes=self.settings.storage_bytes,
            families=tuple(self._sockets),
        )
        self._core = DhtCore(settings, _LoopTimers(self._loop, self._clock), self, random.Random(secrets.randbits(64)), self.types)
        self._upkeep = Upkeep(self._core, self._greet_hosts)
        self._core.on_status = self._status_changed
        for family, sock in self._sockets.items():
            self._outboxes[family] = Outbox(sock, self._loop)
            self._loop.add_reader(sock.fileno(), self._readable, sock, family)
        now, wall = self._loop.time(), self._clock.time()
        for key, value, created, expires in state.values:
            if expires > wall:
                self._core.storage.restore(key, value, now - max(wall - created, 0.0), now + expires - wall)
        self._upkeep.start()
        for index, (known_id, address) in enumerate(state.nodes):
            self._core.add_node(known_id, address, ping=index < 8)
        for host in self.settings.bootstrap:
            try:
                self._hosts[split_host_port(host)] = None
            except LocalError as error:
                _log.error("bootstrap host ignored: %s", error)
        if self.settings.peer_discovery:
            self._discovery = NodeDiscovery(node_id, self.settings.network, self.add_node)
            self._discovery.start({family: self._port(family) for family in self._sockets})
            self._discovery.discovery.repeat()
        if self._hosts:
            self._upkeep.bootstrap_now()

    async def stop(self) -> None:
        """Saves the state and closes the sockets; operations under way fail."""
        if self._core is None or self._upkeep is None or self._loop is None:
            return
        core, self._core = self._core, None
        self._upkeep.stop()
        if self._discovery is not None:
            self._discovery.discovery.stop()
            self._discovery = None
        await self._tasks.close()
        if self.settings.state_file is not None:
            state = self._state_of(core)
            try:
                await in_thread(write_state, self.settings.state_file, state, {family: self._port(family) for family in self._sockets})
            except LocalError as error:
                _log.error("the DHT node cannot save its state: %s", error)
        core.close()
        for outbox in self._outboxes.values():
            outbox.close()
        self._outboxes.clear()
        for sock in self._sockets.values():
            self._loop.remove_reader(sock.fileno())
            sock.close()
        self._sockets.clear()

    @property
    def id(self) -> InfoHash:
        """Its node id."""
        return self.core.id

    @property
    def core(self) -> DhtCore:
        """What runs inside; raises LocalError unless started."""
        if self._core is None:
            raise LocalError("the DHT node is not running")
        return self._core

    @property
    def running(self) -> bool:
        return self._core is not None

    @property
    def port(self) -> int:
        """The UDP port, of IPv4 if there is one."""
        return self._port(Family.V4) or self._port(Family.V6)

    def port_of(self, family: Family) -> int:
        """The UDP port of FAMILY, 0 without it."""
        return self._port(family)

    # -- network

    def bootstrap(self, hosts: Iterable[str]) -> None:
        """Greets these hosts (`host`, `host:port`, `[v6]:port`), now and again whenever the network is lost; raises LocalError."""
        for text in hosts:
            self._hosts[split_host_port(text)] = None
        if self._upkeep is not None and self._core is not None:
            self._upkeep.bootstrap_now()

    def add_node(self, node_id: InfoHash, address: Address) -> None:
        """Takes in a node that somebody told us of."""
        if self._core is not None:
            self._core.add_node(node_id, address, ping=True)

    @property
    def discovery(self) -> Discovery | None:
        """The multicast sockets, for other services of the local network; None unless `peer_discovery`."""
        return self._discovery.discovery if self._discovery is not None else None

    @property
    def status(self) -> Status:
        return self._core.status if self._core is not None else Status.DISCONNECTED

    def status_of(self, family: Family) -> Status:
        """The status in one address family."""
        return self._core.status_of.get(family, Status.DISCONNECTED) if self._core is not None else Status.DISCONNECTED

    def on_status(self, callback: Callable[[Status], None]) -> Callable[[], None]:
        """Calls CALLBACK at every change of `status`; returns the function that ends it."""
        self._on_status.append(callback)
        return lambda: self._on_status.remove(callback) if callback in self._on_status else None

    def connectivity_changed(self) -> None:
        """Our addresses changed, or a network came or went."""
        if self._upkeep is not None and self._core is not None:
            self._upkeep.connectivity_changed()
        if self._discovery is not None:
            self._discovery.discovery.query()

    def own_addresses(self) -> list[str]:
        """Our hosts as others see them, most reported first."""
        return self.core.engine.own_addresses()

    def export_nodes(self) -> list[tuple[InfoHash, Address]]:
        """The good nodes, for another node to start from."""
        return [(node.id, node.address) for node in self.core.good_nodes()]

    # -- values

    async def get(
        self, key: InfoHash, query: Query | None = None, *, on_values: OnWireValues | None = None, on_rows: OnRows | None = None
    ) -> GetResult:
        """The values under KEY. ON_VALUES sees them as they come and ends the search by returning False."""
        found: list[WireValue] = []
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def take(values: list[WireValue]) -> bool:
            found.extend(values)
            return on_values(values) if on_values is not None else True

        operation = self.core.get(key, query, take, lambda ok: None if done.done() else done.set_result(ok), on_rows)
        try:
            return GetResult(await done, found)
        finally:
            operation.finish(False)

    async def put(self, key: InfoHash, value: WireValue, *, permanent: bool = False, created: int | None = None) -> bool:
        """Stores VALUE at the nodes closest to KEY; whether they answered. Permanent puts go on until cancelled."""
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.core.put(key, value, lambda ok: None if done.done() else done.set_result(ok), permanent=permanent, created=created)
        return await done

    def cancel_put(self, key: InfoHash, value_id: int) -> None:
        if self._core is not None:
            self._core.cancel_put(key, value_id)

    def announced(self, key: InfoHash, value_id: int) -> WireValue | None:
        """The value that a permanent put of ours keeps there."""
        return self.core.announced(key, value_id)

    def listen(self, key: InfoHash, on_news: OnWireNews, query: Query | None = None) -> Callable[[], None]:
        """Reports values that appear and expire under KEY; returns the function that ends it."""
        core = self.core
        number = core.listen(key, query, on_news)
        return lambda: core.cancel_listen(key, query, number)

    # -- the core's network

    def send(self, packets: list[bytes], address: tuple[str, int]) -> bool:
        outbox = self._outboxes.get(Family.V6 if ":" in address[0] else Family.V4)
        return outbox is not None and outbox.send(packets, address)

    # -- inside

    def _bind(self, ports: dict[Family, int]) -> None:
        wanted = self.settings.port
        for family, host in ((Family.V4, self.settings.host4), (Family.V6, self.settings.host6)):
            if not host:
                continue
            taken = self._port(Family.V4)
            candidates = [wanted] if wanted and family is Family.V4 else [wanted or taken, ports.get(family, 0), 0]
            if family is Family.V4 and not wanted:
                candidates = [ports.get(family, 0), 0]
            sock = _bound_socket(family, host, [port for index, port in enumerate(candidates) if port or index == len(candidates) - 1])
            if sock is not None:
                self._sockets[family] = sock
        if not self._sockets or (wanted and wanted not in (self._port(Family.V4), self._port(Family.V6))):
            for sock in self._sockets.values():
                sock.close()
            self._sockets.clear()
            raise LocalError(f"UDP port {wanted or '(any)'} cannot be bound; choose another port or end what uses it")

    def _port(self, family: Family) -> int:
        sock = self._sockets.get(family)
        return int(sock.getsockname()[1]) if sock is not None else 0

    def _readable(self, sock: socket.socket, family: Family) -> None:
        core = self._core
        for _ in range(_BATCH):
            if core is None:
                return
            try:
                data, source = sock.recvfrom(limits.DHT_PACKET_BYTES)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:  # an ICMP message about an earlier packet
                _log.debug("reading from the %s socket: %s", family.name, error)
                continue
            host, port = source[0], source[1]
            if len(source) == 4 and source[3] and host.startswith("fe80"):
                host = f"{host.partition('%')[0]}%{source[3]}"
            try:
                core.receive(data, (host, port))
            except Exception:
                _log.exception("handling a packet of %d bytes from %s failed", len(data), source)

    def _greet_hosts(self) -> None:
        core = self._core
        if core is None:
            return
        for host, port in self._hosts:
            if is_numeric(host):
                core.ping_address(Address(host, port))
            else:
                core.resolving += 1
                self._tasks.spawn(self._resolve(core, host, port), f"resolve {host}")

    async def _resolve(self, core: DhtCore, host: str, port: int) -> None:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
            for address in {Address(str(entry[4][0]), port) for entry in found}:
                core.ping_address(address)
        except OSError as error:
            _log.warning("bootstrap host %s is not known to the name server (%s); trying again later", host, error)
        finally:
            core.resolving -= 1
            core.update_status()

    def _status_changed(self, status: Status) -> None:
        if self._upkeep is not None:
            self._upkeep.status_changed(status)
        if self._discovery is not None:
            if status is Status.DISCONNECTED:
                self._discovery.discovery.repeat()
            else:
                self._discovery.discovery.pause()
        for callback in tuple(self._on_status):
            try:
                callback(status)
            except Exception:
                _log.exception("a status callback failed")

    def _state_of(self, core: DhtCore) -> NodeState:
        now, wall = core.timers.now(), core.timers.wall()
        values = [
            (key, stored.value, wall - (now - stored.created), wall + stored.expires - now)
            for key, stored in core.storage.items()
            if stored.expires != float("inf")
        ]
        nodes = [(node.id, node.address) for node in core.good_nodes()]
        return NodeState(core.id, nodes, values)


class _LoopTimers:
    """The asyncio loop as the core's source of time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Clock) -> None:
        self._clock = clock
        self.now = loop.time
        self.wall = clock.time
        self._call_at = loop.call_at

    def call_at(self, when: float, callback: Callable[..., object], *args: Any) -> Timer:
        return self._call_at(when, callback, *args)


def _bound_socket(family: Family, host: str, ports: list[int]) -> socket.socket | None:
    """A non-blocking socket on the first of PORTS that is free; None without this family."""
    try:
        sock = socket.socket(family, socket.SOCK_DGRAM)
    except OSError as error:
        _log.info("no %s here: %s", family.name, error.strerror)
        return None
    sock.setblocking(False)
    if family is Family.V6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _RECEIVE_BUFFER)
    for port in ports:
        try:
            sock.bind((host, port))
        except OSError as error:
            _log.info("cannot bind %s port %d: %s", host, port, error.strerror)
        else:
            return sock
    sock.close()
    return None
