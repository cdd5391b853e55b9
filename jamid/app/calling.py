"""Joins calls and SIP to the accounts: what an account is to calls, its `sip` channels while it is online, messages over them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from jamid.accounts.events import AccountOffline, AccountOnline
from jamid.accounts.jami import JamiAccount
from jamid.accounts.service import Accounts
from jamid.accounts.trust import Status
from jamid.app.account_view import AccountView
from jamid.calls.seams import MediaIce
from jamid.calls.service import Calls
from jamid.core.clock import Clock
from jamid.core.errors import JamidError
from jamid.core.events import Events
from jamid.core.identifiers import new_53_bit_id
from jamid.core.tasks import Tasks, in_thread
from jamid.crypto.certificates import Certificate
from jamid.media.codec_table import stored_codecs
from jamid.sip.channels import SipChannels
from jamid.sip.dialogs import LocalParty
from jamid.sip.exchange import IncomingMessage, SipExchange
from jamid.swarm.message_maps import call_ended, hosted_call
from jamid.swarm.service import Conversations

_log = logging.getLogger(__name__)


class CallingAccount(AccountView):
    """A Jami account as calls see it."""

    def __init__(self, account: JamiAccount) -> None:
        super().__init__(account)
        self.sip: SipChannels | None = None

    @property
    def details(self) -> Mapping[str, str]:
        return self._account.told_details()

    @property
    def codecs(self) -> Sequence[int]:
        return stored_codecs(self._account.config.active_codecs)

    def party(self) -> LocalParty:
        """Who we are in SIP headers."""
        identity = self._account.identity
        contact = str(identity.certificate.id) if identity is not None else self.uri
        return LocalParty(self.uri, contact_user=contact, display_name=self._account.display_name)

    def accepts_calls_of(self, uri: str) -> bool:
        return not self._account.contacts.contacts.is_banned(uri)

    def allow(self, uri: str) -> None:
        self._account.contacts.set_status(uri, Status.ALLOWED)

    async def resolve(self, name: str) -> str:
        answer = await self._account.environment.names.lookup_name(self._account.details["RingNS.uri"], name)
        return str(answer.address)

    async def devices_of(self, uri: str) -> Sequence[Certificate]:
        return await self._account.devices_of(uri)

    async def name_of(self, uri: str) -> str:
        answer = await self._account.environment.names.lookup_address(self._account.details["RingNS.uri"], uri)
        return str(answer.name)

    def ice(self, components: int, *, controlling: bool) -> MediaIce:
        from jamid.net.ice_udp import MediaIce as UdpIce

        session = self._account.session
        addresses = session.own_addresses if session is not None else tuple
        turn = session.connections.usable_turn() if session is not None and session.connections is not None else None
        return UdpIce(components, controlling=controlling, turn=turn, public_addresses=addresses)


class ConversationCalls:
    """What calls leave in conversations: their length between two, beginning and end in a group."""

    def __init__(self, conversations: Conversations, clock: Clock, events: Events) -> None:
        self._conversations = conversations
        self._clock = clock
        self._pending: set[asyncio.Task[None]] = set()
        self.hosted: Callable[[str], Sequence[str]] = lambda account_id: ()
        """the ids of the conferences that go on in an account"""
        events.subscribe(AccountOnline, lambda event: self._spawn(self._end_forgotten(event.account_id)))

    # -- CallHistory --

    def call_ended(self, account_id: str, peer_uri: str, duration_ms: int, reason: str) -> None:
        conversation = self._conversations.conversation_with(account_id, peer_uri)
        if conversation:
            self._spawn(self._commit(account_id, conversation, call_ended(peer_uri, duration_ms, reason)))

    # -- GroupConversations --

    def is_member(self, account_id: str, conversation_id: str, uri: str) -> bool:
        account = self._conversations.account(account_id)
        info = account.infos.get(conversation_id) if account is not None else None
        return account is not None and info is not None and not info.is_removed and (uri in info.members or uri == account.home.uri)

    async def may_host(self, account_id: str, conversation_id: str) -> bool:
        preferences = await self._conversations.conversation_preferences(account_id, conversation_id)
        return preferences.get("hostConferences", "true") == "true"

    def active_calls(self, account_id: str, conversation_id: str) -> list[dict[str, str]]:
        return self._conversations.active_calls(account_id, conversation_id)

    def call_began(self, account_id: str, conversation_id: str, conference_id: str) -> None:
        self._spawn(self._hosting(account_id, conversation_id, conference_id, None))

    def call_over(self, account_id: str, conversation_id: str, conference_id: str, duration_ms: int) -> None:
        self._spawn(self._hosting(account_id, conversation_id, conference_id, duration_ms))

    async def close(self) -> None:
        """Waits for what is being written."""
        if self._pending:
            await asyncio.wait(self._pending)

    # -- details --

    async def _hosting(self, account_id: str, conversation_id: str, conference_id: str, duration_ms: int | None) -> None:
        account = self._conversations.account(account_id)
        if account is None:
            return
        began = int(self._clock.time())

        def remember() -> None:
            known = account.store.read_hosted_calls(conversation_id)
            if duration_ms is None:
                known[conference_id] = began
            else:
                known.pop(conference_id, None)
            account.store.write_hosted_calls(conversation_id, known)

        # Remembered first and forgotten last, so that a crash in between still ends the call at the next start.
        if duration_ms is None:
            await in_thread(remember)
        content = hosted_call(conference_id, account.home.device_id, account.home.uri, duration_ms)
        await self._commit(account_id, conversation_id, content)
        if duration_ms is not None:
            await in_thread(remember)

    async def _end_forgotten(self, account_id: str) -> None:
        """Ends the calls of groups that a crash of ours left open."""
        account = self._conversations.account(account_id)
        for conversation_id in tuple(account.infos) if account is not None else ():
            assert account is not None
            for conference_id, began in (await in_thread(account.store.read_hosted_calls, conversation_id)).items():
                if conference_id not in self.hosted(account_id):
                    duration = max(0, int(self._clock.time()) - began) * 1000
                    await self._hosting(account_id, conversation_id, conference_id, duration)

    async def _commit(self, account_id: str, conversation_id: str, content: Mapping[str, str]) -> None:
        if not await self._conversations.commit_call_history(account_id, conversation_id, content):
            _log.error("[account=%s] a call is missing in conversation %s", account_id, conversation_id)

    def _spawn(self, coroutine: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(coroutine, name="call history")
        self._pending.add(task)
        task.add_done_callback(self._written)

    def _written(self, task: asyncio.Task[None]) -> None:
        self._pending.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a call is missing in its conversation", exc_info=error)


class Calling:
    """The calls' view of all accounts, and the owner of their `sip` channels."""

    def __init__(self, accounts: Accounts, events: Events) -> None:
        self._accounts = accounts
        self._calling: dict[str, CallingAccount] = {}
        self._tasks = Tasks("sip")
        self._calls: Calls | None = None
        events.subscribe(AccountOnline, self._online)
        events.subscribe(AccountOffline, self._offline)

    def serve(self, calls: Calls) -> None:
        """Gives incoming calls to CALLS."""
        self._calls = calls

    def find(self, account_id: str) -> CallingAccount | None:
        """The account for calls, None for an unknown one or one without channels."""
        account = self._accounts.jami(account_id)
        if account is None:
            return None
        known = self._calling.get(account_id)
        if known is None or known._account is not account:
            known = self._calling[account_id] = CallingAccount(account)
        return known

    async def carry(self, account_id: str, device: Certificate, token: int, mime: str, text: str, *, only_connected: bool) -> bool:
        """Brings an instant message to DEVICE as a SIP MESSAGE; whether the device confirmed it."""
        account = self._calling.get(account_id)
        if account is None or account.sip is None:
            return False
        try:
            exchange = await account.sip.get(device, only_existing=only_connected, kind=mime)
            return await exchange.send_message(mime, text.encode(), message_id=token)
        except (ConnectionError, TimeoutError, JamidError) as error:
            _log.info("[account=%s] device %s takes no message over SIP: %s", account_id, device.long_id.hex()[:16], error)
            return False

    async def close(self) -> None:
        for account in self._calling.values():
            if account.sip is not None:
                await account.sip.close()
        await self._tasks.close()

    # -- details --

    def _online(self, event: AccountOnline) -> None:
        calling = self.find(event.account_id)
        connections: Any = event.account.connections
        if calling is None or connections is None:
            return
        sip = calling.sip = SipChannels(connections, calling.party)
        sip.on_message(lambda exchange, message: self._message(event.account, exchange, message))
        if self._calls is not None:
            self._calls.serve(calling, sip)

    def _offline(self, event: AccountOffline) -> None:
        calling = self._calling.get(event.account_id)
        if calling is not None and calling.sip is not None:
            sip, calling.sip = calling.sip, None
            self._tasks.spawn(sip.close(), "close")

    @staticmethod
    def _message(account: JamiAccount, exchange: SipExchange, message: IncomingMessage) -> None:
        token = message.message_id.lower()
        known = len(token) <= 16 and all(digit in "0123456789abcdef" for digit in token) and token
        number = int(token, 16) if known else new_53_bit_id()
        peer = exchange.peer
        text = message.body.decode("utf-8", "replace")
        account.messages.received(peer.account_uri, peer.device_id, number, {message.content_type: text}, f"{number:016x}")
