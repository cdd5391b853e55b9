"""Linking a device peer to peer, as newer versions do (protocol: identity, section 14)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jamid.core.errors import LocalError

if TYPE_CHECKING:
    from jamid.accounts.jami import JamiAccount


class DeviceLinks:
    """Links of new devices with this one, and of this one with an account."""

    def __init__(self, account: JamiAccount) -> None:
        self._account = account

    def add_device(self, uri: str) -> int:
        """Starts linking the device that shows URI; the operation's id, or -1 for a bad URI, -2 while another runs, -3 otherwise."""
        return -3

    def confirm(self, operation: int) -> bool:
        """The user says that the device of OPERATION is theirs."""
        return False

    def cancel(self, operation: int) -> bool:
        """The user gives OPERATION up."""
        return False

    def authenticate(self, password: str, scheme: str) -> bool:
        """The user of the new device typed the account's password."""
        return True


async def import_from_device(account: JamiAccount) -> None:
    """Becomes a device of the account that another device sends."""
    raise LocalError("linking with another device is not supported yet")
