"""Certificates on D-Bus: inspection, pinning, trust (protocol: dbus, section 5.11)."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from jamid.accounts import certificate_report
from jamid.accounts.service import Accounts
from jamid.accounts.trust import Status
from jamid.core import limits
from jamid.core.errors import RemoteError
from jamid.core.signals import CertificatePathPinned, CertificateStateChanged
from jamid.core.tasks import Tasks, in_thread
from jamid.crypto.certificates import Certificate


class CertificatesPart:
    """The methods about certificates. 17 names the account first in most of them, 13 has one store for all."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._store = accounts.environment.certificates
        self._tasks = Tasks("certificate methods")

    async def validateCertificate(self, account_id: str, certificate_id: str) -> dict[str, str]:
        certificate = await self._store.find(certificate_id, account_id)
        if certificate is None:
            return dict(certificate_report.ABSENT)
        account = self._accounts.jami(account_id)
        checks = certificate_report.check(certificate, self._now())
        if account is not None and any(known.contains(certificate) for known in self._store.revocations(certificate.account_uri)):
            checks["NOT_REVOKED"] = certificate_report.FAILED
        return checks

    async def validateCertificatePath(
        self, account_id: str, path: str, key_path: str, password: str, authorities: str
    ) -> dict[str, str]:  # fmt: skip
        certificate = await in_thread(certificate_report.read_certificate, path)
        if certificate is None:
            return dict(certificate_report.ABSENT)
        key = await in_thread(certificate_report.read_key, key_path, password)
        return certificate_report.check(
            certificate, self._now(), key=key, path=path, key_path=key_path, authorities=authorities
        )  # fmt: skip

    async def getCertificateDetails(self, *arguments: str) -> dict[str, str]:
        certificate = await self._store.find(arguments[-1], arguments[0] if len(arguments) > 1 else "")
        return {} if certificate is None else certificate_report.describe(certificate)

    async def getCertificateDetailsPath(self, *arguments: str) -> dict[str, str]:
        certificate = await in_thread(certificate_report.read_certificate, arguments[-3])
        if certificate is None:
            return {}
        await self._store.pin(certificate, stored=False)
        return certificate_report.describe(certificate)

    def getPinnedCertificates(self, *account: str) -> list[str]:
        return self._store.ids()

    async def pinCertificate(self, *arguments: str | bytes | bool) -> list[str]:
        data, local = arguments[-2], arguments[-1]
        account_id = arguments[0] if len(arguments) > 2 and isinstance(arguments[0], str) else ""
        try:
            certificate = Certificate.from_bytes(data if isinstance(data, bytes) else b"")
            return await self._store.pin(certificate, account_id, stored=bool(local))
        except RemoteError:
            return []

    async def unpinCertificate(self, *arguments: str) -> bool:
        return await self._store.unpin(arguments[-1])

    def pinCertificatePath(self, *arguments: str) -> None:
        self._tasks.spawn(self._pin_path(arguments[-1]), "pin path")

    def unpinCertificatePath(self, *arguments: str) -> int:
        return self._store.unpin_path(arguments[-1])

    def pinRemoteCertificate(self, account_id: str, certificate_id: str) -> bool:
        account = self._accounts.jami(account_id)
        if account is None:
            return False
        self._tasks.spawn(account.certificate_of(certificate_id), "pin remote")
        return True

    def setCertificateStatus(self, account_id: str, certificate_id: str, word: str) -> bool:
        account = self._accounts.jami(account_id)
        if account is None:
            return False
        status = Status.parse(word)
        if not account.contacts.set_status(certificate_id, status):
            return False
        account.events.publish(CertificateStateChanged(account_id, certificate_id, status.value))
        return True

    def getCertificatesByStatus(self, account_id: str, word: str) -> list[str]:
        account = self._accounts.jami(account_id)
        if account is None:
            return []
        status = Status.parse(word)
        found = account.contacts.trust.by_status(status)
        return [certificate_id for certificate_id in found if certificate_id != account.uri]

    async def _pin_path(self, path: str) -> None:
        certificates = await in_thread(_read_directory, path)
        ids = self._store.pin_path(path, certificates)
        self._accounts.environment.events.publish(CertificatePathPinned(path, ids))

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._accounts.environment.clock.time(), UTC)


def _read_directory(path: str) -> list[Certificate]:
    if not path:
        return []
    try:
        names = sorted(Path(path).iterdir())[: limits.PINNED_PATH_FILES]
    except OSError:
        return []
    found = (certificate_report.read_certificate(str(name)) for name in names)
    return [certificate for certificate in found if certificate is not None]
