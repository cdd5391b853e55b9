"""The devices of an account on D-Bus: known ones, linking, revocation (protocol: dbus, section 5.3)."""

from __future__ import annotations

from jamid.accounts.archive import SCHEME_PASSWORD
from jamid.accounts.pin import export_with_pin
from jamid.accounts.service import Accounts


class DevicesPart:
    """The methods about devices."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    def getKnownRingDevices(self, account_id: str) -> dict[str, str]:
        account = self._accounts.jami(account_id)
        return {} if account is None else account.devices.known.names()

    def exportOnRing(self, account_id: str, password: str) -> bool:
        account = self._accounts.jami(account_id)
        if account is None:
            return False
        account.tasks.spawn(export_with_pin(account, password), "export by PIN")
        return True

    def addDevice(self, account_id: str, uri: str) -> int:
        account = self._accounts.jami(account_id)
        return -3 if account is None else account.links.add_device(uri)

    def confirmAddDevice(self, account_id: str, operation: int) -> bool:
        account = self._accounts.jami(account_id)
        return account is not None and account.links.confirm(operation)

    def cancelAddDevice(self, account_id: str, operation: int) -> bool:
        account = self._accounts.jami(account_id)
        return account is not None and account.links.cancel(operation)

    def provideAccountAuthentication(self, account_id: str, password: str, scheme: str) -> bool:
        account = self._accounts.jami(account_id)
        return account is not None and account.links.authenticate(password, scheme)

    def revokeDevice(self, account_id: str, *arguments: str) -> bool:
        """13: (account, password, device); 17: (account, device, scheme, password). False as from both; the signal tells the result."""
        account = self._accounts.jami(account_id)
        if account is None:
            return False
        if len(arguments) > 2:
            device_id, scheme, password = arguments[:3]
        else:
            password, device_id = arguments
            scheme = SCHEME_PASSWORD
        account.tasks.spawn(account.vault.revoke(device_id, password, scheme), "revoke")
        return False
