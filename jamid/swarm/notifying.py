"""Telling devices of new commits: soon, once, and again to those that may have missed it (protocol: swarm, sections 8.3 and 9.1).

Real daemons drop a notification that arrives while they fetch, and never look again; 13.7 asks over a connection that is long dead until it
notices, 20 s after. So nothing is sent to a device during its fetch; what came meanwhile is told when the fetch ends, and a device that is
not known to have the newest commit is reminded of it, less and less often.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from jamid.core.errors import JamidError
from jamid.swarm.commits import write_message
from jamid.swarm.members import ADMIN, MEMBER

if TYPE_CHECKING:
    from jamid.core.tasks import Tasks
    from jamid.swarm.conversation import Conversation
    from jamid.swarm.seams import Home, PeerDevice

_log = logging.getLogger(__name__)

NOTIFICATION: Final = "application/im-gitmessage-id"
_GATHER_SECONDS: Final = 0.15
"""A device that was told of a commit and has not begun to fetch is not told of the next for this long."""
_REPEATS: Final = (1.5, 6.0, 10.0, 12.5, 30.0, 90.0)
"""The pauses after which a device that did not fetch is told again, in seconds."""
_REPEATS_AFTER_FETCH: Final = (0.1, 0.3)
"""The pauses before those for a device that has just fetched: 17 drops what it is told until it has merged that."""
_MERGING_SECONDS: Final = 0.5
_LATER_SECONDS: Final = 5.0
"""How much later devices are told that should hear of it from its author first, or that merges alone are new."""
_UNREACHABLE_SECONDS: Final = 60.0
"""How long a member without connection is not looked for again, unless it announces itself."""


@dataclass(slots=True)
class _Target:
    """What is known of one device in one conversation."""

    account: str = ""
    told: str = ""
    told_at: float = 0.0
    has: str = ""
    fetched_at: float = float("-inf")
    busy: bool = False
    timer: asyncio.TimerHandle | None = None
    repeats: int = 0
    pauses: tuple[float, ...] = _REPEATS


class Notifier:
    """Notifications of one account."""

    def __init__(self, home: Home, tasks: Tasks, ask: Callable[[Conversation, str], None]) -> None:
        self._home = home
        self._tasks = tasks
        self._ask = ask
        """looks what a device has"""
        self._targets: dict[tuple[str, str], _Target] = {}
        self._reaching: set[tuple[str, str]] = set()
        self._unreached: dict[tuple[str, str], float] = {}

    # -- what happened --

    def changed(self, conversation: Conversation, *, later: Collection[str] = (), joins: bool = False) -> None:
        """The head moved: every device of every member that does not have it is to know, those in LATER in a while.

        JOINS: it moved by merges of others alone, so that nobody is in want of it.
        """
        links = self._home.links
        facts = conversation.facts
        if links is None or facts is None:
            return
        own = self._home.uri
        for device in links.devices_of(own):
            if device != self._home.device_id:
                self.notify(conversation, own, device, later=device in later, joins=joins)
        for uri, role in facts.roles.items():
            if role not in (ADMIN, MEMBER) or uri == own or conversation.shuns(uri):
                continue
            devices = links.devices_of(uri)
            for device in devices:
                self.notify(conversation, uri, device, later=device in later, joins=joins)
            if not devices:
                self._reach(conversation, uri)

    def notify(self, conversation: Conversation, uri: str, device: str, *, later: bool = False, joins: bool = False) -> None:
        """Tells DEVICE of URI of the head, unless it has it, is just being told or is banned; LATER and JOINS as in `changed`."""
        if conversation.shuns(uri, device):
            return
        target = self._targets.setdefault((conversation.id, device), _Target())
        target.account = uri
        head = conversation.facts.head if conversation.facts is not None else ""
        if not head or target.has == head or target.busy:
            return
        if later or (joins and target.timer is None):
            self._arm(conversation, device, target, _LATER_SECONDS)
        if later or joins:
            return
        now = asyncio.get_running_loop().time()
        if target.told == head and target.timer is not None:
            return
        if now - target.told_at < _GATHER_SECONDS:
            self._arm(conversation, device, target, target.told_at + _GATHER_SECONDS - now)
            return
        target.repeats = 0
        target.pauses = _REPEATS_AFTER_FETCH + _REPEATS if now - target.fetched_at < _MERGING_SECONDS else _REPEATS
        self._tell(conversation, device, target, head)

    async def hint(self, conversation: Conversation, uri: str) -> None:
        """Tells somebody who may know nothing of the conversation, if connected: it then asks us for an invitation."""
        if conversation.facts is not None:
            text = self._text(conversation, conversation.facts.head)
            await self._home.send(uri, NOTIFICATION, text, only_connected=True)

    def busy(self, conversation: Conversation, device: str, busy: bool) -> None:
        """DEVICE began or ended a fetch from us."""
        target = self._targets.setdefault((conversation.id, device), _Target())
        target.busy = busy

    def fetched(self, conversation: Conversation, peer: PeerDevice, commit: str) -> None:
        """DEVICE has everything up to COMMIT; if that is no longer the head it is told of the head at once."""
        target = self._targets.setdefault((conversation.id, peer.device_id), _Target())
        _log.debug("%r device %s has %s", conversation, peer.device_id[:8], commit[:8])
        target.has = commit
        target.fetched_at = asyncio.get_running_loop().time()
        target.told_at = 0.0
        self._disarm(target)
        self.notify(conversation, peer.account_uri, peer.device_id)

    def has(self, conversation: Conversation, device: str, commit: str) -> None:
        """DEVICE itself told us that it has COMMIT."""
        if conversation.facts is not None and conversation.facts.head == commit:
            target = self._targets.setdefault((conversation.id, device), _Target())
            target.has = commit
            self._disarm(target)

    def connected(self, conversation: Conversation, peer: PeerDevice) -> None:
        """A connection with a device stands: it may have missed anything."""
        if (target := self._targets.pop((conversation.id, peer.device_id), None)) is not None:
            self._disarm(target)
        self.notify(conversation, peer.account_uri, peer.device_id)

    def disconnected(self, device: str) -> None:
        for key in [key for key in self._targets if key[1] == device]:
            self._disarm(self._targets.pop(key))

    def announced(self, uri: str, conversations: list[Conversation]) -> None:
        """A device of URI came online: what it could not be told is tried again."""
        for conversation in conversations:
            if self._unreached.pop((conversation.id, uri), None) is not None:
                self._reach(conversation, uri)

    def forget(self, conversation: str) -> None:
        """The conversation is gone."""
        for key in [key for key in self._targets if key[0] == conversation]:
            self._disarm(self._targets.pop(key))

    def close(self) -> None:
        for target in self._targets.values():
            self._disarm(target)
        self._targets.clear()

    # -- details --

    def _tell(self, conversation: Conversation, device: str, target: _Target, head: str) -> None:
        _log.debug("%r device %s is told of %s", conversation, device[:8], head[:8])
        target.told = head
        target.told_at = asyncio.get_running_loop().time()
        self._tasks.spawn(self._send(device, self._text(conversation, head)), "notify")
        if target.repeats < len(target.pauses):
            self._arm(conversation, device, target, target.pauses[target.repeats])

    def _arm(self, conversation: Conversation, device: str, target: _Target, delay: float) -> None:
        self._disarm(target)
        target.timer = asyncio.get_running_loop().call_later(delay, self._due, conversation, device, target)

    def _due(self, conversation: Conversation, device: str, target: _Target) -> None:
        target.timer = None
        links, facts = self._home.links, conversation.facts
        if links is None or facts is None or target.busy or target.has == facts.head or not links.connected(device):
            return
        if conversation.shuns(target.account, device):
            return
        target.repeats = target.repeats + 1 if target.told == facts.head else 0
        if target.repeats > 1:
            # It may have it from somebody else, and a 13.7 that does says nothing.
            self._ask(conversation, device)
        self._tell(conversation, device, target, facts.head)

    def _disarm(self, target: _Target) -> None:
        if target.timer is not None:
            target.timer.cancel()
            target.timer = None

    def _text(self, conversation: Conversation, head: str) -> str:
        return write_message({"commit": head, "deviceId": self._home.device_id, "id": conversation.id}).decode()

    async def _send(self, device: str, text: str) -> None:
        certificate = await self._home.certificate_of(device)
        if certificate is not None:
            await self._home.send_to_device(certificate, NOTIFICATION, text, only_connected=True)

    def _reach(self, conversation: Conversation, uri: str) -> None:
        """Looks for the devices of a member that has no connection; once one stands, `connected` tells it everything."""
        key = conversation.id, uri
        now = asyncio.get_running_loop().time()
        if key in self._reaching or now - self._unreached.get(key, -_UNREACHABLE_SECONDS) < _UNREACHABLE_SECONDS:
            return
        self._reaching.add(key)
        self._tasks.spawn(self._look_for(conversation, uri), "reach")

    async def _look_for(self, conversation: Conversation, uri: str) -> None:
        key = conversation.id, uri
        try:
            announced = await self._home.devices_of(uri)
            facts = conversation.facts
            if facts is None:
                return
            devices = [device for device in announced if not conversation.shuns(uri, device.long_id.hex())]
            text = self._text(conversation, facts.head)
            for device in devices:
                self._tasks.spawn(self._home.leave_on_dht(device, NOTIFICATION, text), "notify by dht")
            reached = await asyncio.gather(
                *(self._home.send_to_device(device, NOTIFICATION, text) for device in devices), return_exceptions=True
            )
        except JamidError as error:
            _log.debug("%r %s cannot be looked for: %s", conversation, uri, error)
            reached = []
        finally:
            self._reaching.discard(key)
        if any(result is True for result in reached):
            self._unreached.pop(key, None)
        else:
            self._unreached[key] = asyncio.get_running_loop().time()
