"""The fetching side of `git://` channels: one channel per device and conversation, one fetch at a time on it (section 8)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from jamid.core import limits
from jamid.swarm import fetch_pack
from jamid.swarm.ancestry import contains
from jamid.swarm.fetch_pack import FetchPack, Step
from jamid.swarm.repository import Repository
from jamid.swarm.seams import ByteChannel, Home

if TYPE_CHECKING:
    from jamid.swarm.conversation import Conversation

_log = logging.getLogger(__name__)
_READ: Final = 1 << 20
_PROGRESS_SECONDS: Final = 5.0
"""How often a long fetch is told of."""


class GitChannels:
    """The channels that we opened to fetch on."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._channels: dict[tuple[str, str], ByteChannel] = {}

    async def open(self, device: str, conversation: Conversation) -> ByteChannel:
        """The open channel to DEVICE for CONVERSATION, or a new one; raises ConnectionError or JamidError."""
        key = device, conversation.id
        channel = self._channels.get(key)
        if channel is not None and not channel.closed:
            return channel
        links = self._home.links
        if links is None:
            raise ConnectionError("the account is offline")
        certificate = await self._home.certificate_of(device)
        if certificate is None:
            raise ConnectionError(f"the certificate of device {device[:16]} is not known")
        if conversation.shuns(certificate.account_uri, device):
            raise ConnectionError(f"device {device[:16]} is banned")
        channel = await links.open(certificate, f"git://{device}/{conversation.id}")
        self._channels[key] = channel
        return channel

    def drop(self, device: str, conversation: str) -> None:
        """Closes the channel of one conversation."""
        channel = self._channels.pop((device, conversation), None)
        if channel is not None:
            channel.close()

    def drop_shunned(self, conversation: Conversation) -> None:
        """Closes the channels to those who were banned."""
        for (device, other), channel in tuple(self._channels.items()):
            if other == conversation.id and conversation.shuns(channel.peer.account_uri, device):
                self.drop(device, other)

    def drop_conversation(self, conversation: str) -> None:
        for device, other in [key for key in self._channels if key[1] == conversation]:
            self.drop(device, other)

    def close(self) -> None:
        for channel in self._channels.values():
            channel.close()
        self._channels.clear()


def known_commits(repository: Repository, head: str) -> tuple[bool, list[str]]:
    """Whether HEAD is in the history, and the newest commits to name to the peer otherwise. Blocking."""
    ours = repository.head()
    if ours is None:
        return False, []
    if head == ours or (head in repository and contains(ours, head, repository.node)):
        return True, []
    haves = []
    for oid in repository.log():
        haves.append(oid)
        if len(haves) == fetch_pack.HAVES:
            break
    return False, haves


async def fetch(
    channel: ByteChannel,
    conversation: str,
    device: str,
    known: Callable[[str], Awaitable[tuple[bool, list[str]]]],
    progress: Callable[[int, int], None] | None = None,
    *,
    patience: float = limits.FETCH_SECONDS,
) -> tuple[str, bytes | None]:
    """Fetches the branch over CHANNEL; the peer's head, and the pack that leads to it, None when nothing is new.

    PROGRESS is told now and then how many bytes there are so far, and of how many objects in all.

    Raises RemoteError when the peer speaks something else, ConnectionError when the channel ends, TimeoutError when nothing comes, the
    first answer within PATIENCE.
    """
    machine = FetchPack()
    await channel.write(machine.begin(conversation, device))
    loop = asyncio.get_running_loop()
    told = loop.time()
    while machine.step is not Step.DONE:
        async with asyncio.timeout(patience if machine.step is Step.ADVERTISING else limits.FETCH_SECONDS):
            data = await channel.read(_READ)
        if not data:
            raise ConnectionError(f"device {device[:16]} closed the channel during a fetch")
        machine.feed(data)
        if machine.step is Step.CHOOSING:
            assert machine.head is not None
            is_known, haves = await known(machine.head)
            if is_known:
                await channel.write(machine.up_to_date())
                return machine.head, None
            await channel.write(machine.request(haves))
        elif progress is not None and loop.time() - told >= _PROGRESS_SECONDS:
            told = loop.time()
            progress(machine.received, machine.objects)
    await channel.write(b"0000")
    assert machine.head is not None
    return machine.head, machine.pack()
