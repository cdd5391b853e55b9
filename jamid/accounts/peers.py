"""Finding other accounts' devices: announcements, certificates and revocation lists on the DHT (protocol: identity, section 8.2)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgpack

from jamid.accounts.certificate_store import CertificateStore
from jamid.accounts.receipt import Announcement
from jamid.accounts.trust import check_peer_device
from jamid.core import limits
from jamid.core.clock import Clock
from jamid.core.errors import JamidError, LocalError, RemoteError
from jamid.core.identifiers import InfoHash, LongId
from jamid.core.tasks import Tasks, in_thread
from jamid.crypto.certificates import Certificate
from jamid.crypto.keys import PublicKey
from jamid.crypto.revocations import RevocationList
from jamid.dht.values import Value

if TYPE_CHECKING:
    from jamid.dht.service import Dht

_log = logging.getLogger(__name__)


class UnknownSender(RemoteError):  # noqa: N818 - it may become known
    """The certificate of a device is not to be found now."""


class PeerFinder:
    """Looks up devices and certificates for one account, in the certificate store first."""

    def __init__(self, account_id: str, store: CertificateStore, clock: Clock, tasks: Tasks) -> None:
        self._account_id = account_id
        self._store = store
        self._clock = clock
        self._tasks = tasks
        self.dht: Dht | None = None
        """the DHT while the account is online"""

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.time(), UTC)

    async def certificate(self, certificate_id: str | InfoHash | LongId) -> Certificate | None:
        """The certificate with a short or long id: from the store, else from the DHT, in which case it is kept."""
        try:
            if isinstance(certificate_id, str):
                certificate_id = (LongId if len(certificate_id) == 64 else InfoHash).from_hex(certificate_id)
        except RemoteError:
            return None
        return await self._find(certificate_id)

    async def certificate_of(self, key: PublicKey, *, account: InfoHash | None = None) -> Certificate | None:
        """The certificate of a device whose key is known: from the store, else from where either generation publishes it.

        With ACCOUNT the one by that account, as others may publish certificates for its devices' keys too.
        """
        return await self._find(key.long_id, also=key.id, account=account)

    async def authenticate(self, key: PublicKey) -> tuple[Certificate, str]:
        """Certificate and Jami id of the device that signed with KEY; RemoteError when it has none or its chain does not hold."""
        certificate = await self.certificate_of(key)
        if certificate is None:
            raise UnknownSender(f"device {key.long_id.hex()[:16]} has no certificate that can be found")
        return certificate, await self.check(certificate)

    async def check(self, certificate: Certificate) -> str:
        """The Jami id of the account a device belongs to; RemoteError when its chain does not hold or it was revoked."""
        if certificate.issuer is not None:
            await self._store.load_revocations(self._account_id, certificate.issuer.public_key)
        revocations = self._store.revocations(certificate.account_uri)
        return await in_thread(check_peer_device, certificate, self.now(), revocations)

    async def devices_of(self, uri: str) -> list[Certificate]:
        """Certificates of all devices that the account URI announces now and has not revoked."""
        if self.dht is None:
            return []
        values = await self.dht.get(InfoHash.from_hex(uri))
        found = await self.devices_from(uri, values)
        return list(found.values())

    async def devices_from(self, uri: str, values: Iterable[Value]) -> dict[str, Certificate]:
        """Device id -> certificate of those announced by VALUES that lie at the key URI; what does not hold is left out."""
        announcements = self.announcements(uri, values)
        keys = {announcement.device_id: announcement for announcement in announcements[: limits.PEER_DEVICES]}
        lists = [value for value in values if value.owner is None and value.type == 0]
        results = await asyncio.gather(*(self._device(uri, announcement) for announcement in keys.values()), return_exceptions=True)
        devices: dict[str, Certificate] = {}
        for result in results:
            if isinstance(result, Certificate):
                devices[result.long_id.hex()] = result
            elif isinstance(result, JamidError):
                _log.info("[account=%s] a device of %s is left out: %s", self._account_id, uri, result)
            elif isinstance(result, BaseException):
                _log.error("[account=%s] looking for the devices of %s", self._account_id, uri, exc_info=result)
        if lists and devices:
            account = next(iter(devices.values())).issuer
            if account is not None and self.learn_revocations(account.public_key, lists):
                revocations = self._store.revocations(uri)
                devices = {
                    device_id: certificate for device_id, certificate in devices.items()
                    if not any(known.contains(certificate) for known in revocations)
                }  # fmt: skip
        return devices

    @staticmethod
    def announcements(uri: str, values: Iterable[Value]) -> list[Announcement]:
        """The announcements among VALUES that the account URI itself signed: anybody may put anything at its key."""
        found = []
        for value in values:
            if value.type == 0 and value.owner is not None and value.owner.id.hex() == uri and value.recipient is None:
                try:
                    found.append(Announcement.from_data(value.owner, value.data))
                except RemoteError as error:
                    _log.debug("an announcement of %s is ignored: %s", uri, error)
        return found

    def learn_revocations(self, account_key: PublicKey, values: Iterable[Value]) -> bool:
        """Keeps the revocation lists among VALUES that ACCOUNT_KEY signed; whether there was a new one."""
        learnt = False
        for value in tuple(values)[: limits.REVOCATION_LISTS_PER_ACCOUNT]:
            try:
                learnt |= self._store.learn_revocations(account_key, read_revocation_value(value.data))
            except RemoteError:
                continue  # something else that somebody put there
        if learnt:
            self._tasks.spawn(self._keep_revocations(account_key.id.hex()), "revocations")
        return learnt

    async def _keep_revocations(self, uri: str) -> None:
        try:
            await self._store.store_revocations(self._account_id, uri)
        except LocalError as error:
            _log.warning("[account=%s] what %s revoked is kept in memory only: %s", self._account_id, uri, error)

    async def _device(self, uri: str, announcement: Announcement) -> Certificate:
        account = InfoHash.from_hex(uri)
        if announcement.device_key is not None:
            certificate = await self.certificate_of(announcement.device_key, account=account)
        else:
            certificate = await self._find(announcement.device_id, account=account)
        if certificate is None:
            raise RemoteError(f"the certificate of device {announcement.device_id} is not to be found")
        if certificate.account_uri != uri:
            raise RemoteError(f"device {announcement.device_id} belongs to another account")
        await self.check(certificate)
        return certificate

    async def _find(
        self, key_id: InfoHash | LongId, *, also: InfoHash | None = None, account: InfoHash | None = None
    ) -> Certificate | None:
        known = await self._store.find(key_id, self._account_id)
        if known is not None and self.now() <= known.chain_ends and account in (None, known.issuer and known.issuer.id):
            return known
        if self.dht is None:
            return known
        found = await self.dht.find_certificate(key_id, also=also, account=account, now=self.now())
        if found is not None:
            await self._store.pin(found, self._account_id)
        return found or known


def read_revocation_value(data: bytes) -> RevocationList:
    """The revocation list in a DHT value's DATA, a msgpack bin of DER; raises RemoteError."""
    try:
        encoded = msgpack.unpackb(data, raw=False)
    except Exception as error:
        raise RemoteError(f"not msgpack: {type(error).__name__}") from None
    if not isinstance(encoded, bytes):
        raise RemoteError("not a revocation list")
    return RevocationList.from_der(encoded)


def revocation_value(revocation_list: RevocationList) -> Value:
    """The DHT value that publishes a revocation list."""
    packed: bytes = msgpack.packb(revocation_list.to_der(), use_bin_type=True)
    return Value(data=packed, priority=1)
