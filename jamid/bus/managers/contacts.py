"""Contacts and trust requests on D-Bus (protocol: dbus, section 5.5)."""

from __future__ import annotations

from jamid.accounts.contact_book import ContactBook
from jamid.accounts.service import Accounts
from jamid.core.identifiers import bare_uri


class ContactsPart:
    """The methods about contacts."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    async def addContact(self, account_id: str, uri: str) -> None:
        if (book := self._book(account_id)) is not None:
            await book.add(bare_uri(uri))

    async def removeContact(self, account_id: str, uri: str, ban: bool) -> None:
        if (book := self._book(account_id)) is not None:
            await book.remove(bare_uri(uri), ban=ban)

    def getContactDetails(self, account_id: str, uri: str) -> dict[str, str]:
        book = self._book(account_id)
        contact = None if book is None else book.contacts.get(bare_uri(uri))
        return {} if contact is None else contact.details(bare_uri(uri))

    def getContacts(self, account_id: str) -> list[dict[str, str]]:
        book = self._book(account_id)
        if book is None:
            return []
        return [contact.details(uri) for uri, contact in book.contacts.items() if contact.is_active or contact.is_banned]

    def getTrustRequests(self, account_id: str) -> list[dict[str, str]]:
        book = self._book(account_id)
        return [] if book is None else [request.details(uri) for uri, request in book.pending.items()]

    async def acceptTrustRequest(self, account_id: str, uri: str) -> bool:
        book = self._book(account_id)
        return book is not None and await book.accept(bare_uri(uri))

    async def discardTrustRequest(self, account_id: str, uri: str) -> bool:
        book = self._book(account_id)
        return book is not None and await book.discard(bare_uri(uri))

    async def sendTrustRequest(self, account_id: str, uri: str, payload: bytes) -> None:
        if (book := self._book(account_id)) is not None:
            await book.send_request(bare_uri(uri), bytes(payload))

    def getNearbyPeers(self, account_id: str) -> dict[str, str]:
        account = self._accounts.jami(account_id)
        return {} if account is None else account.nearby.found

    def _book(self, account_id: str) -> ContactBook | None:
        account = self._accounts.jami(account_id)
        return None if account is None else account.contacts
