"""The jobs that keep a node in the network: maintenance of the table, expiry, new secrets, bootstrap (protocol: opendht, section 10)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from jamid.core.identifiers import InfoHash
from jamid.dht.addresses import Family
from jamid.dht.core import DhtCore, Status
from jamid.dht.nodes import NEVER, RemoteNode
from jamid.dht.search import TARGET_NODES
from jamid.dht.storage import Stored
from jamid.dht.table import Bucket, RoutingTable
from jamid.dht.timers import Timer
from jamid.dht.tokens import SECRET_LIFETIME

_FIRST_CONFIRM: Final = (3.0, 5.0)
_BUSY_CONFIRM: Final = (5.0, 25.0)
_QUIET_CONFIRM: Final = (60.0, 180.0)
_EXPIRE: Final = (120.0, 360.0)
_BUCKET_LIFETIME: Final = 10 * 60.0
_QUIET_NODE: Final = 7 * 60.0
"""Nodes count as good for ten minutes after they were heard; they are asked before that is over."""
_GREETINGS: Final = 8
"""…as many in a row."""
_GROWING: Final = 150.0
_STORAGE_PERIOD: Final = 4 * 60.0
_BOOTSTRAP_FIRST: Final = 10.0
_BOOTSTRAP_MAX: Final = 120.0
"""Whoever is offline should not wait long for the network once it is back; one ping every two minutes is nothing."""
_GREET_MAX: Final = 600.0
_REVIVED_NODES: Final = 8
"""Nodes known from before that are greeted together with the bootstrap hosts."""


class Upkeep:
    """Timers of a core. `on_bootstrap` is asked to greet the bootstrap hosts again."""

    def __init__(self, core: DhtCore, on_bootstrap: Callable[[], None]) -> None:
        self._core = core
        self._timers = core.timers
        self._rng = core.rng
        self._on_bootstrap = on_bootstrap
        self._jobs: dict[str, Timer] = {}
        self._bootstrap_delay = _BOOTSTRAP_FIRST
        self._searched_self: set[Family] = set()
        self._lost_at = NEVER
        self._greet_at = NEVER
        self._greet_delay = _BOOTSTRAP_FIRST
        core.on_lost = self._search_lost

    def start(self) -> None:
        """Begins the jobs."""
        self._schedule("confirm", _FIRST_CONFIRM, self._confirm)
        self._schedule("expire", _EXPIRE, self._expire)
        self._schedule("secrets", SECRET_LIFETIME, self._new_secret)
        if self._core.settings.maintain_storage:
            self._schedule("storage", (_STORAGE_PERIOD, _STORAGE_PERIOD * 1.2), self._maintain_storage)

    def stop(self) -> None:
        for timer in self._jobs.values():
            timer.cancel()
        self._jobs.clear()

    def status_changed(self, status: Status) -> None:
        """Retries the bootstrap with growing pauses while there is no network."""
        if status is Status.CONNECTED:
            self._bootstrap_delay = _BOOTSTRAP_FIRST
            self._cancel("bootstrap")
            self._schedule("confirm", (0.5, 1.0), self._confirm)
        elif status is Status.DISCONNECTED and "bootstrap" not in self._jobs:
            delay = self._bootstrap_delay
            self._bootstrap_delay = min(delay * 2, _BOOTSTRAP_MAX)
            self._schedule("bootstrap", (delay, delay * 1.1), self._bootstrap)

    def bootstrap_now(self) -> None:
        """Greets the hosts now and forgets about past failures."""
        self._bootstrap_delay = _BOOTSTRAP_FIRST
        self._cancel("bootstrap")
        self._bootstrap()

    def connectivity_changed(self, family: Family | None = None) -> None:
        """Our addresses changed, or a network came or went."""
        for one in self._core.settings.families if family is None else (family,):
            self._core.forget_network(one)
        self._greet_delay = _BOOTSTRAP_FIRST
        if self._core.status is not Status.CONNECTED:
            self.bootstrap_now()
        self._schedule("confirm", (0.0, 0.0), self._confirm)

    # -- jobs

    def _confirm(self) -> None:
        core = self._core
        before = core.engine.sent_requests
        now = self._timers.now()
        core.update_status()
        core.engine.purge_fragments()
        for family in core.settings.families:
            table = core.tables[family]
            if core.status_of[family] is Status.CONNECTED and family not in self._searched_self:
                self._searched_self.add(family)
                core.get(core.id, None, lambda _values: True, lambda _ok: None)
            self._maintain_buckets(table, family, now)
            if core.engine.sent_requests == before and table.grow_time > now - _GROWING:
                self._maintain_neighbourhood(table)
        self._greet_again(now)
        busy = core.engine.sent_requests != before
        self._schedule("confirm", _BUSY_CONFIRM if busy else _QUIET_CONFIRM, self._confirm)

    def _greet_again(self, now: float) -> None:
        """Newcomers who only know each other are no network: the hosts are greeted until one answers, and while there are few nodes."""
        core = self._core
        few = sum(map(len, core.tables.values())) < TARGET_NODES
        if core.status is Status.CONNECTED and (few or not core.bootstrapped) and now >= self._greet_at:
            self._greet_at = now + self._greet_delay
            self._greet_delay = min(self._greet_delay * 2, _GREET_MAX)
            self._on_bootstrap()

    def _maintain_buckets(self, table: RoutingTable, family: Family, now: float) -> None:
        for bucket in table.buckets:
            if bucket.time > now - _BUCKET_LIFETIME and bucket.nodes:
                continue
            asked = bucket
            if not bucket.nodes or self._rng.random() < 0.125:
                asked = table.neighbour(bucket, self._rng)
            node = self._random_node(asked)
            if node is not None and not node.pending:
                target = bucket.random_id(self._rng)
                self._core.engine.find(node, target, self._want(target, family))
        quiet = [node for node in table.nodes() if node.heard < now - _QUIET_NODE and not node.pending and not node.expired]
        for node in quiet[:_GREETINGS]:
            # Only contact tells whether a node that was merely heard of, or not for long, is there.
            self._core.engine.ping(node)

    def _maintain_neighbourhood(self, table: RoutingTable) -> None:
        own = table.own_bucket
        target = InfoHash(bytes(self._core.id[:19]) + bytes((self._rng.getrandbits(8),)))
        bucket = own if own.nodes and self._rng.random() >= 0.125 else table.neighbour(own, self._rng)
        node = self._random_node(bucket)
        if node is not None and not node.pending:
            families = self._core.settings.families
            self._core.engine.find(node, target, families if len(families) > 1 else None)

    def _want(self, target: InfoHash, family: Family) -> tuple[Family, ...] | None:
        families = self._core.settings.families
        if len(families) < 2:
            return None
        other = next(one for one in families if one is not family)
        there = self._core.tables[other].bucket_of(int.from_bytes(target, "big"))
        return families if len(there.nodes) < TARGET_NODES or self._rng.random() < 1 / 38 else None

    def _random_node(self, bucket: Bucket) -> RemoteNode | None:
        alive = [node for node in bucket.nodes if not node.expired]
        return self._rng.choice(alive) if alive else None

    def _expire(self) -> None:
        core = self._core
        for table in core.tables.values():
            table.purge()
        core.engine.purge()
        core.storage.expire()
        core.drop_idle_searches()
        core.update_status()
        self._schedule("expire", _EXPIRE, self._expire)

    def _new_secret(self) -> None:
        self._core.tokens.rotate()
        self._schedule("secrets", SECRET_LIFETIME, self._new_secret)

    def _bootstrap(self) -> None:
        self._cancel("bootstrap")
        core = self._core
        self._on_bootstrap()
        for family in core.settings.families:
            known = core.engine.caches[family].recent(_REVIVED_NODES)
            for node in known:
                if not node.pending:
                    core.engine.ping(node)
        core.update_status()
        if core.status is not Status.CONNECTED and "bootstrap" not in self._jobs:
            self.status_changed(Status.DISCONNECTED)

    def _search_lost(self, family: Family) -> None:
        """A search found nobody although the table has good nodes: our address may have changed unnoticed."""
        now = self._timers.now()
        if now - self._lost_at > _BUCKET_LIFETIME:
            self._lost_at = now
            self._schedule("lost", (0.0, 0.0), lambda: self._confirm_all(family))

    def _confirm_all(self, family: Family) -> None:
        self._cancel("lost")
        for node in self._core.tables[family].nodes():
            if not node.pending:
                self._core.engine.ping(node)

    def _maintain_storage(self) -> None:
        now = self._timers.now()
        by_key: dict[InfoHash, list[Stored]] = {}
        for key, stored in self._core.storage.items():
            if stored.group:
                by_key.setdefault(key, []).append(stored)
        for key, values in by_key.items():
            self._hand_on(key, values, now)
        self._schedule("storage", (_STORAGE_PERIOD, _STORAGE_PERIOD * 1.2), self._maintain_storage)

    def _hand_on(self, key: InfoHash, values: list[Stored], now: float) -> None:
        """The closest holders of a key see to it that the others have its values; who is not among them any more drops it.

        Not the closest alone: that may be a newcomer who has nothing yet.
        """
        core = self._core
        number = int.from_bytes(key, "big")
        distance = int.from_bytes(core.id, "big") ^ number
        ours = False
        for family in core.settings.families:
            nodes = core.tables[family].closest(key, TARGET_NODES, now)
            closer = sum(node.number ^ number < distance for node in nodes)
            ours |= closer < TARGET_NODES
            if nodes and (closer < TARGET_NODES // 2 or closer == TARGET_NODES):
                for stored in values:
                    if stored.expires - now > _STORAGE_PERIOD:
                        core.announce_for_others(key, stored.value, int(self._timers.wall() - (now - stored.created)))
        if not ours:
            core.storage.drop_key(key)

    def _schedule(self, name: str, between: tuple[float, float], job: Callable[[], None]) -> None:
        self._cancel(name)
        self._jobs[name] = self._timers.call_at(self._timers.now() + self._rng.uniform(*between), job)

    def _cancel(self, name: str) -> None:
        timer = self._jobs.pop(name, None)
        if timer is not None:
            timer.cancel()
