"""Presence on D-Bus (protocol: dbus, section 5.17)."""

from __future__ import annotations

from collections.abc import Sequence

from jamid.accounts.service import Accounts
from jamid.core.identifiers import bare_uri


class PresencePart:
    """The whole of PresenceManager."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    def publish(self, account_id: str, status: bool, note: str) -> None:
        account = self._accounts.sip(account_id)
        if account is not None:
            account.presence_status, account.presence_note = status, note
            account.publish_volatile()

    def answerServerRequest(self, uri: str, accept: bool) -> None:
        return None

    def subscribeBuddy(self, account_id: str, uri: str, wanted: bool) -> None:
        account = self._accounts.jami(account_id)
        if account is not None:
            account.presence.subscribe(bare_uri(uri), wanted)

    def getSubscriptions(self, account_id: str) -> list[dict[str, str]]:
        account = self._accounts.jami(account_id)
        return [] if account is None else account.presence.subscriptions()

    def setSubscriptions(self, account_id: str, uris: Sequence[str]) -> None:
        account = self._accounts.jami(account_id)
        if account is not None:
            for uri in uris:
                account.presence.subscribe(bare_uri(uri), True)
