"""A network of DHT nodes in one process: a virtual clock, addresses, delay, loss, NAT and churn, all from one seed."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jamid.core.identifiers import InfoHash
from jamid.dht.addresses import Address, Family
from jamid.dht.core import CoreSettings, DhtCore, Status
from jamid.dht.search import Search
from jamid.dht.types import ValueTypes
from jamid.dht.upkeep import Upkeep
from jamid.dht.values import WireValue

WALL_START = 1_700_000_000.0


class SimTimer:
    """A call to come."""

    __slots__ = ("args", "callback")

    def __init__(self, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        self.callback: Callable[..., object] | None = callback
        self.args = args

    def cancel(self) -> None:
        self.callback = None
        self.args = ()


@dataclass(slots=True)
class Link:
    """How the network treats packets."""

    delay: tuple[float, float] = (0.01, 0.08)
    loss: float = 0.0


class SimNode:
    """A node with its address, behind a NAT or not."""

    def __init__(self, port: _Port, core: DhtCore, upkeep: Upkeep, nat: bool) -> None:
        self.port = port
        self.core = core
        self.upkeep = upkeep
        self.nat = nat
        self.holes: set[tuple[str, int]] = set()
        self.alive = True

    @property
    def address(self) -> Address:
        return self.port.address


class _Port:
    """The network as one node sees it."""

    def __init__(self, world: World, address: Address) -> None:
        self._world = world
        self.address = address

    def send(self, packets: list[bytes], address: tuple[str, int]) -> bool:
        for packet in packets:
            self._world.carry(packet, self.address, address)
        return True


class World:
    """The clock, the network and all nodes."""

    def __init__(self, seed: int, link: Link | None = None) -> None:
        self.rng = random.Random(seed)
        self.link = link or Link()
        self.time = 0.0
        self.nodes: dict[tuple[str, int], SimNode] = {}
        self.packets = 0
        self.lost = 0
        self._queue: list[tuple[float, int, SimTimer]] = []
        self._count = itertools.count()
        self._hosts = itertools.count(1)
        self._types = ValueTypes()

    # -- Timers

    def now(self) -> float:
        return self.time

    def wall(self) -> float:
        return WALL_START + self.time

    def call_at(self, when: float, callback: Callable[..., object], *args: Any) -> SimTimer:
        timer = SimTimer(callback, args)
        heapq.heappush(self._queue, (max(when, self.time), next(self._count), timer))
        return timer

    def run(self, seconds: float, until: Callable[[], bool] | None = None) -> None:
        """Lets SECONDS pass, or less if UNTIL becomes true."""
        end = self.time + seconds
        queue = self._queue
        while queue and queue[0][0] <= end:
            when, _, timer = heapq.heappop(queue)
            self.time = when
            callback, timer.callback = timer.callback, None
            if callback is not None:
                callback(*timer.args)
                if until is not None and until():
                    return
        self.time = end

    # -- network

    def carry(self, packet: bytes, source: Address, target: tuple[str, int]) -> None:
        """Delivers PACKET after a while, unless it is lost."""
        self.packets += 1
        sender = self.nodes.get(source)
        if sender is not None and sender.nat:
            sender.holes.add(tuple(target))  # type: ignore[arg-type]
        if self.link.loss and self.rng.random() < self.link.loss:
            self.lost += 1
            return
        self.call_at(self.time + self.rng.uniform(*self.link.delay), self._deliver, packet, source, target)

    def _deliver(self, packet: bytes, source: Address, target: tuple[str, int]) -> None:
        node = self.nodes.get(target)
        if node is not None and node.alive and (not node.nat or tuple(source) in node.holes):
            node.core.receive(packet, source)

    # -- nodes

    def add(self, *, nat: bool = False, bootstrap: SimNode | None = None, node_id: InfoHash | None = None, **settings: Any) -> SimNode:
        """A new node, greeting BOOTSTRAP."""
        number = next(self._hosts)
        address = Address(f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", 4222)
        rng = random.Random(self.rng.getrandbits(64))
        own_id = node_id or InfoHash(rng.randbytes(20))
        core_settings = CoreSettings(node_id=own_id, families=(Family.V4,), **settings)
        port = _Port(self, address)
        core = DhtCore(core_settings, self, port, rng, self._types)
        target = bootstrap.address if bootstrap is not None else None
        upkeep = Upkeep(core, lambda: core.ping_address(target) if target is not None else None)
        core.on_status = upkeep.status_changed
        node = self.nodes[address] = SimNode(port, core, upkeep, nat)
        upkeep.start()
        if target is not None:
            core.ping_address(target)
        return node

    def kill(self, node: SimNode) -> None:
        """The node vanishes without a word."""
        node.alive = False
        node.upkeep.stop()
        node.core.close()
        del self.nodes[node.address]

    def move(self, node: SimNode, address: Address) -> None:
        """The node sends and is reached from elsewhere now."""
        del self.nodes[node.address]
        node.port.address = address
        self.nodes[address] = node

    def grow(self, count: int, interval: float = 0.05, **settings: Any) -> list[SimNode]:
        """COUNT nodes that join one after the other through random earlier ones that have joined."""
        nodes: list[SimNode] = []
        for _ in range(count):
            joined = [node for node in nodes[:64] if node.core.status is Status.CONNECTED] or nodes[:1]
            nodes.append(self.add(bootstrap=self.rng.choice(joined) if joined else None, **settings))
            self.run(interval)
        return nodes

    # -- operations, waited for

    def put(self, node: SimNode, key: InfoHash, value: WireValue, *, permanent: bool = False, wait: float = 60.0) -> bool:
        """Puts and waits for the outcome."""
        outcome: list[bool] = []
        node.core.put(key, value, outcome.append, permanent=permanent)
        self.run(wait, lambda: bool(outcome))
        return bool(outcome) and outcome[0]

    def get(self, node: SimNode, key: InfoHash, *, wait: float = 60.0) -> list[WireValue]:
        """Gets and waits for the end."""
        values: list[WireValue] = []
        outcome: list[bool] = []
        node.core.get(key, None, lambda found: values.extend(found) or True, outcome.append)  # type: ignore[func-returns-value]
        self.run(wait, lambda: bool(outcome))
        return values

    def search(self, node: SimNode, key: InfoHash) -> Search:
        """The IPv4 search of NODE for KEY."""
        return node.core.searches[Family.V4][key]

    def closest(self, key: InfoHash, count: int = 8) -> list[SimNode]:
        """The true closest nodes."""
        number = int.from_bytes(key, "big")
        return heapq.nsmallest(count, self.nodes.values(), key=lambda node: int.from_bytes(node.core.id, "big") ^ number)
