"""Accounts joined by channels in memory: the whole room works, only the network and the accounts are replaced."""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from jamid.core.clock import SystemClock
from jamid.core.events import Events
from jamid.core.generations import BOTH, Generation
from jamid.core.signals import Signal
from jamid.crypto.certificates import Certificate, create_account_certificate, create_ca, create_device_certificate
from jamid.crypto.identity import Identity
from jamid.crypto.keys import PrivateKey
from jamid.swarm.service import Conversations

S = TypeVar("S")


@functools.cache
def key(number: int) -> PrivateKey:
    """Small keys, made once: the rules do not care about their size."""
    return PrivateKey.generate(2048)


@functools.cache
def account_keys(number: int) -> tuple[PrivateKey, Certificate]:
    ca_key = key(-1)
    return key(number), create_account_certificate(key(number), ca_key, create_ca(ca_key))


@functools.cache
def identity(account: int, device: int = 0) -> Identity:
    account_key, certificate = account_keys(account)
    device_key = key(1000 + 10 * account + device)
    return Identity(device_key, create_device_certificate(device_key.public, account_key, certificate))


@dataclass(slots=True)
class FakePeer:
    device_id: str
    account_uri: str
    certificate: Certificate
    generation: Generation | None = None


class FakeChannel:
    """One end of a pair."""

    def __init__(self, name: str, peer: FakePeer) -> None:
        self.name = name
        self.peer = peer
        self.other: FakeChannel | None = None
        self.closed = False
        self._pieces: deque[bytes] = deque()
        self._arrived = asyncio.Event()

    async def read(self, limit: int = 65536) -> bytes:
        while not self._pieces:
            if self.closed:
                return b""
            self._arrived.clear()
            await self._arrived.wait()
        return self._pieces.popleft()

    async def write(self, data: bytes) -> None:
        if self.closed or self.other is None:
            raise ConnectionError("closed")
        assert len(data) <= 65535, "more than one frame"
        self.other._pieces.append(bytes(data))
        self.other._arrived.set()
        await asyncio.sleep(0)

    def write_nowait(self, data: bytes) -> None:
        if self.other is not None and not self.other.closed:
            self.other._pieces.append(bytes(data))
            self.other._arrived.set()

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._arrived.set()
            if self.other is not None:
                asyncio.get_running_loop().call_soon(self.other.close)


class FakeLinks:
    def __init__(self, home: FakeHome) -> None:
        self.home = home
        self.handlers: dict[str, Any] = {}

    def handle(self, scheme: str, handler: Any) -> None:
        self.handlers[scheme] = handler

    def connected(self, device_id: str) -> bool:
        return device_id in self.connected_devices()

    def connected_devices(self) -> list[str]:
        return [other.device_id for other in self.home.world.reachable(self.home)]

    def devices_of(self, account_uri: str) -> list[str]:
        return [other.device_id for other in self.home.world.reachable(self.home) if other.uri == account_uri]

    async def open(self, device: Any, name: str, *, timeout: float = 30, only_existing: bool = False) -> FakeChannel:
        await asyncio.sleep(0)
        other = self.home.world.by_device.get(device.long_id.hex())
        if other is None or other not in self.home.world.reachable(self.home):
            raise ConnectionError("not reachable")
        handler = other.links.handlers.get(name.partition(":")[0])
        if handler is None or not handler.accepts(self.home.peer, name):
            raise ConnectionError("declined")
        ours, theirs = FakeChannel(name, other.peer), FakeChannel(name, self.home.peer)
        ours.other, theirs.other = theirs, ours
        self.home.world.channels.append((self.home, other, ours))
        handler.opened(theirs)
        return ours


class FakeHome:
    """One device of one account, with what an account gives to its conversations."""

    def __init__(self, world: World, number: int, device: int, path: Path) -> None:
        self.world = world
        self.identity = identity(number, device)
        self.uri = self.identity.account_uri
        self.device_id = self.identity.device_id
        self.id = f"{number:08x}{device:08x}"
        self.display_name = f"user {number}"
        self.data_path = path / self.id / "data"
        self.cache_path = path / self.id / "cache"
        self.links = FakeLinks(self)
        self.peer = FakePeer(self.device_id, self.uri, self.identity.certificate)
        self.contacts: dict[str, str] = {}
        self.banned: set[str] = set()
        self.declined_elsewhere: list[tuple[str, str, int]] = []
        self.own_profiles: list[tuple[bytes, int]] = []
        self.online = True
        self.events = Events()
        self.signals: list[Signal] = []
        self.events.subscribe(Signal, self.signals.append)
        self.conversations = Conversations(self.events, SystemClock())

    @property
    def generations(self) -> frozenset[Generation]:
        return BOTH

    def flag(self, detail: str) -> bool:
        return True

    def now_ms(self) -> int:
        return int(SystemClock().time() * 1000)

    async def devices_of(self, uri: str) -> list[Certificate]:
        return [home.identity.certificate for home in self.world.homes if home.uri == uri]

    async def certificate_of(self, device_id: str) -> Certificate | None:
        home = self.world.by_device.get(device_id)
        return home.identity.certificate if home is not None else None

    def is_contact(self, uri: str) -> bool:
        return uri in self.contacts

    def is_banned(self, uri: str) -> bool:
        return uri in self.banned

    def contact_conversation(self, uri: str) -> str:
        return self.contacts.get(uri, "")

    async def set_contact_conversation(self, uri: str, conversation: str) -> None:
        self.contacts[uri] = conversation

    async def contact_accepted(self, uri: str, conversation: str) -> None:
        self.contacts[uri] = conversation
        for home in self.world.homes:
            if home.uri == uri:
                home.conversations.contact_confirmed(home.id, self.uri, conversation)

    async def contact_declined(self, uri: str, conversation: str) -> None:
        return None

    async def contact_declined_elsewhere(self, uri: str, conversation: str, declined: int) -> None:
        self.declined_elsewhere.append((uri, conversation, declined))

    async def send(self, uri: str, mime: str, text: str, *, only_connected: bool = False) -> int:
        for device in await self.devices_of(uri):
            if device.long_id.hex() != self.device_id:
                await self.send_to_device(device, mime, text, only_connected=only_connected)
        return 1

    async def send_to_device(self, device: Certificate, mime: str, text: str, *, only_connected: bool = False) -> bool:
        other = self.world.by_device[device.long_id.hex()]
        if other not in self.world.reachable(self):
            return False
        self.world.messages.append((self, other, mime, text))
        other.conversations.instant_message(other.id, self.uri, self.device_id, {mime: text})
        return True

    async def leave_on_dht(self, device: Certificate, mime: str, text: str) -> None:
        return None

    async def sync(self, parts: Mapping[str, Mapping[str, Any]]) -> None:
        for home in self.world.reachable(self):
            if home.uri == self.uri:
                home.conversations.sync_received(home.id, self.device_id, parts)

    def profile_path(self, uri: str) -> Path:
        return self.data_path / "profiles" / f"{uri}.vcf"

    async def own_profile_received(self, vcard: bytes, modified: int) -> None:
        self.own_profiles.append((vcard, modified))

    # -- what tests ask --

    def of(self, kind: type[S]) -> list[S]:
        return [signal for signal in self.signals if isinstance(signal, kind)]

    async def wait(self, condition: Callable[[], object], seconds: float = 20) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.005)

    def requested(self) -> list[str]:
        return [request["id"] for request in self.conversations.get_conversation_requests(self.id)]

    def roles(self, conversation: str) -> dict[str, str]:
        account = self.conversations.account(self.id)
        assert account is not None
        found = account.find(conversation)
        assert found is not None
        assert found.facts is not None
        return found.facts.roles

    def head(self, conversation: str) -> str:
        account = self.conversations.account(self.id)
        assert account is not None
        found = account.find(conversation)
        return found.facts.head if found is not None and found.facts is not None else ""


@dataclass
class World:
    path: Path
    homes: list[FakeHome] = field(default_factory=list)
    by_device: dict[str, FakeHome] = field(default_factory=dict)
    channels: list[tuple[FakeHome, FakeHome, FakeChannel]] = field(default_factory=list)
    messages: list[tuple[FakeHome, FakeHome, str, str]] = field(default_factory=list)
    cut: set[frozenset[str]] = field(default_factory=set)

    async def add(self, number: int, device: int = 0) -> FakeHome:
        home = FakeHome(self, number, device, self.path)
        self.homes.append(home)
        self.by_device[home.device_id] = home
        await home.conversations.add_account(home)
        home.conversations.went_online(home.id)
        for other in self.reachable(home):
            self.connect(home, other)
        return home

    def reachable(self, home: FakeHome) -> list[FakeHome]:
        return [
            other
            for other in self.homes
            if other is not home and other.online and home.online and frozenset((home.device_id, other.device_id)) not in self.cut
        ]

    def connect(self, one: FakeHome, other: FakeHome) -> None:
        one.conversations.peer_connected(one.id, other.peer)
        other.conversations.peer_connected(other.id, one.peer)

    def separate(self, one: FakeHome, other: FakeHome) -> None:
        self.cut.add(frozenset((one.device_id, other.device_id)))
        for a, b, channel in self.channels:
            if {a, b} == {one, other}:
                channel.close()
        one.conversations.peer_disconnected(one.id, other.peer)
        other.conversations.peer_disconnected(other.id, one.peer)

    def heal(self, one: FakeHome, other: FakeHome) -> None:
        self.cut.discard(frozenset((one.device_id, other.device_id)))
        self.connect(one, other)

    async def befriend(self, one: FakeHome, other: FakeHome) -> str:
        """A conversation of two, as a trust request and its acceptance make it."""
        conversation = await one.conversations.one_to_one(one.id, other.uri)
        one.contacts[other.uri] = conversation
        other.conversations.trust_request(other.id, one.uri, conversation, b"BEGIN:VCARD\nFN:one\nEND:VCARD", other.now_ms())
        await other.wait(lambda: other.conversations.get_conversation_requests(other.id))
        await other.conversations.accept_conversation_request(other.id, conversation)
        await one.wait(lambda: one.roles(conversation).get(other.uri) == "member")
        return conversation

    async def group(self, *homes: FakeHome) -> str:
        """A group that all HOMES have joined."""
        first, *others = homes
        conversation = await first.conversations.start_conversation(first.id)
        for other in others:
            first.conversations.add_conversation_member(first.id, conversation, other.uri)
            await other.wait(lambda other=other: conversation in other.requested())
            await other.conversations.accept_conversation_request(other.id, conversation)
            await first.wait(lambda other=other: first.roles(conversation).get(other.uri) == "member")
        await self.converge(conversation)
        return conversation

    async def converge(self, conversation: str, seconds: float = 15) -> str:
        """Waits until all replicas have the same head."""

        def same() -> bool:
            heads = {home.head(conversation) for home in self.homes if conversation in home.conversations.get_conversations(home.id)}
            return len(heads) == 1 and "" not in heads

        await self.homes[0].wait(same, seconds)
        return self.homes[0].head(conversation)

    async def close(self) -> None:
        for home in self.homes:
            await home.conversations.close()


@asynccontextmanager
async def world(path: Path) -> AsyncIterator[World]:
    made = World(path)
    try:
        yield made
    finally:
        await made.close()
