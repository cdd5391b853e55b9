"""Fetching what others have: when told of a commit, when a connection stands; each commit from one device at a time (section 8.3)."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from jamid.core import limits
from jamid.core.errors import JamidError, RemoteError
from jamid.core.signals import OnConversationError
from jamid.swarm.commits import Commit
from jamid.swarm.fetching import GitChannels, fetch, known_commits

if TYPE_CHECKING:
    from jamid.core.tasks import Tasks
    from jamid.swarm.conversation import Conversation
    from jamid.swarm.seams import PeerDevice

_log = logging.getLogger(__name__)

FETCH_ERROR: Final = 1
_MERGE_PAUSE: Final = 0.3
"""At most so long a device waits that has just merged, so that two that merge at the same time do not go on for ever."""
_ROUNDS: Final = 16

_LOOK_SECONDS: Final = 1.0
"""So long after anything happened with a device of the older generation it is asked whether it has more: of two notifications that it
sends to one account in a row the second can be lost."""

_YIELDS: Final = 3
"""So often in a row the joining of histories is left to a device that has nothing but merges and makes no other. Devices that join each
other's merges as soon as they see them may never come to an end; and from a history without a narrow place real daemons send all of it at
each fetch."""

Pulled = Callable[["Conversation", "PeerDevice", str, list[Commit]], None]
"""Told of the conversation, the device, its head and the commits that were new, none when we had all."""


class Puller:
    """Fetches into conversations that are here."""

    def __init__(self, channels: GitChannels, tasks: Tasks, pulled: Pulled, crosses: Callable[[Conversation, PeerDevice], bool]) -> None:
        self._channels = channels
        self._tasks = tasks
        self._pulled = pulled
        self._crosses = crosses
        self._running: dict[tuple[str, str], str | None] = {}
        """(conversation, device) -> the newest commit asked for meanwhile"""
        self._wanted: dict[tuple[str, str], asyncio.Event] = {}
        """(conversation, commit) -> set when the fetch that should bring it has ended"""
        self._merged_at: dict[str, float] = {}
        self._yielded: dict[tuple[str, str], tuple[str, int]] = {}
        """(conversation, device) -> its head, and how often in a row it was left to join the histories while it had that"""
        self._looking: dict[tuple[str, str], asyncio.TimerHandle] = {}

    def look_later(self, conversation: Conversation, device: str) -> None:
        """Asks DEVICE in a moment whether it has anything that it could not tell."""
        key = conversation.id, device
        if key not in self._looking:
            self._looking[key] = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look, conversation, device)

    def _look(self, conversation: Conversation, device: str) -> None:
        self._looking.pop((conversation.id, device), None)
        self.pull(conversation, device)

    def close(self) -> None:
        for timer in self._looking.values():
            timer.cancel()
        self._looking.clear()

    def pull(self, conversation: Conversation, device: str, commit: str = "") -> None:
        """Fetches from DEVICE; COMMIT is what it told of, "" to look whether it has anything."""
        key = conversation.id, device
        if key in self._running:
            self._running[key] = commit
            return
        if len(self._running) >= limits.PULLS:
            _log.info("%r device %s is not asked: %d others are", conversation, device[:16], limits.PULLS)
            return
        _log.debug("%r looking for %s at device %s", conversation, commit[:8] or "anything", device[:8])
        self._running[key] = None
        self._tasks.spawn(self._pull(conversation, device, commit), f"pull {conversation.id[:8]}")

    async def _pull(self, conversation: Conversation, device: str, commit: str) -> None:
        key = conversation.id, device
        wanted: str | None = commit
        try:
            for _ in range(_ROUNDS):
                if wanted is None:
                    return
                self._running[key] = None
                await self._wait_for_others(conversation, wanted)
                if not wanted or not await conversation.has_commit(wanted):
                    await self._once(conversation, device, wanted)
                # What was told meanwhile is looked at next; nothing can come between this and the end.
                wanted = self._running[key]
        finally:
            self._running.pop(key, None)

    async def _wait_for_others(self, conversation: Conversation, commit: str) -> None:
        """When another device is already sending COMMIT, its outcome decides whether we ask this one too."""
        other = self._wanted.get((conversation.id, commit)) if commit else None
        if other is not None:
            try:
                async with asyncio.timeout(5):
                    await other.wait()
            except TimeoutError:
                pass
        merged = self._merged_at.get(conversation.id, 0.0)
        if asyncio.get_running_loop().time() - merged < 2.0:
            await asyncio.sleep(random.uniform(0, _MERGE_PAUSE))

    async def _once(self, conversation: Conversation, device: str, commit: str) -> None:
        event = asyncio.Event()
        if commit:
            self._wanted.setdefault((conversation.id, commit), event)
        try:
            await self._fetch(conversation, device)
        except RemoteError as error:
            self._channels.drop(device, conversation.id)
            _log.info("%r nothing was fetched from device %s: %s", conversation, device[:16], error)
        except (ConnectionError, TimeoutError, JamidError) as error:
            self._channels.drop(device, conversation.id)
            _log.info("%r device %s cannot be fetched from: %s", conversation, device[:16], error or "it does not answer")
            if commit and isinstance(error, TimeoutError):
                conversation.publish(OnConversationError(conversation.home.id, conversation.id, FETCH_ERROR, "No answer"))
        finally:
            event.set()
            if self._wanted.get((conversation.id, commit)) is event:
                del self._wanted[(conversation.id, commit)]

    async def _fetch(self, conversation: Conversation, device: str) -> None:
        # A channel that was kept open may have died unnoticed, or its server forgot us as the user left: a new one is tried once.
        for patience in (limits.FETCH_ANSWER_SECONDS, limits.FETCH_SECONDS):
            channel = await self._channels.open(device, conversation)
            try:
                head, pack = await fetch(
                    channel, conversation.id, device, lambda head: conversation.run(known_commits, head), patience=patience
                )
                break
            except (ConnectionError, TimeoutError):
                if patience == limits.FETCH_SECONDS:
                    raise
                self._channels.drop(device, conversation.id)
        commits, key = list[Commit](), (conversation.id, device)
        if pack is not None:
            left, times = self._yielded.get(key, ("", 0))
            times = times if left == head else 0
            commits, yielded = await conversation.integrate(
                pack, head, device, crossing=self._crosses(conversation, channel.peer), yielding=times < _YIELDS
            )
            if yielded:
                _log.debug("%r device %s, which has nothing but merges, is left to join %s", conversation, device[:8], head[:8])
                self._yielded[key] = head, times + 1
                self.look_later(conversation, device)
                return
        self._yielded.pop(key, None)
        if any(len(commit.parents) > 1 and commit.device == conversation.author.device for commit in commits):
            self._merged_at[conversation.id] = asyncio.get_running_loop().time()
        if commits:
            ours = conversation.facts.head if conversation.facts is not None else ""
            _log.debug("%r device %s had %s: %d new commits, now at %s", conversation, device[:8], head[:8], len(commits), ours[:8])
        self._pulled(conversation, channel.peer, head, commits)
