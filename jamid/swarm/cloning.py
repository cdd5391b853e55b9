"""From an accepted invitation to a conversation: clone from whoever has it, check all of it, join (protocol: swarm, section 7.4)."""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from jamid.core import limits
from jamid.core.errors import JamidError, RemoteError
from jamid.core.signals import OnConversationError
from jamid.core.tasks import in_thread
from jamid.swarm import authoring
from jamid.swarm.fetching import GitChannels, fetch
from jamid.swarm.members import ADMIN, INVITED, MEMBER, read_members
from jamid.swarm.receiving import integrate
from jamid.swarm.repository import Repository
from jamid.swarm.rules import ONE_TO_ONE, RuleError, read_root

if TYPE_CHECKING:
    from jamid.core.tasks import Tasks
    from jamid.swarm.conversation import Conversation
    from jamid.swarm.seams import Home

_log = logging.getLogger(__name__)

_MODE_ERROR: Final = 2
_VALIDATION_ERROR: Final = 3
_UNAUTHORIZED: Final = 4
_UNRECOVERABLE: Final = 6
_VALIDATION_FAILURES: Final = 3
_FIRST_DELAY: Final = 5.0
_LAST_DELAY: Final = 900.0

Ready = Callable[["Conversation", str], Awaitable[None]]


class _NotOursError(RemoteError):
    """A conversation that we are no part of, or another one than we were promised."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Cloner:
    """Clones the conversations of one account that are not here yet."""

    def __init__(self, home: Home, channels: GitChannels, tasks: Tasks, ready: Ready) -> None:
        self._home = home
        self._channels = channels
        self._tasks = tasks
        self._ready = ready
        self._running: dict[str, asyncio.Task[None]] = {}
        self._sources: dict[str, list[str]] = {}
        self._devices: dict[str, list[str]] = {}
        self._wake: dict[str, asyncio.Event] = {}

    def clone(self, conversation: Conversation, *, uris: list[str], device: str = "") -> None:
        """Clones from devices of URIS or from DEVICE; goes on trying until it succeeds or the history proves bad three times."""
        sources = self._sources.setdefault(conversation.id, [])
        sources.extend(uri for uri in uris if uri not in sources)
        devices = self._devices.setdefault(conversation.id, [])
        if device and device not in devices:
            devices.insert(0, device)
            del devices[limits.CLONE_DEVICES :]
        self._wake.setdefault(conversation.id, asyncio.Event()).set()
        if conversation.id not in self._running:
            task = self._tasks.spawn(self._clone(conversation), f"clone {conversation.id[:8]}")
            self._running[conversation.id] = task
            task.add_done_callback(lambda _: self._running.pop(conversation.id, None))

    def cancel(self, conversation: str) -> None:
        """Gives up a clone: the conversation was removed."""
        if task := self._running.pop(conversation, None):
            task.cancel()
        for table in (self._sources, self._devices, self._wake):
            table.pop(conversation, None)

    def peer_seen(self, uri: str) -> None:
        """A device of URI is there: clones that wait for it go on at once."""
        for conversation, sources in self._sources.items():
            if uri in sources and conversation in self._wake:
                self._wake[conversation].set()

    async def _clone(self, conversation: Conversation) -> None:
        delay = _FIRST_DELAY
        failures = 0
        wake = self._wake[conversation.id]
        while True:
            wake.clear()
            try:
                device = await self._attempt(conversation)
                if device:
                    self._sources.pop(conversation.id, None)
                    self._devices.pop(conversation.id, None)
                    await self._ready(conversation, device)
                    return
            except RemoteError as error:
                failures += 1
                _log.warning("%r cannot be cloned: %s", conversation, error)
                code, text = _told(error)
                conversation.publish(OnConversationError(self._home.id, conversation.id, code, text))
                if failures >= _VALIDATION_FAILURES:
                    reason = "Conversation repository failed validation repeatedly"
                    conversation.publish(OnConversationError(self._home.id, conversation.id, _UNRECOVERABLE, reason))
                    return
            try:
                async with asyncio.timeout(delay * random.uniform(0.8, 1.2)):
                    await wake.wait()
            except TimeoutError:
                delay = min(_LAST_DELAY, delay * 2)

    async def _attempt(self, conversation: Conversation) -> str:
        """The device the conversation was cloned from, "" when none could be reached; raises RemoteError when what came was bad."""
        tried: set[str] = set()
        bad: RemoteError | None = None
        for find in (self._connected, self._announced):
            candidates = [device for device in await find(conversation) if device not in tried and device != self._home.device_id]
            tried.update(candidates)
            if not candidates:
                continue
            tasks = {asyncio.ensure_future(self._channels.open(device, conversation)): device for device in candidates}
            try:
                # The first device whose channel opens serves; the others are asked when it fails.
                pending = set(tasks)
                while pending:
                    done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                    for task in done:
                        device = tasks[task]
                        try:
                            await task
                            await self._clone_from(conversation, device)
                        except RemoteError as error:
                            bad = error
                        except (ConnectionError, TimeoutError, JamidError) as error:
                            _log.info("%r cannot be cloned from device %s: %s", conversation, device[:16], error or "no answer")
                        else:
                            return device
                        self._channels.drop(device, conversation.id)
            finally:
                for task in tasks:
                    task.cancel()
        if bad is not None:
            raise bad
        return ""

    async def _connected(self, conversation: Conversation) -> list[str]:
        links = self._home.links
        if links is None:
            return []
        named = [device for device in self._devices.get(conversation.id, ()) if links.connected(device)]
        uris = [*self._sources.get(conversation.id, ()), self._home.uri]
        return list(dict.fromkeys([*named, *(device for uri in uris for device in links.devices_of(uri))]))

    async def _announced(self, conversation: Conversation) -> list[str]:
        if self._home.links is None:
            return []
        uris = self._sources.get(conversation.id, ())
        found = await asyncio.gather(*(self._home.devices_of(uri) for uri in uris), return_exceptions=True)
        announced = [device.long_id.hex() for devices in found if not isinstance(devices, BaseException) for device in devices]
        return list(dict.fromkeys([*self._devices.get(conversation.id, ()), *announced]))

    async def _clone_from(self, conversation: Conversation, device: str) -> None:
        channel = await self._channels.open(device, conversation)
        started = asyncio.get_running_loop().time()

        def progress(received: int, objects: int) -> None:
            rate = received / 1024 / (asyncio.get_running_loop().time() - started)
            text = "%r cloning from device %s: %.1f MiB of %d objects received, %.0f KiB/s"
            _log.info(text, conversation, device[:16], received / (1 << 20), objects, rate)

        def checked(done: int, total: int) -> None:
            _log.info("%r cloning: %d of %d commits checked", conversation, done, total)

        async def nothing_known(_head: str) -> tuple[bool, list[str]]:
            return False, []

        head, pack = await fetch(channel, conversation.id, device, nothing_known, progress)
        assert pack is not None
        await in_thread(_build, conversation, pack, head, checked)
        taken = asyncio.get_running_loop().time() - started
        _log.info("%r cloned %d KiB from device %s in %.2f s", conversation, len(pack) // 1024, device[:16], taken)


def _build(conversation: Conversation, pack: bytes, head: str, progress: Callable[[int, int], None]) -> None:
    """Makes the repository aside, checks it in full, and only then puts it in its place. Blocking."""
    final = conversation.store.repository(conversation.id)
    aside = final.with_name(f".{conversation.id}.cloning")
    Repository.erase(aside)
    repository = Repository.create(aside)
    try:
        integrate(repository, conversation.id, pack, head, None, progress)
        root = read_root(repository, conversation.id)
        uri = conversation.home.uri
        role = read_members(repository.tree(head), root).get(uri, "")
        if role not in (ADMIN, MEMBER, INVITED):
            raise _NotOursError(_UNAUTHORIZED, "we are neither invited nor a member")
        expected = conversation.info.members
        if root.mode == ONE_TO_ONE and uri not in root.members:
            raise _NotOursError(_MODE_ERROR, "a conversation of two others")
        if conversation.info.mode == ONE_TO_ONE and (root.mode != ONE_TO_ONE or not set(expected) <= {*root.members, uri}):
            raise _NotOursError(_MODE_ERROR, "not the conversation of two that was promised")
        conversation.info.mode = root.mode
        if role == INVITED:
            authoring.commit(repository, conversation.author, *authoring.joining(conversation.author))
        if final.exists():
            Repository.erase(final)
        os.rename(aside, final)
    except BaseException:
        Repository.erase(aside)
        raise


def _told(error: RemoteError) -> tuple[int, str]:
    if isinstance(error, RuleError):
        return _VALIDATION_ERROR, error.verdict
    if isinstance(error, _NotOursError):
        return error.code, str(error)
    return _VALIDATION_ERROR, "Malformed commit"
