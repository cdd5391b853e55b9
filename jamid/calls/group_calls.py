"""Calls of a group: one member's device hosts a conference, the others join it by its address (protocol: calls, section 13).

* `swarm:CONVERSATION` joins the call that goes on in a group, or hosts one.
* `rdv:CONVERSATION/ACCOUNT/DEVICE/CONFERENCE` joins that conference; conference 0 leaves its id to the host.
* On the wire the address without its scheme stands in To; who may join is decided by the group's members.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from jamid.calls.call import Call
from jamid.calls.conference import Conference
from jamid.calls.conferences import Conferences
from jamid.calls.generations import Ending
from jamid.calls.media_maps import MediaAttribute
from jamid.calls.seams import CallAccount, GroupConversations
from jamid.calls.service import Calls
from jamid.core.clock import Clock
from jamid.core.errors import RemoteError
from jamid.core.events import Events
from jamid.core.identifiers import LongId, is_account_uri, is_conversation_id, is_device_id, new_53_bit_id
from jamid.core.signals import NeedsHost
from jamid.sip.session_events import SessionState
from jamid.sip.sessions import InviteSession

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class GroupCallAddress:
    """Where a group's call is hosted."""

    conversation: str
    account: str
    device: str
    conference: str

    @classmethod
    def parse(cls, text: str) -> GroupCallAddress:
        """Parses `conversation/account/device/conference`; raises RemoteError."""
        parts = text.removeprefix("rdv:").split("/")
        if len(parts) != 4 or not (is_conversation_id(parts[0]) and is_account_uri(parts[1]) and is_device_id(parts[2])):
            raise RemoteError(f"not the address of a group's call: {text[:200]!r}")
        if not (parts[3].isascii() and parts[3].isdigit() and len(parts[3]) <= 20):
            raise RemoteError(f"not the id of a conference: {parts[3][:40]!r}")
        return cls(*parts)

    def __str__(self) -> str:
        return f"{self.conversation}/{self.account}/{self.device}/{self.conference}"


class GroupCalls:
    """The calls of all groups."""

    def __init__(self, calls: Calls, conferences: Conferences, groups: GroupConversations, events: Events, clock: Clock) -> None:
        self._calls = calls
        self._conferences = conferences
        self._groups = groups
        self._events = events
        self._clock = clock
        calls.group = self
        calls.on_ended.append(self._call_ended)
        conferences.on_ended.append(self._conference_ended)

    # -- GroupCallRules ----------------------------------------------------------------------------------------------
    def place(self, account: CallAccount, text: str, media: list[MediaAttribute]) -> str:
        if text.startswith("rdv:"):
            try:
                return self._join(account, GroupCallAddress.parse(text), media)
            except RemoteError as error:
                _log.warning("[account=%s] %s", account.id, error)
                return ""
        conversation = text.removeprefix("swarm:")
        if not self._groups.is_member(account.id, conversation, account.uri):
            return ""
        for call in self._groups.active_calls(account.id, conversation):
            address = GroupCallAddress(conversation, call["uri"], call["device"], call["id"])
            if not self._is_here(account, address):
                return self._join(account, address, media)
        hosted = self._hosted(account, conversation)
        if hosted is not None:
            hosted.attach()
        else:
            self._host(account, conversation, muted=all(each.muted for each in media))
        return ""

    async def admit(self, account: CallAccount, session: InviteSession) -> tuple[str, str]:
        try:
            address = GroupCallAddress.parse(session.recipient)
        except RemoteError as error:
            _log.info("[account=%s] %s", account.id, error)
            return "", ""
        caller = session.exchange.peer.account_uri
        if not (self._is_here(account, address) and self._groups.is_member(account.id, address.conversation, caller)):
            return "", ""
        hosted = self._here(account, address)
        if hosted is None:
            if not await self._groups.may_host(account.id, address.conversation):
                _log.info("[account=%s] the user does not host calls of %s", account.id, address.conversation)
                return "", ""
            if session.state is SessionState.ENDED:
                return "", ""
            hosted = self._here(account, address)
        if hosted is not None and hosted.conversation != address.conversation:
            return "", ""
        if hosted is None:
            # Somebody wants to go on with a call that has ended, or us to host one: we do, silently.
            identifier = address.conference if address.conference.strip("0") else ""
            hosted = self._host(account, address.conversation, identifier, muted=True)
        return hosted.id, address.conversation

    # -- details -----------------------------------------------------------------------------------------------------
    def _join(self, account: CallAccount, address: GroupCallAddress, media: list[MediaAttribute]) -> str:
        if self._is_here(account, address):
            hosted = self._conferences.find(account.id, address.conference)
            if hosted is not None:
                hosted.attach()
            return ""
        conference = address.conference if address.conference.strip("0") else str(new_53_bit_id())
        full = GroupCallAddress(address.conversation, address.account, address.device, conference)
        device = LongId.from_hex(address.device)
        return self._calls.dial(account, address.account, media, address=str(full), device=device, conversation=address.conversation)

    def _host(self, account: CallAccount, conversation: str, identifier: str = "", *, muted: bool) -> Conference:
        conference = self._conferences.create(account, identifier, lasting=True, conversation=conversation)
        if muted:
            conference.mute_quietly()
        self._groups.call_began(account.id, conversation, conference.id)
        return conference

    def _here(self, account: CallAccount, address: GroupCallAddress) -> Conference | None:
        """The conference with the address's id, or whatever goes on here in its group."""
        return self._conferences.find(account.id, address.conference) or self._hosted(account, address.conversation)

    def _hosted(self, account: CallAccount, conversation: str) -> Conference | None:
        """The call of the group that goes on here."""
        found = (self._conferences.find(account.id, each) for each in self._conferences.ids(account.id))
        return next((each for each in found if each is not None and each.conversation == conversation), None)

    @staticmethod
    def _is_here(account: CallAccount, address: GroupCallAddress) -> bool:
        return address.account == account.uri and address.device == account.device_id

    def _call_ended(self, call: Call) -> None:
        if call.conversation and not call.incoming and call.answered_at is None and call.ending is not Ending.HUNG_UP:
            self._events.publish(NeedsHost(call.account.id, call.conversation))

    def _conference_ended(self, conference: Conference) -> None:
        if conference.conversation:
            duration = int((self._clock.monotonic() - conference.began) * 1000)
            self._groups.call_over(conference.account.id, conference.conversation, conference.id, duration)
