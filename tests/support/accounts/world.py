"""A world of accounts without a network: an in-memory DHT that all of them share, small keys, and a record of their events."""

from __future__ import annotations

import asyncio
import functools
import itertools
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from jamid.accounts.archive import Archive
from jamid.accounts.certificate_store import CertificateStore
from jamid.accounts.config_file import StoredConfig
from jamid.accounts.creation import Device, _new_archive, _new_device
from jamid.accounts.details import JAMI, AccountDetails
from jamid.accounts.environment import Environment
from jamid.accounts.jami import JamiAccount
from jamid.accounts.names import Answer, Lookup
from jamid.accounts.service import Accounts
from jamid.core import tasks
from jamid.core.clock import ManualClock
from jamid.core.events import Events
from jamid.core.generations import BOTH, Generation
from jamid.core.identifiers import InfoHash, LongId, new_account_id
from jamid.core.paths import Paths
from jamid.core.settings import Settings
from jamid.core.signals import Signal
from jamid.crypto.certificates import Certificate
from jamid.crypto.identity import Identity
from jamid.crypto.keys import PrivateKey, PublicKey
from jamid.dht.service import Status
from jamid.dht.values import Value


@functools.cache
def small_key(number: int) -> PrivateKey:
    """The same quickly made key for the same NUMBER, all through a test run."""
    return PrivateKey.generate(2048)


_numbers = itertools.count(1000)


def new_archive(number: int | None = None) -> Archive:
    """The archive of a new account with small keys."""
    first = next(_numbers) if number is None else number
    return _new_archive(small_key(first), small_key(0))


def new_device(archive: Archive) -> Device:
    """A further device of the account in ARCHIVE."""
    return _new_device(archive, small_key(next(_numbers)))


class MemoryDht:
    """What all nodes together hold."""

    def __init__(self) -> None:
        self.values: defaultdict[bytes, dict[int, Value]] = defaultdict(dict)
        self.certificates: dict[bytes, Certificate] = {}
        self.listeners: defaultdict[bytes, list[tuple[FakeDht, Callable[[Value, bool], None]]]] = defaultdict(list)
        self.up = True
        self._ids = itertools.count(1)
        _memories.append(self)

    def store(self, key: bytes, value: Value) -> bool:
        if not self.up:
            return False
        value = replace(value, id=value.id or next(self._ids))
        self.values[key][value.id] = value
        for dht, callback in tuple(self.listeners[key]):
            if dht.can_read(value):
                asyncio.get_running_loop().call_soon(callback, value, False)
        return True

    def expire(self, key: bytes) -> None:
        """Lets everything under KEY expire."""
        for value in self.values.pop(key, {}).values():
            for _, callback in tuple(self.listeners[key]):
                callback(value, True)


class FakeListening:
    def __init__(self, memory: MemoryDht, key: bytes, entry: tuple[FakeDht, Callable[[Value, bool], None]]) -> None:
        self._memory, self._key, self._entry = memory, key, entry

    def cancel(self) -> None:
        if self._entry in self._memory.listeners[self._key]:
            self._memory.listeners[self._key].remove(self._entry)


class FakeDht:
    """One identity's view, with the interface of `jamid.dht.service.Dht`."""

    def __init__(self, memory: MemoryDht, identity: Identity | None) -> None:
        self._memory, self._identity = memory, identity
        self._mine: list[tuple[bytes, int]] = []

    def can_read(self, value: Value) -> bool:
        return value.recipient is None or (self._identity is not None and value.recipient == self._identity.certificate.id)

    async def get(self, key: InfoHash, **_: Any) -> list[Value]:
        await asyncio.sleep(0)
        return [value for value in self._memory.values[key].values() if self.can_read(value)]

    async def put(self, key: InfoHash, value: Value, *, permanent: bool = False) -> bool:
        await asyncio.sleep(0)
        return self._memory.store(key, value)

    async def put_encrypted(self, key: InfoHash, to: PublicKey, value: Value, *, permanent: bool = False) -> bool:
        assert self._identity is not None
        return await self.put(key, replace(value, owner=self._identity.key.public, recipient=to.id))

    def listen(self, key: InfoHash, callback: Callable[[Value, bool], None], **_: Any) -> FakeListening:
        entry = (self, callback)
        self._memory.listeners[key].append(entry)
        for value in self._memory.values[key].values():
            if self.can_read(value):
                asyncio.get_running_loop().call_soon(callback, value, False)
        return FakeListening(self._memory, key, entry)

    async def publish_certificate(self) -> bool:
        assert self._identity is not None
        certificate = self._identity.certificate
        self._memory.certificates |= {bytes(certificate.id): certificate, bytes(certificate.long_id): certificate}
        return self._memory.up

    async def find_certificate(self, key_id: InfoHash | LongId, **_: Any) -> Certificate | None:
        return self._memory.certificates.get(bytes(key_id))

    async def close(self) -> None:
        for entries in self._memory.listeners.values():
            entries[:] = [entry for entry in entries if entry[0] is not self]


class FakeLease:
    def __init__(self, memory: MemoryDht, identity: Identity | None) -> None:
        self.dht = FakeDht(memory, identity)
        self.port = 4000
        self.node = None
        self._memory = memory
        self._watchers: list[Callable[[Status], None]] = []

    @property
    def status(self) -> Status:
        return Status.CONNECTED if self._memory.up else Status.CONNECTING

    async def start(self) -> None: ...

    async def connected(self, seconds: float) -> None: ...

    def on_status(self, callback: Callable[[Status], None]) -> Callable[[], None]:
        self._watchers.append(callback)
        return lambda: self._watchers.remove(callback)

    def connectivity_changed(self) -> None: ...

    def own_addresses(self) -> list[str]:
        return []

    async def close(self) -> None:
        await self.dht.close()


class FakePool:
    def __init__(self, memory: MemoryDht) -> None:
        self._memory = memory

    def lease(self, details: AccountDetails, identity: Identity | None, proxy: str = "") -> FakeLease:
        return FakeLease(self._memory, identity)

    async def close(self) -> None: ...


class FakeNames:
    """A name service that is down."""

    async def lookup_address(self, server: str, address: str) -> Answer:
        return Answer(Lookup.ERROR, address, "")

    async def lookup_name(self, server: str, name: str) -> Answer:
        return Answer(Lookup.ERROR, "", name)

    async def close(self) -> None: ...


class Machine:
    """One daemon's accounts on one memory DHT."""

    def __init__(self, root: Path, memory: MemoryDht, clock: ManualClock, generations: frozenset[Generation] = BOTH) -> None:
        self.paths = Paths(root / "config/jami", root / "data/jami", root / "cache/jami")
        self.events = Events()
        self.published: list[Any] = []
        self.events.subscribe(object, self.published.append)
        self.environment = Environment(
            paths=self.paths,
            settings=Settings.load(self.paths.config / "dring.yml"),
            events=self.events,
            certificates=CertificateStore(self.paths.data / "certificates", self.events),
            dht_pool=FakePool(memory),  # type: ignore[arg-type]
            names=FakeNames(),  # type: ignore[arg-type]
            clock=clock,
            generations=generations,
            connect=None,
        )
        self.accounts = Accounts(self.environment)
        _machines.append(self)

    async def account(self, archive: Archive | None = None, **details: str) -> JamiAccount:
        """A registered account from ARCHIVE (default: a new one)."""
        archive = archive or new_archive()
        config = StoredConfig(AccountDetails(JAMI, {key.replace("_", "."): value for key, value in details.items()}))
        account = JamiAccount(new_account_id(), config, self.environment)
        account.files.create()
        self.accounts._accounts[account.id] = account
        await account.become(new_device(archive))
        await account.register()
        await settle()
        return account

    def signals(self, kind: type[Any] = Signal) -> list[Any]:
        """The events of KIND so far."""
        return [event for event in self.published if isinstance(event, kind)]

    def names(self) -> list[str]:
        """The signals so far, by class name."""
        return [type(event).__name__ for event in self.published if isinstance(event, Signal)]


async def settle(seconds: float = 0.1) -> None:
    """Waits until nothing more happens in loop and threads for SECONDS, however slow the machine is."""
    before: object = None
    for _ in range(200):
        await asyncio.sleep(seconds)
        executor: Any = tasks._executor
        busy = executor._work_queue.qsize() or executor._idle_semaphore._value < len(executor._threads)
        now = [len(machine.published) for machine in _machines], [len(memory.values[key]) for memory in _memories for key in memory.values]
        if now == before and not busy:
            return
        before = now
    raise TimeoutError("the accounts do not come to rest")


_machines: list[Machine] = []
_memories: list[MemoryDht] = []
