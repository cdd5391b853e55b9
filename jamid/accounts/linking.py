"""Linking devices peer to peer, as newer versions do: both sides' operations of one account (protocol: identity, section 14)."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from jamid.accounts.linking_new import LinkTarget
from jamid.accounts.linking_source import LinkSource
from jamid.accounts.linking_states import LinkState
from jamid.accounts.linking_wire import LinkAddress
from jamid.core.errors import RemoteError
from jamid.core.signals import DeviceAuthStateChanged

if TYPE_CHECKING:
    from jamid.accounts.jami import JamiAccount

BAD_ADDRESS: Final = -1
BUSY: Final = -2
FAILED: Final = -3


class DeviceLinks:
    """Links of new devices with this one, and of this one with an account."""

    def __init__(self, account: JamiAccount) -> None:
        self._account = account
        self._source: LinkSource | None = None
        self.target: LinkTarget | None = None

    def add_device(self, uri: str) -> int:
        """Starts linking the device that shows URI; the operation's id, or -1 for a bad URI, -2 while another runs, -3 when offline."""
        if self._source is not None:
            return BUSY
        try:
            address = LinkAddress.parse(uri)
        except RemoteError:
            return BAD_ADDRESS
        if not self._account.is_online:
            return FAILED
        source = LinkSource(self._account, secrets.randbelow(2**31 - 1) + 1, address)
        self._source = source
        self._account.tasks.spawn(self._run(source), "link")
        return source.operation

    def confirm(self, operation: int) -> bool:
        """The user says that the device of OPERATION is theirs."""
        source = self._running(operation)
        if source is not None:
            source.confirm()
        return source is not None

    def cancel(self, operation: int) -> bool:
        """The user gives OPERATION up."""
        source = self._running(operation)
        if source is not None:
            source.cancel()
        return source is not None

    def authenticate(self, password: str, scheme: str) -> bool:
        """The user of the new device typed the account's password; true for any account, as the real daemon answers."""
        if self.target is not None:
            self.target.authenticate(password, scheme)
        return True

    def tell_done(self) -> None:
        """This device has its account: the last signal of linking it."""
        self._account.events.publish(DeviceAuthStateChanged(self._account.id, int(LinkState.DONE), {"error": ""}))

    def _running(self, operation: int) -> LinkSource | None:
        source = self._source
        return source if source is not None and source.operation == operation else None

    async def _run(self, source: LinkSource) -> None:
        try:
            await source.run()
        finally:
            self._source = None


async def import_from_device(account: JamiAccount) -> None:
    """Becomes a device of the account that another device sends; raises LinkEnded when that did not happen."""
    from jamid.accounts.origin import import_archive

    target = LinkTarget(account)
    account.links.target = target
    try:
        archive, key = await target.run()
        await import_archive(account, archive, key)
    finally:
        account.links.target = None
