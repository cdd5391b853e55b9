"""A search: the nodes closest to a key in one address family, and all that is done with them (protocol: opendht, section 11).

Rules. A node is *bad* when it expired or let a request pass its first retry (silent). It is *synced* when it gave a token less than ten
minutes ago. The search is synced when its first eight nodes that are not bad are. A synced search puts to these eight and listens to the
first four; before that, it already uses the leading synced nodes but one, which may still be displaced by closer ones.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable
from typing import Final

from jamid.core.identifiers import InfoHash
from jamid.dht.addresses import Family
from jamid.dht.engine import Engine
from jamid.dht.nodes import RemoteNode
from jamid.dht.operations import GetOperation, PutOperation
from jamid.dht.query import Field, FieldValue, Query
from jamid.dht.requests import Pending
from jamid.dht.subscription import Subscription
from jamid.dht.timers import Timer, Timers
from jamid.dht.types import ValueTypes
from jamid.dht.values import WireValue
from jamid.dht.wire import Reply

TARGET_NODES: Final = 8
SEARCH_NODES: Final = 14
LISTEN_NODES: Final = 4
PARALLEL: Final = 4
SYNC_LIFETIME: Final = 10 * 60.0
WATCH_PERIOD: Final = 5 * 60.0
"""How often the nodes of a value that must stay are looked at: at the real nodes' ten minutes, half the nodes leaving in that time
would take all eight holders of one value in 250 with them."""
REFILL_PERIOD: Final = 10 * 60.0
LISTED_NODES_MAX: Final = 40
"""Bad nodes may stay between the others, up to this many in all."""
NEVER: Final = -math.inf


class Announced:
    """How far one node is with one of our values."""

    __slots__ = ("acked", "jitter", "pending")

    def __init__(self, jitter: float) -> None:
        self.jitter = jitter
        self.pending: Pending | None = None
        self.acked = NEVER
        """when it last confirmed to have it"""


class Listened:
    """Our subscription at one node."""

    __slots__ = ("confirmed", "pending", "refresh_at", "socket")

    def __init__(self, socket: int) -> None:
        self.socket = socket
        self.pending: Pending | None = None
        self.confirmed = False
        self.refresh_at = NEVER


class SearchNode:
    """A node as one search sees it."""

    __slots__ = ("announced", "distance", "listened", "lookups", "node", "silent", "token", "token_until")

    def __init__(self, node: RemoteNode, distance: int) -> None:
        self.node = node
        self.distance = distance
        self.token: bytes | None = None
        self.token_until = NEVER
        self.silent = False
        self.lookups: dict[int, Pending] = {}
        """finds and gets in flight, by tid"""
        self.announced: dict[int, Announced] = {}
        self.listened: dict[Query | None, Listened] = {}

    @property
    def bad(self) -> bool:
        return self.silent or self.node.expired

    def synced(self, now: float) -> bool:
        return not self.node.expired and self.token is not None and self.token_until > now


class Round:
    """A get under way: which nodes were asked and what they said. Later gets with the same query join it."""

    __slots__ = ("answered", "asked", "operations", "query", "rows", "values")

    def __init__(self, query: Query | None) -> None:
        self.query = query
        self.operations: list[GetOperation] = []
        self.asked: set[RemoteNode] = set()
        self.answered: set[RemoteNode] = set()
        self.values: list[WireValue] = []
        self.rows: list[tuple[dict[Field, FieldValue], ...]] = []


class Search:
    """The state of a search and what it knows; `jamid.dht.lookup` moves it on."""

    def __init__(
        self,
        key: InfoHash,
        family: Family,
        engine: Engine,
        timers: Timers,
        types: ValueTypes,
        sockets: dict[int, ListenSocket],
        on_exhausted: Callable[[Search], None],
    ) -> None:
        self.key = key
        self.number = int.from_bytes(key, "big")
        self.family = family
        self.engine = engine
        self.timers = timers
        self.types = types
        self.nodes: list[SearchNode] = []
        self.rounds: dict[Query | None, Round] = {}
        self.announces: dict[int, PutOperation] = {}
        self.subscriptions: dict[Query | None, Subscription] = {}
        self.last_used = timers.now()
        self.expired = False
        """no node answers; nothing happens until somebody shows up"""
        self.thinned = False
        """nodes went bad, so that others which were too far are wanted now"""
        self.hops = 0
        """how far the nodes found so far are from those known at the start"""
        self._depths: dict[RemoteNode, int] = {}
        self._cache = engine.caches[family]
        self.on_exhausted = on_exhausted
        self._sockets = sockets
        self._refilled = NEVER
        self.timer: Timer | None = None
        self.timer_at = math.inf

    # -- what it is for

    @property
    def busy(self) -> bool:
        """Whether anything is still to be done."""
        return bool(self.rounds or self.announces or self.subscriptions)

    @property
    def slack(self) -> float:
        """How long before its token runs out a node is asked again."""
        return SYNC_LIFETIME - WATCH_PERIOD if any(one.permanent for one in self.announces.values()) else 0.0

    def get(self, operation: GetOperation) -> None:
        """Takes in a get; values found so far by a running one are handed over."""
        self.last_used = self.timers.now()
        running = self.rounds.get(operation.query)
        if running is None:
            running = self.rounds[operation.query] = Round(operation.query)
        running.operations.append(operation)
        for rows in running.rows:
            operation.rows(rows)
        if running.values:
            operation.values(running.values)

    def announce(self, operation: PutOperation) -> None:
        """Takes in a put; an earlier one with the same id fails unless it put the same."""
        self.last_used = self.timers.now()
        earlier = self.announces.get(operation.value.id)
        if earlier is not None:
            same = earlier.value.same_content(operation.value) and earlier.value.seq == operation.value.seq
            if not same:
                self._forget_announced(operation.value.id)
            if not same or not operation.permanent:
                earlier.family_done(self.family, same)
        self.announces[operation.value.id] = operation

    def withdraw(self, value_id: int) -> None:
        """Stops announcing."""
        if self.announces.pop(value_id, None) is not None:
            self._forget_announced(value_id)

    def subscribe(self, subscription: Subscription) -> None:
        """Takes in a subscription."""
        self.last_used = self.timers.now()
        self.subscriptions[subscription.query] = subscription

    def unsubscribe(self, query: Query | None) -> None:
        """Lets the subscriptions at the nodes run out."""
        self.subscriptions.pop(query, None)
        for one in self.nodes:
            listened = one.listened.pop(query, None)
            if listened is not None:
                self._close_socket(listened)

    # -- its nodes

    def first_nodes(self, count: int) -> list[SearchNode]:
        """The COUNT closest nodes that are not bad."""
        found = []
        for one in self.nodes:
            if not one.bad:
                found.append(one)
                if len(found) == count:
                    break
        return found

    def is_synced(self, now: float) -> bool:
        first = self.first_nodes(TARGET_NODES)
        return bool(first) and all(one.synced(now) for one in first)

    def listening(self, query: Query | None) -> bool:
        """Whether the subscription for QUERY is complete, so that what it knows is all there is."""
        first = self.first_nodes(LISTEN_NODES)
        return bool(first) and all((state := one.listened.get(query)) is not None and state.confirmed for one in first)

    def offer(self, node: RemoteNode, depth: int = 0) -> bool:
        """Takes in NODE if it is close enough; True when it is new here."""
        if node.expired or node.is_client or node.family is not self.family:
            return False
        distance = node.number ^ self.number
        index = bisect.bisect_left(self.nodes, distance, key=lambda one: one.distance)
        if index < len(self.nodes) and self.nodes[index].distance == distance:
            return False
        if index >= SEARCH_NODES and len(self.first_nodes(SEARCH_NODES)) >= SEARCH_NODES and index >= self._good_end():
            return False
        self.nodes.insert(index, SearchNode(node, distance))
        self._depths[node] = depth
        self.expired = False
        self._trim()
        return True

    def find_node(self, node: RemoteNode) -> SearchNode | None:
        distance = node.number ^ self.number
        index = bisect.bisect_left(self.nodes, distance, key=lambda one: one.distance)
        if index < len(self.nodes) and self.nodes[index].distance == distance:
            return self.nodes[index]
        return None

    def node_expired(self, node: RemoteNode) -> bool:
        """NODE is gone; True when it was one of ours."""
        one = self.find_node(node)
        if one is None:
            return False
        self._detach(one)
        self.thinned = True
        return True

    def fell_silent(self, one: SearchNode) -> None:
        """A request to a node passed its first interval without an answer."""
        one.silent = True
        self.thinned = True

    def answered(self, one: SearchNode, reply: Reply) -> None:
        """A find or get of ours was answered."""
        one.silent = False
        one.token = reply.token
        one.token_until = self.timers.now() + SYNC_LIFETIME
        depth = self._depths.get(one.node, 0)
        self.hops = max(self.hops, depth)
        cache = self._cache
        for node_id, _ in reply.nodes4 if self.family is Family.V4 else reply.nodes6:
            known = cache.find(node_id)
            if known is not None:
                self.offer(known, depth + 1)

    def refill(self, now: float) -> None:
        """Looks among all known nodes when there are too few."""
        if self._refilled > now - REFILL_PERIOD and self.nodes and not self.thinned:
            return
        self.thinned = False
        missing = SEARCH_NODES - len(self.first_nodes(SEARCH_NODES))
        if missing > 0:
            self._refilled = now
            listed = {one.node for one in self.nodes}
            for node in self._cache.nearest(self.key, missing, lambda node: not (node.expired or node.is_client or node in listed)):
                self.offer(node)

    def forget_tokens(self) -> None:
        """After our own address changed every token is void and every subscription lost."""
        self._refilled = NEVER
        for one in self.nodes:
            one.token, one.silent = None, False
            for listened in one.listened.values():
                listened.refresh_at = NEVER

    def open_socket(self, one: SearchNode, query: Query | None) -> Listened:
        """A name for the subscription at a node."""
        listened = one.listened[query] = Listened(self.engine.new_tid())
        self._sockets[listened.socket] = ListenSocket(self, one.node, query)
        return listened

    def drop_nodes(self) -> None:
        """None of them answers."""
        for one in list(self.nodes):
            self._detach(one)
        self.nodes.clear()
        self._depths.clear()

    def close(self) -> None:
        """Leaves nothing behind."""
        self.drop_nodes()
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def _good_end(self) -> int:
        """The index behind the last of the first fourteen nodes that are not bad."""
        count = 0
        for index, one in enumerate(self.nodes):
            if not one.bad:
                count += 1
                if count == SEARCH_NODES:
                    return index + 1
        return len(self.nodes)

    def _trim(self) -> None:
        end = min(self._good_end(), LISTED_NODES_MAX)
        for one in self.nodes[end:]:
            self._detach(one)
            self._depths.pop(one.node, None)
        del self.nodes[end:]

    def _detach(self, one: SearchNode) -> None:
        """Ends everything with a node: what it held for our subscriptions counts as gone."""
        for pending in list(one.lookups.values()):
            self.engine.cancel(pending)
        one.lookups.clear()
        for announced in one.announced.values():
            if announced.pending is not None:
                self.engine.cancel(announced.pending)
        one.announced.clear()
        for query, listened in one.listened.items():
            self._close_socket(listened)
            subscription = self.subscriptions.get(query)
            if subscription is not None:
                subscription.drop_source(one.node)
        one.listened.clear()
        one.token = None

    def _close_socket(self, listened: Listened) -> None:
        self._sockets.pop(listened.socket, None)
        if listened.pending is not None:
            self.engine.cancel(listened.pending)

    def _forget_announced(self, value_id: int) -> None:
        for one in self.nodes:
            announced = one.announced.pop(value_id, None)
            if announced is not None and announced.pending is not None:
                self.engine.cancel(announced.pending)


class ListenSocket:
    """Where an update belongs."""

    __slots__ = ("node", "query", "search")

    def __init__(self, search: Search, node: RemoteNode, query: Query | None) -> None:
        self.search = search
        self.node = node
        self.query = query
