"""Files of conversations: offered by a commit, served over `data-transfer://` channels, asked for (protocol: swarm, section 13)."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jamid.core import limits
from jamid.core.errors import JamidError, LocalError
from jamid.core.identifiers import new_53_bit_id
from jamid.core.signals import DataTransferEvent
from jamid.core.tasks import in_thread
from jamid.swarm import message_maps
from jamid.swarm.downloads import FINISHED, Downloads
from jamid.swarm.file_store import Digest, Outgoing, digest_of, file_place, link_file, local_name
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

INVALID: Final = 0
CREATED: Final = 1

OK: Final = 0
UNKNOWN: Final = 1
IO_ERROR: Final = 2
INVALID_ARGUMENT: Final = 3

_NAME = re.compile(r"data-transfer://([0-9a-f]{40})/([0-9a-f]{64})/([^?]+)(?:\?(.*))?", re.DOTALL)
_FILE_ID = re.compile(r"([0-9a-f]{40})_\d{1,20}(\..{1,7})?", re.DOTALL)
_PIECE: Final = 65529
"""With the header of its frame it fills four TLS records."""


class Transfers:
    """The file transfers of one account; the handler of `data-transfer://` channels."""

    def __init__(self, account: AccountConversations) -> None:
        self._account = account
        self._verified: dict[Path, Digest] = {}
        """what was checked at each path"""
        self._downloads = Downloads(account, self._arrived)
        self._served = 0
        self._serving: dict[tuple[str, str], set[ByteChannel]] = {}

    async def close(self) -> None:
        await self._downloads.close()

    # -- offering --

    async def offer(self, conversation: Conversation, path: Path, name: str, reply_to: str = "") -> None:
        """Commits a file message; raises LocalError when there is no such file."""
        account = self._account
        try:
            digest = await in_thread(digest_of, path)
        except OSError as error:
            raise LocalError(f"{path} cannot be sent: {error.strerror}") from error
        shown = message_maps.clean_text(name or path.name)
        tid = new_53_bit_id()
        content = message_maps.file_offer(shown, digest.size, digest.sha3, tid, reply_to)

        def linked(commit: Commit) -> None:
            file_id = message_maps.file_id(commit.id, str(tid), shown)
            target = self._path(conversation, file_id)
            try:
                link_file(path, target)
                self._verified[target] = digest
            except OSError as error:
                _log.error("%r %s cannot be kept for the others: %s", conversation, path, error.strerror)
            account.publish(DataTransferEvent(account.home.id, conversation.id, commit.id, str(path), CREATED))

        if await conversation.post(lambda _repository: (content, {}), before=linked) is None:
            account.publish(DataTransferEvent(account.home.id, conversation.id, "", str(path), INVALID))

    # -- asking --

    async def download(self, conversation: Conversation, interaction: str, file_id: str, path: str) -> bool:
        """Fetches the file of a message, by default to its place among the conversation's data; False when there is none."""
        offer = await self._offer_of(conversation, file_id)
        if offer is None or not file_id.startswith(f"{interaction}_"):
            return False
        waiting = WaitingFile(file_id, interaction, offer["sha3sum"], path, int(offer["totalSize"]))
        try:
            await self._downloads.begin(conversation, waiting)
        except LocalError as error:
            _log.error("%r the file %s cannot be downloaded: %s", conversation, file_id, error)
            return False
        return True

    def peer_connected(self, peer: PeerDevice) -> None:
        """A device is there: downloads that wait for somebody are tried again."""
        account = self._account
        for conversation in account.all() if peer.account_uri == account.home.uri else account.shared_with(peer.account_uri):
            if self._downloads.may_wait(conversation):
                account.tasks.spawn(self._downloads.resume(conversation), "resume files")

    def peer_active(self, conversation: Conversation) -> None:
        """Somebody in CONVERSATION, who may have what waits there, gives a sign of life."""
        if self._downloads.worth_resuming(conversation):
            self._account.tasks.spawn(self._downloads.resume(conversation), "resume files")

    async def info(self, conversation: Conversation, file_id: str) -> tuple[int, str, int, int]:
        """What fileTransferInfo answers: error, path, total size, bytes here."""
        offer = await self._offer_of(conversation, file_id)
        path = self._path(conversation, file_id)
        if offer is None:
            return INVALID_ARGUMENT, "", 0, 0
        total = int(offer["totalSize"])
        if path.exists():
            real = await in_thread(lambda: (str(path.resolve() if path.is_symlink() else path), path.stat().st_size))
            return OK, real[0], total, real[1]
        progress = self._downloads.progress(conversation, file_id)
        if progress is not None:
            return OK, str(path), total, progress
        return INVALID_ARGUMENT, str(path), total, 0

    async def cancel(self, conversation: Conversation, file_id: str) -> int:
        """Ends a download, or what we serve of a file."""
        channels = tuple(self._serving.get((conversation.id, file_id), ()))
        for channel in channels:
            channel.close()
        return OK if await self._downloads.cancel(conversation, file_id) or channels else INVALID_ARGUMENT

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
            if offer is None:
                return
            path = self._path(conversation, file_id)
            outgoing = await in_thread(self._open, path, offer, *_range(match[4] or ""))
            _log.debug("%r the file %s goes to device %s", conversation, file_id, channel.peer.device_id[:8])
            try:
                await _send_file(channel, outgoing)
            finally:
                await in_thread(outgoing.close)
            if (found := outgoing.found()) is not None:
                self._verified[path] = found
            await let_settle(channel, opened)
            self._event(conversation, file_id[:40], file_id, FINISHED)
        except (JamidError, ConnectionError, OSError) as error:
            _log.warning("%r the file %s was not sent in full: %s", conversation, file_id, error)
        finally:
            self._served -= 1
            serving.discard(channel)
            channel.close()

    def _open(self, path: Path, offer: Mapping[str, str], start: int, end: int) -> Outgoing:
        """The file to be sent; one that was not checked yet is checked on its way, or before if only a part is wanted. Blocking.

        Raises OSError, LocalError when it is not what was offered.
        """
        stat = path.stat()
        known = self._verified.get(path)
        if known is None or (known.size, known.changed_ns) != (stat.st_size, stat.st_mtime_ns):
            if not start and not end and stat.st_size == int(offer["totalSize"]):
                return Outgoing(path, expected=offer["sha3sum"])
            known = self._verified[path] = digest_of(path)
        if known.sha3 != offer["sha3sum"]:
            raise LocalError(f"{path} is not what was offered")
        return Outgoing(path, start, end)

    def _arrived(self, place: Path, digest: str) -> None:
        stat = place.stat()
        self._verified[place] = Digest(stat.st_size, stat.st_mtime_ns, digest)

    # -- details --

    async def _offer_of(self, conversation: Conversation, file_id: str) -> dict[str, str] | None:
        """The file message that FILE_ID names, if it really offers that file."""
        match = _FILE_ID.fullmatch(file_id)
        if match is None or not conversation.is_here:
            return None

        def read(repository: Repository) -> dict[str, str] | None:
            if not repository.contains_in_history(match[1]):
                return None
            return conversation.body_of(repository, repository.commit(match[1]), "")

        try:
            body = await conversation.run(read)
        except JamidError:
            return None
        if body is None or body.get("fileId") != file_id or len(body.get("sha3sum", "")) != 128:
            return None
        return body if body.get("totalSize", "").isdecimal() and len(body["totalSize"]) < 18 else None

    def _path(self, conversation: Conversation, file_id: str) -> Path:
        return file_place(conversation.store, conversation.id, file_id)

    def _event(self, conversation: Conversation, interaction: str, file_id: str, code: int) -> None:
        self._account.publish(DataTransferEvent(self._account.home.id, conversation.id, interaction, file_id, code))


async def _send_file(channel: ByteChannel, outgoing: Outgoing) -> None:
    """Sends a file while the next part is read."""
    following = asyncio.ensure_future(in_thread(outgoing.read))
    try:
        while data := await following:
            following = asyncio.ensure_future(in_thread(outgoing.read))
            view = memoryview(data)
            for offset in range(0, len(data), _PIECE):
                await channel.write(view[offset : offset + _PIECE])  # type: ignore[arg-type]
    finally:
        await asyncio.wait([following])
        if not following.cancelled():
            following.exception()


def _range(query: str) -> tuple[int, int]:
    values = dict(part.partition("=")[::2] for part in query.split("&"))
    start, end = (int(value) if value.isdecimal() and len(value) < 18 else 0 for value in (values.get("start", ""), values.get("end", "")))
    return start, end
