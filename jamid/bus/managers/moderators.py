"""Who moderates the conferences of an account: three of its details (protocol: dbus, section 5.12)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from jamid.core.identifiers import bare_uri

_MODERATORS = "Account.defaultModerators"
_LOCAL = "Account.localModeratorsEnabled"
_ALL = "Account.allModeratorEnabled"


class AccountDetails(Protocol):
    """What moderators need of the accounts."""

    def details(self, account_id: str) -> Mapping[str, str]:
        """All details; raises NotFoundError."""
        ...

    async def change_quietly(self, account_id: str, details: Mapping[str, str]) -> None:
        """Stores DETAILS without a new registration and without signals; raises NotFoundError."""
        ...


class ModeratorsPart:
    """Reads and changes an account's moderators; no signal tells of it, as in the real daemon."""

    def __init__(self, accounts: AccountDetails) -> None:
        self._accounts = accounts

    def getDefaultModerators(self, account_id: str) -> list[str]:
        return [uri for uri in self._accounts.details(account_id).get(_MODERATORS, "").split("/") if uri]

    async def setDefaultModerator(self, account_id: str, peer_uri: str, moderator: bool) -> None:
        uri = bare_uri(peer_uri)
        known = self.getDefaultModerators(account_id)
        if not uri or (uri in known) == moderator:
            return
        wanted = [*known, uri] if moderator else [one for one in known if one != uri]
        await self._accounts.change_quietly(account_id, {_MODERATORS: "/".join(wanted)})

    def isLocalModeratorsEnabled(self, account_id: str) -> bool:
        return self._accounts.details(account_id).get(_LOCAL, "true") == "true"

    async def enableLocalModerators(self, account_id: str, enabled: bool) -> None:
        await self._accounts.change_quietly(account_id, {_LOCAL: "true" if enabled else "false"})

    def isAllModerators(self, account_id: str) -> bool:
        return self._accounts.details(account_id).get(_ALL, "true") == "true"

    async def setAllModerators(self, account_id: str, enabled: bool) -> None:
        await self._accounts.change_quietly(account_id, {_ALL: "true" if enabled else "false"})
