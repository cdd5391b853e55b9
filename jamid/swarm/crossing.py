"""Getting devices of 13.7 over commits that they cannot judge, those of devices that only speak to 17.

13.7 knows the account of a device from a connection or from its own checked-out files, and goes no further where it does not: it takes
nothing more of that conversation. But it looks only at what comes before its own head in the order of time. So whoever brings such a commit
of a newcomer first makes a crossing: a commit beside it that changes nothing and is dated after it, and the merge of the two. Devices of
13.7 are given the one, then the other, and from then on have the newcomer's certificate.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from jamid.core.generations import Generation
from jamid.swarm.authoring import is_beside
from jamid.swarm.members import ADMIN, MEMBER

if TYPE_CHECKING:
    from jamid.swarm.commits import Commit
    from jamid.swarm.conversation import Conversation
    from jamid.swarm.seams import PeerDevice

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


class Crossings:
    """The crossings of all conversations of an account that were met since it was loaded."""

    def __init__(self) -> None:
        self.older: dict[str, str] = {}
        """devices of 13.7 that we met, and their accounts"""
        self._crossings: dict[str, list[_Crossing]] = {}

    def met(self, peer: PeerDevice) -> None:
        """A connection with a device stands."""
        if peer.generation is Generation.G13:
            self.older[peer.device_id] = peer.account_uri

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
            if commit in crossing.steps:
                crossing.progress[device] = max(crossing.progress.get(device, 0), crossing.steps.index(commit) + 1)

    def forget(self, conversation: str) -> None:
        self._crossings.pop(conversation, None)
