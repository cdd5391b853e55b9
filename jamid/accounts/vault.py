"""What is done with an account's archive: export, change of password, revocation, signing a name; every step keeps the old file whole."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from jamid.accounts.archive import (
    SCHEME_KEY,
    SCHEME_NONE,
    SCHEME_PASSWORD,
    Archive,
    ArchiveKey,
    merged_details,
    open_archive,
    seal_archive,
)
from jamid.accounts.managed_client import AccessDenied
from jamid.accounts.peers import revocation_value
from jamid.core.errors import JamidError, LocalError, RemoteError
from jamid.core.files import write_atomically
from jamid.core.identifiers import InfoHash
from jamid.core.signals import AccountDetailsChanged, DeviceRevocationEnded
from jamid.core.tasks import in_thread
from jamid.crypto.certificates import Certificate
from jamid.crypto.revocations import RevocationList

if TYPE_CHECKING:
    from jamid.accounts.jami import JamiAccount

_log = logging.getLogger(__name__)
REVOKED = 0
WRONG_PASSWORD = 1
UNKNOWN_DEVICE = 2


class Vault:
    """The archive of one account; one operation at a time."""

    def __init__(self, account: JamiAccount) -> None:
        self._account = account
        self._lock = asyncio.Lock()

    async def open(self, password: str, scheme: str = SCHEME_PASSWORD) -> tuple[Archive, ArchiveKey | None]:
        """The archive; raises RemoteError when the password or key is wrong, LocalError when there is no archive."""
        files = self._account.files
        data = await in_thread(files.read_archive, self._account.config.archive_path)
        if data is None:
            raise LocalError("the account has no archive on this device")
        if scheme not in (SCHEME_NONE, SCHEME_PASSWORD, SCHEME_KEY):
            raise LocalError(f"{scheme!r} is no kind of password")
        return await in_thread(open_archive, data, password if scheme != SCHEME_NONE else "", scheme)

    async def export(self, path: str, password: str, scheme: str = SCHEME_PASSWORD) -> bool:
        """Writes the archive, brought up to date, to PATH; False when the password is wrong or PATH cannot be written."""
        async with self._lock:
            try:
                archive, key = await self.open(password, scheme)
                sealed = await self._save(archive, key)
                await in_thread(write_atomically, Path(path.removeprefix("file://")), sealed)
            except JamidError as error:
                _log.warning("[account=%s] the account is not exported: %s", self._account.id, error)
                return False
        return True

    async def current(self, password: str, scheme: str = SCHEME_PASSWORD) -> tuple[Archive, ArchiveKey | None]:
        """The archive brought up to date, as other devices get it; also saved. Raises as `open`."""
        async with self._lock:
            archive, key = await self.open(password, scheme)
            await self._save(archive, key)
            return archive, key

    async def change_password(self, old: str, new: str) -> bool:
        """Encrypts the archive with another password ("" for none); False when the old one is wrong."""
        account = self._account
        async with self._lock:
            try:
                archive, _ = await self.open(old)
                key = await in_thread(ArchiveKey.from_password, new) if new else None
                await in_thread(account.files.write_archive, account.config.archive_path, await in_thread(seal_archive, archive, key))
                account.details.set("Account.archiveHasPassword", key is not None)
                await account.save()
            except JamidError as error:
                _log.warning("[account=%s] the password is not changed: %s", account.id, error)
                return False
        account.events.publish(AccountDetailsChanged(account.id, account.told_details()))
        return True

    async def revoke(self, device_id: str, password: str, scheme: str = SCHEME_PASSWORD) -> None:
        """Puts a device on the account's revocation list; publishes deviceRevocationEnded with the result."""
        status = await self._revoke(device_id, password, scheme)
        self._account.events.publish(DeviceRevocationEnded(self._account.id, device_id, status))

    async def _revoke(self, device_id: str, password: str, scheme: str) -> int:
        account = self._account
        if account.manager.is_used:
            return await self._revoke_at_server(device_id, password)
        certificate = await account.certificate_of(device_id)
        if certificate is None or certificate.account_uri != account.uri:
            return UNKNOWN_DEVICE
        async with self._lock:
            try:
                archive, key = await self.open(password, scheme)
            except JamidError as error:
                _log.warning("[account=%s] device %s is not revoked: %s", account.id, device_id[:16], error)
                return WRONG_PASSWORD
            try:
                revoked = await in_thread(_with_revoked, archive, certificate)
                archive.revocations = revoked
                assert archive.certificate is not None
                account.certificates.learn_revocations(archive.certificate.public_key, revoked)
                await account.certificates.store_revocations(account.id, account.uri)
                await self._save(archive, key)
            except JamidError as error:
                _log.error("[account=%s] device %s is not revoked: %s", account.id, device_id[:16], error)
                return UNKNOWN_DEVICE
        await account.devices.forget(device_id)
        if account.connections is not None:
            account.connections.close_device(device_id)
        if account.dht is not None:
            account.tasks.spawn(account.dht.put(InfoHash.from_hex(account.uri), revocation_value(revoked), permanent=True), "revoke")
        account.devices.contacts_changed()
        return REVOKED

    async def _revoke_at_server(self, device_id: str, password: str) -> int:
        account = self._account
        try:
            await account.manager.server().revoke(account.details["Account.managerUsername"], password, device_id)
        except AccessDenied:
            return WRONG_PASSWORD
        except JamidError as error:
            _log.warning("[account=%s] device %s is not revoked: %s", account.id, device_id[:16], error)
            return UNKNOWN_DEVICE
        await account.devices.forget(device_id)
        account.tasks.spawn(account.manager.synchronise(), "account server")
        return REVOKED

    async def _save(self, archive: Archive, key: ArchiveKey | None) -> bytes:
        account = self._account
        archive.details = merged_details(account.told_details())
        archive.details["Account.archiveHasPassword"] = "true" if key is not None else "false"
        archive.contacts = account.contacts.contacts.to_json()
        archive.conversations, archive.conversation_requests = account.seams.conversations.archived(account.id)
        known = account.certificates.revocations(account.uri)
        if known and archive.revocations is None:
            archive.revocations = known[0]
        sealed = await in_thread(seal_archive, archive, key)
        await in_thread(account.files.write_archive, account.config.archive_path, sealed)
        return sealed


def _with_revoked(archive: Archive, certificate: Certificate) -> RevocationList:
    if archive.certificate is None:
        raise RemoteError("the archive holds no account certificate")
    base = archive.revocations or RevocationList.create(archive.certificate, archive.account_key)
    return base.with_revoked(certificate, archive.certificate, archive.account_key)
