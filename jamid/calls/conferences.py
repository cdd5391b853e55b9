"""Conferences: those this daemon hosts, and the orders it gives in those of others."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

from jamid.calls.call import Call, Surroundings
from jamid.calls.conference import DETACHED, Conference
from jamid.calls.conference_orders import (
    Action,
    Order,
    active_order,
    hand_order,
    hang_up_order,
    layout_order,
    mute_order,
    stream_order,
)
from jamid.calls.in_call_messages import CONFERENCE_ORDER
from jamid.calls.media_maps import MediaType, from_maps, to_maps
from jamid.calls.seams import CallAccount, CallAccounts
from jamid.calls.service import Calls
from jamid.calls.states import Link
from jamid.core.identifiers import bare_uri, new_53_bit_id

_log = logging.getLogger(__name__)


class Conferences:
    """All conferences of all accounts. Unknown ids get the neutral answer."""

    def __init__(self, accounts: CallAccounts, calls: Calls, around: Surroundings) -> None:
        self._accounts = accounts
        self._calls = calls
        self._around = around
        self._conferences: dict[str, Conference] = {}
        self._closing: set[asyncio.Task[str]] = set()
        self.on_ended: list[Callable[[Conference], None]] = []
        """called with every conference that is over"""
        around.ending = self._call_ends
        around.answered = self._call_answered

    async def close(self) -> None:
        """Waits until the recordings of ended conferences are complete."""
        if self._closing:
            await asyncio.wait(self._closing)

    def find(self, account_id: str, conference_id: str) -> Conference | None:
        conference = self._conferences.get(conference_id)
        return conference if conference is not None and conference.account.id == account_id else None

    def create(
        self, account: CallAccount, identifier: str = "", *, attached: bool = True, lasting: bool = False, conversation: str = ""
    ) -> Conference:
        """A new, empty conference; IDENTIFIER is for one that was promised to somebody."""
        while not identifier or identifier in self._conferences or self._calls.find(identifier) is not None:
            identifier = str(new_53_bit_id())
        conference = Conference(identifier, account, self._around, attached=attached, lasting=lasting, conversation=conversation)
        self._conferences[conference.id] = conference
        return conference

    # -- making and changing -----------------------------------------------------------------------------------------
    def join(self, account_id: str, call_id: str, other_account_id: str, other_id: str) -> bool:
        """Puts two calls into one conference: that of either, or a new one."""
        one, other = self._call(account_id, call_id), self._call(other_account_id, other_id)
        if one is None or other is None or one is other:
            return False
        conference = self._conferences.get(one.conference) or self._conferences.get(other.conference)
        if conference is None:
            conference = self.create(one.account)
        for call in (one, other):
            conference.add(call)
        conference.tell_state()
        return True

    def add(self, account_id: str, call_id: str, other_account_id: str, conference_id: str) -> bool:
        """Puts a call into a conference."""
        call, conference = self._call(account_id, call_id), self.find(other_account_id, conference_id)
        if call is None or conference is None:
            return False
        conference.add(call)
        conference.tell_state()
        return True

    def merge(self, account_id: str, conference_id: str, other_account_id: str, other_id: str) -> bool:
        """Takes everybody of one conference into another."""
        one, other = self.find(account_id, conference_id), self.find(other_account_id, other_id)
        if one is None or other is None or one is other:
            return False
        moving = [member.call for member in one.members.values()]
        for call in moving:
            other.add(call)
        self._dissolve(one)
        other.tell_state()
        return True

    def detach(self, account_id: str, call_id: str) -> bool:
        """Takes a call out of its conference and holds it."""
        call = self._call(account_id, call_id)
        conference = self._conferences.get(call.conference) if call is not None else None
        if call is None or conference is None:
            return False
        conference.remove(call)
        call.changes.hold()
        self._after_leaving(conference)
        return True

    def create_from(self, account_id: str, participants: Sequence[str]) -> None:
        """Calls PARTICIPANTS, each the id of a call or `uri,account`, and joins them as they answer."""
        waiting: list[str] = []
        for each in participants:
            if self._calls.find(each) is not None:
                waiting.append(each)
                continue
            uri, _, account = each.partition(",")
            waiting.append(self._calls.place(account or account_id, uri))
        calls = [call for each in waiting if (call := self._calls.find(each)) is not None]
        for call in calls:
            call.wanted_with = [other.id for other in calls if other is not call]
            if call.link is Link.CONNECTED:
                self._join_wanted(call)

    def attach_host(self, account_id: str, conference_id: str) -> bool:
        """We take part in our own conference."""
        conference = self.find(account_id, conference_id)
        if conference is not None:
            conference.attach()
        return conference is not None

    def detach_host(self, account_id: str, conference_id: str) -> bool:
        """We leave our own conference, the others go on."""
        conference = self.find(account_id, conference_id)
        if conference is not None:
            conference.detach()
        return conference is not None

    def detach_current(self) -> bool:
        """We leave the conference of the current call."""
        call = self._calls.current
        conference = self._conferences.get(call.conference) if call is not None else None
        if conference is None or conference.state == DETACHED:
            return False
        conference.detach()
        return True

    def hang_up(self, account_id: str, conference_id: str) -> bool:
        """Ends a conference and every call in it."""
        conference = self.find(account_id, conference_id)
        if conference is None:
            return False
        calls = [member.call for member in conference.members.values()]
        self._dissolve(conference)
        for call in calls:
            call.hang_up()
        return True

    # -- what a call id can be asked as well -------------------------------------------------------------------------
    def mute(self, account_id: str, conference_id: str, media_type: str, muted: bool) -> bool:
        conference = self.find(account_id, conference_id)
        kind = next((each for each in MediaType if each.value == media_type), None)
        return conference is not None and kind is not None and conference.mute(kind, muted)

    def request_media_change(self, account_id: str, conference_id: str, media: Sequence[Mapping[str, str]]) -> bool:
        """The host's own mute; its sources cannot be changed yet."""
        conference = self.find(account_id, conference_id)
        audio = next((each for each in from_maps(media) if each.kind is MediaType.AUDIO), None)
        if conference is None or audio is None:
            return False
        if audio.muted != conference.audio_muted:
            conference.mute(MediaType.AUDIO, audio.muted)
        conference.tell_media()
        return True

    def media(self, account_id: str, conference_id: str) -> list[dict[str, str]]:
        conference = self.find(account_id, conference_id)
        return to_maps(conference.media) if conference is not None else []

    def send_text(self, account_id: str, conference_id: str, payloads: Mapping[str, str]) -> None:
        conference = self.find(account_id, conference_id)
        if conference is not None and payloads:
            conference.send_text(payloads)

    async def toggle_recording(self, account_id: str, conference_id: str) -> bool:
        conference = self.find(account_id, conference_id)
        return conference is not None and await conference.toggle_recording()

    def is_recording(self, account_id: str, conference_id: str) -> bool:
        conference = self.find(account_id, conference_id)
        return conference is not None and bool(conference.recording)

    # -- looking -----------------------------------------------------------------------------------------------------
    def ids(self, account_id: str) -> list[str]:
        return [each.id for each in self._conferences.values() if account_id in ("", each.account.id)]

    def details(self, account_id: str, conference_id: str) -> dict[str, str]:
        conference = self.find(account_id, conference_id)
        if conference is None:
            return {}
        recording = "true" if conference.recording else "false"
        return {"ID": conference.id, "RECORDING": recording, "STATE": conference.state, "VIDEO_SOURCE": ""}

    def participants(self, account_id: str, conference_id: str) -> list[str]:
        conference = self.find(account_id, conference_id)
        return list(conference.members) if conference is not None else []

    def of_call(self, account_id: str, call_id: str) -> str:
        """The id of the conference a call is part of here."""
        call = self._call(account_id, call_id)
        return call.conference if call is not None else ""

    def infos(self, account_id: str, any_id: str) -> list[dict[str, str]]:
        """Who is in a conference of ours, or in the one a peer hosts at the other end of a call."""
        conference = self.find(account_id, any_id)
        if conference is not None:
            return conference.infos()
        call = self._call(account_id, any_id)
        return [dict(each) for each in call.talk.conference_infos] if call is not None else []

    # -- orders: done here for a conference of ours, sent to the host for a call --------------------------------------
    def set_layout(self, account_id: str, any_id: str, layout: int) -> None:
        self._order(account_id, any_id, Order(Action.LAYOUT, layout=layout), layout_order(layout))

    def set_active(self, account_id: str, any_id: str, uri: str) -> None:
        bare = bare_uri(uri)
        self._order(account_id, any_id, Order(Action.ACTIVE, bare, on=bool(bare)), active_order(bare))

    def set_active_stream(self, account_id: str, any_id: str, uri: str, device: str, stream: str, active: bool) -> None:
        bare = bare_uri(uri)
        written = stream_order(bare, device, stream, Action.ACTIVE.value, active)
        self._order(account_id, any_id, Order(Action.ACTIVE, bare, device, stream, active), written)

    def mute_participant(self, account_id: str, any_id: str, uri: str, muted: bool) -> None:
        bare = bare_uri(uri)
        self._order(account_id, any_id, Order(Action.MUTE, bare, on=muted), mute_order(bare, muted))

    def mute_stream(self, account_id: str, any_id: str, uri: str, device: str, stream: str, muted: bool) -> None:
        bare = bare_uri(uri)
        written = stream_order(bare, device, stream, Action.MUTE.value, muted)
        self._order(account_id, any_id, Order(Action.MUTE, bare, device, stream, muted), written)

    def raise_hand(self, account_id: str, any_id: str, uri: str, device: str, raised: bool, *, version: int | None = None) -> None:
        """Without URI and DEVICE it is our own hand."""
        account = self._accounts.find(account_id)
        if account is not None:
            bare, where = bare_uri(uri) or account.uri, device or ("" if version == 0 else account.device_id)
            host = self._host_version(account_id, any_id) if version is None else version
            written = hand_order(bare, where, raised, version=host)
            self._order(account_id, any_id, Order(Action.HAND, bare, where if uri else "", on=raised), written)

    def hang_up_participant(self, account_id: str, any_id: str, uri: str, device: str) -> None:
        bare = bare_uri(uri)
        written = hang_up_order(bare, device, version=self._host_version(account_id, any_id))
        self._order(account_id, any_id, Order(Action.HANG_UP, bare, device), written)

    def set_moderator(self, account_id: str, conference_id: str, uri: str, moderator: bool) -> None:
        conference = self.find(account_id, conference_id)
        if conference is not None:
            conference.set_moderator(bare_uri(uri), moderator)

    # -- details -----------------------------------------------------------------------------------------------------
    def _call(self, account_id: str, call_id: str) -> Call | None:
        call = self._calls.find(call_id)
        return call if call is not None and call.account.id == account_id else None

    def _order(self, account_id: str, any_id: str, order: Order, written: str) -> None:
        conference, call = self.find(account_id, any_id), self._call(account_id, any_id)
        if conference is not None:
            conference.obey(order)
        elif call is not None and call.leg is not None and call.link is Link.CONNECTED:
            call.leg.session.send_message(CONFERENCE_ORDER, written.encode())

    def _host_version(self, account_id: str, any_id: str) -> int:
        call = self._call(account_id, any_id)
        return call.talk.conference_version if call is not None else 0

    def _dissolve(self, conference: Conference) -> None:
        if self._conferences.pop(conference.id, None) is not None:
            recorded = bool(conference.recording)
            conference.end()
            if recorded:
                task = asyncio.get_running_loop().create_task(self._around.audio.stop_recording(conference.id), name="end of recording")
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)
            for tell in self.on_ended:
                tell(conference)

    def _after_leaving(self, conference: Conference) -> None:
        if conference.abandoned:
            self._dissolve(conference)

    def _call_ends(self, call: Call) -> None:
        conference = self._conferences.get(call.conference)
        if conference is not None:
            conference.remove(call)
            self._after_leaving(conference)

    def _call_answered(self, call: Call) -> None:
        """A rendezvous account puts everybody who calls it together; others may have been called for a conference."""
        if call.joins:
            joined = self.find(call.account.id, call.joins)
            if joined is not None:
                joined.add(call)
                joined.tell_state()
        elif call.incoming and call.account.details.get("Account.rendezVous") == "true":
            known = next((each for each in self._conferences.values() if each.lasting and each.account.id == call.account.id), None)
            conference = known or self.create(call.account, attached=False, lasting=True)
            conference.add(call)
            conference.tell_state()
        elif call.wanted_with:
            self._join_wanted(call)

    def _join_wanted(self, call: Call) -> None:
        for other_id in call.wanted_with:
            other = self._calls.find(other_id)
            if other is not None and other.link is Link.CONNECTED and (not call.conference or other.conference != call.conference):
                self.join(call.account.id, call.id, other.account.id, other.id)
