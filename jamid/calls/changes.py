"""Changes of a running call's media: hold, resume, new streams, and the same asked by the peer (protocol: calls, sections 5.5, 10.4, 11.3).

A re-INVITE without ICE attributes changes flags only: sockets, SRTP keys and SSRCs stay, whatever keys its SDP shows. One with ICE
attributes replaces the whole media session once its answer is there. Only one change is under way at a time; of those asked meanwhile
the last one counts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from jamid.calls.generations import Ending
from jamid.calls.media_maps import MediaAttribute, MediaType, labelled, to_maps
from jamid.calls.negotiation import AgreedStream, RemoteIce, offered_media, same_shape, without_source
from jamid.calls.states import CallState, Link
from jamid.core.errors import LocalError, RemoteError
from jamid.core.signals import MediaChangeRequested, PeerHold
from jamid.sip.sdp import SessionDescription, parse_sdp

if TYPE_CHECKING:
    from jamid.calls.call import Call

_log = logging.getLogger(__name__)


class MediaChanges:
    """The media changes of one call."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._queued: Callable[[], object] | None = None
        self._offering_ice = False
        self._asked: SessionDescription | None = None
        self._flags_answered = False
        self._offered_in_answer = False
        self._preparing = False

    @property
    def busy(self) -> bool:
        """Whether a change is under way."""
        leg = self._call.leg
        return self._preparing or self._call.sound.connecting or (leg is not None and leg.session.offering)

    # -- what our client asks ----------------------------------------------------------------------------------------
    def hold(self) -> bool:
        """Holds the call; False unless it is answered."""
        if not self._call.current:
            return self._call.link is Link.CONNECTED
        self._call.move(state=CallState.HOLD)
        self._mark_held(held=True)
        self._soon(lambda: self._offer_flags())
        return True

    def resume(self) -> bool:
        """Takes the call back; False unless it is answered."""
        if self._call.state is not CallState.HOLD or self._call.over:
            return self._call.link is Link.CONNECTED
        self._call.move(state=CallState.ACTIVE)
        self._mark_held(held=False)
        self._soon(lambda: self._call.tasks.spawn(self._offer_streams(), "resume"))
        return True

    def request(self, media: Sequence[MediaAttribute]) -> bool:
        """Makes MEDIA the call's; False when it is none, or wants what is not possible here."""
        call = self._call
        if call.link is not Link.CONNECTED or not media:
            return False
        own = {each.label: each for each in call.media}
        wanted = [replace(each, held=own[each.label].held) if each.label in own else each for each in labelled(media)]
        if any(each.label not in own and each.enabled for each in wanted):
            _log.info("call %s: another stream was asked for, which this daemon cannot make yet", call.id)
            return False
        kept = {each.label: each for each in wanted}
        call.set_media([kept.get(each.label, each) for each in call.media])
        return True

    def answer_request(self, media: Sequence[MediaAttribute]) -> bool:
        """Answers the peer's request with MEDIA, one entry per offered stream; an empty list leaves it unanswered until it lapses."""
        if self._asked is None or self._call.leg is None:
            return False
        if media:
            description, self._asked = self._asked, None
            self._answer(description, labelled(media))
        return True

    # -- what the peer asks ------------------------------------------------------------------------------------------
    def offered(self, sdp: bytes) -> None:
        """A re-INVITE arrived."""
        call, leg = self._call, self._call.leg
        if leg is None:
            return
        if not sdp.strip():
            self._offer_in_answer()
            return
        try:
            description = parse_sdp(sdp)
            offered = offered_media(description, keep_closed=False)
            if not offered:
                raise RemoteError("it offers nothing")
        except RemoteError as error:
            _log.info("call %s: a media change is refused: %s", call.id, error)
            leg.session.refuse_offer(488)
            return
        if call.sound.connecting or self._preparing:
            leg.session.refuse_offer(491)
            return
        self._note_peer_hold(description)
        if same_shape(call.media, offered):
            own = [each for each in call.media if each.enabled]
            self._answer(description, own)
        elif self._auto_answers:
            self._answer(description, _with_own(call.media, offered))
        else:
            self._asked = description
            call.publish(MediaChangeRequested(call.account.id, call.id, to_maps(without_source(offered))))

    def offer_lapsed(self) -> None:
        """The peer's re-INVITE needs no answer any more."""
        self._asked = None
        if not self.busy:
            self._next()

    def established(self, sdp: bytes) -> None:
        """The ACK of our answer to a re-INVITE arrived; SDP is the peer's answer when ours held the offer."""
        if self._offered_in_answer:
            self._offered_in_answer = False
            self._take_flags(sdp)
        elif self._flags_answered:
            self._flags_answered = False
            self._call.tell_media()
            self._next()

    def offer_answered(self, sdp: bytes) -> None:
        """The peer accepted our re-INVITE."""
        call, leg = self._call, self._call.leg
        if leg is None:
            return
        try:
            description = parse_sdp(sdp)
            agreed = leg.negotiator.take_answer(description)
        except RemoteError as error:
            _log.warning("call %s: the answer to a media change makes no sense: %s", call.id, error)
            self.offer_refused(488)
            return
        remote = RemoteIce.of(description)
        if self._offering_ice and remote is not None:
            self.start(agreed, remote)
        else:
            call.tell_media()
            self._next()

    def offer_refused(self, status: int) -> None:
        """Our re-INVITE changed nothing; one that crossed the peer's is made anew."""
        if status == 491:
            self._queued = self._queued or self._repeat
            if not self.busy:
                self._next()
            return
        _log.info("call %s: the peer refused a media change with %d", self._call.id, status)
        self._call.tell_media(success=False)
        self._next()

    # -- details -----------------------------------------------------------------------------------------------------
    def _offer_in_answer(self) -> None:
        """Answers a re-INVITE without description with an offer of the media as they are (RFC 3261 section 14.2)."""
        call, leg = self._call, self._call.leg
        if leg is None:
            return
        if call.sound.connecting or self._preparing:
            leg.session.refuse_offer(491)
        elif leg.session.answer_offer(leg.negotiator.offer(call.media, None)):
            self._offering_ice = False
            self._offered_in_answer = True

    def _take_flags(self, sdp: bytes) -> None:
        """The peer's answer in its ACK to an offer that kept the ICE session."""
        call, leg = self._call, self._call.leg
        if leg is None:
            return
        try:
            description = parse_sdp(sdp)
            leg.negotiator.take_answer(description)
        except RemoteError as error:
            _log.info("call %s: the answer to our offer makes no sense, its media stay as they are: %s", call.id, error)
        else:
            self._note_peer_hold(description)
        call.tell_media()
        self._next()

    @property
    def _auto_answers(self) -> bool:
        details, around = self._call.account.details, self._call.around
        automatic = any(details.get(key) == "true" for key in ("Account.autoAnswer", "Account.rendezVous"))
        return around.auto_answer or automatic or bool(self._call.conference)

    def _mark_held(self, *, held: bool) -> None:
        self._call.media = [replace(each, held=held) for each in self._call.media]
        self._call.sound.set_held(held)

    def _note_peer_hold(self, description: SessionDescription) -> None:
        held = all(not description.direction_of(line).receives for line in description.media if line.enabled)
        if held != self._call.peer_holds:
            self._call.peer_holds = held
            self._call.publish(PeerHold(self._call.id, held))

    def _soon(self, change: Callable[[], object]) -> None:
        """Runs CHANGE now, or when the one under way is done."""
        if self.busy:
            self._queued = change
        else:
            change()

    def _next(self) -> None:
        queued, self._queued = self._queued, None
        if queued is not None and not self._call.over:
            queued()

    def _repeat(self) -> None:
        if self._offering_ice:
            self._call.tasks.spawn(self._offer_streams(), "again")
        else:
            self._offer_flags()

    def _offer_flags(self) -> None:
        """A re-INVITE that keeps the ICE session."""
        call, leg = self._call, self._call.leg
        if leg is None or call.over:
            return
        self._offering_ice = False
        try:
            leg.session.offer(leg.negotiator.offer(call.media, None))
        except (LocalError, ConnectionError) as error:
            _log.warning("call %s: its media cannot be changed: %s", call.id, error)

    async def _offer_streams(self) -> None:
        """A re-INVITE with a new ICE session."""
        call, leg = self._call, self._call.leg
        if leg is None or call.over:
            return
        self._preparing = True
        try:
            ice = await call.sound.prepare(2 * sum(each.enabled for each in call.media), controlling=True)
        except ConnectionError as error:
            _log.warning("call %s: its media cannot be changed: %s", call.id, error)
            self._preparing = False
            if not call.over:
                call.tell_media(success=False)
            self._next()
            return
        finally:
            self._preparing = False
        self._offering_ice = True
        try:
            leg.session.offer(leg.negotiator.offer(call.media, ice))
        except LocalError:
            # The peer's own change came first.
            self._queued = lambda: call.tasks.spawn(self._offer_streams(), "resume")
        except ConnectionError as error:
            _log.warning("call %s: its media cannot be changed: %s", call.id, error)

    def _answer(self, description: SessionDescription, media: Sequence[MediaAttribute]) -> None:
        remote = RemoteIce.of(description)
        if remote is None:
            self._send_answer(description, media)
        else:
            self._preparing = True
            self._call.tasks.spawn(self._answer_with_ice(description, media, remote), "answer")

    async def _answer_with_ice(self, description: SessionDescription, media: Sequence[MediaAttribute], remote: RemoteIce) -> None:
        call, leg = self._call, self._call.leg
        if leg is None:
            return
        try:
            ice = await call.sound.prepare(2 * len(description.media), controlling=False)
            answer, agreed = leg.negotiator.answer(description, media, ice, keep_closed=False)
        except (RemoteError, ConnectionError) as error:
            _log.info("call %s: a media change is refused: %s", call.id, error)
            leg.session.refuse_offer(488)
            self._preparing = False
            self._next()
            return
        finally:
            self._preparing = False
        if call.over:
            return
        if not leg.session.answer_offer(answer):
            # The peer took its offer back meanwhile; it would never come to the new path.
            self._next()
            return
        call.media = _adopt(call, media)
        self.start(agreed, remote)

    def _send_answer(self, description: SessionDescription, media: Sequence[MediaAttribute]) -> None:
        call, leg = self._call, self._call.leg
        if leg is None:
            return
        try:
            answer, _ = leg.negotiator.answer(description, media, None, keep_closed=False)
        except RemoteError as error:
            _log.info("call %s: a media change is refused: %s", call.id, error)
            leg.session.refuse_offer(488)
            return
        if leg.session.answer_offer(answer):
            call.media = _adopt(call, media)
            self._flags_answered = True

    def start(self, agreed: Sequence[AgreedStream], remote: RemoteIce) -> None:
        """Connects the prepared ICE session, moves the sound there and tells clients; without a path the call ends."""
        call = self._call
        held = call.state is CallState.HOLD
        call.sound.start(agreed, remote, muted=call.is_muted, sources=call.source_of, held=held, done=self._started)

    def _started(self, error: ConnectionError | None) -> None:
        call = self._call
        if error is not None:
            _log.warning("call %s: no path for the new media: %s", call.id, error)
            if call.leg is not None:
                call.leg.hang_up()
            call.end(Ending.ICE_FAILED)
            return
        # What was muted or held while the path was looked for.
        call.sound.set_held(call.state is CallState.HOLD)
        for each in call.media:
            call.sound.set_muted(each.label, call.is_muted(each.label))
        call.tell_media()
        call.sound_started()
        self._next()


def _with_own(own: Sequence[MediaAttribute], offered: Sequence[MediaAttribute]) -> list[MediaAttribute]:
    """OFFERED with our flags where we have the stream; what is new comes muted."""
    known = {each.label: each for each in own}
    return [known.get(each.label) or replace(each, muted=True) for each in offered]


def _adopt(call: Call, media: Sequence[MediaAttribute]) -> list[MediaAttribute]:
    """MEDIA as the call's new list: held as the call is; a video nobody here can show is muted."""
    held = call.state is CallState.HOLD
    return [replace(each, held=held, muted=each.muted or each.kind is MediaType.VIDEO) for each in media]
