"""Files of conversations: offered by a commit, fetched over `data-transfer://` channels, resumed, checked (protocol: swarm, section 13)."""

from __future__ import annotations

import asyncio
import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jamid.core import limits
from jamid.core.errors import JamidError, LocalError, RemoteError
from jamid.core.identifiers import new_53_bit_id
from jamid.core.signals import DataTransferEvent
from jamid.core.tasks import in_thread
from jamid.swarm import message_maps
from jamid.swarm.file_store import Incoming, digest_of, link_file, local_name, partial_path
from jamid.swarm.members import ADMIN, MEMBER
from jamid.swarm.records import WaitingFile
from jamid.swarm.repository import Repository
from jamid.swarm.settling import let_settle

if TYPE_CHECKING:
    from jamid.swarm.account import AccountConversations
    from jamid.swarm.commits import Commit
    from jamid.swarm.conversation import Conversation
    from jamid.swarm.seams import ByteChannel, PeerDevice

_log = logging.getLogger(__name__)

CREATED: Final = 1
ONGOING: Final = 5
FINISHED: Final = 6
CLOSED_BY_HOST: Final = 7
CLOSED_BY_PEER: Final = 8
INVALID_PATH: Final = 9
UNJOINABLE: Final = 10

OK: Final = 0
UNKNOWN: Final = 1
IO_ERROR: Final = 2
INVALID_ARGUMENT: Final = 3

_NAME = re.compile(r"data-transfer://([0-9a-f]{40})/([0-9a-f]{64})/([^?]+)(?:\?(.*))?", re.DOTALL)
_FILE_ID = re.compile(r"([0-9a-f]{40})_(\d{1,20})(\..{1,7})?", re.DOTALL)
_PIECE: Final = 65535
_READ: Final = 1 << 20
_SILENCE_SECONDS: Final = 60.0
_ATTEMPTS: Final = (0.0, 0.5, 2.0, 10.0)
"""Pauses before each attempt to find a device that has a file: the real daemon offers its own a moment before it can serve them."""


class Transfers:
    """The file transfers of one account; the handler of `data-transfer://` channels."""

    def __init__(self, account: AccountConversations) -> None:
        self._account = account
        self._downloads: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._progress: dict[tuple[str, str], int] = {}
        self._verified: dict[Path, tuple[int, int, str]] = {}
        """path -> size, time of change and digest of what was checked"""
        self._noting = asyncio.Lock()
        self._served = 0
        self._serving: dict[tuple[str, str], set[ByteChannel]] = {}

    async def close(self) -> None:
        for task in tuple(self._downloads.values()):
            task.cancel()

    # -- offering --

    async def offer(self, conversation: Conversation, path: Path, name: str, reply_to: str = "") -> None:
        """Commits a file message; raises LocalError when there is no such file."""
        account = self._account
        try:
            size, digest = await in_thread(digest_of, path)
        except OSError as error:
            raise LocalError(f"{path} cannot be sent: {error.strerror}") from error
        shown = message_maps.clean_text(name or path.name)
        tid = new_53_bit_id()
        content = message_maps.file_offer(shown, size, digest, tid, reply_to)

        def linked(commit: Commit) -> None:
            file_id = message_maps.file_id(commit.id, str(tid), shown)
            target = self._path(conversation, file_id)
            try:
                link_file(path, target)
                stat = target.stat()
                self._verified[target] = (stat.st_size, stat.st_mtime_ns, digest)
            except OSError as error:
                _log.error("%r %s cannot be kept for the others: %s", conversation, path, error.strerror)
            account.publish(DataTransferEvent(account.home.id, conversation.id, commit.id, str(path), CREATED))

        await conversation.post(lambda _repository: (content, {}), before=linked)

    # -- asking --

    async def download(self, conversation: Conversation, interaction: str, file_id: str, path: str) -> bool:
        """Fetches the file of a message, by default to its place among the conversation's data; False when there is none."""
        offer = await self._offer_of(conversation, file_id)
        if offer is None or not file_id.startswith(interaction):
            return False
        content, _ = offer
        waiting = WaitingFile(file_id, interaction, content["sha3sum"], path, int(content["totalSize"]))
        await self._wait_for(conversation, file_id, waiting)
        self._begin(conversation, waiting)
        return True

    def peer_connected(self, peer: PeerDevice) -> None:
        """A device is there: downloads that wait for somebody are tried again."""
        self._account.tasks.spawn(self._resume(peer.account_uri), "resume files")

    async def info(self, conversation: Conversation, file_id: str) -> tuple[int, str, int, int]:
        """What fileTransferInfo answers: error, path, total size, bytes here."""
        offer = await self._offer_of(conversation, file_id)
        path = self._path(conversation, file_id)
        if offer is None:
            return INVALID_ARGUMENT, "", 0, 0
        total = int(offer[0]["totalSize"])
        if path.exists():
            real = await in_thread(lambda: (str(path.resolve() if path.is_symlink() else path), path.stat().st_size))
            return OK, real[0], total, real[1]
        key = conversation.id, file_id
        if key in self._downloads:
            return OK, str(path), total, self._progress.get(key, 0)
        return INVALID_ARGUMENT, str(path), total, 0

    async def cancel(self, conversation: Conversation, file_id: str) -> int:
        """Ends a download, or what we serve of a file."""
        key = conversation.id, file_id
        task = self._downloads.pop(key, None)
        channels = self._serving.get(key)
        entry = await self._wait_for(conversation, file_id, None)
        if task is None and not channels and entry is None:
            return INVALID_ARGUMENT
        if task is not None:
            task.cancel()
        if entry is not None:
            await in_thread(partial_path(self._target(conversation, entry)).unlink, True)
            self._event(conversation, entry.interaction, file_id, CLOSED_BY_PEER)
        for channel in list(channels or ()):
            channel.close()
        return OK

    async def remove(self, conversation: Conversation, file_id: str) -> None:
        """Deletes our copy of a file."""
        if local_name(file_id):
            await in_thread(self._path(conversation, file_id).unlink, True)

    # -- serving: handler of channels --

    def accepts(self, peer: PeerDevice, name: str) -> bool:
        """Whether a channel is for a profile or a file of a conversation that the peer is in, and few are open."""
        if self._account.profiles.is_profile(name):
            return self._account.profiles.accepts(peer, name)
        match = _NAME.fullmatch(name)
        if match is None or match[2] != peer.device_id or self._served >= limits.TRANSFERS_SERVED:
            return False
        conversation = self._account.find(match[1])
        if conversation is None or not conversation.is_here or _FILE_ID.fullmatch(match[3]) is None:
            return False
        own = peer.account_uri == self._account.home.uri
        member = own or conversation.facts is None or conversation.role(peer.account_uri) in (ADMIN, MEMBER)
        return member and self._path(conversation, match[3]).is_file()

    def opened(self, channel: ByteChannel) -> None:
        if self._account.profiles.is_profile(channel.name):
            self._account.profiles.opened(channel)
            return
        self._account.tasks.spawn(self._serve(channel), "serve file")

    async def _serve(self, channel: ByteChannel) -> None:
        match = _NAME.fullmatch(channel.name)
        conversation = self._account.find(match[1]) if match is not None else None
        if match is None or conversation is None:
            channel.close()
            return
        file_id = match[3]
        serving = self._serving.setdefault((conversation.id, file_id), set())
        serving.add(channel)
        self._served += 1
        opened = asyncio.get_running_loop().time()
        try:
            await conversation.load()
            uri = channel.peer.account_uri
            serves = conversation.serves(uri, channel.peer.device_id)
            if uri != self._account.home.uri and not (serves and conversation.role(uri) in (ADMIN, MEMBER)):
                return
            offer = await self._offer_of(conversation, file_id)
            path = self._path(conversation, file_id)
            if offer is None or not await self._is_intact(path, offer[0]["sha3sum"]):
                _log.warning("%r the file %s is not what was offered; it is not sent", conversation, file_id)
                return
            start, end = _range(match[4] or "")
            _log.debug("%r the file %s goes to device %s", conversation, file_id, channel.peer.device_id[:8])
            await _send_file(channel, path, start, end)
            await let_settle(channel, opened)
            self._event(conversation, file_id[:40], file_id, FINISHED)
        except (JamidError, ConnectionError, OSError) as error:
            _log.info("%r the file %s was not sent in full: %s", conversation, file_id, error)
        finally:
            self._served -= 1
            serving.discard(channel)
            channel.close()

    async def _is_intact(self, path: Path, digest: str) -> bool:
        try:
            stat = await in_thread(path.stat)
            known = self._verified.get(path)
            if known is None or known[:2] != (stat.st_size, stat.st_mtime_ns):
                size, found = await in_thread(digest_of, path)
                known = self._verified[path] = (size, stat.st_mtime_ns, found)
        except OSError:
            return False
        return known[2] == digest

    # -- downloading --

    def _begin(self, conversation: Conversation, waiting: WaitingFile) -> None:
        key = conversation.id, waiting.file_id
        if key not in self._downloads:
            task = self._account.tasks.spawn(self._download(conversation, waiting), "download")
            self._downloads[key] = task
            task.add_done_callback(lambda _: self._ended(key, task))

    def _ended(self, key: tuple[str, str], task: asyncio.Task[None]) -> None:
        # One that was cancelled may have been begun anew before it ended.
        if self._downloads.get(key, task) is task:
            self._downloads.pop(key, None)
            self._progress.pop(key, None)

    async def _resume(self, uri: str) -> None:
        for conversation in self._account.all() if uri == self._account.home.uri else self._account.shared_with(uri):
            for waiting in (await in_thread(conversation.store.read_waiting, conversation.id)).values():
                self._begin(conversation, waiting)

    async def _download(self, conversation: Conversation, waiting: WaitingFile) -> None:
        for pause in _ATTEMPTS:
            await asyncio.sleep(pause)
            outcome = await self._download_from_anyone(conversation, waiting)
            if outcome != UNJOINABLE:
                self._event(conversation, waiting.interaction, waiting.file_id, outcome)
                return

    async def _download_from_anyone(self, conversation: Conversation, waiting: WaitingFile) -> int:
        """Tries every connected device of every member in turn; the code of the outcome, UNJOINABLE when none has the file."""
        facts = await conversation.load()
        links = self._account.home.links
        members = [uri for uri, role in facts.roles.items() if role in (ADMIN, MEMBER)]
        devices = [device for uri in members for device in links.devices_of(uri)] if links is not None else []
        outcome = UNJOINABLE
        for device in devices:
            if device == self._account.home.device_id:
                continue
            outcome = await self._download_from(conversation, waiting, device)
            if outcome == FINISHED:
                await self._wait_for(conversation, waiting.file_id, None)
            if outcome in (FINISHED, INVALID_PATH):
                break
        return outcome

    async def _download_from(self, conversation: Conversation, waiting: WaitingFile, device: str) -> int:
        """One attempt with one device; the code of its outcome, UNJOINABLE when the device does not have the file."""
        home = self._account.home
        links = home.links
        certificate = await home.certificate_of(device)
        if links is None or certificate is None:
            return UNJOINABLE
        target = self._target(conversation, waiting)
        try:
            incoming = await in_thread(Incoming, target, waiting.total)
        except OSError as error:
            _log.error("%r %s cannot be written: %s", conversation, target, error.strerror)
            return INVALID_PATH
        start = incoming.size
        query = f"?start={start}&end=0" if start else ""
        name = f"data-transfer://{conversation.id}/{home.device_id}/{waiting.file_id}{query}"
        try:
            channel = await links.open(certificate, name, only_existing=True)
        except (ConnectionError, TimeoutError, JamidError) as error:
            _log.debug("%r device %s does not send %s: %s", conversation, device[:16], waiting.file_id, error)
            await in_thread(incoming.abandon)
            return UNJOINABLE
        self._event(conversation, waiting.interaction, waiting.file_id, ONGOING)
        key = conversation.id, waiting.file_id
        try:
            await self._receive(channel, incoming, waiting.total, key)
        except (RemoteError, TimeoutError) as error:
            _log.warning("%r %s from device %s: %s", conversation, waiting.file_id, device[:16], error or "it went silent")
        except OSError as error:
            _log.error("%r %s cannot be written: %s", conversation, target, error.strerror or error)
            await in_thread(incoming.abandon)
            return INVALID_PATH
        finally:
            channel.close()
        return await in_thread(self._finish, conversation, waiting, incoming)

    async def _receive(self, channel: ByteChannel, incoming: Incoming, total: int, key: tuple[str, str]) -> None:
        """Writes what comes while the next part is read."""
        writing: asyncio.Future[None] | None = None
        received = incoming.size
        # Once everything is there the end need not be waited for.
        ended = received >= total
        try:
            while not ended:
                parts, size = [], 0
                while size < _READ:
                    async with asyncio.timeout(_SILENCE_SECONDS):
                        data = await channel.read(_READ)
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
                    writing = None
                if parts:
                    writing = asyncio.ensure_future(in_thread(incoming.write, parts))
                self._progress[key] = incoming.size
        finally:
            if writing is not None:
                await asyncio.shield(writing)

    def _finish(self, conversation: Conversation, waiting: WaitingFile, incoming: Incoming) -> int:
        """Decides what became of a download; blocks for the last hash and the renaming."""
        if incoming.size < waiting.total:
            incoming.abandon()
            return CLOSED_BY_HOST
        if incoming.digest() != waiting.digest:
            _log.warning("%r the file %s is not what was offered; it is deleted", conversation, waiting.file_id)
            incoming.delete()
            return CLOSED_BY_HOST
        try:
            path = incoming.complete()
            place = self._path(conversation, waiting.file_id)
            if waiting.path and path != place:
                link_file(path, place, symbolic=True)
            stat = place.stat()
        except OSError as error:
            _log.error("%r the file %s cannot be put in its place: %s", conversation, waiting.file_id, error.strerror)
            return INVALID_PATH
        self._verified[place] = (stat.st_size, stat.st_mtime_ns, waiting.digest)
        return FINISHED

    # -- details --

    async def _wait_for(self, conversation: Conversation, file_id: str, waiting: WaitingFile | None) -> WaitingFile | None:
        """Notes or (None) forgets a download in the file of those that wait; what was noted before."""
        async with self._noting:
            known = await in_thread(conversation.store.read_waiting, conversation.id)
            before = known.pop(file_id, None)
            if waiting is not None:
                known[file_id] = waiting
            if waiting is not before:
                await in_thread(conversation.store.write_waiting, conversation.id, known)
        return before

    async def _offer_of(self, conversation: Conversation, file_id: str) -> tuple[dict[str, str], str] | None:
        """The file message that FILE_ID names, if it really offers that file."""
        match = _FILE_ID.fullmatch(file_id)
        if match is None or not conversation.is_here:
            return None

        def read(repository: Repository) -> tuple[dict[str, str], str] | None:
            if not repository.contains_in_history(match[1]):
                return None
            commit = repository.commit(match[1])
            body = conversation.body_of(repository, commit, "")
            return (body, commit.device) if body is not None else None

        try:
            found = await conversation.run(read)
        except JamidError:
            return None
        if found is None:
            return None
        body = found[0]
        honest = body["type"] == message_maps.FILE and body.get("tid") == match[2] and len(body.get("sha3sum", "")) == 128
        return found if honest and body.get("totalSize", "").isdecimal() and len(body["totalSize"]) < 18 else None

    def _path(self, conversation: Conversation, file_id: str) -> Path:
        return conversation.store.conversation_data(conversation.id) / (local_name(file_id) or "invalid")

    def _target(self, conversation: Conversation, waiting: WaitingFile) -> Path:
        return Path(waiting.path) if waiting.path else self._path(conversation, waiting.file_id)

    def _event(self, conversation: Conversation, interaction: str, file_id: str, code: int) -> None:
        self._account.publish(DataTransferEvent(self._account.home.id, conversation.id, interaction, file_id, code))


async def _send_file(channel: ByteChannel, path: Path, start: int, end: int) -> None:
    """Sends the bytes from START to END (0: all) while the next part is read."""
    file = await in_thread(path.open, "rb")
    try:
        await in_thread(file.seek, start)
        left = end - start if end > start else None
        following = asyncio.ensure_future(in_thread(file.read, _READ))
        while data := await following:
            if left is not None:
                data = data[:left]
                left -= len(data)
            following = asyncio.ensure_future(in_thread(file.read, _READ if left is None or left else 0))
            view = memoryview(data)
            for offset in range(0, len(data), _PIECE):
                await channel.write(view[offset : offset + _PIECE])  # type: ignore[arg-type]
    finally:
        await in_thread(file.close)


def _range(query: str) -> tuple[int, int]:
    values = dict(part.partition("=")[::2] for part in query.split("&"))
    start, end = (int(value) if value.isdecimal() and len(value) < 18 else 0 for value in (values.get("start", ""), values.get("end", "")))
    return start, end
