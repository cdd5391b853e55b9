"""The devices of the own account: learning them from announcements, naming them, telling them news (protocol: identity, section 12)."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from jamid.accounts.events import OwnDeviceFound
from jamid.accounts.known_devices import KnownDevices
from jamid.accounts.trust import check_own_device
from jamid.core.errors import LimitError, RemoteError
from jamid.core.files import write_atomically
from jamid.core.signals import KnownDevicesChanged
from jamid.core.tasks import in_thread
from jamid.crypto.certificates import Certificate

if TYPE_CHECKING:
    from jamid.accounts.jami import JamiAccount

_log = logging.getLogger(__name__)
_SYNC_DELAY = 0.3


class OwnDevices:
    """Which devices the account has, as far as this one knows."""

    def __init__(self, account: JamiAccount) -> None:
        self._account = account
        self.known = KnownDevices()
        self._sync_pending = False

    def load(self) -> None:
        """Reads the file; blocks."""
        files = self._account.files
        self.known = files.load(files.data / "knownDevices", KnownDevices.from_bytes) or KnownDevices()

    async def save(self) -> None:
        await in_thread(write_atomically, self._account.files.data / "knownDevices", self.known.to_bytes())

    def publish(self) -> None:
        """Tells frontends the devices and their names."""
        self._account.events.publish(KnownDevicesChanged(self._account.id, self.known.names()))

    def others(self) -> list[str]:
        """Ids of the devices besides this one."""
        return [device_id for device_id in self.known if device_id != self._account.device_id]

    async def name_this(self, name: str) -> None:
        """Gives this device a name."""
        if self.known.learn(self._account.device_id, name):
            await self.save()

    async def found(self, certificate: Certificate, name: str = "") -> bool:
        """A device says it is one of ours: checks and keeps it; whether it was unknown or has a new name."""
        identity = self._account.identity
        if identity is None or identity.certificate.issuer is None:
            return False
        revocations = self._account.certificates.revocations(self._account.uri)
        try:
            await in_thread(check_own_device, certificate, identity.certificate.issuer, self._account.peers.now(), revocations)
            device_id = certificate.long_id.hex()
            is_new = device_id not in self.known
            changed = self.known.learn(device_id, name)
        except (RemoteError, LimitError) as error:
            _log.warning("[account=%s] a device is not taken as an own one: %s", self._account.id, error)
            return False
        if changed:
            await self._account.certificates.pin(certificate, self._account.id)
            await self.save()
            self.publish()
        if device_id != self._account.device_id:
            self._account.events.publish(OwnDeviceFound(self._account.id, certificate))
            if is_new:
                self.contacts_changed()
        return changed

    async def forget(self, device_id: str) -> None:
        """Drops a revoked device."""
        if self.known.forget(device_id):
            await self.save()
            self.publish()

    def contacts_changed(self) -> None:
        """Something that all devices of the account share changed: they are told soon, several changes in one message."""
        if self._account.manager.is_used and self._account.is_online:
            self._account.tasks.spawn(self._account.manager.synchronise(), "account server")
        if not self._sync_pending and self.others() and self._account.is_online:
            self._sync_pending = True
            self._account.tasks.spawn(self._sync_soon(), "sync")

    async def _sync_soon(self) -> None:
        await asyncio.sleep(_SYNC_DELAY)
        self._sync_pending = False
        await self._account.sync.send_all()
