"""The serving side of `git://` channels (protocol: swarm, section 8)."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Iterator
from typing import Final

from jamid.core import limits
from jamid.core.errors import JamidError, RemoteError
from jamid.core.tasks import Tasks
from jamid.swarm import upload_pack
from jamid.swarm.conversation import Conversation
from jamid.swarm.repository import Repository
from jamid.swarm.seams import ByteChannel, PeerDevice
from jamid.swarm.upload_pack import Advertise, Negotiate, Request, SendPack, UploadPack, UpToDate

_log = logging.getLogger(__name__)
_NAME = re.compile(r"git://([0-9a-f]{64})/([0-9a-f]{40})")
_BATCH_BYTES: Final = 512 * 1024
_WRITE_BYTES: Final = 65535


class GitServer:
    """Lets members fetch; a handler of the channels named `git://`."""

    def __init__(
        self,
        device: str,
        find: Callable[[str], Conversation | None],
        head_for: Callable[[Conversation, PeerDevice], str],
        fetched: Callable[[Conversation, PeerDevice, str], None],
        busy: Callable[[Conversation, str, bool], None],
        tasks: Tasks,
    ) -> None:
        self._device = device
        self._find = find
        self._head_for = head_for
        self._fetched = fetched
        self._busy = busy
        self._tasks = tasks
        self._channels: dict[str, set[ByteChannel]] = {}

    def accepts(self, peer: PeerDevice, name: str) -> bool:
        """Whether the conversation is here and the peer, as far as is known at once, in it."""
        match = _NAME.fullmatch(name)
        if match is None or match[1] != self._device:
            return False
        if len(self._channels.get(peer.device_id, ())) >= limits.GIT_CHANNELS_PER_DEVICE:
            return False
        conversation = self._find(match[2])
        if conversation is None or not conversation.is_here:
            return False
        return conversation.facts is None or self._may_fetch(conversation, peer)

    def opened(self, channel: ByteChannel) -> None:
        match = _NAME.fullmatch(channel.name)
        conversation = self._find(match[2]) if match is not None else None
        if conversation is None:
            channel.close()
            return
        self._tasks.spawn(self._serve(channel, conversation), f"serve {conversation.id[:8]}")

    def drop_conversation(self, conversation: str) -> None:
        """Closes all channels of a conversation that is gone."""
        for channels in self._channels.values():
            for channel in channels:
                if channel.name.endswith(conversation):
                    channel.close()

    def drop_account(self, conversation: Conversation, uri: str) -> None:
        """Closes the channels of somebody who was banned."""
        for channels in self._channels.values():
            for channel in channels:
                if channel.name.endswith(conversation.id) and channel.peer.account_uri == uri:
                    channel.close()

    async def _serve(self, channel: ByteChannel, conversation: Conversation) -> None:
        peer = channel.peer
        channels = self._channels.setdefault(peer.device_id, set())
        channels.add(channel)
        try:
            await conversation.load()
            machine = UploadPack()
            head = ""
            while data := await channel.read():
                for request in machine.feed(data):
                    if not self._may_fetch(conversation, peer):
                        _log.info("%r device %s may not fetch", conversation, peer.device_id[:16])
                        return
                    if isinstance(request, Advertise):
                        head = self._head_for(conversation, peer)
                        if not head or not await conversation.has_commit(head):
                            head = await conversation.run(Repository.require_head)
                    await self._answer(channel, conversation, request, head)
        except RemoteError as error:
            _log.warning("%r device %s: %s; its fetch is ended", conversation, peer.device_id[:16], error)
        except JamidError as error:
            _log.info("%r cannot be served: %s", conversation, error)
        except (ConnectionError, TimeoutError):
            pass
        finally:
            channels.discard(channel)
            self._busy(conversation, peer.device_id, False)
            channel.close()

    def _may_fetch(self, conversation: Conversation, peer: PeerDevice) -> bool:
        return conversation.serves(peer.account_uri, peer.device_id)

    async def _answer(self, channel: ByteChannel, conversation: Conversation, request: Request, head: str) -> None:
        match request:
            case Advertise():
                self._busy(conversation, channel.peer.device_id, True)
                await channel.write(upload_pack.advertisement(head))
            case Negotiate(haves):
                common = await conversation.run(_first_known, haves)
                await channel.write(upload_pack.acknowledge(common))
            case SendPack(want, haves):
                await self._send_pack(channel, conversation, want, haves)
                self._busy(conversation, channel.peer.device_id, False)
                self._fetched(conversation, channel.peer, want)
            case UpToDate():
                self._busy(conversation, channel.peer.device_id, False)
                self._fetched(conversation, channel.peer, head)

    async def _send_pack(self, channel: ByteChannel, conversation: Conversation, want: str, haves: tuple[str, ...]) -> None:
        common, pieces = await conversation.run(_begin_pack, want, haves)
        pending = upload_pack.final_acknowledge(common)
        while True:
            batch, more = await conversation.run(lambda _repository: _take(pieces))
            for piece in batch:
                for line in upload_pack.side_band(piece):
                    # A pkt-line must never be cut by two writes: the real daemon throws on half a line.
                    if len(pending) + len(line) > _WRITE_BYTES:
                        await channel.write(pending)
                        pending = b""
                    pending += line
            if not more:
                break
        await channel.write(pending + b"0000" if len(pending) + 4 <= _WRITE_BYTES else pending)
        if len(pending) + 4 > _WRITE_BYTES:
            await channel.write(b"0000")
        await asyncio.sleep(0)


def _first_known(repository: Repository, haves: tuple[str, ...]) -> str | None:
    return next((oid for oid in haves if oid in repository), None)


def _begin_pack(repository: Repository, want: str, haves: tuple[str, ...]) -> tuple[str | None, Iterator[bytes]]:
    if not repository.contains_in_history(want):
        raise RemoteError(f"it wants {want}, which is not in the conversation")
    common = _first_known(repository, haves)
    return common, repository.pack(want, (common,) if common is not None else ())


def _take(pieces: Iterator[bytes]) -> tuple[list[bytes], bool]:
    """The next part of a pack, small enough not to hold the repository for long."""
    batch: list[bytes] = []
    size = 0
    for piece in pieces:
        batch.append(piece)
        size += len(piece)
        if size >= _BATCH_BYTES:
            return batch, True
    return batch, False
