"""Making an account's keys and certificates and a device of it; the slow part runs on threads of its own."""

from __future__ import annotations

import asyncio
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

from jamid.accounts.archive import Archive
from jamid.accounts.receipt import Receipt
from jamid.core.errors import RemoteError
from jamid.core.tasks import in_thread
from jamid.crypto.certificates import create_account_certificate, create_ca, create_device_certificate
from jamid.crypto.identity import Identity
from jamid.crypto.keys import PrivateKey

# Two at a time: one key leaves a core idle, more would starve what else the machine does.
_key_threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="keys")


@dataclass(frozen=True, slots=True)
class Device:
    """What makes this installation a device of an account."""

    identity: Identity
    receipt: Receipt


async def generate_key() -> PrivateKey:
    """A new RSA-4096 key, made off the event loop."""
    return await asyncio.get_running_loop().run_in_executor(_key_threads, PrivateKey.generate)


async def create_account() -> tuple[Archive, Device]:
    """A new account and this installation as its first device: three keys, three certificates, the receipt."""
    account_key, device_key, ca_key = await asyncio.gather(generate_key(), generate_key(), generate_key())
    archive = await in_thread(_new_archive, account_key, ca_key)
    return archive, await in_thread(_new_device, archive, device_key)


async def create_device(archive: Archive, key: PrivateKey | None = None) -> Device:
    """A device of the account in ARCHIVE, with a new KEY unless one is given; raises RemoteError when it cannot certify devices."""
    if archive.certificate is None:
        raise RemoteError("the archive holds no account certificate")
    if archive.certificate.public_key != archive.account_key.public:
        raise RemoteError("the archive's certificate is not the one of its account key")
    return await in_thread(_new_device, archive, key or await generate_key())


async def renew_certificates(archive: Archive) -> bool:
    """Makes new CA and account certificates for the same keys when the old ones expired or cannot sign; whether it did."""
    certificate, now = archive.certificate, datetime.now(UTC)
    if certificate is not None and all(member.is_ca and now <= member.not_after for member in certificate.chain()):
        return False
    if archive.ca_key is None:
        return False
    archive.certificate = (await in_thread(_new_archive, archive.account_key, archive.ca_key)).certificate
    return True


def _new_archive(account_key: PrivateKey, ca_key: PrivateKey) -> Archive:
    ca = create_ca(ca_key)
    certificate = create_account_certificate(account_key, ca_key, ca)
    return Archive(account_key, certificate, ca_key, secrets.token_bytes(32))


def _new_device(archive: Archive, device_key: PrivateKey) -> Device:
    assert archive.certificate is not None
    certificate = create_device_certificate(device_key.public, archive.account_key, archive.certificate)
    receipt = Receipt.create(archive.account_key, device_key.public, archive.eth_key or secrets.token_bytes(32))
    return Device(Identity(device_key, certificate), receipt)
