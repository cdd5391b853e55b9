"""The secure layer: values signed and encrypted on the way out, checked and opened on the way in (protocol: opendht, section 21)."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, ParamSpec, Protocol, TypeVar

from jamid.core import limits
from jamid.core.errors import LocalError, RemoteError
from jamid.core.generations import BOTH, Generation
from jamid.core.identifiers import InfoHash, LongId
from jamid.core.tasks import Tasks
from jamid.crypto.certificates import Certificate
from jamid.crypto.identity import Identity
from jamid.crypto.keys import PrivateKey, PublicKey
from jamid.dht.core import Status
from jamid.dht.generations import certificate_keys, lookup_keys
from jamid.dht.listening import Listening, OnValue
from jamid.dht.packing import pack_bin
from jamid.dht.query import Query, by_id
from jamid.dht.sealing import from_wire, new_value_id, seal, to_wire, unseal
from jamid.dht.seams import ValueNetwork
from jamid.dht.signatures import sign, verify
from jamid.dht.types import CERTIFICATE
from jamid.dht.values import Value, WireValue

_log = logging.getLogger(__name__)
CERTIFICATE_VALUE_ID: Final = 1
_rsa_threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="rsa")
P = ParamSpec("P")
R = TypeVar("R")
_OPENED_CACHE: Final = 512
_OPENED_BYTES: Final = 16 * 1024
"""Larger values are opened again when they come again, rather than kept by the hundred."""
_CERTIFICATE_CACHE: Final = 512


class CertificateLookup(Protocol):
    """Certificates that are known without asking the network."""

    def get(self, certificate_id: InfoHash | LongId, /) -> Certificate | None: ...


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which certificate is looked for."""

    ids: tuple[InfoHash | LongId, ...]
    """forms of its key's id"""
    account: InfoHash | None
    """who issued it"""
    now: datetime | None
    """when it must not have expired"""

    def is_met_by(self, certificate: Certificate) -> bool:
        if not all(one in (certificate.id, certificate.long_id) for one in self.ids):
            return False
        if self.account is not None and (certificate.issuer is None or certificate.issuer.id != self.account):
            return False
        return self.now is None or self.now <= certificate.chain_ends


class Dht:
    """Get, put and listen for one identity (None = neither signs nor decrypts) over a node or a proxy."""

    def __init__(
        self,
        node: ValueNetwork,
        identity: Identity | None = None,
        *,
        certificates: CertificateLookup | None = None,
        generations: frozenset[Generation] = BOTH,
    ) -> None:
        self.node = node
        self.identity = identity
        self.tasks = Tasks("dht values")
        self._certificates = certificates
        self._generations = generations
        self._listenings: set[Listening] = set()
        self._opened: OrderedDict[bytes, Value | None] = OrderedDict()
        self._known: OrderedDict[bytes, Certificate] = OrderedDict()
        self._lookups: dict[tuple[InfoHash | None, ...], asyncio.Task[Certificate | None]] = {}
        self._permanent: set[tuple[InfoHash, int]] = set()

    @property
    def status(self) -> Status:
        return self.node.status

    async def close(self) -> None:
        """Ends its listenings and permanent puts; the node goes on."""
        for listening in tuple(self._listenings):
            listening.cancel()
        for key, value_id in self._permanent:
            self.node.cancel_put(key, value_id)
        self._permanent.clear()
        await self.tasks.close()

    # -- reading

    async def get(
        self,
        key: InfoHash,
        *,
        type: int | None = None,  # noqa: A002
        query: Query | None = None,
        timeout: float | None = None,
        on_value: Callable[[Value], bool] | None = None,
    ) -> list[Value]:
        """The values under KEY: signatures checked, decrypted when for us, bad ones and those for others left out.

        QUERY is applied by the storers, who see encrypted values only as type 0. After TIMEOUT seconds, what came until then. ON_VALUE
        sees each value as it comes and ends the search by returning False.
        """
        found: list[Value] = []
        stopped = False

        def take(value: Value | None) -> None:
            nonlocal stopped
            if value is None or (type is not None and value.type != type) or stopped:
                return
            found.append(value)
            if on_value is not None and not on_value(value):
                stopped = True

        sealed: list[WireValue] = []

        def on_values(values: list[WireValue]) -> bool:
            for value in values:
                if value.cipher and not self.is_opened(value):
                    sealed.append(value)
                else:
                    take(self.opened(value))
            return not stopped

        try:
            async with asyncio.timeout(timeout):
                await self.node.get(key, query, on_values=on_values)
        except TimeoutError:
            pass
        for value in sealed:
            if stopped:
                break
            take(await self.open(value))
        return found

    def listen(self, key: InfoHash, callback: OnValue, *, type: int | None = None, query: Query | None = None) -> Listening:  # noqa: A002
        """Calls CALLBACK(value, expired) for what is under KEY, appears there and goes; checked and decrypted like in `get`."""
        listening = Listening(self, callback, type)
        self._listenings.add(listening)
        listening.start(self.node.listen(key, listening.news, query))
        return listening

    async def find_certificate(
        self,
        key_id: InfoHash | LongId,
        *,
        also: InfoHash | LongId | None = None,
        account: InfoHash | None = None,
        now: datetime | None = None,
        timeout: float = 30,
    ) -> Certificate | None:
        """The certificate of the key with this id: from the store, or from the DHT, whichever form it was published in.

        ALSO is the other form of the id, if known. Anybody may publish a certificate for any key: the one wanted was issued by ACCOUNT
        and has not expired NOW, where these are given.
        """
        ids = (key_id,) if also is None else (key_id, also)
        wanted = _Wanted(ids, account, now)
        known = next((found for one in ids if (found := self.known_certificate(one)) is not None), None)
        if known is not None and wanted.is_met_by(known):
            return known
        short = next((one for one in ids if isinstance(one, InfoHash)), None)
        long = next((one for one in ids if isinstance(one, LongId)), None)
        keys = lookup_keys(short, long, self._generations)
        lookup = (*keys, account)
        task = self._lookups.get(lookup)
        if task is None:
            task = self._lookups[lookup] = self.tasks.spawn(self._look_up(keys, wanted, timeout), "certificate")
            task.add_done_callback(lambda _task: self._lookups.pop(lookup, None))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if task.cancelled() and current is not None and not current.cancelling():
                return None  # the DHT was closed; whoever asked goes on
            raise

    def known_certificate(self, key_id: InfoHash | LongId) -> Certificate | None:
        """The certificate if it is ours, was met before or is in the store."""
        if self.identity is not None:
            for certificate in self.identity.certificate.chain():
                if key_id in (certificate.id, certificate.long_id):
                    return certificate
        known = self._known.get(bytes(key_id))
        if known is None and self._certificates is not None:
            known = self._certificates.get(key_id)
        return known

    # -- writing

    async def put(self, key: InfoHash, value: Value, *, permanent: bool = False) -> bool:
        """Stores VALUE as it is (signed if it has a signature) at the nodes closest to KEY; whether they answered.

        An id of 0 is replaced by a random one. A permanent put is kept alive until `cancel_put` or `close`.
        """
        return await self._put(key, to_wire(value), permanent)

    async def put_signed(self, key: InfoHash, value: Value, *, permanent: bool = False, signer: PrivateKey | None = None) -> bool:
        """Signs VALUE with our key (or SIGNER's) and stores it; its sequence number is raised above what is already there."""
        signing_key = signer or self._own_key()
        wire = to_wire(value)
        if wire.id:
            wire = replace(wire, seq=await self._next_seq(key, wire, signing_key.public))
        return await self._put(key, await _rsa(sign, _with_id(wire), signing_key), permanent)

    async def put_encrypted(self, key: InfoHash, to: PublicKey, value: Value, *, permanent: bool = False) -> bool:
        """Signs VALUE with our key, encrypts it to the key TO and stores it."""
        return await self._put(key, await _rsa(seal, _with_id(to_wire(value)), self._own_key(), to), permanent)

    def cancel_put(self, key: InfoHash, value_id: int) -> None:
        """Stops keeping a permanent put alive; nobody can delete what others have stored."""
        self._permanent.discard((key, value_id))
        self.node.cancel_put(key, value_id)

    async def publish_certificate(self) -> bool:
        """Keeps our certificate chain on the DHT where peers of each generation look for it; True once one place has it."""
        if self.identity is None:
            raise LocalError("there is no identity whose certificate could be published")
        chain = self.identity.certificate.to_pem()
        value = WireValue(CERTIFICATE_VALUE_ID, CERTIFICATE, pack_bin(chain))
        keys = certificate_keys(self.identity.key.public, self._generations)
        puts = [self.tasks.spawn(self._put(key, value, permanent=True), "publish") for key in keys]
        for put in asyncio.as_completed(puts):
            if await put:
                return True
        return False

    # -- opening

    def ended(self, listening: Listening) -> None:
        """LISTENING was cancelled."""
        self._listenings.discard(listening)

    def is_opened(self, value: WireValue) -> bool:
        """Whether the private key is not needed any more to open VALUE."""
        return self.identity is None or hashlib.sha1(value.cipher, usedforsecurity=False).digest() in self._opened

    def opened(self, value: WireValue) -> Value | None:
        """VALUE checked; None when it is signed wrongly, for others, or was not opened yet."""
        if value.cipher:
            known = self._opened.get(hashlib.sha1(value.cipher, usedforsecurity=False).digest())
            return None if known is None else replace(known, id=value.id)
        if not value.owner:
            return from_wire(value, None)
        owner = verify(value)
        if owner is None:
            _log.debug("dropping value %x: its signature is not that of its owner", value.id)
            return None
        return from_wire(value, owner)

    async def open(self, value: WireValue) -> Value | None:
        """VALUE checked and, if it is for us, decrypted; None when it is for others or bad."""
        if not value.cipher or self.is_opened(value) or self.identity is None:
            return self.opened(value)
        opened = await _rsa(unseal, value, self.identity.key)
        if len(value.cipher) <= _OPENED_BYTES:
            self._opened[hashlib.sha1(value.cipher, usedforsecurity=False).digest()] = opened
            if len(self._opened) > _OPENED_CACHE:
                self._opened.popitem(last=False)
        return opened

    # -- inside

    def _own_key(self) -> PrivateKey:
        if self.identity is None:
            raise LocalError("signing and encrypting need an identity; give the DHT one")
        return self.identity.key

    async def _put(self, key: InfoHash, value: WireValue, permanent: bool) -> bool:
        value = _with_id(value)
        if value.size > limits.DHT_VALUE_BYTES:
            raise LocalError(f"a value of {value.size} bytes cannot be stored; the largest has {limits.DHT_VALUE_BYTES}")
        if permanent:
            self._permanent.add((key, value.id))
        return await self.node.put(key, value, permanent=permanent)

    async def _next_seq(self, key: InfoHash, value: WireValue, owner: PublicKey) -> int:
        seq = value.seq
        announced = self.node.announced(key, value.id)
        if announced is not None and announced.owner == owner.der:
            seq = max(seq, announced.seq + 1)
        result = await self.node.get(key, by_id(value.id))
        for other in result.values:
            if other.id == value.id and other.owner == owner.der and other.seq >= seq and verify(other) is not None:
                seq = other.seq + 1
        return seq

    async def _look_up(self, keys: list[InfoHash], wanted: _Wanted, timeout: float) -> Certificate | None:
        searches = [self.tasks.spawn(self._certificate_at(key, wanted), "certificate") for key in keys]
        try:
            async with asyncio.timeout(timeout):
                for search in asyncio.as_completed(searches):
                    certificate = await search
                    if certificate is not None:
                        self._remember(certificate)
                        return certificate
        except TimeoutError:
            pass
        finally:
            for one in searches:
                one.cancel()
        return None

    async def _certificate_at(self, key: InfoHash, wanted: _Wanted) -> Certificate | None:
        found: list[Certificate] = []

        def take(values: list[WireValue]) -> bool:
            for value in values:
                certificate = _certificate_in(value)
                if certificate is not None and wanted.is_met_by(certificate) and _is_signed(certificate):
                    found.append(certificate)
                    return False
            return True

        await self.node.get(key, on_values=take)
        return found[0] if found else None

    def _remember(self, certificate: Certificate) -> None:
        for name in (bytes(certificate.id), bytes(certificate.long_id)):
            self._known[name] = certificate
            if len(self._known) > _CERTIFICATE_CACHE:
                self._known.popitem(last=False)


async def _rsa(function: Callable[P, R], *arguments: P.args, **named: P.kwargs) -> R:
    """Runs slow arithmetic on threads of its own: a connection request must not wait behind somebody's git merge."""
    return await asyncio.get_running_loop().run_in_executor(_rsa_threads, functools.partial(function, *arguments, **named))


def _with_id(value: WireValue) -> WireValue:
    return value if value.id else value.with_id(new_value_id())


def _is_signed(certificate: Certificate) -> bool:
    return all(member.issuer is None or member.is_signed_by(member.issuer) for member in certificate.chain())


def _certificate_in(value: WireValue) -> Certificate | None:
    if value.type != CERTIFICATE or value.cipher:
        return None
    try:
        certificate = Certificate.from_bytes(value.data)
        _ = certificate.id, certificate.long_id
    except RemoteError:
        return None
    return certificate
