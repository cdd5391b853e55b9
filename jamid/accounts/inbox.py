"""A device's inbox on the DHT: trust requests, text messages and sync of older versions, each from a proven sender (identity, 8.3)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from jamid.accounts.peers import UnknownSender
from jamid.accounts.trust_requests import VALUE_TYPE as TRUST_REQUEST_TYPE
from jamid.accounts.trust_requests import TrustRequest
from jamid.core import limits
from jamid.core.errors import JamidError
from jamid.core.tasks import Tasks
from jamid.crypto.keys import PublicKey
from jamid.dht.values import Value

if TYPE_CHECKING:
    from jamid.accounts.jami import JamiAccount

_log = logging.getLogger(__name__)
SYNC_TYPE: Final = 0
MESSAGE_TYPE: Final = 3
_RETRIES: Final = (3.0, 20.0)
"""seconds until the certificate of a sender that was not to be found is looked for again: it may have been put a moment after"""

_KEPT_MS: Final = 300_000
"""What comes within so long of the start may have been in the inbox before, or be the repetition by a peer who sees us come."""


class Inbox:
    """Treats what comes; senders whose certificate is known do not wait behind strangers, who may each cost a search on the DHT."""

    def __init__(self, account: JamiAccount, tasks: Tasks) -> None:
        self._account = account
        self._tasks = tasks
        self._strangers: asyncio.Queue[Value] = asyncio.Queue(limits.INBOX_BACKLOG)
        self._acquaintances: asyncio.Queue[Value] = asyncio.Queue(limits.INBOX_BACKLOG)
        self._told_full = False
        self._retrying = 0
        self._started = 0
        self._requests: dict[tuple[PublicKey, int], None] = {}
        """trust requests that came, by sender and value"""
        self._treat: dict[int, Callable[[PublicKey, Value], Awaitable[None]]] = {
            TRUST_REQUEST_TYPE: self._trust_request,
            MESSAGE_TYPE: self._text_message,
            SYNC_TYPE: self._sync_message,
        }

    def start(self) -> None:
        """Begins to treat."""
        self._started = self._account.steady_ms()
        for _ in range(limits.INBOX_WORKERS):
            self._tasks.spawn(self._work(self._strangers), "inbox")
        self._tasks.spawn(self._work(self._acquaintances), "inbox")

    def value(self, value: Value, expired: bool) -> None:
        """Something appeared in the inbox."""
        if expired or value.owner is None or value.type not in self._treat:
            return
        if value.recipient is None and value.type != MESSAGE_TYPE:
            return
        known = self._account.certificates.get(value.owner.long_id) is not None
        try:
            (self._acquaintances if known else self._strangers).put_nowait(value)
        except asyncio.QueueFull:
            if not self._told_full:
                self._told_full = True
                _log.warning("[account=%s] %d messages wait in the inbox; more are dropped", self._account.id, limits.INBOX_BACKLOG)

    async def _work(self, queue: asyncio.Queue[Value]) -> None:
        while True:
            await self._try(await queue.get(), 0)

    async def _try(self, value: Value, tries: int) -> None:
        assert value.owner is not None
        try:
            await self._treat[value.type](value.owner, value)
        except UnknownSender as error:
            if tries < len(_RETRIES) and self._retrying < limits.INBOX_RETRIES:
                self._tasks.spawn(self._try_later(value, tries), "inbox retry")
            else:
                _log.info("[account=%s] a message in the inbox is ignored: %s", self._account.id, error)
        except JamidError as error:
            _log.info("[account=%s] a message in the inbox is ignored: %s", self._account.id, error)
        except Exception:
            _log.exception("[account=%s] treating a message in the inbox", self._account.id)

    async def _try_later(self, value: Value, tries: int) -> None:
        self._retrying += 1
        try:
            await asyncio.sleep(_RETRIES[tries])
        finally:
            self._retrying -= 1
        await self._try(value, tries + 1)

    async def _trust_request(self, owner: PublicKey, value: Value) -> None:
        request = TrustRequest.from_bytes(value.data)
        certificate, uri = await self._account.peers.authenticate(owner)
        # The DHT delivers what it keeps when we come, and again when nodes come and go.
        known, now = (owner, value.id), self._account.steady_ms()
        new_since = now if known in self._requests else 0 if now - self._started > _KEPT_MS else self._started
        self._requests[known] = None
        while len(self._requests) > limits.INBOX_REQUESTS_KNOWN:
            del self._requests[next(iter(self._requests))]
        await self._account.contacts.receive(certificate, uri, request, new_since=new_since)

    async def _text_message(self, owner: PublicKey, value: Value) -> None:
        await self._account.messages.received_on_dht(owner, value.data)

    async def _sync_message(self, owner: PublicKey, value: Value) -> None:
        await self._account.sync.received_on_dht(owner, value.data)
