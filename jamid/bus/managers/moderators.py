"""Who moderates the conferences of an account: three of its details (protocol: dbus, section 5.12)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from jamid.core.errors import NotFoundError
from jamid.core.identifiers import bare_uri

_MODERATORS = "Account.defaultModerators"
_LOCAL = "Account.localModeratorsEnabled"
_ALL = "Account.allModeratorEnabled"


class Details(Protocol):
    """Configuration keys by name."""

    def __getitem__(self, key: str) -> str: ...

    def update(self, values: Mapping[str, str]) -> bool:
        """Whether anything changed."""
        ...


class ModeratedAccount(Protocol):
    """What moderators need of an account."""

    @property
    def details(self) -> Details: ...

    async def save(self) -> None:
        """Writes the configuration."""
        ...


class ModeratedAccounts(Protocol):
    """What moderators need of the accounts."""

    def get(self, account_id: str) -> ModeratedAccount | None: ...


class ModeratorsPart:
    """Reads and changes an account's moderators; no signal tells of it, as in the real daemon."""

    def __init__(self, accounts: ModeratedAccounts) -> None:
        self._accounts = accounts

    def getDefaultModerators(self, account_id: str) -> list[str]:
        return [uri for uri in self._account(account_id).details[_MODERATORS].split("/") if uri]

    async def setDefaultModerator(self, account_id: str, peer_uri: str, moderator: bool) -> None:
        uri = bare_uri(peer_uri)
        known = self.getDefaultModerators(account_id)
        if not uri or (uri in known) == moderator:
            return
        wanted = [*known, uri] if moderator else [one for one in known if one != uri]
        await self._change(account_id, _MODERATORS, "/".join(wanted))

    def isLocalModeratorsEnabled(self, account_id: str) -> bool:
        return self._account(account_id).details[_LOCAL] == "true"

    async def enableLocalModerators(self, account_id: str, enabled: bool) -> None:
        await self._change(account_id, _LOCAL, "true" if enabled else "false")

    def isAllModerators(self, account_id: str) -> bool:
        return self._account(account_id).details[_ALL] == "true"

    async def setAllModerators(self, account_id: str, enabled: bool) -> None:
        await self._change(account_id, _ALL, "true" if enabled else "false")

    async def _change(self, account_id: str, key: str, value: str) -> None:
        # Not as setAccountDetails: nobody has to register anew for this.
        account = self._account(account_id)
        if account.details.update({key: value}):
            await account.save()

    def _account(self, account_id: str) -> ModeratedAccount:
        account = self._accounts.get(account_id)
        if account is None:
            raise NotFoundError(f"no account {account_id}")
        return account
