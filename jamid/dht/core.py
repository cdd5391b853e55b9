"""A whole node without sockets: feed it packets, give it timers and a way to send (protocol: opendht)."""

from __future__ import annotations

import enum
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from jamid.core import limits
from jamid.core.identifiers import InfoHash
from jamid.dht.addresses import Address, Family
from jamid.dht.engine import Engine, EngineSettings
from jamid.dht.lookup import step
from jamid.dht.nodes import NEVER, RemoteNode
from jamid.dht.operations import GetOperation, OnDone, OnRows, OnValues, PutOperation
from jamid.dht.query import Query
from jamid.dht.search import ListenSocket, Search
from jamid.dht.server import Server
from jamid.dht.storage import Change, Shelf, Storage
from jamid.dht.subscription import OnNews, Subscription, Subscriptions
from jamid.dht.table import RoutingTable
from jamid.dht.timers import Network, Timers
from jamid.dht.tokens import Tokens
from jamid.dht.types import ValueTypes
from jamid.dht.values import WireValue
from jamid.dht.wire import ZERO_ID, Reply, Request, Update

_log = logging.getLogger(__name__)
IDLE_SEARCH_LIFETIME: Final = 62 * 60.0
IDLE_SEARCHES: Final = 256
"""Finished searches kept for their tokens, per family."""


class Status(enum.IntEnum):
    """Whether there is a network."""

    DISCONNECTED = 0
    CONNECTING = 1
    CONNECTED = 2


@dataclass(frozen=True, slots=True)
class CoreSettings:
    """What a node is."""

    node_id: InfoHash
    network: int = 0
    client: bool = False
    """serves nobody and stays out of others' tables"""
    is_bootstrap: bool = False
    """keeps a larger table, to introduce newcomers"""
    maintain_storage: bool = False
    """hands values of others on to nodes that have come closer"""
    requests_per_second: int = limits.DHT_REQUESTS_PER_SECOND
    """answered at most; 0 = no limit"""
    storage_bytes: int = limits.DHT_STORED_BYTES
    families: tuple[Family, ...] = (Family.V4, Family.V6)


class DhtCore:
    """The state of a node. `upkeep.Upkeep` keeps it alive; the methods below are what it does for its user."""

    def __init__(
        self, settings: CoreSettings, timers: Timers, network: Network, rng: random.Random, types: ValueTypes | None = None
    ) -> None:
        self.settings = settings
        self.id = settings.node_id
        self.timers = timers
        self.rng = rng
        self.types = types or ValueTypes()
        self.tokens = Tokens(rng)
        engine_settings = EngineSettings(settings.node_id, settings.network, settings.client, settings.requests_per_second)
        self.engine = Engine(engine_settings, timers, network, rng, self)
        self.tables = {family: RoutingTable(self.id, self._confirm, is_bootstrap=settings.is_bootstrap) for family in Family}
        self.storage = Storage(timers, self.types, self._on_stored, settings.storage_bytes)
        self.searches: dict[Family, dict[InfoHash, Search]] = {family: {} for family in settings.families}
        self.status_of = dict.fromkeys(settings.families, Status.DISCONNECTED)
        self.on_status: Callable[[Status], None] = lambda _status: None
        self.on_lost: Callable[[Family], None] = lambda _family: None
        """a search found nobody alive"""
        self.resolving = 0
        """bootstrap hosts whose addresses are being looked up"""
        self.bootstrapped = False
        """a bootstrap host has answered"""
        self._server = Server(self.engine, self.tables, self.storage, self.tokens, timers, self.on_update)
        self._subscriptions = Subscriptions(timers, self.types, self._begin_subscription, self._end_subscription)
        self._sockets: dict[int, ListenSocket] = {}
        self._puts: dict[tuple[InfoHash, int], PutOperation] = {}
        self._queue: list[Callable[[], None]] = []
        self._dirty: dict[Search, None] = {}
        self._bootstrap_pings = dict.fromkeys(settings.families, 0)
        self._reported = Status.DISCONNECTED

    # -- from the network

    def receive(self, data: bytes, source: tuple[str, int]) -> None:
        """Handles one UDP payload from SOURCE (numeric host, port)."""
        self.engine.receive(data, source)

    def on_request(self, message: Request, node: RemoteNode, address: Address) -> None:
        self._server.handle(message, node, address)

    def on_node(self, node: RemoteNode, level: int) -> None:
        family = node.family
        if family not in self.status_of or node.is_client:
            return
        self.tables[family].heard(node, level, self.timers.now())
        if not node.offered and not node.expired:
            node.offered = True
            for search in self.searches[family].values():
                if search.offer(node) or search.find_node(node) is not None:
                    self._touch(search)
        if level == 2 and self.status_of[family] is not Status.CONNECTED:
            self.update_status()

    def on_node_expired(self, node: RemoteNode) -> None:
        node.offered = False
        self.storage.forget_listener(node)
        if node.family not in self.status_of:
            return
        for search in self.searches[node.family].values():
            if search.node_expired(node):
                self._touch(search)
        self.update_status()

    def is_solicited(self, message: Update) -> bool:
        socket = self._sockets.get(message.socket)
        return socket is not None and socket.node.id == message.sender

    def on_update(self, message: Update, node: RemoteNode) -> None:
        socket = self._sockets.get(message.socket)
        if socket is None or socket.node.id != node.id:
            return
        search = socket.search
        one = search.find_node(socket.node)
        if one is not None and message.token:
            one.token = message.token
        subscription = search.subscriptions.get(socket.query)
        if subscription is None:
            return
        if message.values:
            subscription.seen(socket.node, message.values)
        if message.refreshed:
            subscription.refreshed(socket.node, message.refreshed)
        if message.expired:
            subscription.gone(socket.node, message.expired)

    # -- status

    @property
    def status(self) -> Status:
        """The better of both families."""
        return max(self.status_of.values(), default=Status.DISCONNECTED)

    def update_status(self) -> None:
        """Looks at the tables again, reports a change and starts what waited for it."""
        now = self.timers.now()
        for family in self.status_of:
            nodes = self.tables[family].nodes()
            if any(node.is_good(now) for node in nodes):
                status = Status.CONNECTED
            elif self.resolving or self._bootstrap_pings[family] or any(not node.expired for node in nodes):
                status = Status.CONNECTING
            else:
                status = Status.DISCONNECTED
            self.status_of[family] = status
        status = self.status
        if status is not self._reported:
            _log.info("node %s is %s", str(self.id)[:8], status.name.lower())
            self._reported = status
            self.on_status(status)
        if status is not Status.CONNECTING and self._queue:
            queue, self._queue = self._queue, []
            for start in queue:
                start()

    def ping_address(self, address: Address) -> None:
        """Greets whoever is at ADDRESS (a bootstrap host)."""
        family = address.family
        if family not in self.status_of or self.engine.pinging(address):
            return
        self._bootstrap_pings[family] += 1

        def ended() -> None:
            self._bootstrap_pings[family] -= 1
            self.update_status()

        def answered(_reply: Reply) -> None:
            self.bootstrapped = True
            ended()

        self.engine.ping(RemoteNode(ZERO_ID, address), answered, ended)
        self.update_status()

    def add_node(self, node_id: InfoHash, address: Address, *, ping: bool = False) -> None:
        """Takes in a node from a state file or the local network."""
        if node_id in (self.id, ZERO_ID) or address.family not in self.status_of:
            return
        node = self.engine.caches[address.family].heard_of(node_id, address, self.timers.now())
        self.on_node(node, 0)
        if ping and not node.pending:
            self._confirm(node)
        self.update_status()

    def good_nodes(self) -> list[RemoteNode]:
        """The nodes worth remembering, our own neighbourhood first."""
        now = self.timers.now()
        found = []
        for table in self.tables.values():
            own = table.own_bucket
            rest = [node for bucket in table.buckets if bucket is not own for node in bucket.nodes]
            found += [node for node in own.nodes + rest if node.is_good(now)]
        return found

    # -- for the user

    def get(self, key: InfoHash, query: Query | None, on_values: OnValues, on_done: OnDone, on_rows: OnRows | None = None) -> GetOperation:
        """Looks for the values under KEY; what is stored here comes first."""
        operation = GetOperation(key, query, on_values, on_done, on_rows)
        subscription = self._subscriptions.find(key, query)
        operation.values(self.storage.get(key, query))
        if subscription is not None and self._is_complete(subscription):
            operation.values(subscription.values())
            operation.finish(True)
            return operation

        def start() -> None:
            if not operation.finished:
                operation.wait_for(self.searches)
                for family in self.searches:
                    search = self._search(key, family)
                    search.get(operation)
                    step(search)
                if not self.searches:
                    operation.finish(False)

        self._when_settled(start)
        return operation

    def put(self, key: InfoHash, value: WireValue, on_done: OnDone, *, permanent: bool = False, created: int | None = None) -> None:
        """Announces VALUE (its id is not 0), stored here as well; a permanent one until `cancel_put`."""
        wall = self.timers.wall()
        age = max(wall - created, 0.0) if created is not None and not permanent else 0.0
        self.storage.store(key, value, self.timers.now() - age, None, permanent=permanent)
        operation = PutOperation(key, value, created, permanent, on_done)
        if permanent:
            self._puts[key, value.id] = operation

        def start() -> None:
            if permanent and self._puts.get((key, value.id)) is not operation:
                operation.finish(False)
                return
            operation.wait_for(self.searches)
            for family in self.searches:
                search = self._search(key, family)
                search.announce(operation)
                step(search)
            if not self.searches:
                operation.finish(False)

        self._when_settled(start)

    def announce_for_others(self, key: InfoHash, value: WireValue, created: int) -> None:
        """Hands a stored value on to those of the nodes closest to its key that lack it."""
        operation = PutOperation(key, value, created, False, lambda _ok: None, for_others=True)
        operation.wait_for(self.searches)
        for family in self.searches:
            search = self._search(key, family)
            if value.id not in search.announces:
                search.announce(operation)
                step(search)

    def cancel_put(self, key: InfoHash, value_id: int) -> None:
        """Stops announcing; other nodes keep the value until it runs out."""
        operation = self._puts.pop((key, value_id), None)
        for searches in self.searches.values():
            search = searches.get(key)
            if search is not None:
                search.withdraw(value_id)
                step(search)
        stored = self.storage.find(key, value_id)
        if stored is not None and not stored.group:
            self.storage.remove(key, value_id)
        if operation is not None:
            operation.finish(False)

    def announced(self, key: InfoHash, value_id: int) -> WireValue | None:
        """The value that we keep announcing there."""
        operation = self._puts.get((key, value_id))
        return None if operation is None else operation.value

    def permanent_puts(self) -> list[PutOperation]:
        return list(self._puts.values())

    def listen(self, key: InfoHash, query: Query | None, on_news: OnNews) -> int:
        """Reports values under KEY that appear and expire, those already there first; returns a number for `cancel_listen`."""
        return self._subscriptions.listen(key, query, on_news, self.storage.get(key, query))

    def cancel_listen(self, key: InfoHash, query: Query | None, number: int) -> None:
        """Ends what `listen` began."""
        self._subscriptions.cancel(key, query, number)

    def close(self) -> None:
        """Ends everything; operations under way fail."""
        queue, self._queue = self._queue, []
        for start in queue:
            start()
        for searches in self.searches.values():
            for search in searches.values():
                for running in search.rounds.values():
                    for operation in running.operations:
                        operation.finish(False)
                for announced in list(search.announces.values()):
                    announced.finish(False)
                search.subscriptions.clear()
                search.close()
            searches.clear()
        self._subscriptions.close()
        self.storage.close()
        self.engine.close()

    # -- for upkeep

    def drop_idle_searches(self) -> None:
        """Forgets searches that nobody needs any more."""
        oldest = self.timers.now() - IDLE_SEARCH_LIFETIME
        for searches in self.searches.values():
            idle = sorted((one for one in searches.values() if not one.busy), key=lambda one: one.last_used)
            for search in idle:
                if search.last_used < oldest or len(searches) > IDLE_SEARCHES:
                    search.close()
                    del searches[search.key]

    def forget_network(self, family: Family) -> None:
        """Our address in FAMILY changed: nothing that we know of others' view of us holds any more."""
        self.tables[family].forget_times()
        self.engine.caches[family].forget_all()
        self.engine.seen_as.clear()
        for search in self.searches.get(family, {}).values():
            search.forget_tokens()
            self._touch(search)
        self.update_status()

    def _confirm(self, node: RemoteNode) -> None:
        if not node.pending:
            self.engine.ping(node)

    def _when_settled(self, start: Callable[[], None]) -> None:
        """Runs START now, or when it is known whether there is a network."""
        if self.status is Status.CONNECTING:
            self._queue.append(start)
        else:
            start()

    def _search(self, key: InfoHash, family: Family) -> Search:
        searches = self.searches[family]
        search = searches.get(key)
        if search is None:
            if len(searches) >= 2 * IDLE_SEARCHES:
                self.drop_idle_searches()
            search = searches[key] = Search(key, family, self.engine, self.timers, self.types, self._sockets, self._on_exhausted)
            search.refill(self.timers.now())
        return search

    def _on_exhausted(self, search: Search) -> None:
        if self.status_of[search.family] is Status.CONNECTED:
            self.on_lost(search.family)

    def _touch(self, search: Search) -> None:
        """SEARCH takes its next step soon, once for all that happens until then."""
        if not search.busy:
            return
        if not self._dirty:
            self.timers.call_at(self.timers.now(), self._step_dirty)
        self._dirty[search] = None

    def _step_dirty(self) -> None:
        dirty, self._dirty = self._dirty, {}
        for search in dirty:
            step(search)

    def _begin_subscription(self, subscription: Subscription) -> None:
        def start() -> None:
            if self._subscriptions.is_current(subscription):
                for family in self.searches:
                    search = self._search(subscription.key, family)
                    search.subscribe(subscription)
                    step(search)

        self._when_settled(start)

    def _end_subscription(self, subscription: Subscription) -> None:
        for searches in self.searches.values():
            search = searches.get(subscription.key)
            if search is not None:
                search.unsubscribe(subscription.query)
                step(search)

    def _is_complete(self, subscription: Subscription) -> bool:
        """Whether SUBSCRIPTION hears from all storers it should, so that a get need not ask them."""
        complete = False
        for family, searches in self.searches.items():
            if self.status_of[family] is not Status.CONNECTED:
                continue
            search = searches.get(subscription.key)
            if search is None or not search.is_synced(self.timers.now()) or not search.listening(subscription.query):
                return False
            complete = True
        return complete

    def _on_stored(self, key: InfoHash, shelf: Shelf | None, change: Change, values: list[WireValue]) -> None:
        if shelf is not None and shelf.listeners:
            if change is Change.REFRESHED:
                stored = shelf.values.get(values[0].id)
                if stored is not None and stored.expires == -NEVER:
                    return
            self._server.push(key, list(shelf.listeners.values()), change, values)
        if change is Change.ADDED:
            self._subscriptions.stored(key, values)
        elif change is Change.EXPIRED:
            self._subscriptions.dropped(key, values)
