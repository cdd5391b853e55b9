"""The routing table of one address family (protocol: opendht, section 9)."""

from __future__ import annotations

import bisect
import random
from collections.abc import Callable
from typing import Final

from jamid.core.identifiers import InfoHash
from jamid.dht.nodes import NEVER, RemoteNode

BUCKET_NODES: Final = 8
ID_BITS: Final = 160
_BOOTSTRAP_DEPTH: Final = 6


class Bucket:
    """The nodes of one range of ids."""

    __slots__ = ("cached", "depth", "first", "nodes", "time")

    def __init__(self, first: int, depth: int, time: float = NEVER) -> None:
        self.first = first
        """the lowest id of its range, as a number"""
        self.depth = depth
        """leading bits that all its ids share"""
        self.nodes: list[RemoteNode] = []
        self.cached: RemoteNode | None = None
        """who takes the place of the next node that leaves"""
        self.time = time
        """when a node of it last replied"""

    def random_id(self, rng: random.Random) -> InfoHash:
        """Some id of its range."""
        return InfoHash((self.first | rng.getrandbits(ID_BITS - self.depth) if self.depth < ID_BITS else self.first).to_bytes(20, "big"))


class RoutingTable:
    """Buckets in order of id; only the one that our own id falls in is split."""

    def __init__(self, own_id: InfoHash, ping: Callable[[RemoteNode], None], *, is_bootstrap: bool = False) -> None:
        self._own = int.from_bytes(own_id, "big")
        self._ping = ping
        self._is_bootstrap = is_bootstrap
        self.buckets = [Bucket(0, 0)]
        self._firsts = [0]
        self.grow_time = NEVER
        """when our own bucket last met a node"""

    def __len__(self) -> int:
        return sum(len(bucket.nodes) for bucket in self.buckets)

    @property
    def depth(self) -> int:
        """Bits that the ids of our own bucket share."""
        return self.own_bucket.depth

    @property
    def own_bucket(self) -> Bucket:
        return self.bucket_of(self._own)

    def bucket_of(self, number: int) -> Bucket:
        return self.buckets[bisect.bisect_right(self._firsts, number) - 1]

    def neighbour(self, bucket: Bucket, rng: random.Random) -> Bucket:
        """A bucket beside BUCKET, or itself when it is alone."""
        index = self.buckets.index(bucket)
        around = [self.buckets[i] for i in (index - 1, index + 1) if 0 <= i < len(self.buckets)]
        return rng.choice(around) if around else bucket

    def nodes(self) -> list[RemoteNode]:
        """All its nodes, in order of buckets."""
        return [node for bucket in self.buckets for node in bucket.nodes]

    def heard(self, node: RemoteNode, level: int, now: float) -> bool:
        """Takes in NODE if there is a place for it; LEVEL 0 = named by others, 1 = sent us something, 2 = replied to us.

        True when the table has grown.
        """
        while True:
            bucket = self.bucket_of(node.number)
            if level == 2:
                bucket.time = now
            if node.in_table:
                return False
            if node.is_client:
                return False
            is_own = bucket is self.own_bucket
            if is_own:
                self.grow_time = now
            if len(bucket.nodes) < BUCKET_NODES:
                break
            expired = next((one for one in bucket.nodes if one.expired), None)
            if expired is not None:
                self._remove(bucket, expired)
                break
            dubious = False
            for one in bucket.nodes:
                if not one.is_good(now):
                    dubious = True
                    if not one.pending:
                        self._ping(one)
                        break
            splittable = is_own or (self._is_bootstrap and bucket.depth < _BOOTSTRAP_DEPTH)
            if not (splittable and (not dubious or len(self.buckets) == 1) and bucket.depth < ID_BITS - 1):
                if level >= 1 or bucket.cached is None:
                    bucket.cached = node
                return False
            self._split(bucket)
        bucket.nodes.append(node)
        node.in_table = True
        return True

    def closest(self, target: InfoHash, count: int, now: float) -> list[RemoteNode]:
        """The COUNT good nodes closest to TARGET, closest first."""
        number = int.from_bytes(target, "big")
        low = bisect.bisect_right(self._firsts, number) - 1
        high = low + 1
        found: list[RemoteNode] = []
        buckets = self.buckets
        while len(found) < count and (low >= 0 or high < len(buckets)):
            if low >= 0:
                found += [node for node in buckets[low].nodes if node.is_good(now)]
                low -= 1
            if high < len(buckets):
                found += [node for node in buckets[high].nodes if node.is_good(now)]
                high += 1
        found.sort(key=lambda node: node.number ^ number)
        return found[:count]

    def purge(self) -> None:
        """Drops expired nodes and asks each bucket's candidate whether it is there."""
        for bucket in self.buckets:
            for node in [node for node in bucket.nodes if node.expired]:
                self._remove(bucket, node)
            if len(bucket.nodes) < BUCKET_NODES and bucket.cached is not None and not bucket.cached.in_table:
                if not bucket.cached.expired:
                    self._ping(bucket.cached)
                bucket.cached = None

    def forget_times(self) -> None:
        """After our own address changed."""
        self.grow_time = NEVER
        for bucket in self.buckets:
            bucket.time = NEVER

    def _remove(self, bucket: Bucket, node: RemoteNode) -> None:
        bucket.nodes.remove(node)
        node.in_table = False

    def _split(self, bucket: Bucket) -> None:
        index = self.buckets.index(bucket)
        bucket.depth += 1
        upper = Bucket(bucket.first | 1 << (ID_BITS - bucket.depth), bucket.depth, bucket.time)
        nodes, bucket.nodes = bucket.nodes, []
        for node in nodes:
            (upper if node.number >= upper.first else bucket).nodes.append(node)
        if bucket.cached is not None and bucket.cached.number >= upper.first:
            upper.cached, bucket.cached = bucket.cached, None
        self.buckets.insert(index + 1, upper)
        self._firsts.insert(index + 1, upper.first)
