"""Getting devices of 13.7 over commits that they cannot judge, those of devices that only speak to 17.

13.7 knows the account of a device from a connection or from its own checked-out files, and goes no further where it does not: it takes
nothing more of that conversation. But it looks only at what comes before its own head in the order of time. So whoever brings such a commit
of a newcomer first makes a crossing: a commit beside it that changes nothing and is dated after it, and the merge of the two. Devices of
13.7 are given the one, then the other, and from then on have the newcomer's certificate.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from jamid.core import limits
from jamid.core.errors import LocalError
from jamid.core.generations import Generation
from jamid.core.identifiers import is_account_uri, is_conversation_id, is_device_id
from jamid.core.tasks import in_thread
from jamid.swarm.authoring import is_beside
from jamid.swarm.members import ADMIN, MEMBER

if TYPE_CHECKING:
    from jamid.core.tasks import Tasks
    from jamid.swarm.commits import Commit
    from jamid.swarm.conversation import Conversation
    from jamid.swarm.seams import PeerDevice
    from jamid.swarm.store import Store

_log = logging.getLogger(__name__)

_KEPT: Final = 16
"""Crossings of one conversation that are remembered; who is further behind waits until its user writes."""


@dataclass(slots=True)
class _Crossing:
    """A pair of commits that must be fetched one after the other."""

    steps: tuple[str, str]
    accounts: frozenset[str]
    """who was a member before"""
    progress: dict[str, int] = field(default_factory=dict)
    """device -> steps that it has"""

    def to_map(self) -> dict[str, Any]:
        return {"steps": list(self.steps), "accounts": sorted(self.accounts), "progress": dict(self.progress)}

    @classmethod
    def from_map(cls, data: Any) -> _Crossing | None:
        match data:
            case {"steps": [str(first), str(second)], "accounts": [*accounts], "progress": {**progress}}:
                if is_conversation_id(first) and is_conversation_id(second) and all(map(_is_uri, accounts)):
                    known = {device: done for device, done in progress.items() if _is_device(device) and isinstance(done, int) and done > 0}
                    return cls((first, second), frozenset(accounts), known)
        return None


class Crossings:
    """The crossings of all conversations of an account, and the devices they are for; kept in the file `crossings`."""

    def __init__(self, store: Store, tasks: Tasks) -> None:
        self.older: dict[str, str] = {}
        """devices of 13.7 that we met, and their accounts"""
        self._crossings: dict[str, list[_Crossing]] = {}
        self._store = store
        self._tasks = tasks
        self._unsaved = False
        self._saving = asyncio.Lock()

    def load(self, conversations: Iterable[str]) -> None:
        """Reads what is known of CONVERSATIONS; blocks."""
        match self._store.read_crossings():
            case {"older": {**older}, "crossings": {**crossings}}:
                self.older = {device: uri for device, uri in older.items() if _is_device(device) and _is_uri(uri)}
                for conversation in conversations:
                    found = crossings.get(conversation)
                    read = map(_Crossing.from_map, found[-_KEPT:] if isinstance(found, list) else ())
                    if kept := [crossing for crossing in read if crossing is not None]:
                        self._crossings[conversation] = kept

    async def save(self) -> None:
        """Writes what changed since it was written last."""
        async with self._saving:
            if not self._unsaved:
                return
            self._unsaved = False
            crossings = {key: [crossing.to_map() for crossing in found] for key, found in self._crossings.items()}
            try:
                await in_thread(self._store.write_crossings, {"older": dict(self.older), "crossings": crossings})
            except LocalError as error:
                _log.error("%s", error)

    def met(self, peer: PeerDevice) -> None:
        """A connection with a device stands."""
        if peer.generation is None or (peer.device_id in self.older) == (peer.generation is Generation.G13):
            return
        if peer.generation is Generation.G13:
            if len(self.older) >= limits.OLDER_DEVICES:
                del self.older[next(iter(self.older))]
            self.older[peer.device_id] = peer.account_uri
        else:
            del self.older[peer.device_id]
        self._changed()

    def wanted(self, conversation: Conversation, peer: PeerDevice) -> bool:
        """Whether what comes from PEER may be more than members' devices of 13.7 can judge."""
        roles = (conversation.role(uri) for uri in set(self.older.values()))
        return peer.generation is not Generation.G13 and any(role in (ADMIN, MEMBER) for role in roles)

    def learn(self, conversation: Conversation, commits: Iterable[Commit]) -> None:
        """Finds crossings among COMMITS, ours or others', that have just become part of the conversation."""
        known = {commit.id: commit for commit in commits}
        for commit in known.values():
            beside = known.get(commit.parents[0]) if len(commit.parents) == 2 else None
            if beside is not None and is_beside(beside):
                newcomers = {each.json().get("uri") for each in known.values() if len(each.parents) == 1}
                members = (uri for uri in conversation.everybody() if conversation.role(uri) in (ADMIN, MEMBER))
                accounts = frozenset((conversation.home.uri, *members)) - newcomers
                crossings = self._crossings.setdefault(conversation.id, [])
                crossings.append(_Crossing((beside.id, commit.id), accounts))
                del crossings[:-_KEPT]
                self._changed()

    def next_step(self, conversation: Conversation, peer: PeerDevice) -> str:
        """The commit that PEER has to take before anything newer, "" for the newest."""
        if peer.generation is Generation.G13:
            for crossing in self._crossings.get(conversation.id, ()):
                done = crossing.progress.get(peer.device_id, 0)
                if peer.account_uri in crossing.accounts and done < len(crossing.steps):
                    return crossing.steps[done]
        return ""

    def fetched(self, conversation: str, device: str, commit: str) -> None:
        """DEVICE has COMMIT."""
        for crossing in self._crossings.get(conversation, ()):
            if commit in crossing.steps and device in self.older:
                crossing.progress[device] = max(crossing.progress.get(device, 0), crossing.steps.index(commit) + 1)
                self._changed()

    def forget(self, conversation: str) -> None:
        if self._crossings.pop(conversation, None):
            self._changed()

    def _changed(self) -> None:
        if not self._unsaved:
            self._unsaved = True
            self._tasks.spawn(self.save(), "crossings")


def _is_device(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and is_device_id(value)


def _is_uri(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and is_account_uri(value)
