"""Ringing: an incoming call from its INVITE until it is answered, refused or given up (protocol: calls, sections 2.1, 3, 10.5)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from jamid.calls.call import Call, Surroundings
from jamid.calls.generations import RANG_OUT_STATUS, REFUSAL_STATUS, Ending
from jamid.calls.legs import Leg
from jamid.calls.media_maps import MediaAttribute, MediaType, is_audio_only, labelled, to_maps
from jamid.calls.negotiation import AgreedStream, Formats, Negotiator, RemoteIce, offered_media, without_source
from jamid.calls.seams import CallAccount
from jamid.calls.states import Link
from jamid.core.errors import LocalError, RemoteError
from jamid.core.limits import CALLS_RINGING, CALLS_RINGING_PER_PEER
from jamid.core.signals import IncomingCallWithMedia, VideoMuted
from jamid.sip.exchange import SipExchange
from jamid.sip.offers import IceDescription, SdpAuthor
from jamid.sip.sdp import SessionDescription, parse_sdp
from jamid.sip.session_events import EndCause, Ended
from jamid.sip.sessions import InviteSession

_log = logging.getLogger(__name__)

BUSY_STATUS = 486


def admit(account: CallAccount, exchange: SipExchange, session: InviteSession, calls: Iterable[Call]) -> SessionDescription | None:
    """The offer of an INVITE that may ring here; refuses any other and returns None.

    An INVITE without description leaves the offer to us: it is an empty one.
    """
    caller = exchange.peer.account_uri
    if session.caller != caller:
        _log.warning("[account=%s] device %s calls in another's name", account.id, exchange.peer.device_id[:16])
        session.reject(403)
        return None
    if not account.accepts_calls_of(caller):
        _log.info("[account=%s] a call of %s is not welcome", account.id, caller)
        session.reject(REFUSAL_STATUS)
        return None
    ringing = [call for call in calls if call.ringing]
    if len(ringing) >= CALLS_RINGING or sum(call.peer_uri == caller for call in ringing) >= CALLS_RINGING_PER_PEER:
        _log.warning("[account=%s] too many calls ring, another of %s is refused", account.id, caller)
        session.reject(BUSY_STATUS)
        return None
    body = session.invite.body if session.invite is not None else b""
    if not body.strip():
        return SessionDescription()
    try:
        description = parse_sdp(body)
        media = offered_media(description, keep_closed=True)
        if not any(each.kind is MediaType.AUDIO and each.enabled for each in media):
            raise RemoteError("it offers no audio")
        if not any(line.kind == "audio" and line.enabled and "SAVP" in line.profile and line.cryptos for line in description.media):
            raise RemoteError("its audio is not encrypted")
        if RemoteIce.of(description) is None:
            raise RemoteError("it has no ICE credentials")
        ours = Formats.of_account(account.codecs).audio
        offered = [each for line in description.media if line.kind == "audio" and line.enabled for each in line.formats]
        if not any(each.matches(own) for each in offered for own in ours):
            raise RemoteError("there is no audio codec that both sides know")
    except RemoteError as error:
        _log.info("[account=%s] a call of %s is refused: %s", account.id, caller, error)
        session.reject(488)
        return None
    return description


class Ringing:
    """One incoming call that wants an answer."""

    def __init__(self, call: Call, session: InviteSession, offer: SessionDescription, new_id: Callable[[], str]) -> None:
        self.call = call
        self._offer = offer
        self._timer: asyncio.TimerHandle | None = None
        self._answering = False
        self._ice: asyncio.Task[IceDescription] | None = None
        author = SdpAuthor(call.id, session.exchange.path.local[0], answering=True, now=call.around.clock.time())
        self._leg = Leg(session, Negotiator(author, Formats.of_account(call.account.codecs)), self, call.talk)
        call.leg = self._leg

    @classmethod
    def of(
        cls, session: InviteSession, offer: SessionDescription, account: CallAccount, around: Surroundings, new_id: Callable[[], str]
    ) -> Ringing:
        """The call of an admitted INVITE, not told to anybody yet."""
        media = without_source(offered_media(offer, keep_closed=True)) or labelled([MediaAttribute(MediaType.AUDIO)])
        call = Call(new_id(), account, f"{session.caller}@ring.dht", media, around, incoming=True)
        call.peer_uri, call.peer_name, call.to_username = session.caller, session.caller_name, session.recipient
        return cls(call, session, offer, new_id)

    def ring(self, *, audible: bool = True, told: bool = True) -> None:
        """Tells the caller that it rings, and our client unless the call answers itself unseen."""
        call, session = self.call, self._leg.session
        session.trying()
        session.ring()
        call.move(link=Link.PROGRESSING)
        call.move(link=Link.TRYING)
        call.move(link=Link.RINGING)
        if told:
            call.publish(IncomingCallWithMedia(call.account.id, call.id, call.peer_number, to_maps(call.media)))
        if audible:
            call.around.audio.ringing(call.id, call.account.details)
        # Gathered while it rings, so that the answer need not wait.
        components = 2 * (len(self._offer.media) or len(call.media))
        self._ice = call.tasks.spawn(call.sound.prepare(components, controlling=self._offers), "gather")
        self._timer = asyncio.get_running_loop().call_later(call.around.ringing_seconds(), self._rang_out)

    def accept(self, media: Sequence[MediaAttribute] | None = None) -> bool:
        """Answers with MEDIA, one entry per offered stream (None: as offered); False when the list does not fit or it is too late."""
        if self._answering or not self.call.ringing:
            return False
        wanted = list(media) if media is not None else list(self.call.media)
        if len(wanted) != len(self.call.media) or any(new.kind is not old.kind for new, old in zip(wanted, self.call.media, strict=True)):
            return False
        self._answering = True
        self._stop_timer()
        self.call.tasks.spawn(self._answer(wanted), "answer")
        return True

    def refuse(self, status: int = REFUSAL_STATUS, ending: Ending = Ending.REFUSED) -> bool:
        """Declines the call; False when it is too late."""
        if not self.call.ringing:
            return False
        self._stop_timer()
        self._leg.session.reject(status)
        self.call.end(ending)
        return True

    def stop(self) -> None:
        """No longer waits for anything."""
        self._stop_timer()

    @property
    def _offers(self) -> bool:
        """Whether the offer is ours, in the 200, and the caller's answer comes in its ACK (RFC 3261 section 13.2.1)."""
        return not self._offer.media

    # -- LegOwner ----------------------------------------------------------------------------------------------------
    def leg_progressed(self, leg: Leg, status: int) -> None:
        return None

    def leg_answered(self, leg: Leg, sdp: bytes) -> None:
        return None

    def leg_established(self, leg: Leg, sdp: bytes) -> None:
        """The caller's answer to our offer arrived."""
        call, leg.owner = self.call, self.call
        try:
            description = parse_sdp(sdp)
            agreed = leg.negotiator.take_answer(description)
            remote = RemoteIce.of(description)
            if remote is None:
                raise RemoteError("it has no ICE credentials")
        except RemoteError as error:
            _log.info("call %s: the answer of its caller cannot be used: %s", call.id, error)
            leg.hang_up()
            call.end(Ending.NOT_ACCEPTABLE)
            return
        call.changes.start(agreed, remote)

    def leg_ended(self, leg: Leg, end: Ended) -> None:
        self._stop_timer()
        if self.call.link is Link.CONNECTED:
            self.call.leg_ended(leg, end)
            return
        self.call.end(Ending.LOST if end.cause is EndCause.LOST else Ending.PEER_CANCELLED)

    # -- details -----------------------------------------------------------------------------------------------------
    async def _answer(self, wanted: list[MediaAttribute]) -> None:
        call, session = self.call, self._leg.session
        offered, call.media = call.media, _playable(call.media, wanted)
        if self._ice is None:
            return
        try:
            ice = await self._ice
            sdp, agreed = self._describe(ice)
            remote = RemoteIce.of(self._offer)
            if call.over or (remote is None and not self._offers):
                return
            session.answer(sdp)
        except (RemoteError, LocalError, ConnectionError) as error:
            _log.info("call %s cannot be answered: %s", call.id, error)
            session.reject(488)
            call.end(Ending.NOT_ACCEPTABLE)
            return
        if _video_muted(call.media) != _video_muted(offered):
            call.publish(VideoMuted(call.id, _video_muted(call.media)))
        if remote is not None:
            self._leg.owner = call
        call.connected()
        call.send_queued_texts()
        if remote is not None:
            call.changes.start(agreed, remote)

    def _describe(self, ice: IceDescription) -> tuple[bytes, list[AgreedStream]]:
        """What our 200 says, and what that agrees on already; raises RemoteError when it can be nothing."""
        media, negotiator = self.call.media, self._leg.negotiator
        if not self._offers:
            return negotiator.answer(self._offer, media, ice)
        if not any(each.kind is MediaType.AUDIO and each.enabled for each in media):
            raise RemoteError("nothing is left to offer")
        return negotiator.offer(media, ice), []

    def _rang_out(self) -> None:
        self.refuse(RANG_OUT_STATUS, Ending.RANG_OUT)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def wins_crossing(ours: Call, theirs: Call) -> bool:
    """Whether, of two calls that cross, the one that came in is to be answered: the audio-only one, else the one of the greater account."""
    if is_audio_only(ours.media) != is_audio_only(theirs.media):
        return is_audio_only(theirs.media)
    return ours.account.uri < theirs.peer_uri


def _playable(offered: Sequence[MediaAttribute], wanted: Sequence[MediaAttribute]) -> list[MediaAttribute]:
    """WANTED with the labels of OFFERED; a video nobody here can show counts as enabled and muted, as the reference has it."""
    return [
        replace(new, label=old.label, held=False, enabled=old.enabled, muted=True)
        if new.kind is MediaType.VIDEO
        else replace(new, label=old.label, held=False)
        for new, old in zip(wanted, offered, strict=True)
    ]


def _video_muted(media: Sequence[MediaAttribute]) -> bool:
    return all(each.muted for each in media if each.kind is MediaType.VIDEO)
