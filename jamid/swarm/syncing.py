"""What our other devices are told of conversations, and hear from them (protocol: swarm, section 11)."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from jamid.core.errors import JamidError
from jamid.core.signals import ConversationPreferencesUpdated, ConversationRemoved
from jamid.core.tasks import in_thread
from jamid.swarm import generations, records
from jamid.swarm.records import ConversationInfo, read_infos

if TYPE_CHECKING:
    from jamid.swarm.account import AccountConversations
    from jamid.swarm.conversation import Conversation

_log = logging.getLogger(__name__)

Parts = Mapping[str, Mapping[str, Any]]
"""Some of conversations, requests, preferences, status: maps by conversation."""

_FRAME: Final = 48 * 1024
"""Bytes of one part in one message: 13.7 loses messages that do not fit into a frame of 64 KiB."""


class Syncing:
    """The conversations' part of synchronisation between the devices of one account."""

    def __init__(self, account: AccountConversations) -> None:
        self._account = account
        self._file_clocks: set[str] = set()
        """our devices of 17, which date preferences by another clock"""

    # -- telling --

    async def tell(self, conversation: Conversation) -> None:
        """A conversation was created, joined or left."""
        await self._account.home.sync({"conversations": {conversation.id: conversation.info.to_map()}})

    async def tell_status(self, conversation: Conversation) -> None:
        """We have read something."""
        await self._account.home.sync({"status": {conversation.id: conversation.statuses.to_map()}})

    async def tell_preferences(self, conversation: Conversation, values: Mapping[str, str], modified: int) -> None:
        """Preferences changed. A device of 13.7 takes the newer clock's times for new, one of 17 the older one's for old."""
        last = generations.last_modified(modified, file_clock=bool(self._file_clocks))
        await self._account.home.sync({"preferences": {conversation.id: {**values, "lastModified": last}}})

    def everything(self, device: str) -> Iterator[dict[str, dict[str, Any]]]:
        """All that DEVICE should know, in parts small enough for one frame each. Blocks for reading preferences."""
        account = self._account
        yield from _chunks("conversations", {info.id: info.to_map() for info in account.infos.values()})
        yield from _chunks("requests", account.requests.to_map())
        preferences = {}
        statuses = {}
        for info in account.infos.values():
            if info.is_removed:
                continue
            values, modified = account.store.read_preferences(info.id)
            if values:
                last = generations.last_modified(modified, file_clock=device in self._file_clocks)
                preferences[info.id] = {**values, "lastModified": last}
            conversation = account.find(info.id)
            if conversation is not None and conversation.facts is not None:
                known = dict(conversation.statuses.members)  # files are a second behind
            else:
                known = account.store.read_status(info.id)
            if known:
                statuses[info.id] = {uri: status.to_map() for uri, status in known.items()}
        yield from _chunks("preferences", preferences)
        yield from _chunks("status", statuses)

    # -- hearing --

    async def received(self, device: str, parts: Parts) -> None:
        """What our device DEVICE tells, or ("") the server that manages the account."""
        for info in read_infos(parts.get("conversations")).values():
            try:
                await self._conversation(device, info)
            except JamidError as error:
                _log.warning("[account=%s] conversation %s of our other device: %s", self._account.home.id, info.id[:8], error)
        await self._account.requests.merge(parts.get("requests"), self._account.infos)
        await self._preferences(device, parts.get("preferences"))
        status = parts.get("status")
        for conversation_id, data in (status or {}).items():
            conversation = self._account.find(conversation_id) if isinstance(conversation_id, str) else None
            if conversation is not None:
                if conversation.is_here:
                    await conversation.load()
                await conversation.statuses.merge(data)

    async def _conversation(self, device: str, theirs: ConversationInfo) -> None:
        account = self._account
        ours = account.infos.get(theirs.id)
        if theirs.is_removed:
            if ours is None:
                account.infos[theirs.id] = theirs
                await account.save_infos()
            elif not ours.is_removed and theirs.removed >= ours.created:
                conversation = account.find(theirs.id)
                account.cloner.cancel(theirs.id)
                ours.removed = theirs.removed
                await account.save_infos()
                account.publish(ConversationRemoved(account.home.id, theirs.id))
                if conversation is not None and (theirs.erased or not conversation.is_here):
                    await account.erase(theirs.id)
            elif theirs.erased and not ours.erased:
                await account.erase(theirs.id)
            return
        if ours is not None and ours.is_removed and ours.removed >= theirs.created:
            return
        if ours is None or ours.is_removed or not account.find(theirs.id):
            others = [uri for uri in theirs.members if uri != account.home.uri]
            await account.join(theirs.id, [account.home.uri, *others], mode=theirs.mode, device=device)
            return
        conversation = account.find(theirs.id)
        if conversation is not None and not conversation.is_here:
            account.cloner.clone(conversation, uris=[account.home.uri], device=device)
        elif conversation is not None and device:
            account.puller.pull(conversation, device)

    async def _preferences(self, device: str, data: Any) -> None:
        account = self._account
        for conversation_id, values in (data or {}).items():
            if not isinstance(conversation_id, str) or account.find(conversation_id) is None:
                continue
            given = records.string_map(values)
            last = given.pop("lastModified", "0")
            if generations.is_file_clock(last):
                self._file_clocks.add(device)
            modified = generations.unix_time(last)
            ours, known = await in_thread(account.store.read_preferences, conversation_id)
            # Of two changes within a second all devices keep the same one.
            if modified > known or (modified == known and sorted(given.items()) > sorted(ours.items())):
                await in_thread(account.store.write_preferences, conversation_id, given, modified)
                account.publish(ConversationPreferencesUpdated(account.home.id, conversation_id, given))


def _chunks(part: str, entries: Mapping[str, Any]) -> Iterator[dict[str, dict[str, Any]]]:
    chunk: dict[str, Any] = {}
    size = 0
    for key, value in entries.items():
        weight = len(records.pack(value)) + len(key) + 3
        if chunk and size + weight > _FRAME:
            yield {part: chunk}
            chunk, size = {}, 0
        chunk[key] = value
        size += weight
    if chunk:
        yield {part: chunk}
