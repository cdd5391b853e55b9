"""vCards of accounts: pushed once to each device, asked for after a clone, kept and shown (protocol: swarm, section 14)."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
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
_MODIFIED = re.compile(r"[?&]modified=(\d{1,20})(?:&|$)")
_PUSH = re.compile(r"data-transfer://([0-9a-f]{40})/([0-9a-f]{64})/profile\.vcf(?:\?.*)?")
_ASK = re.compile(r"data-transfer://([0-9a-f]{40})/profile/([0-9a-f]{40})\.vcf(?:\?.*)?")
_SECONDS: Final = 30.0


class Profiles:
    """The profiles that one account sends and receives."""

    def __init__(self, account: AccountConversations) -> None:
        self._account = account
        self._given: dict[str, tuple[Conversation | None, PeerDevice]] = {}
        """device -> where it was given our profile; None for own devices"""

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
        if peer.account_uri != self._account.home.uri:
            self._give(conversation, peer)

    def own_device_connected(self, peer: PeerDevice) -> None:
        """Another device of the account is there: it gets our profile, and takes it if it is newer than its own."""
        if peer.generation is not Generation.G13:  # which cannot be told how new it is
            self._give(None, peer)

    async def changed(self) -> None:
        """Our own profile is another now: who is connected gets it at once, the others when they come."""
        links = self._account.home.links
        given, self._given = self._given, {}
        for conversation, peer in given.values():
            shunned = conversation is not None and conversation.shuns(peer.account_uri, peer.device_id)
            if links is not None and links.connected(peer.device_id) and not shunned:
                self._give(conversation, peer)

    # -- details --

    def _give(self, conversation: Conversation | None, peer: PeerDevice) -> None:
        if peer.device_id not in self._given:
            self._given[peer.device_id] = conversation, peer
            self._account.tasks.spawn(self._push(conversation, peer), "push profile")

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
        elif match is None:
            await self._receive_own(channel)
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

    async def _receive_own(self, channel: ByteChannel) -> None:
        data = await self._take(channel, self._account.home.uri)
        modified = _MODIFIED.search(channel.name)
        try:
            if data:
                await self._account.home.own_profile_received(data, generations.unix_time(modified[1]) if modified else 0)
        except LocalError as error:
            _log.error("[account=%s] %s", self._account.home.id, error)

    async def _receive(self, channel: ByteChannel, uri: str) -> None:
        data = await self._take(channel, uri)
        if not data:
            return
        home = self._account.home
        path = home.profile_path(uri)
        try:
            if await self._read(uri) != data:
                await in_thread(write_atomically, path, data)
            self._account.publish(ProfileReceived(home.id, uri, str(path)))
        except LocalError as error:
            _log.error("[account=%s] %s", home.id, error)

    async def _take(self, channel: ByteChannel, uri: str) -> bytes:
        """The vCard of URI that comes on a channel, empty when none does."""
        data = bytearray()
        try:
            async with asyncio.timeout(_SECONDS):
                while piece := await channel.read():
                    data += piece
                    if len(data) > limits.MEMBER_PROFILE_BYTES:
                        raise RemoteError(f"the profile of {uri} is larger than {limits.MEMBER_PROFILE_BYTES} bytes")
        except (RemoteError, TimeoutError, ConnectionError) as error:
            _log.info("[account=%s] no profile of %s: %s", self._account.home.id, uri, error or "it does not come")
            return b""
        finally:
            channel.close()
        return bytes(data) if data.lstrip().startswith(b"BEGIN:VCARD") else b""

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

    async def _push(self, conversation: Conversation | None, peer: PeerDevice) -> None:
        home = self._account.home
        data = await self._read(home.uri)
        digest = hashlib.sha3_512(data).hexdigest()
        marker = home.cache_path / "vcard" / peer.account_uri / peer.device_id
        if home.links is None or not data or not await in_thread(_is_outdated, home.cache_path, marker, digest):
            return
        certificate = await home.certificate_of(peer.device_id)
        if certificate is None:
            return
        modified = math.ceil((await in_thread(home.profile_path(home.uri).stat)).st_mtime)  # 17's clock rounds up as well
        if conversation is None:
            name = generations.own_profile_channel(peer.generation, digest, modified)
        else:
            generation = Generation.G17 if self._account.routing.knows(conversation.id, peer.device_id) else peer.generation
            name = generations.profile_channel(conversation.id, home.device_id, generation, digest, modified)
        try:
            channel = await home.links.open(certificate, name, only_existing=True)
        except (ConnectionError, TimeoutError, JamidError) as error:
            _log.debug("[account=%s] device %s does not take our profile: %s", home.id, peer.device_id[:16], error)
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
