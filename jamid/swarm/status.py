"""How far members are: fetched, read, typing; for clients of both generations (protocol: swarm, section 10)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from jamid.core.tasks import in_thread
from jamid.swarm.history import FETCHED, READ, SENDING
from jamid.swarm.log import LinearLog
from jamid.swarm.records import MemberStatus, read_statuses
from jamid.swarm.repository import Repository

if TYPE_CHECKING:
    from jamid.swarm.conversation import Conversation

_SAVE_SECONDS: Final = 1.0
"""Progress is written this long after it changed: it moves with every message."""
_QUEUED: Final = 1000


class Statuses:
    """The progress of all members of one conversation."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self.members: dict[str, MemberStatus] = {}
        self.sending: list[str] = []
        """own commits that nobody has fetched yet, oldest first"""
        self._told = ""
        """the newest commit that members were told we have read"""
        self._early: dict[str, MemberStatus] = {}
        """what our other devices told while the conversation was being cloned"""
        self._saving: asyncio.TimerHandle | None = None

    async def load(self) -> None:
        """Reads the files."""
        store, conversation = self._conversation.store, self._conversation.id
        loaded, sending = await in_thread(lambda: (store.read_status(conversation), store.read_sending(conversation)))
        self.members = {**loaded, **self.members}
        self.sending = sending + [commit for commit in self.sending if commit not in sending]
        self.tell_history()
        early, self._early = self._early, {}
        await self._merge(early)

    def last_displayed(self, uri: str) -> str:
        """The newest commit that URI has read, "" when unknown."""
        status = self.members.get(uri)
        return status.read if status is not None else ""

    # -- what happens --

    def own_commit(self, commit: str, *, awaited: bool) -> None:
        """We made COMMIT: to clients of 13.7 it is displayed by ourselves, and being sent."""
        conversation = self._conversation
        self._member(conversation.home.uri).read = commit
        conversation.history.progress[conversation.home.uri] = ("", commit)
        conversation.announcer.status(conversation.home.uri, commit, READ)
        if awaited:
            self.sending = [*self.sending[-_QUEUED:], commit]
            conversation.announcer.status(conversation.home.uri, commit, SENDING)
        self._changed()

    def commit_by(self, author: str, commit: str) -> None:
        """AUTHOR made COMMIT, newer than what it had read, and so has everything before it."""
        status = self._member(author)
        status.fetched = status.read = commit
        status.fetched_at = status.read_at = int(self._conversation.clock.time())
        if author != self._conversation.home.uri:
            self._raise(author, commit, READ)
        self._changed()

    def fetched(self, uri: str, commit: str) -> None:
        """A device of URI has everything up to COMMIT."""
        conversation = self._conversation
        if uri != conversation.home.uri:
            status = self._member(uri)
            if status.fetched != commit:
                status.fetched = commit
                status.fetched_at = int(conversation.clock.time())
                self._raise(uri, commit, FETCHED)
        if self.sending:
            upto = self.sending.index(commit) + 1 if commit in self.sending else len(self.sending)
            confirmed, self.sending = self.sending[:upto], self.sending[upto:]
            for message in confirmed:
                conversation.announcer.status(conversation.home.uri, message, FETCHED)
        self._changed()

    async def displayed(self, uri: str, commit: str) -> bool:
        """URI has read up to COMMIT; whether that is further than before."""
        conversation = self._conversation
        status = self._member(uri)
        if status.read == commit or not await conversation.run_log(partial(_is_newer, commit, status.read)):
            return False
        status.read = commit
        status.read_at = int(conversation.clock.time())
        if uri == conversation.home.uri:
            conversation.announcer.status(uri, commit, READ)
            conversation.history.advance(uri, commit, READ)
        else:
            raised = self._raise(uri, commit, READ)
            if commit not in raised:
                conversation.announcer.status(uri, commit, READ)
        self._changed()
        return True

    async def read_here(self, commit: str) -> bool:
        """The user has read up to COMMIT; whether members are to be told, to whom what we write ourselves is no sign of reading."""
        if not await self._conversation.run_log(partial(_is_newer, commit, self._told)) or commit == self._told:
            return False
        self._told = commit
        await self.displayed(self._conversation.home.uri, commit)
        return True

    # -- own devices --

    def to_map(self) -> dict[str, dict[str, str]]:
        """For our other devices."""
        return {uri: status.to_map() for uri, status in self.members.items()}

    async def merge(self, data: Any) -> None:
        """Takes over what another device of ours knows better, at once or when the conversation is here."""
        if self._conversation.facts is None:
            self._early = read_statuses(data)
        else:
            await self._merge(read_statuses(data))

    async def _merge(self, statuses: Mapping[str, MemberStatus]) -> None:
        for uri, theirs in statuses.items():
            ours = self._member(uri)
            if theirs.read and theirs.read_at >= ours.read_at and theirs.read != ours.read:
                await self.displayed(uri, theirs.read)
            if (
                theirs.fetched
                and theirs.fetched_at > ours.fetched_at
                and theirs.fetched != ours.fetched
                and uri != self._conversation.home.uri
            ):
                ours.fetched, ours.fetched_at = theirs.fetched, theirs.fetched_at
                self._raise(uri, theirs.fetched, FETCHED)

    async def save_now(self) -> None:
        """Writes the files if anything changed since they were written."""
        if self._saving is not None:
            self._saving.cancel()
            self._saving = None
            conversation = self._conversation
            await in_thread(conversation.store.write_status, conversation.id, dict(self.members), list(self.sending))

    def _raise(self, uri: str, commit: str, status: int) -> list[str]:
        conversation = self._conversation
        raised = [message.id for message in conversation.history.advance(uri, commit, status)]
        for message in raised:
            conversation.announcer.status(uri, message, status)
        return raised

    def _member(self, uri: str) -> MemberStatus:
        return self.members.setdefault(uri, MemberStatus())

    def tell_history(self) -> None:
        conversation = self._conversation
        known = {uri: (status.fetched, status.read) for uri, status in self.members.items()}
        roles = conversation.facts.roles if conversation.facts is not None else {}
        conversation.history.progress = {**dict.fromkeys(roles, ("", "")), **known}

    def _changed(self) -> None:
        if self._saving is None:
            loop = asyncio.get_running_loop()
            self._saving = loop.call_later(_SAVE_SECONDS, lambda: self._conversation.tasks.spawn(self.save_now(), "status"))


def _is_newer(commit: str, than: str, repository: Repository, log: LinearLog) -> bool:
    """Whether COMMIT is in the history and clients show it above THAN ("" for none)."""
    return repository.contains_in_history(commit) and (not than or log.is_above(commit, than))
