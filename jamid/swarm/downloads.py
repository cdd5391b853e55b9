"""Downloads of conversations' files: from whoever has them, resumed after a cut, checked as they come (protocol: swarm, section 13)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jamid.core.errors import JamidError, LocalError
from jamid.core.signals import DataTransferEvent
from jamid.core.tasks import in_thread
from jamid.swarm.file_store import Incoming, file_place, link_file, partial_path
from jamid.swarm.members import ADMIN, MEMBER
from jamid.swarm.records import WaitingFile

if TYPE_CHECKING:
    from jamid.swarm.account import AccountConversations
    from jamid.swarm.conversation import Conversation
    from jamid.swarm.seams import ByteChannel

_log = logging.getLogger(__name__)

ONGOING: Final = 5
FINISHED: Final = 6
CLOSED_BY_HOST: Final = 7
CLOSED_BY_PEER: Final = 8
INVALID_PATH: Final = 9
UNJOINABLE: Final = 10

_READ: Final = 1 << 20
_FIRST_BYTE_SECONDS: Final = 60.0
"""A peer may have to hash a large file before it sends the first byte."""
_SILENCE_SECONDS: Final = 20.0
_ATTEMPTS: Final = (0.0, 0.5, 2.0, 10.0)
"""Pauses before each attempt to find a device that has a file: the real daemon offers its own a moment before it can serve them."""
_LATER_ATTEMPTS: Final = (20.0, 40.0, 80.0)
"""The same for a download that had begun; these make a connection if need be."""
_RESUME_SECONDS: Final = 10.0
"""What waits is tried with every sign of a peer, but not more often than this."""

Key = tuple[str, str]
"""conversation and file"""


@dataclass(slots=True)
class _Running:
    """A download under way."""

    target: Path
    task: asyncio.Task[None] = field(init=False)
    progress: int = 0
    told: bool = False
    """that it goes on"""
    again: bool = False
    """asked for once more meanwhile: it begins anew when this one ends without success"""


class Downloads:
    """The downloads of one account."""

    def __init__(self, account: AccountConversations, arrived: Callable[[Path, str], None]) -> None:
        self._account = account
        self._arrived = arrived
        """told of each file that is here and whose digest was found right; blocking"""
        self._running: dict[Key, _Running] = {}
        self._noting = asyncio.Lock()
        self._waits: dict[str, bool] = {}
        """conversation -> whether anything waits in it"""
        self._resumed: dict[str, float] = {}
        """conversation -> when what waits in it was tried last"""

    async def close(self) -> None:
        for running in tuple(self._running.values()):
            running.task.cancel()

    def progress(self, conversation: Conversation, file_id: str) -> int | None:
        """Bytes that came so far, None when nothing is under way."""
        running = self._running.get((conversation.id, file_id))
        return running.progress if running is not None else None

    async def begin(self, conversation: Conversation, waiting: WaitingFile) -> None:
        """Notes a download, which is tried until it succeeds or is cancelled, and starts it; raises LocalError when that cannot be."""
        target = _target(conversation, waiting)
        if self._is_taken(target, (conversation.id, waiting.file_id)):
            raise LocalError(f"another download is being written to {target}; choose another place")
        await self._note(conversation, waiting.file_id, waiting)
        if (running := self._running.get((conversation.id, waiting.file_id))) is not None:
            running.again = True
        else:
            self._start(conversation, waiting)

    def may_wait(self, conversation: Conversation) -> bool:
        """Whether something waits in CONVERSATION, as far as is known without reading."""
        return self._waits.get(conversation.id, True)

    def worth_resuming(self, conversation: Conversation) -> bool:
        """Whether something may wait in CONVERSATION that was not just tried."""
        now = asyncio.get_running_loop().time()
        return self.may_wait(conversation) and now - self._resumed.get(conversation.id, -_RESUME_SECONDS) >= _RESUME_SECONDS

    async def resume(self, conversation: Conversation) -> None:
        """Starts what waits in CONVERSATION and is not under way."""
        self._resumed[conversation.id] = asyncio.get_running_loop().time()
        for waiting in (await self._read(conversation)).values():
            if (conversation.id, waiting.file_id) not in self._running:
                self._start(conversation, waiting)

    async def cancel(self, conversation: Conversation, file_id: str) -> bool:
        """Ends a download and deletes what came of it; False when there is none."""
        key = conversation.id, file_id
        running = self._running.get(key)
        if running is not None:
            running.again = False
            running.task.cancel()
        noted = await self._note(conversation, file_id, None)
        if running is not None:
            await asyncio.wait([running.task])
        if noted is not None:
            if key not in self._running:
                await in_thread(partial_path(_target(conversation, noted)).unlink, True)
            self._event(conversation, noted, CLOSED_BY_PEER)
        return running is not None or noted is not None

    # -- details --

    def _start(self, conversation: Conversation, waiting: WaitingFile) -> None:
        key = conversation.id, waiting.file_id
        target = _target(conversation, waiting)
        if self._is_taken(target, key):
            return
        running = self._running[key] = _Running(target)
        running.task = self._account.tasks.spawn(self._download(conversation, waiting, running), "download")
        running.task.add_done_callback(lambda _: self._ended(conversation, key, running))

    def _is_taken(self, target: Path, key: Key) -> bool:
        return any(other.target == target for taker, other in self._running.items() if taker != key)

    def _ended(self, conversation: Conversation, key: Key, running: _Running) -> None:
        del self._running[key]
        if running.again:
            self._account.tasks.spawn(self.resume(conversation), "resume files")

    async def _download(self, conversation: Conversation, waiting: WaitingFile, running: _Running) -> None:
        for attempt, pause in enumerate((*_ATTEMPTS, *_LATER_ATTEMPTS)):
            if attempt == len(_ATTEMPTS) and not running.told:
                break
            await asyncio.sleep(pause)
            try:
                outcome = await self._from_anyone(conversation, waiting, running)
            except JamidError as error:
                _log.error("%r %s cannot be downloaded: %s", conversation, waiting.file_id, error)
                outcome = INVALID_PATH
            if outcome != UNJOINABLE:
                break
        if outcome != UNJOINABLE or running.told:
            self._event(conversation, waiting, CLOSED_BY_HOST if outcome == UNJOINABLE else outcome)

    async def _from_anyone(self, conversation: Conversation, waiting: WaitingFile, running: _Running) -> int:
        """Tries every connected device of every member in turn; the code of the outcome, UNJOINABLE when none has the file."""
        facts = await conversation.load()
        home = self._account.home
        members = [uri for uri, role in facts.roles.items() if role in (ADMIN, MEMBER)]
        devices = [device for uri in members for device in home.links.devices_of(uri)] if home.links is not None else []
        if not devices and running.told:
            devices = [device.long_id.hex() for uri in members if uri != home.uri for device in await home.devices_of(uri)]
        outcome = UNJOINABLE
        for device in devices:
            if device == home.device_id:
                continue
            outcome = await self._from(conversation, waiting, running, device)
            if outcome == FINISHED:
                noted = await self._note(conversation, waiting.file_id, None)
                if noted is not None and noted.path != waiting.path:
                    # Asked for at another place while it came: there it is still to come.
                    await self._note(conversation, waiting.file_id, noted)
                else:
                    running.again = False
            if outcome in (FINISHED, INVALID_PATH):
                break
        return outcome

    async def _from(self, conversation: Conversation, waiting: WaitingFile, running: _Running, device: str) -> int:
        """One attempt with one device; the code of its outcome, UNJOINABLE when the device does not have the file."""
        home = self._account.home
        links = home.links
        certificate = await home.certificate_of(device)
        if links is None or certificate is None or conversation.shuns(certificate.account_uri, device):
            return UNJOINABLE
        try:
            incoming = await in_thread(Incoming, running.target, waiting.total, may_continue=not waiting.path)
        except OSError as error:
            _log.error("%r %s cannot be written: %s", conversation, running.target, error.strerror)
            return INVALID_PATH
        try:
            query = f"?start={incoming.size}&end=0" if incoming.size else ""
            name = f"data-transfer://{conversation.id}/{home.device_id}/{waiting.file_id}{query}"
            try:
                channel = await links.open(certificate, name, only_existing=not running.told)
            except (ConnectionError, TimeoutError, JamidError) as error:
                _log.debug("%r device %s does not send %s: %s", conversation, device[:16], waiting.file_id, error)
                return UNJOINABLE
            running.told = True
            self._event(conversation, waiting, ONGOING)
            try:
                await _receive(channel, incoming, waiting.total, running)
            except TimeoutError:
                _log.warning("%r device %s went silent within the file %s", conversation, device[:16], waiting.file_id)
                return UNJOINABLE
            except OSError as error:
                _log.error("%r %s cannot be written: %s", conversation, running.target, error.strerror or error)
                return INVALID_PATH
            finally:
                channel.close()
            return await in_thread(self._finish, conversation, waiting, incoming)
        finally:
            await in_thread(incoming.close)

    def _finish(self, conversation: Conversation, waiting: WaitingFile, incoming: Incoming) -> int:
        """Decides what became of a download; blocks for the last of the hash and the renaming."""
        try:
            if conversation.info.is_removed:
                incoming.delete()
            if incoming.size < waiting.total or conversation.info.is_removed:
                return CLOSED_BY_HOST
            if incoming.digest() != waiting.digest:
                _log.warning("%r the file %s is not what was offered; it is deleted", conversation, waiting.file_id)
                incoming.delete()
                return CLOSED_BY_HOST
            path = incoming.complete()
            place = file_place(conversation.store, conversation.id, waiting.file_id)
            if path != place:
                link_file(path, place, symbolic=True)
            self._arrived(place, waiting.digest)
        except OSError as error:
            _log.error("%r the file %s cannot be put in its place: %s", conversation, waiting.file_id, error.strerror)
            return INVALID_PATH
        return FINISHED

    async def _note(self, conversation: Conversation, file_id: str, waiting: WaitingFile | None) -> WaitingFile | None:
        """Notes or (None) forgets a download in the file of those that wait; what was noted before."""
        async with self._noting:
            known = await self._read(conversation)
            before = known.pop(file_id, None)
            if waiting is not None:
                known[file_id] = waiting
            if waiting is not before:
                await in_thread(conversation.store.write_waiting, conversation.id, known)
                self._waits[conversation.id] = bool(known)
        return before

    async def _read(self, conversation: Conversation) -> dict[str, WaitingFile]:
        known = await in_thread(conversation.store.read_waiting, conversation.id)
        self._waits[conversation.id] = bool(known)
        return known

    def _event(self, conversation: Conversation, waiting: WaitingFile, code: int) -> None:
        account = self._account
        account.publish(DataTransferEvent(account.home.id, conversation.id, waiting.interaction, waiting.file_id, code))


async def _receive(channel: ByteChannel, incoming: Incoming, total: int, running: _Running) -> None:
    """Writes what comes while the next part is read, and hashes in a third thread what is written."""
    writing: asyncio.Future[None] | None = None
    hashing: asyncio.Future[None] | None = None
    received = running.progress = incoming.size
    # Once everything is there the end need not be waited for.
    ended = received >= total
    silence = _FIRST_BYTE_SECONDS
    try:
        while not ended:
            parts, size = [], 0
            while size < _READ:
                async with asyncio.timeout(silence):
                    data = await channel.read(_READ)
                silence = _SILENCE_SECONDS
                if not data:
                    ended = True
                    break
                parts.append(data)
                size += len(data)
                received += len(data)
                ended = received >= total
                if ended or writing is None or writing.done():
                    break
            if writing is not None:
                await writing
                running.progress = incoming.size
                if hashing is None or hashing.done():
                    hashing = asyncio.ensure_future(in_thread(incoming.hash_more))
            writing = asyncio.ensure_future(in_thread(incoming.write, parts))
    finally:
        work = [future for future in (writing, hashing) if future is not None]
        if work:
            await asyncio.wait(work)
    for future in work:
        future.result()


def _target(conversation: Conversation, waiting: WaitingFile) -> Path:
    return Path(waiting.path) if waiting.path else file_place(conversation.store, conversation.id, waiting.file_id)
