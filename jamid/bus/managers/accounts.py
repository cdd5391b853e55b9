"""Accounts on D-Bus: details, adding and removing, registering (protocol: dbus, section 5.2) and their archive and messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jamid.accounts.archive import SCHEME_PASSWORD
from jamid.accounts.details import template
from jamid.accounts.service import Accounts
from jamid.core.identifiers import bare_uri


class AccountsPart:
    """The methods about accounts as a whole."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    def getAccountList(self) -> list[str]:
        return self._accounts.ids()

    def getAccountTemplate(self, account_type: str) -> dict[str, str]:
        return template(account_type)

    def getAccountDetails(self, account_id: str) -> dict[str, str]:
        account = self._accounts.get(account_id)
        return {} if account is None else account.told_details()

    def getVolatileAccountDetails(self, account_id: str) -> dict[str, str]:
        account = self._accounts.get(account_id)
        return {} if account is None else account.volatile_details()

    async def setAccountDetails(self, account_id: str, details: Mapping[str, str]) -> None:
        await self._accounts.set_details(account_id, details)

    async def setAccountActive(self, account_id: str, active: bool) -> None:
        await self._accounts.set_active(account_id, active)

    async def addAccount(self, details: Mapping[str, str]) -> str:
        return await self._accounts.add(details)

    async def removeAccount(self, account_id: str) -> None:
        await self._accounts.remove(account_id)

    async def setAccountsOrder(self, order: str) -> None:
        await self._accounts.set_order(order)

    async def sendRegister(self, account_id: str, enable: bool) -> None:
        await self._accounts.send_register(account_id, enable)

    async def registerAllAccounts(self) -> None:
        await self._accounts.register_all()

    def getCredentials(self, account_id: str) -> list[dict[str, str]]:
        account = self._accounts.sip(account_id)
        return [] if account is None else account.credentials

    async def setCredentials(self, account_id: str, credentials: Sequence[Mapping[str, str]]) -> None:
        account = self._accounts.sip(account_id)
        if account is not None:
            await account.set_credentials(credentials)
            await account.unregister()
            await account.register()

    async def exportToFile(self, account_id: str, path: str, *secret: str) -> bool:
        """13: (account, path, password); 17: (account, path, scheme, password)."""
        account = self._accounts.jami(account_id)
        if account is None:
            return False
        scheme, password = secret[:2] if len(secret) > 1 else (SCHEME_PASSWORD, "".join(secret))
        return await account.vault.export(path, password, scheme)

    async def changeAccountPassword(self, account_id: str, old: str, new: str) -> bool:
        account = self._accounts.jami(account_id)
        return account is not None and await account.vault.change_password(old, new)

    async def updateProfile(self, account_id: str, name: str, avatar: str, file_type: str, bot_owner: str, flag: int) -> None:
        account = self._accounts.jami(account_id)
        if account is not None:
            await account.profile.update(name, avatar, file_type, flag)

    # -- messages outside conversations -- (protocol: dbus, section 5.7)

    async def sendTextMessage(self, account_id: str, to: str, payloads: Mapping[str, str], flags: int = 0) -> int:
        """17 has the flags, whose lowest bit forbids making a connection."""
        sip, jami = self._accounts.sip(account_id), self._accounts.jami(account_id)
        if sip is not None and sip.registrar is not None:
            return await sip.registrar.send_message(account_id, to, payloads)
        if jami is None:
            return 0
        if to.startswith("swarm:"):
            await jami.seams.conversations.send_to_members(account_id, to.removeprefix("swarm:"), payloads)
            return 0
        return await jami.messages.send(bare_uri(to), payloads, only_connected=bool(flags & 1))

    def getLastMessages(self, account_id: str, since: int) -> list[list[object]]:
        account = self._accounts.jami(account_id)
        return [] if account is None else [list(message) for message in account.messages.since(since)]

    def getMessageStatus(self, token: int) -> int:
        for account in self._accounts:
            jami = self._accounts.jami(account.id)
            if jami is not None and (status := jami.messages.status(token)):
                return status
        return 0

    def cancelMessage(self, account_id: str, token: int) -> bool:
        account = self._accounts.jami(account_id)
        return account is not None and account.messages.cancel(token)
