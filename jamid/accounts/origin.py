"""Where a new account comes from: nowhere, an archive file, a PIN, another device, a server (protocol: identity, 13, 14, 16)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jamid.accounts.archive import SCHEME_KEY, SCHEME_PASSWORD, Archive, ArchiveKey, open_archive, seal_archive
from jamid.accounts.contacts import parse_contacts
from jamid.accounts.creation import Device, create_account, create_device, renew_certificates
from jamid.core import limits
from jamid.core.errors import JamidError, LocalError
from jamid.core.files import read_if_present
from jamid.core.tasks import in_thread

if TYPE_CHECKING:
    from jamid.accounts.jami import JamiAccount
    from jamid.crypto.keys import PrivateKey

_log = logging.getLogger(__name__)
LINK_URL = "jami-auth"


@dataclass(frozen=True, slots=True)
class Origin:
    """What addAccount was given to make the account from."""

    password: str = ""
    scheme: str = SCHEME_PASSWORD
    path: str = ""
    """an archive file to import"""
    pin: str = ""
    link: bool = False
    """link as a device of an account that another device will send"""
    manager: str = ""
    """base URL of an account management server"""
    photo: str = ""
    restore: bool = False
    """the account's own archive, on disk"""

    @property
    def is_new(self) -> bool:
        """Whether keys are made here, for an account that did not exist before."""
        return not (self.path or self.pin or self.link or self.manager or self.restore)

    @classmethod
    def from_details(cls, details: Mapping[str, str]) -> Origin:
        """Reads the write-only keys of addAccount."""
        password, path = details.get("Account.archivePassword", ""), details.get("Account.archivePath", "")
        scheme = details.get("Account.archivePasswordScheme", "") or SCHEME_PASSWORD
        return cls(
            password=password,
            scheme=scheme if scheme == SCHEME_KEY else SCHEME_PASSWORD,
            path=path.removeprefix("file://"),
            pin=details.get("Account.archivePIN", "").strip().upper(),
            link=details.get("Account.archiveURL", "") == LINK_URL,
            manager=details.get("Account.managerUri", ""),
        )


async def create_identity(account: JamiAccount, origin: Origin) -> None:
    """Makes or fetches the account's keys, writes its files and makes this installation a device of it; raises JamidError."""
    if origin.manager or (origin.restore and account.manager.is_used):
        from jamid.accounts.managed import create_managed

        await create_managed(account, origin)
        return
    if origin.link:
        from jamid.accounts.linking import import_from_device

        await import_from_device(account)
        return
    if origin.pin:
        from jamid.accounts.pin import fetch_archive

        archive = await fetch_archive(account, origin.pin, origin.password)
        key = await in_thread(ArchiveKey.from_password, origin.password) if origin.password else None
        await import_archive(account, archive, key)
    elif origin.path:
        archive, key = await _open_file(Path(origin.path), origin)
        await import_archive(account, archive, key)
    elif origin.restore:
        archive, key = await _open_file(account.files.data / account.config.archive_path, origin)
        await import_archive(account, archive, key, await _device_key(account, archive))
    else:
        archive, device = await create_account()
        key = await in_thread(ArchiveKey.from_password, origin.password) if origin.password else None
        await _settle(account, archive, key, device)
        await account.profile.set_if_absent(account.display_name, origin.photo)


async def import_archive(
    account: JamiAccount, archive: Archive, key: ArchiveKey | None, device_key: PrivateKey | None = None
) -> None:  # fmt: skip
    """Makes this installation a device of the account in ARCHIVE, which is kept encrypted with KEY; a further one without DEVICE_KEY."""
    if await renew_certificates(archive):
        _log.info("[account=%s] the account's certificates had expired and were renewed", account.id)
    device = await create_device(archive, device_key)
    account.details.update(archive.details)
    for uri, contact in parse_contacts(archive.contacts).items():
        account.contacts.contacts.merge(uri, contact)
    await _settle(account, archive, key, device)
    account.seams.conversations.adopt_archive(account.id, archive.conversations, archive.conversation_requests)


async def _settle(account: JamiAccount, archive: Archive, key: ArchiveKey | None, device: Device) -> None:
    account.details.set("Account.archiveHasPassword", key is not None)
    account.config.archive_path = "archive.gz"
    await in_thread(account.files.write_archive, account.config.archive_path, await in_thread(seal_archive, archive, key))
    if archive.revocations is not None and device.identity.certificate.issuer is not None:
        account.certificates.learn_revocations(device.identity.certificate.issuer.public_key, archive.revocations)
    if any(True for _ in account.contacts.contacts.items()):
        await account.contacts.save_contacts()
    await account.become(device)


async def _device_key(account: JamiAccount, archive: Archive) -> PrivateKey | None:
    """The key of this device, when it is one of the account in ARCHIVE: it stays the same device with renewed certificates.

    Not the key of a revoked one, as lists of revocations name certificates and not keys.
    """
    try:
        identity = await in_thread(account.read_identity)
    except JamidError:
        return None
    account_key = archive.account_key.public
    if identity.account_uri != account_key.id.hex():
        return None
    await account.certificates.load_revocations(account.id, account_key)
    revocations = [*account.certificates.revocations(account_key.id.hex()), *filter(None, [archive.revocations])]
    return None if any(known.contains(identity.certificate) for known in revocations) else identity.key


async def _open_file(path: Path, origin: Origin) -> tuple[Archive, ArchiveKey | None]:
    data = await in_thread(read_if_present, path, limits.ARCHIVE_FILE_BYTES)
    if data is None:
        raise LocalError(f"there is no archive at {path}")
    return await in_thread(open_archive, data, origin.password, origin.scheme)
