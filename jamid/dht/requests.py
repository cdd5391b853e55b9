"""Requests in flight: three attempts, then the node counts as gone (protocol: opendht, section 8)."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from jamid.core import limits
from jamid.core.identifiers import InfoHash
from jamid.dht.addresses import Address
from jamid.dht.nodes import RemoteNode
from jamid.dht.timers import Network, Timer, Timers
from jamid.dht.wire import ZERO_ID, ErrorReply, Reply

ATTEMPTS: Final = 3
RESPONSE_TIME: Final = 1.0
FIRST_RESPONSE_TIME: Final = 0.35
"""Before the second attempt: a search must not wait a second for each node behind a NAT; few round trips take longer."""
_JITTER: Final = 0.25


class Pending:
    """One request of ours; exactly one of `on_reply`, `on_error` and `on_failure` is called, unless it is cancelled."""

    __slots__ = ("attempts", "done", "node", "on_error", "on_failure", "on_reply", "on_silence", "packets", "sent", "tid", "timer")

    def __init__(
        self,
        node: RemoteNode,
        tid: int,
        packets: list[bytes],
        on_reply: Callable[[Reply], None] | None,
        on_error: Callable[[ErrorReply], None] | None,
        on_silence: Callable[[], None] | None,
        on_failure: Callable[[], None] | None,
    ) -> None:
        self.node = node
        self.tid = tid
        self.packets = packets
        self.on_reply = on_reply
        self.on_error = on_error
        self.on_silence = on_silence
        self.on_failure = on_failure
        self.attempts = 0
        self.sent = 0.0
        self.done = False
        self.timer: Timer | None = None


class Requests:
    """Sends requests, sends them again, matches replies and tells which nodes do not answer."""

    def __init__(self, timers: Timers, network: Network, rng: random.Random, node_expired: Callable[[RemoteNode], None]) -> None:
        self._timers = timers
        self._network = network
        self._rng = rng
        self._node_expired = node_expired
        self._pending: dict[int, Pending] = {}

    def __len__(self) -> int:
        return len(self._pending)

    def new_tid(self) -> int:
        """A transaction id that is in no use."""
        while (tid := self._rng.getrandbits(32)) == 0 or tid in self._pending:
            pass
        return tid

    def start(
        self,
        node: RemoteNode,
        tid: int,
        packets: list[bytes],
        on_reply: Callable[[Reply], None] | None = None,
        *,
        on_error: Callable[[ErrorReply], None] | None = None,
        on_silence: Callable[[], None] | None = None,
        on_failure: Callable[[], None] | None = None,
    ) -> Pending:
        """Sends PACKETS to NODE; `on_silence` is called once, when the first interval passes without an answer."""
        pending = Pending(node, tid, packets, on_reply, on_error, on_silence, on_failure)
        self._pending[tid] = pending
        node.pending += 1
        if len(self._pending) > limits.DHT_PENDING_REQUESTS:
            pending.timer = self._timers.call_at(self._timers.now(), self._refuse, pending)
        else:
            self._send(pending)
        return pending

    def answer(self, tid: int, sender: InfoHash) -> Pending | None:
        """The request that a packet of SENDER answers, which is then no longer in flight."""
        pending = self._pending.get(tid)
        if pending is None or (pending.node.id != sender and pending.node.id != ZERO_ID):
            return None
        self._end(pending)
        return pending

    def find(self, tid: int) -> Pending | None:
        """The request in flight with this TID, whoever it was sent to."""
        return self._pending.get(tid)

    def cancel(self, pending: Pending) -> None:
        """Nobody is interested in the answer any more."""
        if not pending.done:
            self._end(pending)

    def expire(self, node: RemoteNode) -> None:
        """NODE is gone: everything asked of it fails."""
        node.expired = True
        for pending in [one for one in self._pending.values() if one.node is node]:
            self._end(pending)
            if pending.on_failure is not None:
                pending.on_failure()
        self._node_expired(node)

    def pinging(self, address: Address) -> bool:
        """Whether a node at ADDRESS whose id we do not know was asked for it."""
        return any(one.node.id == ZERO_ID and one.node.address == address for one in self._pending.values())

    def close(self) -> None:
        """Forgets everything, without calls."""
        for pending in list(self._pending.values()):
            self._end(pending)

    def _send(self, pending: Pending) -> None:
        now = self._timers.now()
        pending.attempts += 1
        pending.sent = now
        reachable = self._network.send(pending.packets, pending.node.address)
        usual = FIRST_RESPONSE_TIME if pending.attempts == 1 else RESPONSE_TIME * (1 << (pending.attempts - 1))
        wait = usual + self._rng.random() * _JITTER * pending.attempts if reachable else 0.0
        if not reachable:
            pending.attempts = ATTEMPTS
        pending.timer = self._timers.call_at(now + wait, self._unanswered, pending)

    def _unanswered(self, pending: Pending) -> None:
        if pending.done:
            return
        if pending.attempts >= ATTEMPTS or pending.node.expired:
            self._fail(pending)
            return
        first = pending.attempts == 1
        self._send(pending)
        if first and pending.on_silence is not None:
            pending.on_silence()

    def _refuse(self, pending: Pending) -> None:
        """Too many are in flight: this one fails, which says nothing about its node."""
        if not pending.done:
            self._end(pending)
            if pending.on_failure is not None:
                pending.on_failure()

    def _fail(self, pending: Pending) -> None:
        if pending.done:
            return
        if pending.node.id != ZERO_ID:
            self.expire(pending.node)
            return
        pending.node.expired = True
        self._end(pending)
        if pending.on_failure is not None:
            pending.on_failure()

    def _end(self, pending: Pending) -> None:
        pending.done = True
        pending.node.pending -= 1
        del self._pending[pending.tid]
        if pending.timer is not None:
            pending.timer.cancel()
            pending.timer = None
