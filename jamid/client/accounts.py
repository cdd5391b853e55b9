"""Accounts: list, make, change, export, remove."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jamid.client.connection import Connection
from jamid.client.events import AccountStatusChanged, EventStream, RegistrationChanged
from jamid.client.model import absolute, flag, is_there, text_flag
from jamid.core.errors import LocalError, NotFoundError

_INTERFACE = "ConfigurationManager"
_FAILED = ("ERROR_GENERIC", "ERROR_AUTH", "ERROR_NEED_MIGRATION", "ERROR_EXIST_STUN", "ERROR_CONF_STUN")


@dataclass(frozen=True, slots=True)
class Account:
    """One account as the daemon describes it."""

    id: str
    """local: 16 hex digits"""
    type: str
    """`RING` (a Jami account) or `SIP`"""
    uri: str
    """its Jami id, 40 hex digits; the user name of a SIP account"""
    name: str
    """the display name, or the alias"""
    registered_name: str
    enabled: bool
    state: str
    announced: bool
    """whether other devices can find this one"""
    device: str
    details: Mapping[str, str]
    volatile: Mapping[str, str]


class Accounts:
    """The accounts of the daemon."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def ids(self) -> list[str]:
        return [str(one) for one in await self._connection.call(_INTERFACE, "getAccountList")]

    async def all(self) -> list[Account]:
        return [await self.get(account_id) for account_id in await self.ids()]

    async def get(self, account_id: str) -> Account:
        """One account; raises NotFoundError."""
        details = await self._connection.call(_INTERFACE, "getAccountDetails", "s", account_id)
        if not details:
            raise NotFoundError(f"there is no account {account_id}")
        volatile = await self._connection.call(_INTERFACE, "getVolatileAccountDetails", "s", account_id)
        return Account(
            id=account_id, type=details.get("Account.type", ""), uri=details.get("Account.username", ""),
            name=details.get("Account.displayName") or details.get("Account.alias", ""),
            registered_name=volatile.get("Account.registeredName", ""), enabled=flag(details, "Account.enable"),
            state=volatile.get("Account.registrationStatus", ""), announced=flag(volatile, "Account.deviceAnnounced"),
            device=volatile.get("Account.deviceID", "") or details.get("Account.deviceID", ""), details=details, volatile=volatile,
        )  # fmt: skip

    async def find(self, text: str) -> Account:
        """The account that TEXT means: its local id, Jami id, registered name or display name; "" means the only one."""
        accounts = await self.all()
        if not text:
            if len(accounts) == 1:
                return accounts[0]
            if not accounts:
                raise NotFoundError("there is no account yet; `jami account add --name NAME` makes one")
            known = ", ".join(f"{one.id} ({one.name})" for one in accounts)
            raise NotFoundError(f"say which account (--account): there are {len(accounts)}: {known}")
        for kind in ("id", "uri", "registered_name", "name"):
            found = [one for one in accounts if getattr(one, kind) == text]
            if len(found) == 1:
                return found[0]
        raise NotFoundError(f"no account, or more than one, is called {text!r}")

    async def add(
        self, name: str, *, password: str = "", archive: Path | None = None, details: Mapping[str, str] | None = None
    ) -> str:
        """Makes a Jami account, or takes one from an exported ARCHIVE; its local id. Keys are made in the background: see `wait_ready`."""
        template = await self._connection.call(_INTERFACE, "getAccountTemplate", "s", "RING")
        wanted = {"Account.type": "RING", "Account.alias": name, "Account.displayName": name, "Account.archivePassword": password}
        if archive:
            wanted["Account.archivePath"] = absolute(archive)
        account = await self._connection.call(_INTERFACE, "addAccount", "a{ss}", {**template, **wanted, **(details or {})})
        if not account:
            raise LocalError("the daemon made no account; its log says why")
        return str(account)

    async def wait_ready(self, account_id: str, seconds: float = 60, *, announced: bool = True) -> Account:
        """Waits until the account is registered (and ANNOUNCED, so that others can find it); raises TimeoutError, LocalError."""

        async def done() -> bool:
            try:
                account = await self.get(account_id)
            except NotFoundError as error:
                raise LocalError(f"the daemon gave the account {account_id} up: is its archive one, and the password right?") from error
            if account.state in _FAILED:
                raise LocalError(f"account {account_id} is in state {account.state}")
            return account.announced or (not announced and account.state == "REGISTERED")

        async with EventStream[AccountStatusChanged | RegistrationChanged](
            self._connection, [AccountStatusChanged, RegistrationChanged]
        ) as events:
            while not await done():
                await events.wait(lambda event: event.account == account_id, seconds)
        return await self.get(account_id)

    async def change(self, account_id: str, details: Mapping[str, str]) -> None:
        """Sets some details and leaves the others."""
        await self._connection.call(_INTERFACE, "setAccountDetails", "sa{ss}", account_id, dict(details))

    async def set_enabled(self, account_id: str, enabled: bool) -> None:
        await self.change(account_id, {"Account.enable": text_flag(enabled)})
        await self._connection.call(_INTERFACE, "sendRegister", "sb", account_id, enabled)

    async def remove(self, account_id: str) -> None:
        """Removes the account with its keys and messages from this machine."""
        await self._connection.call(_INTERFACE, "removeAccount", "s", account_id)

    async def export(self, account_id: str, path: Path, password: str = "") -> None:
        """Writes the account's archive, from which another device can take it; raises LocalError."""
        target = absolute(path)
        if await self._connection.declares(_INTERFACE, "exportToFile", "ssss"):
            done = await self._connection.call(_INTERFACE, "exportToFile", "ssss", account_id, target, "password", password)
        else:
            done = await self._connection.call(_INTERFACE, "exportToFile", "sss", account_id, target, password)
        if not (done and is_there(target)):  # 13.7 does not say that it could not write
            raise LocalError(f"{account_id} was not exported to {target}: a wrong password, or the place cannot be written")

    async def devices(self, account_id: str) -> dict[str, str]:
        """The account's devices: id to name."""
        return dict(await self._connection.call(_INTERFACE, "getKnownRingDevices", "s", account_id))
