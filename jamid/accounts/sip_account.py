"""SIP accounts as configuration; the calls' room registers them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from jamid.accounts.account import Account, State
from jamid.accounts.config_file import StoredConfig
from jamid.accounts.seams import Seams, SipRegistrar
from jamid.core.events import Events

_CREDENTIAL_KEYS = ("Account.username", "Account.password", "Account.realm")


class SipAccount(Account):
    """An account at a SIP server."""

    def __init__(self, account_id: str, config: StoredConfig, events: Events, seams: Seams, save: Callable[[], Awaitable[None]]) -> None:
        super().__init__(account_id, config, events)
        self._seams = seams
        self._save = save
        self.presence_status = False
        self.presence_note = " "
        if not config.credentials:
            self._credentials_from_details()

    @property
    def credentials(self) -> list[dict[str, str]]:
        """User name, password and realm, once per realm."""
        return [dict(entry) for entry in self.config.credentials]

    async def set_credentials(self, credentials: Sequence[Mapping[str, str]]) -> None:
        """Replaces the credentials and saves them."""
        self.config.credentials = [{key: entry.get(key, "") for key in _CREDENTIAL_KEYS} for entry in credentials]
        for entry in self.config.credentials:
            entry["Account.realm"] = entry["Account.realm"] or "*"
        if self.config.credentials:
            self.details.set("Account.password", self.config.credentials[0]["Account.password"])
        await self.save()

    @property
    def registrar(self) -> SipRegistrar | None:
        """Who registers SIP accounts and sends their messages, if anybody does."""
        return self._seams.sip

    def volatile_details(self) -> dict[str, str]:
        told = super().volatile_details()
        told["Account.registrationCode"] = str(self.state_code)
        told["Account.registrationDescription"] = self.state_text or "Default status message"
        told["Account.presenceStatus"] = "true" if self.presence_status else "false"
        told["Account.presenceNote"] = self.presence_note
        return told

    async def register(self) -> None:
        if not self.enabled:
            self.set_state(State.UNREGISTERED)
            return
        if self._seams.sip is None:
            self.set_state(State.ERROR_GENERIC, 0, "SIP is not available")
            return
        await self._seams.sip.register(self.id)

    async def unregister(self) -> None:
        if self._seams.sip is not None:
            await self._seams.sip.unregister(self.id)
        self.set_state(State.UNREGISTERED)

    async def save(self) -> None:
        await self._save()

    async def close(self) -> None:
        if self._seams.sip is not None:
            await self._seams.sip.unregister(self.id)

    async def apply_details(self, values: Mapping[str, str]) -> bool:
        before = (self.details["Account.username"], self.details["Account.password"])
        changed = self.details.update(values)
        if (self.details["Account.username"], self.details["Account.password"]) != before:
            self._credentials_from_details()
        if changed:
            await self.save()
        return changed

    def _credentials_from_details(self) -> None:
        entry = {"Account.username": self.details["Account.username"], "Account.password": self.details["Account.password"]}
        self.config.credentials[:1] = [entry | {"Account.realm": "*"}]
