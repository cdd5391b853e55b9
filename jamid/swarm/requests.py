"""Invitations of one account: received, shown, accepted, declined (protocol: swarm, sections 7.2 to 7.4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from jamid.core import limits
from jamid.core.signals import ConversationRequestDeclined, ConversationRequestReceived
from jamid.core.tasks import in_thread
from jamid.swarm.records import ConversationRequest, by_id, read_requests

if TYPE_CHECKING:
    from jamid.swarm.seams import Home, Publish
    from jamid.swarm.store import Store

_SKEW_MS: Final = 60_000
"""So far the clocks of two devices of ours may be apart."""


class Requests:
    """The file `convRequests` at work."""

    def __init__(self, home: Home, store: Store, publish: Publish) -> None:
        self._home = home
        self._store = store
        self._publish = publish
        self._requests: dict[str, ConversationRequest] = {}

    def load(self) -> None:
        """Reads the file; blocks."""
        self._requests = self._store.read_requests()

    def get(self, conversation: str) -> ConversationRequest | None:
        """The request for CONVERSATION, declined or not."""
        return self._requests.get(conversation)

    def pending(self) -> list[ConversationRequest]:
        """Those that wait for an answer."""
        return [request for request in self._requests.values() if not request.declined]

    def to_map(self) -> dict[str, dict[str, Any]]:
        return by_id(self._requests.values())

    async def received(self, conversation: str, sender: str, metadatas: Mapping[str, str], received: int) -> bool:
        """An invitation came; whether it is new and shown. A declined one is shown again when it is repeated later."""
        known = self._requests.get(conversation)
        if known is not None and not (known.declined and self._is_later(received, known.declined)):
            return False
        if known is None and len(self._requests) >= limits.CONVERSATION_REQUESTS:
            # Whoever sends the most makes room, so that a flood does not wash away the others.
            senders = Counter(request.sender for request in self._requests.values())
            oldest = min(self._requests.values(), key=lambda request: (-senders[request.sender], request.received))
            del self._requests[oldest.conversation_id]
        request = ConversationRequest(conversation, sender, dict(metadatas), received)
        self._requests[conversation] = request
        await self._save()
        self._publish(ConversationRequestReceived(self._home.id, conversation, request.shown()))
        await self._sync(request)
        return True

    async def take(self, conversation: str) -> ConversationRequest | None:
        """Removes the request: it was accepted."""
        request = self._requests.pop(conversation, None)
        if request is not None:
            await self._save()
        return request

    async def decline(self, conversation: str, *, sync: bool = True) -> ConversationRequest | None:
        """Marks the request as declined and tells clients, who are told even when there was none."""
        request = self._requests.get(conversation)
        if request is not None and not request.declined:
            request.declined = self._home.now_ms()
            await self._save()
            if sync:
                await self._sync(request)
        self._publish(ConversationRequestDeclined(self._home.id, conversation))
        return request

    async def merge(self, data: Any, is_known: Mapping[str, Any]) -> None:
        """Takes over what another device of ours tells of requests."""
        for conversation, theirs in read_requests(data).items():
            ours = self._requests.get(conversation)
            if conversation in is_known:
                continue
            if theirs.declined:
                # What was asked again since they declined is another request.
                if ours is None or (not ours.declined and ours.received <= theirs.declined + _SKEW_MS):
                    self._requests[conversation] = theirs
                    await self._save()
                    self._publish(ConversationRequestDeclined(self._home.id, conversation))
                    if theirs.metadatas.get("mode", "0") == "0":
                        await self._home.contact_declined_elsewhere(theirs.sender, conversation, theirs.declined)
            elif ours is None and not self._home.is_banned(theirs.sender):
                self._requests[conversation] = theirs
                await self._save()
                self._publish(ConversationRequestReceived(self._home.id, conversation, theirs.shown()))

    async def adopt(self, data: Any) -> None:
        """Takes over the requests of an archive without a word."""
        for conversation, request in read_requests(data).items():
            self._requests.setdefault(conversation, request)
        await self._save()

    async def forget_of(self, uri: str) -> None:
        """The account URI was banned: its invitations go."""
        gone = [key for key, request in self._requests.items() if request.sender == uri]
        for key in gone:
            del self._requests[key]
        if gone:
            await self._save()

    def _is_later(self, received: int, declined: int) -> bool:
        """Whether RECEIVED comes after DECLINED; what comes after the clock was set back, to before that, does as well."""
        return received > declined or declined > self._home.now_ms()

    async def _save(self) -> None:
        await in_thread(self._store.write_requests, dict(self._requests))

    async def _sync(self, request: ConversationRequest) -> None:
        await self._home.sync({"requests": {request.conversation_id: request.to_map()}})
