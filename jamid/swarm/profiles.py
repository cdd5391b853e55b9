"""vCards of accounts: pushed once to each device, asked for after a clone, kept and shown (protocol: swarm, section 14)."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jamid.core import limits
from jamid.core.errors import JamidError, LocalError, RemoteError
from jamid.core.files import read_if_present, write_atomically
from jamid.core.generations import Generation
from jamid.core.signals import ProfileReceived
from jamid.core.tasks import in_thread
from jamid.swarm import generations
from jamid.swarm.rules import ONE_TO_ONE

if TYPE_CHECKING:
    from jamid.swarm.account import AccountConversations
    from jamid.swarm.conversation import Conversation
    from jamid.swarm.seams import ByteChannel, PeerDevice

_log = logging.getLogger(__name__)

_OWN = re.compile(r"data-transfer://profile\.vcf(?:\?.*)?")
_PUSH = re.compile(r"data-transfer://([0-9a-f]{40})/([0-9a-f]{64})/profile\.vcf(?:\?.*)?")
_ASK = re.compile(r"data-transfer://([0-9a-f]{40})/profile/([0-9a-f]{40})\.vcf(?:\?.*)?")
_SECONDS: Final = 30.0


class Profiles:
    """The profiles that one account sends and receives."""

    def __init__(self, account: AccountConversations) -> None:
        self._account = account
        self._pushing: set[str] = set()

    # -- handler of channels --

    @staticmethod
    def is_profile(name: str) -> bool:
        """Whether a channel of that name carries a profile."""
        return any(pattern.fullmatch(name) for pattern in (_OWN, _PUSH, _ASK))

    def accepts(self, peer: PeerDevice, name: str) -> bool:
        own = peer.account_uri == self._account.home.uri
        if _OWN.fullmatch(name):
            return own
        if match := _PUSH.fullmatch(name):
            return match[2] == peer.device_id and self._is_member(match[1], peer)
        match = _ASK.fullmatch(name)
        return match is not None and (own or match[2] == self._account.home.uri) and self._is_member(match[1], peer)

    def opened(self, channel: ByteChannel) -> None:
        self._account.tasks.spawn(self._serve(channel), "profile")

    # -- what happens --

    def conversation_cloned(self, conversation: Conversation, device: str) -> None:
        """A conversation is new here: the profiles of its members are asked for."""
        self._account.tasks.spawn(self._ask_all(conversation, device), "ask profiles")

    def peer_active(self, conversation: Conversation, peer: PeerDevice) -> None:
        """A device of a member has fetched: it gets our profile, once per content."""
        if peer.device_id not in self._pushing and peer.account_uri != self._account.home.uri:
            self._pushing.add(peer.device_id)
            self._account.tasks.spawn(self._push(conversation, peer), "push profile")

    async def changed(self) -> None:
        """Our own profile is another now: every device must get it again."""
        self._pushing.clear()

    # -- details --

    def _is_member(self, conversation_id: str, peer: PeerDevice) -> bool:
        conversation = self._account.find(conversation_id)
        if conversation is None:
            return False
        return conversation.facts is None or conversation.serves(peer.account_uri, peer.device_id)

    async def _serve(self, channel: ByteChannel) -> None:
        ask = _ASK.fullmatch(channel.name)
        match = ask or _PUSH.fullmatch(channel.name)
        if match is not None and not await self._admits(match[1], channel.peer):
            channel.close()
        elif ask is not None:
            await self._send(channel, ask[2])
        else:
            await self._receive(channel, channel.peer.account_uri)

    async def _admits(self, conversation_id: str, peer: PeerDevice) -> bool:
        """Whether the peer is in the conversation, which may have to be read first."""
        conversation = self._account.find(conversation_id)
        if conversation is None:
            return False
        try:
            await conversation.load()
        except JamidError:
            # It is still being cloned: nobody can be told from a member yet, and members already send.
            return True
        return conversation.serves(peer.account_uri, peer.device_id)

    async def _read(self, uri: str) -> bytes:
        try:
            return await in_thread(read_if_present, self._account.home.profile_path(uri), limits.MEMBER_PROFILE_BYTES) or b""
        except LocalError as error:
            _log.warning("[account=%s] %s", self._account.home.id, error)
            return b""

    async def _send(self, channel: ByteChannel, uri: str) -> None:
        try:
            data = await self._read(uri)
            for start in range(0, len(data), 65535):
                await channel.write(data[start : start + 65535])
        except ConnectionError:
            pass
        finally:
            channel.close()

    async def _receive(self, channel: ByteChannel, uri: str) -> None:
        data = bytearray()
        try:
            async with asyncio.timeout(_SECONDS):
                while piece := await channel.read():
                    data += piece
                    if len(data) > limits.MEMBER_PROFILE_BYTES:
                        raise RemoteError(f"the profile of {uri} is larger than {limits.MEMBER_PROFILE_BYTES} bytes")
        except (RemoteError, TimeoutError, ConnectionError) as error:
            _log.info("[account=%s] no profile of %s: %s", self._account.home.id, uri, error or "it does not come")
            return
        finally:
            channel.close()
        if not data.lstrip().startswith(b"BEGIN:VCARD"):
            return
        home = self._account.home
        path = home.profile_path(uri)
        try:
            if await self._read(uri) != data:
                await in_thread(write_atomically, path, bytes(data))
            self._account.publish(ProfileReceived(home.id, uri, str(path)))
        except LocalError as error:
            _log.error("[account=%s] %s", home.id, error)

    async def _ask_all(self, conversation: Conversation, device: str) -> None:
        home = self._account.home
        facts = await conversation.load()
        certificate = await home.certificate_of(device)
        if home.links is None or certificate is None:
            return
        from_own = certificate.account_uri == home.uri
        if from_own:
            wanted = [uri for uri in facts.roles if uri != home.uri]
        else:
            wanted = [certificate.account_uri] if facts.root.mode == ONE_TO_ONE else []
        for uri in wanted:
            try:
                channel = await home.links.open(certificate, f"data-transfer://{conversation.id}/profile/{uri}.vcf", only_existing=True)
            except (ConnectionError, TimeoutError, JamidError) as error:
                _log.debug("%r no profile of %s: %s", conversation, uri, error)
                continue
            await self._receive(channel, uri)

    async def _push(self, conversation: Conversation, peer: PeerDevice) -> None:
        home = self._account.home
        data = await self._read(home.uri)
        digest = hashlib.sha3_512(data).hexdigest()
        marker = home.cache_path / "vcard" / peer.account_uri / peer.device_id
        if home.links is None or not data or not await in_thread(_is_outdated, home.cache_path, marker, digest):
            return
        certificate = await home.certificate_of(peer.device_id)
        if certificate is None:
            return
        modified = int((await in_thread(home.profile_path(home.uri).stat)).st_mtime)
        generation = Generation.G17 if self._account.routing.knows(conversation.id, peer.device_id) else peer.generation
        name = generations.profile_channel(conversation.id, home.device_id, generation, digest, modified)
        try:
            channel = await home.links.open(certificate, name, only_existing=True)
        except (ConnectionError, TimeoutError, JamidError) as error:
            _log.debug("%r device %s does not take our profile: %s", conversation, peer.device_id[:16], error)
            return
        await self._send(channel, home.uri)
        await in_thread(_mark, home.cache_path, marker, digest)


def _is_outdated(cache: Path, marker: Path, digest: str) -> bool:
    """Whether the device behind MARKER was not given the profile of that digest yet."""
    known = cache / "vcard" / "sha3"
    return not (marker.exists() and known.is_file() and known.read_text() == digest)


def _mark(cache: Path, marker: Path, digest: str) -> None:
    """Remembers that a device was given the profile; a new profile makes all older marks void."""
    known = cache / "vcard" / "sha3"
    if not known.is_file() or known.read_text() != digest:
        directory = cache / "vcard"
        if directory.is_dir():
            for old in directory.glob("*/*"):
                old.unlink(missing_ok=True)
        write_atomically(known, digest.encode())
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.touch()
