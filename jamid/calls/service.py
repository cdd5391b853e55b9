"""Calls: every call of the daemon, with one method for each thing a client may ask."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from jamid.calls.call import Call, Surroundings
from jamid.calls.details import call_details
from jamid.calls.dialing import Dialing
from jamid.calls.generations import Ending
from jamid.calls.media_control import DTMF_KEYS, DTMF_RELAY, dtmf_body
from jamid.calls.media_maps import MediaAttribute, MediaType, from_maps, is_audio_only, labelled, to_maps
from jamid.calls.ringing import Ringing, admit, wins_crossing
from jamid.calls.seams import CallAccount, CallAccounts
from jamid.calls.states import Link
from jamid.core.errors import LocalError
from jamid.core.identifiers import bare_uri, is_account_uri, new_53_bit_id
from jamid.core.tasks import Tasks
from jamid.sip.channels import SipChannels
from jamid.sip.exchange import SipExchange
from jamid.sip.sdp import SessionDescription
from jamid.sip.sessions import InviteSession

_log = logging.getLogger(__name__)


class GroupCallRules(Protocol):
    """What group calls decide (`jamid.calls.group_calls`)."""

    def place(self, account: CallAccount, text: str, media: list[MediaAttribute]) -> str:
        """Joins or hosts the call that TEXT (`swarm:…`, `rdv:…`) names; the id of the call, "" when there is none."""
        ...

    async def admit(self, account: CallAccount, session: InviteSession) -> tuple[str, str]:
        """The conference and the group that an INVITE to a group's call may join, empty when it may not."""
        ...


class Calls:
    """All calls of all accounts. Unknown ids get the neutral answer."""

    def __init__(self, accounts: CallAccounts, around: Surroundings) -> None:
        self._accounts = accounts
        self._around = around
        around.over = self._ended
        around.transfer = self._transfer
        self._calls: dict[str, Call] = {}
        self._dialing: dict[str, Dialing] = {}
        self._ringing: dict[str, Ringing] = {}
        self._current = ""
        self._closing: set[Call] = set()
        self._closed = False
        self._tasks = Tasks("calls")
        self.on_ended: list[Callable[[Call], None]] = []
        """called with every call that has ended"""
        self.group: GroupCallRules | None = None
        """who knows of groups; calls to and from groups are refused without"""

    # -- for the wiring ----------------------------------------------------------------------------------------------
    def serve(self, account: CallAccount, sip: SipChannels) -> None:
        """Takes the calls that come to ACCOUNT over SIP from now on."""
        sip.on_call(lambda exchange, session: self._received(account, exchange, session))

    async def close(self) -> None:
        """Hangs up every call."""
        self._closed = True
        for call in tuple(self._calls.values()):
            call.hang_up()
        await asyncio.gather(*(call.close() for call in tuple(self._closing)))
        await self._tasks.close()

    def __len__(self) -> int:
        return len(self._calls)

    # -- placing and answering ---------------------------------------------------------------------------------------
    def place(self, account_id: str, target: str, media: Sequence[Mapping[str, str]] = ()) -> str:
        """Calls TARGET and returns the new call's id; "" when the account cannot call or TARGET is empty."""
        account = self._accounts.find(account_id)
        wanted = _supported(from_maps(media))
        text = target.strip().strip("<>").partition(";")[0]
        if account is None or not text or account.sip is None or self._closed:
            return ""
        if text.startswith(("swarm:", "rdv:")):
            return self.group.place(account, text, wanted) if self.group is not None else ""
        return self.dial(account, text, wanted)

    def accept(self, account_id: str, call_id: str, media: Sequence[Mapping[str, str]] | None = None) -> bool:
        """Answers a call that rings; MEDIA has one entry per offered stream, none means as offered. False for an unknown call alone."""
        call, ringing = self._find(account_id, call_id), self._ringing.get(call_id)
        if call is not None and ringing is not None and ringing.accept(from_maps(media) if media else None):
            self._current = call_id
        return call is not None

    def refuse(self, account_id: str, call_id: str) -> bool:
        """Declines a call that rings. False for an unknown call alone."""
        call, ringing = self._find(account_id, call_id), self._ringing.get(call_id)
        if call is not None and ringing is not None:
            ringing.refuse()
        return call is not None

    def hang_up(self, account_id: str, call_id: str) -> bool:
        """Ends a call, whatever its state."""
        call = self._find(account_id, call_id)
        if call is None:
            return False
        call.hang_up()
        return True

    # -- a running call ----------------------------------------------------------------------------------------------
    def hold(self, account_id: str, call_id: str) -> bool:
        call = self._find(account_id, call_id)
        return call is not None and call.changes.hold()

    def resume(self, account_id: str, call_id: str) -> bool:
        call = self._find(account_id, call_id)
        return call is not None and call.changes.resume()

    def mute(self, account_id: str, call_id: str, media_type: str, muted: bool) -> bool:
        """Mutes or un-mutes what we send of one kind."""
        call = self._find(account_id, call_id)
        kind = next((each for each in MediaType if each.value == media_type), None)
        return call is not None and kind is not None and call.mute(kind, muted)

    def request_media_change(self, account_id: str, call_id: str, media: Sequence[Mapping[str, str]]) -> bool:
        call = self._find(account_id, call_id)
        return call is not None and call.changes.request(from_maps(media))

    def answer_media_change(self, account_id: str, call_id: str, media: Sequence[Mapping[str, str]]) -> bool:
        call = self._find(account_id, call_id)
        return call is not None and call.changes.answer_request(from_maps(media))

    def switch_input(self, account_id: str, call_id: str, source: str) -> bool:
        """Makes SOURCE the source of every stream."""
        call = self._find(account_id, call_id)
        if call is None or call.link is not Link.CONNECTED:
            return False
        call.set_media([replace(each, source=source) for each in call.media])
        return True

    def transfer(self, account_id: str, call_id: str, target: str) -> bool:
        """Asks the peer to call TARGET instead of us."""
        call = self._find(account_id, call_id)
        uri = bare_uri(target)
        if call is None or call.leg is None or call.link is not Link.CONNECTED or not uri:
            return False
        return call.leg.session.refer(f"<sips:{uri};transport=tls>")

    def attended_transfer(self, account_id: str, call_id: str, other_id: str) -> bool:
        """Asks the peer to take over our other call."""
        call, other = self._find(account_id, call_id), self._calls.get(other_id)
        if call is None or call.leg is None or other is None or other.leg is None or call is other:
            return False
        dialog, session = other.leg.session.dialog, call.leg.session
        target = dialog.remote_target if other.peer_uri in dialog.remote_target else f"sips:{other.peer_uri}@{_host(dialog.remote_target)}"
        replaces = f"{dialog.call_id}%3Bto-tag%3D{dialog.remote_tag}%3Bfrom-tag%3D{dialog.local_tag}"
        return session.refer(f"<{target}?Replaces={replaces}>")

    def play_dtmf(self, key: str) -> None:
        """Sends the first character of KEY in the current call and plays it here."""
        if not key or key[0].upper() not in DTMF_KEYS:
            return
        digit = key[0].upper()
        self._around.audio.dtmf(digit)
        call = self._calls.get(self._current)
        if call is not None and call.current:
            call.send_info(dtmf_body(digit), DTMF_RELAY)
            if call.account.details.get("Account.dtmfType", "overrtp") != "sipinfo":
                call.sound.send_dtmf(digit)

    def send_text(self, account_id: str, call_id: str, payloads: Mapping[str, str]) -> None:
        """Sends a message inside the call."""
        call = self._find(account_id, call_id)
        if call is None or not payloads:
            return
        try:
            call.send_text(payloads)
        except LocalError as error:
            _log.warning("%s", error)

    async def toggle_recording(self, account_id: str, call_id: str) -> bool:
        """Begins or ends the recording of a call; True when it runs now."""
        call = self._find(account_id, call_id)
        return call is not None and await call.toggle_recording()

    def telephone_tone(self, kind: int) -> None:
        """Plays the dial tone (0) or another; -1 ends it."""
        self._around.audio.telephone_tone(kind)

    # -- looking -----------------------------------------------------------------------------------------------------
    def details(self, account_id: str, call_id: str) -> dict[str, str]:
        call = self._find(account_id, call_id)
        return call_details(call) if call is not None else {}

    def ids(self, account_id: str) -> list[str]:
        """The calls of an account, of all for ""."""
        return [call.id for call in self._calls.values() if account_id in ("", call.account.id)]

    def media(self, account_id: str, call_id: str) -> list[dict[str, str]]:
        call = self._find(account_id, call_id)
        return to_maps(call.media) if call is not None else []

    def is_recording(self, account_id: str, call_id: str) -> bool:
        call = self._find(account_id, call_id)
        return call is not None and call.is_recorded

    def find(self, call_id: str) -> Call | None:
        """The call with this id."""
        return self._calls.get(call_id)

    @property
    def current(self) -> Call | None:
        """The call the user last placed or answered."""
        return self._calls.get(self._current)

    # -- for group calls ---------------------------------------------------------------------------------------------
    def dial(
        self, account: CallAccount, text: str, media: list[MediaAttribute], *, address: str = "", device: Any = None, conversation: str = ""
    ) -> str:
        """Calls TEXT; for a group's call ADDRESS goes into To instead and only DEVICE is called."""
        target = bare_uri(text)
        number = address or (target if is_account_uri(target) else text)
        call = Call(self._new_id(), account, number, media, self._around, incoming=False)
        call.conversation = conversation
        dialing = Dialing(call, self._new_id, recipient=address, device=device)
        self._calls[call.id] = call
        self._dialing[call.id] = dialing
        self._current = call.id
        _log.info("[account=%s call=%s] calling %s", account.id, call.id, number[:80])
        # The first signal must follow the reply that tells the client the id.
        asyncio.get_running_loop().call_soon(lambda: call.over or call.tasks.spawn(dialing.run(target), "dial"))
        return call.id

    def let_in(self, account: CallAccount, session: InviteSession, offer: SessionDescription, conference: str, conversation: str) -> None:
        """Answers a call that joins a conference of ours, unseen by the user."""
        ringing = Ringing.of(session, offer, account, self._around, self._new_id)
        call = ringing.call
        call.joins, call.conversation = conference, conversation
        self._calls[call.id] = call
        self._ringing[call.id] = ringing
        ringing.ring(audible=False, told=False)
        ringing.accept()

    # -- details -----------------------------------------------------------------------------------------------------
    def _find(self, account_id: str, call_id: str) -> Call | None:
        call = self._calls.get(call_id)
        return call if call is not None and call.account.id == account_id else None

    def _new_id(self) -> str:
        while (call_id := str(new_53_bit_id())) in self._calls:
            pass
        return call_id

    def _received(self, account: CallAccount, exchange: SipExchange, session: InviteSession) -> None:
        if self._closed:
            session.reject(480)
            return
        offer = admit(account, exchange, session, self._calls.values())
        if offer is None:
            return
        if "/" in session.recipient:
            self._tasks.spawn(self._admit_to_group(account, session, offer), "group call")
            return
        ringing = Ringing.of(session, offer, account, self._around, self._new_id)
        call = ringing.call
        busy = any(each.link is Link.CONNECTED and each.account is account for each in self._calls.values())
        crossing = next((each for each in self._calls.values() if self._crosses(each, call)), None)
        self._calls[call.id] = call
        self._ringing[call.id] = ringing
        details = account.details
        automatic = self._around.auto_answer or any(details.get(key) == "true" for key in ("Account.autoAnswer", "Account.rendezVous"))
        ringing.ring(audible=not automatic)
        if busy and details.get("Account.denySecondCall") == "true":
            ringing.refuse()
        elif crossing is not None and wins_crossing(crossing, call):
            self.accept(account.id, call.id)
            self._tasks.spawn(self._give_up_crossed(crossing, call), "crossing")
        elif automatic:
            self.accept(account.id, call.id)

    async def _admit_to_group(self, account: CallAccount, session: InviteSession, offer: SessionDescription) -> None:
        conference, conversation = await self.group.admit(account, session) if self.group is not None else ("", "")
        if conference:
            self.let_in(account, session, offer, conference, conversation)
        else:
            _log.info("[account=%s] a call to %s, which is nobody's here", account.id, session.recipient[:150])
            session.reject(481)

    @staticmethod
    def _crosses(ours: Call, theirs: Call) -> bool:
        """Whether OURS rings at the account that THEIRS comes from."""
        same = ours.account is theirs.account and ours.peer_uri == theirs.peer_uri
        return same and not ours.incoming and not ours.over and ours.link is not Link.CONNECTED

    @staticmethod
    async def _give_up_crossed(ours: Call, theirs: Call) -> None:
        """Cancels OURS once THEIRS is answered, so that clients hear of the answer first."""
        for _ in range(200):
            if theirs.link is Link.CONNECTED or theirs.over:
                break
            await asyncio.sleep(0.01)
        if not ours.over and not theirs.over:
            ours.hang_up()

    def _transfer(self, call: Call, uri: str) -> None:
        """The peer of CALL wants us to talk to URI."""
        if call.link is not Link.CONNECTED:
            return
        self.dial(call.account, uri, [replace(each, held=False) for each in call.media if each.kind is MediaType.AUDIO])
        asyncio.get_running_loop().call_later(0.02, call.hang_up)

    def _ended(self, call: Call, ending: Ending) -> None:
        self._calls.pop(call.id, None)
        ringing = self._ringing.pop(call.id, None)
        if ringing is not None:
            ringing.stop()
        dialing = self._dialing.pop(call.id, None)
        if dialing is not None:
            dialing.stop()
        if self._current == call.id:
            self._current = next((each.id for each in self._calls.values() if each.link is Link.CONNECTED), "")
        _log.info("[account=%s call=%s] over: %s", call.account.id, call.id, ending.value)
        for tell in self.on_ended:
            tell(call)
        self._closing.add(call)
        self._tasks.spawn(self._close(call), f"close {call.id}")

    async def _close(self, call: Call) -> None:
        await call.close()
        self._closing.discard(call)


def _supported(media: Sequence[MediaAttribute]) -> list[MediaAttribute]:
    """The streams we can make of a client's wish: its audio, or one audio stream. Video joins when pictures can be shown."""
    audio = [each for each in media if each.kind is MediaType.AUDIO and each.enabled][:1]
    if not is_audio_only(media):
        _log.info("the call is placed without the video that was asked for: this daemon shows no pictures yet")
    return labelled(audio or [MediaAttribute(MediaType.AUDIO)])


def _host(uri: str) -> str:
    return uri.partition("@")[2] or uri.partition(":")[2]
