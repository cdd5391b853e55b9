"""Linking a device with a PIN: the archive lies on the DHT for ten minutes, at a place that the PIN names (protocol: identity, 13.2)."""

from __future__ import annotations

import asyncio
import logging
import secrets
import string
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Final

from jamid.accounts.archive import SCHEME_PASSWORD, Archive, open_from_pin, seal_for_pin
from jamid.core import limits
from jamid.core.errors import JamidError, RemoteError
from jamid.core.identifiers import InfoHash
from jamid.core.signals import ExportOnRingEnded
from jamid.core.tasks import in_thread
from jamid.crypto.boxes import stretch_key
from jamid.dht.values import Value

if TYPE_CHECKING:
    from jamid.accounts.jami import JamiAccount

_log = logging.getLogger(__name__)
_PIN_LENGTH: Final = 8
_PERIOD: Final = 1200
_ALPHABET: Final = string.digits + string.ascii_uppercase
EXPORTED: Final = 0
WRONG_PASSWORD: Final = 1
NETWORK: Final = 2
_CONNECT_SECONDS: Final = 30.0


def derive_key(pin: str, password: str, moment: float) -> bytes:
    """The key of a PIN in the twenty minutes around MOMENT (seconds since 1970); slow. Its SHA-1 is the place on the DHT."""
    salt = f"{pin.upper()}{int(moment) // _PERIOD:x}".encode()
    return stretch_key(password, salt)


async def export_with_pin(account: JamiAccount, password: str) -> None:
    """Puts the archive on the DHT and publishes exportOnRingEnded with the PIN, or why not."""
    status, pin = await _export(account, password)
    account.events.publish(ExportOnRingEnded(account.id, status, pin))


async def _export(account: JamiAccount, password: str) -> tuple[int, str]:
    try:
        archive, _ = await account.vault.current(password, SCHEME_PASSWORD)
    except JamidError as error:
        _log.warning("[account=%s] the account is not exported: %s", account.id, error)
        return WRONG_PASSWORD, ""
    dht = account.dht
    if dht is None:
        return NETWORK, ""
    pin = "".join(secrets.choice(_ALPHABET) for _ in range(_PIN_LENGTH))
    key = await in_thread(derive_key, pin, password, account.clock.time())
    data = await in_thread(seal_for_pin, archive, key)
    if len(data) > limits.INBOX_VALUE_BYTES - 256:
        _log.error("[account=%s] %d bytes are too many for an export by PIN; export to a file", account.id, len(data))
        return NETWORK, ""
    if not await dht.put(InfoHash.of(key), Value(data=data)):
        return NETWORK, ""
    return EXPORTED, pin.lower()


async def fetch_archive(account: JamiAccount, pin: str, password: str) -> Archive:
    """The archive that a PIN names, looked for with a DHT node without identity; RemoteError when there is none to be opened."""
    now = account.clock.time()
    lease = account.environment.dht_pool.lease(account.details, None)
    try:
        await lease.start()
        await lease.connected(_CONNECT_SECONDS)
        keys = await asyncio.gather(*(in_thread(derive_key, pin, password, moment) for moment in (now, now - _PERIOD)))
        searches = [asyncio.ensure_future(_search(lease.dht.get(InfoHash.of(key)), key)) for key in keys]
        try:
            for search in asyncio.as_completed(searches):
                if (archive := await search) is not None:
                    return archive
        finally:
            for task in searches:
                task.cancel()
    finally:
        await lease.close()
    raise RemoteError("no account was found for the PIN; it may have expired, or PIN or password are wrong")


async def _search(getting: Awaitable[list[Value]], key: bytes) -> Archive | None:
    for value in (await getting)[:16]:
        try:
            return await in_thread(open_from_pin, value.data, key)
        except RemoteError:
            continue
    return None
