"""The contacts and trust requests of a Jami account at work: rules, files, messages to peers, signals (protocol: identity, 9 and 10)."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from jamid.accounts.contacts import Change, Contact, ContactList
from jamid.accounts.declined import DeclinedRequests
from jamid.accounts.events import ContactConfirmed, TrustRequestReceived
from jamid.accounts.generations import inbox_key
from jamid.accounts.trust import Status, TrustStore
from jamid.accounts.trust_requests import VALUE_TYPE, PendingRequest, PendingRequests, TrustRequest
from jamid.core import limits
from jamid.core.errors import LimitError, LocalError
from jamid.core.files import read_if_present, write_atomically
from jamid.core.identifiers import is_account_uri
from jamid.core.signals import ContactAdded, ContactRemoved, IncomingTrustRequest
from jamid.core.tasks import in_thread
from jamid.crypto.certificates import Certificate
from jamid.dht.values import Value

if TYPE_CHECKING:
    from jamid.accounts.jami import JamiAccount

_log = logging.getLogger(__name__)
_RESEND_AFTER_MS = 3_600_000
_NEVER = 2**63
"""later than any refusal"""


class ContactBook:
    """Whom an account knows, whom it asked and who asks."""

    def __init__(self, account: JamiAccount) -> None:
        self._account = account
        self.contacts = ContactList()
        self.pending = PendingRequests()
        self.declined = DeclinedRequests()
        self.trust = TrustStore()
        self._adding = asyncio.Lock()
        self._saving = asyncio.Lock()
        self._sent: dict[tuple[str, str], int] = {}
        """(Jami id, device id) -> when our request went there, milliseconds"""

    # -- loading and saving --

    def load(self) -> None:
        """Reads the files; blocks."""
        files = self._account.files
        self.contacts = files.load(files.data / "contacts", ContactList.from_bytes) or ContactList()
        self.pending = files.load(files.data / "incomingTrustRequests", PendingRequests.from_bytes) or PendingRequests()
        self.declined = files.load(files.data / "declinedRequests", DeclinedRequests.from_bytes) or DeclinedRequests()
        self.declined.loaded(self._account.steady_ms())
        self.rebuild_trust()

    def rebuild_trust(self) -> None:
        """Sets the status of every contact's id from the list."""
        self.trust = TrustStore()
        if self._account.uri:
            self.trust.set(self._account.uri, Status.ALLOWED)
        for uri, contact in self.contacts.items():
            self._set_trust(uri, contact)

    def publish_all(self) -> None:
        """Tells of every active contact, as is done at every start."""
        for uri, contact in self.contacts.active():
            self._account.events.publish(ContactAdded(self._account.id, uri, contact.confirmed))

    async def save_contacts(self) -> None:
        async with self._saving:
            await in_thread(write_atomically, self._account.files.data / "contacts", self.contacts.to_bytes())

    async def save_requests(self) -> None:
        async with self._saving:
            files = self._account.files
            await in_thread(write_atomically, files.data / "incomingTrustRequests", self.pending.to_bytes())

    # -- what the user does --

    async def add(self, uri: str) -> None:
        """Adds a contact with its conversation; the request goes out when the peer is next seen. Nothing for an active contact."""
        await self._ensure(uri, confirmed=False)

    async def send_request(self, uri: str, payload: bytes) -> None:
        """Asks the account URI to become a contact: remembers PAYLOAD for repeating, adds the contact, writes to all its devices."""
        if not is_account_uri(uri) or uri == self._account.uri:
            return
        if len(payload) > limits.TRUST_REQUEST_BYTES:
            _log.warning("[account=%s] the profile of %d bytes is too large for a contact request", self._account.id, len(payload))
            payload = b""
        looking = asyncio.ensure_future(self._account.devices_of(uri))  # while the conversation is being made
        try:
            asked = await in_thread(_keep_payload, self._payload_path(uri), payload, self._account.now_ms())
            contact = await self._ensure(uri, confirmed=False)
        except BaseException:
            looking.cancel()
            raise
        if contact is not None and not contact.confirmed:
            self._account.tasks.spawn(self._ask(uri, contact, payload, asked, looking), "ask")
        else:
            looking.cancel()

    async def remove(self, uri: str, *, ban: bool) -> None:
        """Removes or bans a contact or a stranger; a waiting request of theirs goes too."""
        if not is_account_uri(uri):
            return
        contact = self.contacts.get(uri)
        conversation = contact.conversation_id if contact is not None else ""
        change = self.contacts.remove(uri, self._account.now_ms(), ban=ban)
        request = self.pending.remove(uri)
        if change is not Change.NONE:
            await self.save_contacts()
        if request is not None:
            await self.save_requests()
        await in_thread(self._payload_path(uri).unlink, True)
        if change is Change.NONE:
            return
        self._set_trust(uri, self.contacts.get(uri) or Contact())
        if conversation and not ban:
            await self._decline(uri, conversation, self._account.now_ms())
        if Change.REMOVED in change:
            await self._account.seams.conversations.contact_gone(self._account.id, uri, conversation, ban)
            self._account.events.publish(ContactRemoved(self._account.id, uri, ban))
        self._account.presence.untrack(uri)
        if ban:
            self._account.drop_peer(uri)
        self._account.devices.contacts_changed()

    async def accept(self, uri: str) -> bool:
        """Accepts the request of URI and starts its conversation; False when there is none, and the contact is just added."""
        request = self.pending.get(uri)
        if request is None:
            await self._ensure(uri, confirmed=True)
            return False
        await self.accepted(uri, request.conversation_id)
        if request.conversation_id:
            self._account.seams.conversations.request_accepted(self._account.id, uri, request.conversation_id)
        return True

    async def accepted(self, uri: str, conversation_id: str) -> None:
        """The request of URI was accepted, here or through its conversation: contact, confirmation to the peer, sync."""
        request = self.pending.remove(uri)
        try:
            await self._added(uri, confirmed=True, conversation_id=conversation_id)
        except LimitError:
            if request is not None:
                self.pending.store(uri, request)
            raise
        await self.save_requests()
        confirmation = TrustRequest(conversation_id, b"", confirm=True)
        self._account.tasks.spawn(self._send(uri, confirmation), "confirm")

    async def discard(self, uri: str) -> bool:
        """Declines the request of URI; nothing is sent. False when there is none."""
        request = self.pending.get(uri)
        if request is None:
            return False
        await self.declined_by_user(uri, request.conversation_id)
        if request.conversation_id:
            self._account.seams.conversations.request_declined(self._account.id, uri, request.conversation_id)
        return True

    async def declined_by_user(self, uri: str, conversation_id: str) -> None:
        """The request of URI was declined, here or through its conversation: the DHT will deliver it again, it must stay declined."""
        request = self.pending.get(uri)
        if request is None or request.conversation_id != conversation_id:
            return
        self.pending.remove(uri)
        await self._decline(uri, conversation_id, request.invited or request.received)
        await self.save_requests()

    async def declined_elsewhere(self, uri: str, conversation_id: str, declined: int) -> None:
        """The request of URI was declined on another device of ours, at DECLINED: this one's inbox may deliver it still."""
        request = self.pending.get(uri)
        if request is not None and request.conversation_id == conversation_id:
            await self.declined_by_user(uri, conversation_id)
        else:
            await self._decline(uri, conversation_id, declined)

    async def set_conversation(self, uri: str, conversation_id: str) -> None:
        """Names the one-to-one conversation with a contact."""
        if self.contacts.set_conversation(uri, conversation_id) is not Change.NONE:
            await self.save_contacts()
            self._account.devices.contacts_changed()

    def conversation_with(self, uri: str) -> str:
        """The id of the conversation with a contact, "" when none is known."""
        contact = self.contacts.get(uri)
        return contact.conversation_id if contact is not None and contact.is_active else ""

    def set_status(self, certificate_id: str, status: Status) -> bool:
        """The user's word on a certificate; refused for contacts, whose status follows from the list."""
        contact = self.contacts.get(certificate_id)
        if contact is not None and (contact.is_active or contact.is_banned):
            return False
        try:
            self.trust.set(certificate_id, status)
        except LimitError as error:
            _log.warning("[account=%s] %s", self._account.id, error)
            return False
        return True

    # -- what peers and own devices send --

    async def receive(self, certificate: Certificate, uri: str, request: TrustRequest, *, new_since: int = _NEVER) -> None:
        """A trust request or confirmation from a device of URI, whose chain was checked; a refusal since NEW_SINCE came before it."""
        if self.trust.status_of(certificate) is Status.BANNED or uri == self._account.uri:
            return
        contact = self.contacts.get(uri)
        if contact is not None and contact.is_active:
            await self._receive_from_contact(certificate, uri, contact, request)
        elif not request.confirm:
            pending = PendingRequest(
                certificate.public_key.der, request.conversation_id, self._account.now_ms(), request.payload, request.invited
            )
            await self._receive_from_stranger(uri, pending, new_since=new_since)

    async def merge(self, contacts: dict[str, Contact], requests: dict[str, PendingRequest]) -> bool:
        """Takes over what another device of the account knows; whether anything was new."""
        changed = False
        for uri, theirs in contacts.items():
            if uri == self._account.uri:
                continue
            before = self.contacts.get(uri) or Contact()
            change = self.contacts.merge(uri, theirs)
            if change is Change.NONE:
                continue
            changed = True
            ours = self.contacts.get(uri) or Contact()
            self._set_trust(uri, ours)
            if change & (Change.BECAME_ACTIVE | Change.BECAME_CONFIRMED):
                self._account.events.publish(ContactAdded(self._account.id, uri, ours.confirmed))
                self._account.presence.track(uri)
            elif Change.REMOVED in change:
                conversation = theirs.conversation_id or before.conversation_id
                if conversation and not ours.is_banned:
                    await self._decline(uri, conversation, ours.removed)
                await self._account.seams.conversations.contact_gone(self._account.id, uri, conversation, ours.is_banned)
                self._account.events.publish(ContactRemoved(self._account.id, uri, ours.is_banned))
                self._account.presence.untrack(uri)
                if ours.is_banned:
                    self._account.drop_peer(uri)
            if self.pending.remove(uri) is not None:
                await self.save_requests()
        if changed:
            await self.save_contacts()
        for uri, request in requests.items():
            if not self.contacts.is_active(uri) and not self.contacts.is_banned(uri):
                await self._receive_from_stranger(uri, request)
        return changed

    async def peer_announced(self, uri: str, certificate: Certificate) -> None:
        """A device of URI came online: an unanswered request of ours is repeated to it."""
        contact = self.contacts.get(uri)
        if contact is None or not contact.is_active or contact.confirmed:
            return
        payload, asked = await in_thread(_kept_payload, self._payload_path(uri))
        if payload is None and not contact.conversation_id:
            return
        last = self._sent.get((uri, certificate.long_id.hex()), 0)
        if self._account.steady_ms() - last > _RESEND_AFTER_MS:
            request = TrustRequest(contact.conversation_id, payload or b"", invited=max(contact.added, asked))
            await self._send_to_device(uri, certificate, request)

    # -- details --

    async def _ensure(self, uri: str, *, confirmed: bool) -> Contact | None:
        if not is_account_uri(uri) or uri == self._account.uri:
            return None
        async with self._adding:
            contact = self.contacts.get(uri)
            if contact is not None and contact.is_active and (contact.confirmed or not confirmed):
                return contact
            request = self.pending.get(uri)
            if request is not None and request.conversation_id and not (contact is not None and contact.is_active):
                # To ask whoever asks is to accept: real daemons stay with the conversation they asked with.
                await self.accept(uri)
                return self.contacts.get(uri)
            conversation = self.conversation_with(uri)
            if not conversation:
                conversation = await self._account.seams.conversations.one_to_one(self._account.id, uri)
            await self._added(uri, confirmed=confirmed, conversation_id=conversation)
            request = self.pending.remove(uri)
        if request is not None:  # they asked us as well
            await self.save_requests()
            await self._added(uri, confirmed=True, conversation_id="")
            theirs = TrustRequest(request.conversation_id, invited=request.invited)
            self._account.tasks.spawn(self._answer_contact(None, uri, conversation, theirs), "confirm")
        return self.contacts.get(uri)

    async def _added(self, uri: str, *, confirmed: bool, conversation_id: str) -> None:
        change = self.contacts.add(uri, self._account.now_ms(), confirmed=confirmed, conversation_id=conversation_id)
        if change is not Change.NONE:
            await self.save_contacts()
        contact = self.contacts.get(uri)
        assert contact is not None
        self._set_trust(uri, contact)
        if change & (Change.BECAME_ACTIVE | Change.BECAME_CONFIRMED):
            self._account.events.publish(ContactAdded(self._account.id, uri, contact.confirmed))
        self._account.presence.track(uri)
        if change is not Change.NONE:
            self._account.devices.contacts_changed()

    async def _receive_from_contact(self, certificate: Certificate, uri: str, contact: Contact, request: TrustRequest) -> None:
        if request.confirm:
            await self._confirmed(uri, request.conversation_id)
            await in_thread(self._payload_path(uri).unlink, True)
        else:
            await self._added(uri, confirmed=True, conversation_id="")
            self._account.tasks.spawn(self._answer_contact(certificate, uri, contact.conversation_id, request), "confirm")

    async def _answer_contact(self, device: Certificate | None, uri: str, conversation: str, request: TrustRequest) -> None:
        """Confirms to DEVICE, or all of URI, once it is clear which conversation both take, ours or the one of the request."""
        if request.conversation_id:
            conversation = await self._account.seams.conversations.crossed(
                self._account.id, uri, request.conversation_id, dated=bool(request.invited)
            )
        confirmation = TrustRequest(conversation or request.conversation_id, b"", confirm=True)
        await (self._send_to_device(uri, device, confirmation) if device is not None else self._send(uri, confirmation))

    async def _confirmed(self, uri: str, conversation_id: str) -> None:
        """A contact wants us as one too, with its CONVERSATION_ID."""
        await self._added(uri, confirmed=True, conversation_id="")
        self._account.events.publish(ContactConfirmed(self._account.id, uri, conversation_id))

    async def _decline(self, uri: str, conversation_id: str, invited: int) -> None:
        """The DHT delivers a request for seven days: one that was asked until INVITED is not shown again."""
        self.declined.add(uri, conversation_id, invited, self._account.steady_ms())
        async with self._saving:
            await in_thread(write_atomically, self._account.files.data / "declinedRequests", self.declined.to_bytes())

    async def _receive_from_stranger(self, uri: str, request: PendingRequest, *, new_since: int = _NEVER) -> None:
        if self.declined.covers(uri, request.conversation_id, request.invited, self._account.steady_ms(), new_since=new_since):
            return
        stored = sum(len(waiting.payload) for _, waiting in self.pending.items())
        if stored + len(request.payload) > limits.TRUST_REQUEST_STORE_BYTES:
            request = replace(request, payload=b"")
        if not self.pending.store(uri, request):
            return
        await self.save_requests()
        account_id, conversation = self._account.id, request.conversation_id
        self._account.events.publish(
            IncomingTrustRequest(account_id, conversation, uri, request.payload, request.received // 1000)
        )  # fmt: skip
        self._account.events.publish(TrustRequestReceived(account_id, uri, conversation, request.payload, request.received))

    async def _ask(self, uri: str, contact: Contact, payload: bytes, asked: int, looking: Awaitable[list[Certificate]]) -> None:
        request = TrustRequest(contact.conversation_id, payload, invited=max(contact.added, asked))
        await self._send(uri, request, looking)

    async def _send(self, uri: str, request: TrustRequest, looking: Awaitable[list[Certificate]] | None = None) -> None:
        devices = await (looking or self._account.devices_of(uri))
        if not devices:
            _log.info("[account=%s] %s is not announced now; it gets our message when it is", self._account.id, uri)
        await asyncio.gather(*(self._send_to_device(uri, device, request) for device in devices))

    async def _send_to_device(self, uri: str, device: Certificate, request: TrustRequest) -> None:
        dht = self._account.dht
        if dht is None:
            return
        if not request.confirm:
            self._sent[uri, device.long_id.hex()] = self._account.steady_ms()
        value = Value(type=VALUE_TYPE, data=request.to_bytes())
        try:
            stored = await dht.put_encrypted(inbox_key(device.public_key), device.public_key, value)
        except LocalError as error:
            _log.warning("[account=%s] a contact request was not sent: %s", self._account.id, error)
            stored = False
        if not stored:
            self._sent.pop((uri, device.long_id.hex()), None)

    def _set_trust(self, uri: str, contact: Contact) -> None:
        status = Status.ALLOWED if contact.is_active else Status.BANNED if contact.is_banned else Status.UNDEFINED
        self.trust.set(uri, status)

    def _payload_path(self, uri: str) -> Path:
        return self._account.files.cache / "requests" / uri


def _keep_payload(path: Path, payload: bytes, now: int) -> int:
    """Keeps what is sent with a request, in a file that bears the date of asking: repeating it is not asking again. That date.

    It is later than when the user asked before, also after the clock was set back: an earlier one would have been declined with that.
    """
    try:
        asked = max(now, path.stat().st_mtime_ns // 1_000_000 + 1)
    except OSError:
        asked = now
    write_atomically(path, payload)
    os.utime(path, ns=(asked * 1_000_000, asked * 1_000_000))
    return asked


def _kept_payload(path: Path) -> tuple[bytes | None, int]:
    """What was kept, and when the user asked, milliseconds since 1970."""
    payload = read_if_present(path, limits.INBOX_VALUE_BYTES)
    try:
        return payload, path.stat().st_mtime_ns // 1_000_000
    except OSError:
        return payload, 0
