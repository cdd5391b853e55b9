"""Instant messages outside git: sending with retries over every way a peer may have, receiving once (protocol: identity, 8.4, 8.5)."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from jamid.accounts.events import InstantMessage
from jamid.accounts.generations import inbox_key
from jamid.accounts.message_channels import MessageChannels
from jamid.accounts.message_store import MessageStatus, Outbox, OutgoingMessage, SeenTokens
from jamid.accounts.message_wire import TEXT, ChannelMessage, ImMessage
from jamid.core import limits
from jamid.core.errors import LocalError, RemoteError
from jamid.core.files import write_atomically
from jamid.core.generations import Generation
from jamid.core.identifiers import is_account_uri, new_53_bit_id
from jamid.core.signals import AccountMessageStatusChanged, IncomingAccountMessage
from jamid.core.tasks import in_thread
from jamid.crypto.certificates import Certificate
from jamid.crypto.keys import PublicKey
from jamid.dht.values import Value

if TYPE_CHECKING:
    from jamid.accounts.jami import JamiAccount

_log = logging.getLogger(__name__)
_MESSAGE_TYPE: Final = 3
_RETRIES: Final = 20
_CONFIRM_SECONDS: Final = 60.0
_SAVE_DELAY: Final = 2.0
_QUIET: Final = frozenset({"application/im-gitmessage-id", "application/im-iscomposing+xml", "message/imdn+xml"})
"""types of which no status is told, by real daemons neither"""
CONTROL_TYPES: Final = frozenset(
    {
        "application/im-gitmessage-id",
        "application/invite",
        "application/invite+json",
        "application/im-iscomposing+xml",
        "message/imdn+xml",
        "application/pidf+xml",
    }
)
"""types that are for the daemon, not for incomingAccountMessage"""


class Messages:
    """The message engine of an account."""

    def __init__(self, account: JamiAccount) -> None:
        self._account = account
        self.channels = MessageChannels(account)
        self._outbox = Outbox()
        self._seen = SeenTokens()
        self._save_planned = False
        self._outbox_changed = False
        self._seen_changed = False
        self._received: deque[tuple[str, dict[str, str], int]] = deque(maxlen=limits.LAST_MESSAGES)

    async def load(self) -> None:
        """Reads what waits and what was seen."""
        files = self._account.files
        outbox = await in_thread(lambda: files.load(files.cache / "messages", Outbox.from_bytes))
        seen = await in_thread(lambda: files.load(files.cache / "treatedImMessages", SeenTokens.from_bytes))
        self._outbox, self._seen = outbox or Outbox(), seen or SeenTokens()

    async def close(self) -> None:
        self.channels.close()
        await self._save()

    # -- sending --

    async def send(self, uri: str, payloads: Mapping[str, str], *, only_connected: bool = False) -> int:
        """Sends a message to all devices of URI until one has it; returns its token, 0 when it cannot be sent at all.

        What has to wait is kept in a file before this returns, and tried again when a device of URI announces itself.
        """
        if not is_account_uri(uri) or not payloads:
            return 0
        message = OutgoingMessage(new_53_bit_id(), uri, dict(payloads))
        self._outbox.add(message)
        self._outbox_changed = True
        self._account.tasks.spawn(self._attempt(message, only_connected=only_connected), "send")
        if not only_connected and not _QUIET & payloads.keys():
            await self._save()
        return message.token

    async def send_to_device(self, device: Certificate, mime: str, text: str, *, only_connected: bool = False) -> bool:
        """Sends one message to one device, once, over a channel; whether it took it."""
        token = new_53_bit_id()
        if await self.channels.send(device, ChannelMessage(token, mime, text), kind=mime, only_connected=only_connected):
            return True
        for carrier in self._account.seams.carriers:
            if await carrier.carry(self._account.id, device, token, mime, text, only_connected=only_connected):
                return True
        return False

    async def put_on_dht(self, device: Certificate, mime: str, text: str, token: int = 0) -> None:
        """Leaves a message for a device of the older generation in its inbox, where it stays five minutes."""
        dht = self._account.dht
        if dht is not None and Generation.G13 in self._account.generations:
            message = ImMessage(token or new_53_bit_id(), text, int(self._account.clock.time()), mime)
            value = Value(type=_MESSAGE_TYPE, data=message.to_bytes())
            await dht.put_encrypted(inbox_key(device.public_key), device.public_key, value)

    def status(self, token: int) -> int:
        """What getMessageStatus answers: 0 unknown, 1 sending, 2 sent, 3 displayed, 4 failure, 5 cancelled."""
        message = self._outbox.get(token)
        return 0 if message is None else message.status.told

    def cancel(self, token: int) -> bool:
        """Gives up a message that was not sent yet."""
        message = self._outbox.get(token)
        if message is None or message.status.is_final:
            return False
        self._set_status(message, MessageStatus.CANCELLED)
        return True

    def since(self, moment: int) -> list[tuple[str, dict[str, str], int]]:
        """What getLastMessages answers: sender, payloads and date of the messages received since MOMENT (seconds)."""
        return [message for message in self._received if message[2] >= moment]

    def peer_announced(self, uri: str) -> None:
        """A device of URI came online: what waits for it is tried again."""
        for message in self._outbox.waiting(uri):
            self._account.tasks.spawn(self._attempt(message), "resend")

    def retry_all(self) -> None:
        """The account registered: everything that waits is tried again."""
        for message in self._outbox.waiting():
            self._account.tasks.spawn(self._attempt(message), "resend")

    # -- receiving --

    def received(self, uri: str, device_id: str, token: int, payloads: Mapping[str, str], message_id: str) -> bool:
        """A message from a device of URI, however it came; False when it came before. MESSAGE_ID is what frontends are told."""
        if not self._seen.add(token, int(self._account.clock.time())):
            return False
        self._seen_changed = True
        self._plan_save()
        if self._account.contacts.contacts.is_banned(uri):
            return True
        cleaned = {mime.replace("\0", ""): text.replace("\0", "") for mime, text in payloads.items()}
        self._account.events.publish(InstantMessage(self._account.id, uri, device_id, token, cleaned))
        if not any(mime.partition(";")[0].strip() in CONTROL_TYPES for mime in cleaned):
            self._received.append((uri, cleaned, int(self._account.clock.time())))
            self._account.events.publish(IncomingAccountMessage(self._account.id, message_id, uri, cleaned))
        return True

    async def received_on_dht(self, owner: PublicKey, data: bytes) -> None:
        """A message in our inbox, signed by the device OWNER: delivered once and confirmed to that device."""
        message = ImMessage.from_bytes(data)
        if not message.text:
            return  # a confirmation; those are awaited at the receiver's inbox
        certificate, uri = await self._account.peers.authenticate(owner)
        # To 13.7 a member of a group that gets no answer here is busy for a minute: it sends it nothing more, over no connection either.
        member = self._account.seams.conversations.is_member(self._account.id, uri)
        if not self._account.contacts.trust.is_allowed(certificate, allow_public=member or self._account.details.flag("DHT.PublicInCalls")):
            raise RemoteError(f"{uri} is not a contact")
        self.received(uri, certificate.long_id.hex(), message.token, {message.mime or TEXT: message.text}, f"{message.token:016x}")
        dht, identity = self._account.dht, self._account.identity
        if dht is not None and identity is not None:
            confirmation = ImMessage(message.token, date=int(self._account.clock.time()))
            value = Value(type=_MESSAGE_TYPE, data=confirmation.to_bytes())
            await dht.put_encrypted(inbox_key(identity.certificate.public_key), owner, value)

    # -- details --

    async def _attempt(self, message: OutgoingMessage, *, only_connected: bool = False) -> None:
        if message.status is not MessageStatus.IDLE or not self._account.is_online:
            return
        self._set_status(message, MessageStatus.SENDING)
        message.last_attempt = int(self._account.clock.time())
        try:
            sent = await self._deliver(message, only_connected=only_connected)
        except (LocalError, RemoteError) as error:
            _log.info("[account=%s] a message to %s is not sent yet: %s", self._account.id, message.to, error)
            sent = False
        if message.status.is_final:
            return  # cancelled meanwhile
        if sent:
            self._set_status(message, MessageStatus.SENT)
            return
        message.retried += 1
        failed = only_connected or message.retried >= _RETRIES
        self._set_status(message, MessageStatus.FAILURE if failed else MessageStatus.IDLE, quiet=not failed)

    async def _deliver(self, message: OutgoingMessage, *, only_connected: bool) -> bool:
        devices = await self._account.devices_of(message.to)
        own = self._account.device_id
        results = await asyncio.gather(
            *(self._deliver_to(device, message, only_connected) for device in devices if device.long_id.hex() != own)
        )
        return any(results)

    async def _deliver_to(self, device: Certificate, message: OutgoingMessage, only_connected: bool) -> bool:
        mime, text = next(iter(message.payloads.items()))
        connections = self._account.connections
        live = connections is not None and connections.connected(device.long_id.hex())
        ways = [asyncio.ensure_future(self._over_channel(device, message.token, mime, text, only_connected))]
        if not live and not only_connected and Generation.G13 in self._account.generations and self._account.dht is not None:
            ways.append(asyncio.ensure_future(self._over_dht(device, message.token, mime, text)))
        try:
            for way in asyncio.as_completed(ways):
                if await way:
                    return True
        finally:
            for way_task in ways:
                way_task.cancel()
        return False

    async def _over_channel(self, device: Certificate, token: int, mime: str, text: str, only_connected: bool) -> bool:
        if await self.channels.send(device, ChannelMessage(token, mime, text), kind=mime, only_connected=only_connected):
            return True
        for carrier in self._account.seams.carriers:
            if await carrier.carry(self._account.id, device, token, mime, text, only_connected=only_connected):
                return True
        return False

    async def _over_dht(self, device: Certificate, token: int, mime: str, text: str) -> bool:
        dht = self._account.dht
        assert dht is not None
        confirmed = asyncio.Event()

        def answer(value: Value, expired: bool) -> None:
            if expired or value.type != _MESSAGE_TYPE or value.owner != device.public_key or value.recipient is None:
                return
            try:
                if ImMessage.from_bytes(value.data).token == token:
                    confirmed.set()
            except RemoteError:
                return

        listening = dht.listen(inbox_key(device.public_key), answer)
        try:
            await self.put_on_dht(device, "" if mime == TEXT else mime, text, token)
            async with asyncio.timeout(_CONFIRM_SECONDS):
                await confirmed.wait()
        except TimeoutError:
            return False
        finally:
            listening.cancel()
        return True

    def _set_status(self, message: OutgoingMessage, status: MessageStatus, *, quiet: bool = False) -> None:
        told = message.status.told
        message.status = status
        self._outbox_changed = True
        self._plan_save()
        if quiet or (status.told == told and status is not MessageStatus.SENDING) or _QUIET & message.payloads.keys():
            return
        self._account.events.publish(AccountMessageStatusChanged(self._account.id, "", message.to, str(message.token), status.told))

    def _plan_save(self) -> None:
        if not self._save_planned:
            self._save_planned = True
            self._account.tasks.spawn(self._save_later(), "save messages")

    async def _save_later(self) -> None:
        await asyncio.sleep(_SAVE_DELAY)
        await self._save()

    async def _save(self) -> None:
        self._save_planned = False
        files = self._account.files
        outbox, self._outbox_changed = self._outbox_changed, False
        seen, self._seen_changed = self._seen_changed, False
        try:
            if outbox:
                await in_thread(write_atomically, files.cache / "messages", self._outbox.to_bytes())
            if seen:
                await in_thread(write_atomically, files.cache / "treatedImMessages", self._seen.to_bytes())
        except LocalError as error:
            self._outbox_changed, self._seen_changed = outbox, seen
            _log.error("[account=%s] messages that wait are not saved: %s", self._account.id, error)
