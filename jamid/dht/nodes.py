"""The nodes we know: when each was heard, and whether it can be relied on (protocol: opendht, section 8)."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from typing import Final

from jamid.core import limits
from jamid.core.identifiers import InfoHash
from jamid.dht.addresses import Address, Family, pack_node

GOOD_AFTER_REPLY: Final = 120 * 60.0
HEARD_LIFETIME: Final = 10 * 60.0
ADDRESS_HOLD: Final = 30.0
"""How long after its last reply a node's address cannot be taken over by a packet from elsewhere."""
NEVER: Final = -math.inf


class RemoteNode:
    """A node of the network."""

    __slots__ = (
        "address",
        "auth_errors",
        "compact",
        "expired",
        "family",
        "heard",
        "id",
        "in_table",
        "is_client",
        "number",
        "offered",
        "pending",
        "replied",
    )

    def __init__(self, node_id: InfoHash, address: Address) -> None:
        self.id = node_id
        self.number = int.from_bytes(node_id, "big")
        self.address = address
        self.family = address.family
        self.compact = pack_node(node_id, address)
        self.heard = NEVER
        self.replied = NEVER
        self.expired = False
        self.is_client = False
        self.in_table = False
        self.offered = False
        """the searches have heard of it since it last (re)appeared"""
        self.auth_errors = 0
        self.pending = 0
        """our unanswered requests to it"""

    def is_good(self, now: float) -> bool:
        """Whether it answered lately and is still there."""
        return not self.expired and self.replied >= now - GOOD_AFTER_REPLY and self.heard >= now - HEARD_LIFETIME

    def is_old(self, now: float) -> bool:
        return self.heard < now - HEARD_LIFETIME

    def hear(self, now: float, *, replied: bool) -> None:
        """Notes a packet from it."""
        self.heard = now
        if self.expired:
            self.expired = self.offered = False
        if replied:
            self.replied = now

    def move(self, address: Address) -> None:
        """Its packets come from elsewhere now."""
        self.address = address
        self.compact = pack_node(self.id, address)

    def forget(self) -> None:
        """After our own address changed nothing is known of it any more."""
        self.heard = self.replied = NEVER
        self.expired = self.offered = False

    def __repr__(self) -> str:
        return f"RemoteNode({str(self.id)[:8]} {self.address})"


class NodeCache:
    """Every node of one family that was heard or heard of, by id."""

    def __init__(self, family: Family, limit: int = limits.DHT_KNOWN_NODES) -> None:
        self.family = family
        self._limit = limit
        self._nodes: dict[InfoHash, RemoteNode] = {}

    def __len__(self) -> int:
        return len(self._nodes)

    def find(self, node_id: InfoHash) -> RemoteNode | None:
        return self._nodes.get(node_id)

    def heard_of(self, node_id: InfoHash, address: Address, now: float) -> RemoteNode:
        """The node that a third party named; a named address does not replace one from which we heard."""
        node = self._nodes.get(node_id)
        if node is None:
            return self._add(node_id, address, now)
        if node.address != address and (node.expired or node.heard == NEVER):
            node.move(address)
            node.expired = node.offered = False
        return node

    def heard_from(self, node_id: InfoHash, address: Address, now: float, *, replied: bool) -> RemoteNode | None:
        """The node that sent a packet from ADDRESS; None when that id lately replied from elsewhere: one of the two is a forgery."""
        node = self._nodes.get(node_id)
        if node is None:
            node = self._add(node_id, address, now)
        elif node.address != address:
            if not replied and not node.expired and node.replied > now - ADDRESS_HOLD:
                return None
            node.move(address)
        node.hear(now, replied=replied)
        return node

    def nearest(self, target: InfoHash, count: int, usable: Callable[[RemoteNode], bool]) -> list[RemoteNode]:
        """The COUNT usable nodes nearest to TARGET, nearest first."""
        number = int.from_bytes(target, "big")
        return heapq.nsmallest(count, (node for node in self._nodes.values() if usable(node)), key=lambda node: node.number ^ number)

    def recent(self, count: int) -> list[RemoteNode]:
        """The COUNT nodes heard last, whether or not they expired since."""
        return heapq.nlargest(count, (node for node in self._nodes.values() if node.heard != NEVER), key=lambda node: node.heard)

    def forget_all(self) -> None:
        """After our own address changed."""
        for node in self._nodes.values():
            node.forget()

    def purge(self, now: float) -> None:
        """Drops the nodes that expired and were not heard for long."""
        for node in [node for node in self._nodes.values() if node.expired and node.is_old(now) and not node.in_table]:
            del self._nodes[node.id]

    def _add(self, node_id: InfoHash, address: Address, now: float) -> RemoteNode:
        if len(self._nodes) >= self._limit:
            self._evict(now)
        node = self._nodes[node_id] = RemoteNode(node_id, address)
        return node

    def _evict(self, now: float) -> None:
        """Makes room for an eighth of the cache: expired nodes go first, then those not heard for longest."""
        candidates = [node for node in self._nodes.values() if not node.in_table and not node.pending]
        worst = heapq.nsmallest(self._limit // 8, candidates, key=lambda node: (not node.expired, node.heard))
        for node in worst or list(self._nodes.values())[:1]:
            del self._nodes[node.id]
