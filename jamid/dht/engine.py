"""Packets in and out: filters, fragments, requests and replies, and what each packet tells about its sender
(protocol: opendht, sections 7 and 8)."""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from jamid.core import limits
from jamid.core.errors import RemoteError
from jamid.core.identifiers import InfoHash
from jamid.dht.addresses import Address, Family, is_loopback_host, is_martian, is_martian_host, unpacked_host
from jamid.dht.decode import decode
from jamid.dht.fragments import Fragments
from jamid.dht.nodes import NodeCache, RemoteNode
from jamid.dht.query import Query
from jamid.dht.ratelimit import ByteBudget, RateLimit
from jamid.dht.requests import Pending, Requests
from jamid.dht.timers import Network, Timers
from jamid.dht.values import WireValue
from jamid.dht.wire import (
    ZERO_ID,
    AnyMessage,
    ErrorReply,
    Find,
    Get,
    LegacyUpdate,
    Listen,
    Ping,
    Put,
    Refresh,
    Reply,
    Request,
    Update,
    ValueData,
    encode,
)

_log = logging.getLogger(__name__)
_AUTH_ERRORS_MAX: Final = 3

OnReply = Callable[[Reply], None]
OnError = Callable[[ErrorReply], None]
Event = Callable[[], None]


class Handler(Protocol):
    """Who is told what the engine learns."""

    def on_request(self, message: Request, node: RemoteNode, address: Address) -> None:
        """A request to answer."""
        ...

    def on_node(self, node: RemoteNode, level: int) -> None:
        """NODE was named by others (0), sent us something (1) or answered us (2)."""
        ...

    def on_node_expired(self, node: RemoteNode) -> None:
        """NODE does not answer any more."""
        ...

    def is_solicited(self, message: Update) -> bool:
        """Whether MESSAGE is news for a subscription of ours, which no rate limit may hold up."""
        ...


@dataclass(slots=True)
class Statistics:
    """Counters since the start."""

    received: int = 0
    malformed: int = 0
    refused: int = 0
    """requests above the rate limit"""
    sent: int = 0
    requests: Counter[str] = field(default_factory=Counter)
    """requests received, by name"""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Who we are on the wire."""

    node_id: InfoHash
    network: int = 0
    client: bool = False
    requests_per_second: int = limits.DHT_REQUESTS_PER_SECOND
    """0 = no rate limit"""


class Engine:
    """The lower half of a node: from packets to requests of others and answers to ours."""

    def __init__(self, settings: EngineSettings, timers: Timers, network: Network, rng: random.Random, handler: Handler) -> None:
        self.id = settings.node_id
        self.network_id = settings.network
        self.caches = {family: NodeCache(family) for family in Family}
        self.statistics = Statistics()
        self.seen_as: Counter[bytes] = Counter()
        """our own packed addresses as others see them"""
        self.rng = rng
        self._timers = timers
        self._network = network
        self._handler = handler
        self._requests = Requests(timers, network, rng, handler.on_node_expired)
        self._fragments = Fragments()
        self._rate = RateLimit(settings.requests_per_second)
        self._budget = ByteBudget()
        self._blacklist: dict[Address, None] = {}
        self.envelope: Mapping[str, Any] = {"sender": settings.node_id, "network": settings.network, "client": settings.client}
        """the fields that all our messages share"""
        self.sent_requests = 0

    # -- in

    def receive(self, data: bytes, source: tuple[str, int]) -> None:
        """Handles one UDP payload."""
        self.statistics.received += 1
        host, port = source
        if port == 0 or is_martian_host(host) or source in self._blacklist:
            return
        try:
            message = decode(data)
        except RemoteError as error:
            self.statistics.malformed += 1
            _log.debug("dropping %d bytes from %s: %s", len(data), source, error)
            return
        if message.network != self.network_id:
            return
        self._route(message, Address(host, port))

    def _route(self, message: AnyMessage, source: Address) -> None:
        now = self._timers.now()
        if isinstance(message, ValueData):
            expected = self._fragments.expects(source, message.tid) or self._requests.find(message.tid) is not None
            if not expected and not self._rate.accepts(source.host, now):
                self.statistics.refused += 1
                return
            whole = self._fragments.add(message, source, now)
            if whole is not None:
                self._process(whole, source, now)
            return
        if message.sender in (ZERO_ID, self.id):
            return
        if isinstance(message, Reply | ErrorReply | LegacyUpdate):
            if isinstance(message, Reply) and message.sizes:
                pending = self._requests.find(message.tid)
                if pending is None or pending.node.address != source:
                    return
                whole = self._fragments.announce(message, source, now)
                if whole is None:
                    return
                message = whole
            self._process(message, source, now)
            return
        solicited = isinstance(message, Update) and self._handler.is_solicited(message)
        if not solicited and not self._rate.accepts(source.host, now):
            self.statistics.refused += 1
            return
        if isinstance(message, Put | Update) and message.sizes:
            whole = self._fragments.announce(message, source, now)
            if whole is None:
                return
            message = whole
        self._process(message, source, now)

    def _process(self, message: AnyMessage, source: Address, now: float) -> None:
        if isinstance(message, Reply):
            self._process_reply(message, source, now)
        elif isinstance(message, ErrorReply):
            self._process_error(message, source, now)
        elif not isinstance(message, ValueData | LegacyUpdate):
            self._process_request(message, source, now)

    def _process_request(self, message: Request, source: Address, now: float) -> None:
        self.statistics.requests[type(message).__name__] += 1
        node = self.caches[source.family].heard_from(message.sender, source, now, replied=False)
        if node is None:
            # Its id answers us from another address: serve the request, learn nothing from it.
            node = RemoteNode(message.sender, source)
        else:
            node.is_client = message.client
            self._handler.on_node(node, 1)
        self._handler.on_request(message, node, source)

    def _process_reply(self, message: Reply, source: Address, now: float) -> None:
        pending = self._requests.answer(message.tid, message.sender)
        if pending is None:
            asked = self._requests.find(message.tid)
            if asked is not None and asked.node.address == source:
                # Another node lives at that address now; the one we asked will time out.
                other = self.caches[source.family].heard_from(message.sender, source, now, replied=False)
                if other is not None:
                    self._handler.on_node(other, 1)
            return
        node = self.caches[source.family].heard_from(message.sender, source, now, replied=True)
        assert node is not None
        node.is_client = message.client
        node.auth_errors = 0
        if message.seen:
            self._note_own_address(message.seen)
        named = self._learn(message, source, now)
        self._handler.on_node(node, 2)
        if pending.on_reply is not None:
            pending.on_reply(message)
        for one in named:
            self._handler.on_node(one, 0)

    def _process_error(self, message: ErrorReply, source: Address, now: float) -> None:
        pending = self._requests.find(message.tid)
        if pending is None or pending.node.id != message.sender:
            return
        node = pending.node
        node.hear(now, replied=False)
        if pending.on_error is None or message.code not in (401, 404):
            return
        self._requests.answer(message.tid, message.sender)
        if message.code == 401:
            node.auth_errors += 1
            if node.auth_errors > _AUTH_ERRORS_MAX:
                node.auth_errors = 0
                pending.on_error(message)
                self._requests.expire(node)
                return
        pending.on_error(message)

    def _learn(self, message: Reply, source: Address, now: float) -> list[RemoteNode]:
        """The nodes that a reply names, as far as they are plausible."""
        named = []
        for family, nodes in ((Family.V4, message.nodes4), (Family.V6, message.nodes6)):
            cache = self.caches[family]
            for node_id, address in nodes:
                if node_id in (self.id, ZERO_ID):
                    continue
                if is_loopback_host(address.host):
                    if family is not source.family:
                        continue
                    address = Address(source.host, address.port)
                if is_martian(address) or address in self._blacklist:
                    continue
                named.append(cache.heard_of(node_id, address, now))
        return named

    def _note_own_address(self, packed: bytes) -> None:
        if packed in self.seen_as or len(self.seen_as) < limits.DHT_OWN_ADDRESSES:
            self.seen_as[packed] += 1

    # -- out

    def answer(self, packets: list[bytes], address: Address) -> None:
        """Sends a reply, unless it is a large one and its receiver had enough of these."""
        if len(packets) > 1 and not self._budget.spend(address.host, sum(map(len, packets)), self._timers.now()):
            self.statistics.refused += 1
            return
        self.statistics.sent += len(packets)
        self._network.send(packets, address)

    def reply_error(self, tid: int, code: int, text: str, address: Address) -> None:
        """Answers a request that we do not grant."""
        self.answer(encode(ErrorReply(tid=tid, code=code, text=text, **self.envelope)), address)

    def ping(self, node: RemoteNode, on_reply: OnReply | None = None, on_failure: Event | None = None) -> Pending:
        """Asks NODE whether it is there; its id may be unknown (zero)."""
        tid = self._requests.new_tid()
        message = Ping(tid=tid, **self.envelope)
        return self._start(node, tid, message, on_reply, on_failure=on_failure)

    def find(
        self,
        node: RemoteNode,
        target: InfoHash,
        want: tuple[Family, ...] | None = None,
        on_reply: OnReply | None = None,
        on_silence: Event | None = None,
        on_failure: Event | None = None,
    ) -> Pending:
        """Asks NODE for the nodes closest to TARGET."""
        tid = self._requests.new_tid()
        message = Find(tid=tid, target=target, want=want, **self.envelope)
        return self._start(node, tid, message, self._with_token(node, on_reply), on_silence=on_silence, on_failure=on_failure)

    def get(
        self,
        node: RemoteNode,
        key: InfoHash,
        query: Query | None,
        want: tuple[Family, ...] | None = None,
        on_reply: OnReply | None = None,
        on_silence: Event | None = None,
        on_failure: Event | None = None,
    ) -> Pending:
        """Asks NODE for values."""
        tid = self._requests.new_tid()
        message = Get(tid=tid, key=key, query=query, want=want, **self.envelope)
        return self._start(node, tid, message, self._with_token(node, on_reply), on_silence=on_silence, on_failure=on_failure)

    def put(
        self,
        node: RemoteNode,
        key: InfoHash,
        value: WireValue,
        created: int | None,
        token: bytes,
        on_reply: OnReply,
        on_error: OnError,
        on_silence: Event | None = None,
        on_failure: Event | None = None,
    ) -> Pending:
        """Asks NODE to store VALUE."""
        tid = self._requests.new_tid()
        message = Put(tid=tid, key=key, values=(value,), created=created, token=token, **self.envelope)
        return self._start(node, tid, message, on_reply, on_error, on_silence, on_failure)

    def refresh(
        self,
        node: RemoteNode,
        key: InfoHash,
        value_id: int,
        token: bytes,
        on_reply: OnReply,
        on_error: OnError,
        on_failure: Event | None = None,
    ) -> Pending:
        """Asks NODE to keep a value that it has."""
        tid = self._requests.new_tid()
        message = Refresh(tid=tid, key=key, value_id=value_id, token=token, **self.envelope)
        return self._start(node, tid, message, on_reply, on_error, None, on_failure)

    def listen(
        self,
        node: RemoteNode,
        key: InfoHash,
        query: Query | None,
        token: bytes,
        socket: int,
        on_reply: OnReply,
        on_error: OnError,
        on_silence: Event | None = None,
        on_failure: Event | None = None,
    ) -> Pending:
        """Asks NODE to tell us of changes."""
        tid = self._requests.new_tid()
        message = Listen(tid=tid, key=key, token=token, socket=socket, query=query, **self.envelope)
        return self._start(node, tid, message, on_reply, on_error, on_silence, on_failure)

    def update(self, node: RemoteNode, message: Update) -> Pending:
        """Pushes news to a listener; MESSAGE has its tid from `new_tid`."""
        return self._start(node, message.tid, message)

    def cancel(self, pending: Pending) -> None:
        """The answer to a request does not matter any more."""
        self._requests.cancel(pending)

    def new_tid(self) -> int:
        return self._requests.new_tid()

    def expire(self, node: RemoteNode) -> None:
        """NODE broke the protocol or its tokens never work."""
        self._requests.expire(node)

    def blacklist(self, node: RemoteNode) -> None:
        """Ignores everything from NODE's address from now on."""
        _log.debug("%s answers without a token and is ignored from now on", node.address)
        if len(self._blacklist) >= limits.DHT_BLACKLIST:
            del self._blacklist[next(iter(self._blacklist))]
        self._blacklist[node.address] = None
        self._requests.expire(node)

    def pinging(self, address: Address) -> bool:
        """Whether a bootstrap ping to ADDRESS is under way."""
        return self._requests.pinging(address)

    def own_addresses(self) -> list[str]:
        """Our hosts as others see them, most reported first."""
        return [unpacked_host(packed) for packed, _ in self.seen_as.most_common()]

    def purge(self) -> None:
        """Drops what is unfinished or gone for too long."""
        now = self._timers.now()
        self._fragments.purge(now)
        for cache in self.caches.values():
            cache.purge(now)

    @property
    def unfinished(self) -> int:
        """Messages of which pieces are missing."""
        return len(self._fragments)

    def purge_fragments(self) -> None:
        """Drops messages whose rest did not come."""
        self._fragments.purge(self._timers.now())

    def close(self) -> None:
        """Forgets every request in flight."""
        self._requests.close()

    def _start(
        self,
        node: RemoteNode,
        tid: int,
        message: AnyMessage,
        on_reply: OnReply | None = None,
        on_error: OnError | None = None,
        on_silence: Event | None = None,
        on_failure: Event | None = None,
    ) -> Pending:
        self.sent_requests += 1
        packets = encode(message)
        self.statistics.sent += len(packets)
        return self._requests.start(node, tid, packets, on_reply, on_error=on_error, on_silence=on_silence, on_failure=on_failure)

    def _with_token(self, node: RemoteNode, on_reply: OnReply | None) -> OnReply:
        def check(reply: Reply) -> None:
            if reply.token is None:
                self.blacklist(node)
            elif on_reply is not None:
                on_reply(reply)

        return check
