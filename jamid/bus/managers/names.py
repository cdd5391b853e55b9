"""Names and directories on D-Bus (protocol: dbus, section 5.4)."""

from __future__ import annotations

from jamid.accounts.archive import SCHEME_PASSWORD
from jamid.accounts.jami import JamiAccount
from jamid.accounts.names import Answer, Lookup, Registration
from jamid.accounts.service import Accounts
from jamid.core.errors import JamidError
from jamid.core.identifiers import bare_uri
from jamid.core.signals import NameRegistrationEnded, RegisteredNameFound
from jamid.core.tasks import Tasks


class NamesPart:
    """The methods about registered names; each look-up is answered by exactly one registeredNameFound."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._tasks = Tasks("name methods")

    def lookupName(self, account_id: str, server: str, name: str) -> bool:
        if account_id and self._accounts.jami(account_id) is None:
            return False
        self._tasks.spawn(self._lookup_name(account_id, self._server(account_id, server), name), "look up")
        return True

    def lookupAddress(self, account_id: str, server: str, address: str) -> bool:
        if account_id and self._accounts.jami(account_id) is None:
            return False
        self._tasks.spawn(self._lookup_address(account_id, self._server(account_id, server), address), "look up")
        return True

    def registerName(self, account_id: str, *arguments: str) -> bool:
        """13: (account, password, name); 17: (account, name, scheme, password)."""
        account = self._accounts.jami(account_id)
        if account is None:
            return False
        if len(arguments) > 2:
            name, scheme, password = arguments[:3]
        else:
            password, name = arguments
            scheme = SCHEME_PASSWORD
        self._tasks.spawn(self._register(account, name, password, scheme), "register name")
        return True

    def searchUser(self, account_id: str, query: str) -> bool:
        account = self._accounts.jami(account_id)
        return account is not None and account.search_user(query)

    def _server(self, account_id: str, server: str) -> str:
        account = self._accounts.jami(account_id)
        return server if account is None else account.details["RingNS.uri"]

    async def _lookup_name(self, account_id: str, server: str, name: str) -> None:
        self._tell(account_id, name, await self._accounts.environment.names.lookup_name(server, name))

    async def _lookup_address(self, account_id: str, server: str, address: str) -> None:
        address = bare_uri(address)
        self._tell(account_id, address, await self._accounts.environment.names.lookup_address(server, address))

    def _tell(self, account_id: str, asked: str, answer: Answer) -> None:
        # As 17 does: what was asked for stands in its own argument, and what was not found is empty.
        address, name = (answer.address, answer.name) if answer.status is Lookup.FOUND else ("", "")
        signal = RegisteredNameFound(account_id, asked, int(answer.status), address, name)
        self._accounts.environment.events.publish(signal)

    async def _register(self, account: JamiAccount, name: str, password: str, scheme: str) -> None:
        if account.manager.is_used:
            self._accounts.environment.events.publish(NameRegistrationEnded(account.id, int(Registration.ERROR), name))
            return
        try:
            archive, _ = await account.vault.open(password, scheme)
        except JamidError:
            result = Registration.WRONG_PASSWORD
        else:
            eth_address = account.receipt.eth_address if account.receipt is not None else ""
            result = await self._accounts.environment.names.register(
                account.details["RingNS.uri"], name, account.uri, eth_address, archive.account_key
            )
            if result is Registration.SUCCESS:
                await account.set_registered_name(name.lower())
        self._accounts.environment.events.publish(NameRegistrationEnded(account.id, int(result), name))
