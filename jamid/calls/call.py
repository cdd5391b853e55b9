"""Call: one call as its client sees it. It owns the state, the media list and the signals; SIP is its leg's, sound its media session's."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from jamid.calls.changes import MediaChanges
from jamid.calls.generations import HISTORY_REASONS, Ending, last_words, told_path
from jamid.calls.in_call_messages import write_message
from jamid.calls.legs import Leg
from jamid.calls.media_control import mute_body, recording_body
from jamid.calls.media_maps import MediaAttribute, MediaType, to_maps
from jamid.calls.media_session import MediaSession
from jamid.calls.seams import CallAccount, CallAudio, CallHistory
from jamid.calls.states import CallState, Link, may_follow, word
from jamid.calls.talk import Talk
from jamid.core.clock import Clock
from jamid.core.errors import LocalError
from jamid.core.events import Events
from jamid.core.generations import Generation
from jamid.core.limits import CALL_MESSAGES_QUEUED
from jamid.core.signals import (
    AudioMuted,
    CallStateChanged,
    MediaNegotiationStatus,
    RecordingStateChanged,
    RecordPlaybackFilepath,
    RecordPlaybackStopped,
    VideoMuted,
)
from jamid.core.tasks import Tasks
from jamid.sip.session_events import EndCause, Ended

_log = logging.getLogger(__name__)

MEDIA_CONTROL = "application/media_control+xml"


@dataclass(slots=True)
class Surroundings:
    """What all calls share."""

    events: Events
    clock: Clock
    audio: CallAudio
    history: CallHistory
    generation: Generation
    """whose codes clients are told"""
    ringing_seconds: Callable[[], float] = lambda: 30.0
    always_record: Callable[[], bool] = lambda: False
    auto_answer: bool = False
    """the daemon's option, besides the accounts' own"""
    ending: Callable[[Call], None] = lambda call: None
    """called when a call ends, before its client hears of it"""
    over: Callable[[Call, Ending], None] = lambda call, ending: None
    """called when a call has ended"""
    answered: Callable[[Call], None] = lambda call: None
    """called when a call has become current for the first time"""
    transfer: Callable[[Call, str], None] = lambda call, uri: None
    """called when the peer of a call hands us on to another account"""


class Room(Protocol):
    """The conference a call is part of, as far as the call has to tell it (`jamid.calls.conference`)."""

    @property
    def host_silent(self) -> bool:
        """Whether nothing of us may be heard there."""
        ...

    def remove(self, call: Call) -> None: ...
    def changed(self) -> None: ...
    def ordered(self, call: Call, text: str) -> None: ...
    def said(self, call: Call, payloads: Mapping[str, str]) -> None: ...
    def peer_recording(self, call: Call, recording: bool) -> None: ...


class Call:
    """One call. `media` is what its user wants; what really flows is in `sound`."""

    def __init__(
        self, call_id: str, account: CallAccount, peer_number: str, media: Sequence[MediaAttribute], around: Surroundings, *, incoming: bool
    ) -> None:
        self.id = call_id
        self.account = account
        self.incoming = incoming
        self.peer_number = peer_number
        """as clients see it: `<id>@ring.dht` of a caller, what was dialled of a callee"""
        self.peer_uri = ""
        """the bare account id, once known"""
        self.peer_name = ""
        self.registered_name = ""
        """of whom we call, once the name server has told"""
        self.to_username = ""
        self.media = list(media)
        self.around = around
        self.state = CallState.INACTIVE
        self.link = Link.DISCONNECTED
        self.ending: Ending | None = None
        self.created_at = around.clock.time()
        self.answered_at: float | None = None
        self._talking_since = 0.0
        self.leg: Leg | None = None
        """the one session, once there is only one"""
        self.early_legs: Callable[[], Sequence[Leg]] = tuple
        self.sound = MediaSession(call_id, account, around.audio)
        self.sound.on_lost = self._path_lost
        self.changes = MediaChanges(self)
        self.talk = Talk(self, around.transfer)
        self.tasks = Tasks(f"call {call_id}")
        self.recording = ""
        """path of the recording under way"""
        self._recording_wanted = False
        self.peer_muted = False
        self.peer_records = False
        self.peer_holds = False
        self.conference = ""
        """the id of the conference it is part of here"""
        self.room: Room | None = None
        self.joins = ""
        """the conference of ours that it is to be part of once it is answered"""
        self.conversation = ""
        """the group whose call it is, "" for a call between two"""
        self.wanted_with: list[str] = []
        """calls that were placed to become a conference with this one"""
        self._texts: list[tuple[str, bytes]] = []
        self._word = "INACTIVE"

    # -- state -------------------------------------------------------------------------------------------------------
    @property
    def word(self) -> str:
        """The state as clients read it."""
        return word(self.state, self.link, incoming=self.incoming)

    @property
    def over(self) -> bool:
        return self.ending is not None

    @property
    def current(self) -> bool:
        """Answered and not held."""
        return self.link is Link.CONNECTED and self.state is CallState.ACTIVE

    @property
    def ringing(self) -> bool:
        """An incoming call nobody has answered."""
        return self.incoming and not self.over and self.link is not Link.CONNECTED

    def move(self, *, state: CallState | None = None, link: Link | None = None, code: int = 0) -> None:
        """Changes state or link and tells clients when that changes the word."""
        if state is not None:
            if not may_follow(self.state, state):
                _log.warning("call %s cannot become %s from %s", self.id, state.value, self.state.value)
                return
            self.state = state
        if link is not None:
            self.link = link
        if self.word != self._word:
            self._word = self.word
            _log.info("[account=%s call=%s] %s (%d)", self.account.id, self.id, self._word, code)
            self.publish(CallStateChanged(self.account.id, self.id, self._word, code))

    def connected(self) -> None:
        """Both sides agreed: the call is answered."""
        self.around.audio.quiet(self.id)
        self.answered_at, self._talking_since = self.around.clock.time(), self.around.clock.monotonic()
        self.move(state=CallState.ACTIVE, link=Link.CONNECTED)
        self.around.answered(self)

    def end(self, ending: Ending, *, status: int = 0) -> None:
        """Ends the call for its client; whoever calls this has ended the SIP side, or leaves that to `leg.hang_up`."""
        if self.over:
            return
        self.ending = ending
        self.around.ending(self)
        self.around.audio.quiet(self.id)
        words = last_words(self.around.generation, ending)
        recorded, self.recording = self.recording, ""
        if recorded and self.around.generation is Generation.G13:
            self.publish(RecordPlaybackStopped(recorded))
        if self.state is CallState.HOLD and words.state is CallState.ACTIVE:
            self.state = CallState.ACTIVE
        if words.state is CallState.ACTIVE and self.link in (Link.DISCONNECTED, Link.TRYING):
            # Nobody was called yet: there is nothing to hang up.
            self.link = Link.DISCONNECTED
        else:
            self.move(state=words.state, link=Link.DISCONNECTED, code=words.code)
        over_code = status if words.over_code and status else words.over_code
        self.move(state=CallState.OVER, code=over_code)
        if recorded and self.around.generation is Generation.G17:
            self.publish(RecordPlaybackStopped(recorded))
        if not self.incoming and self.peer_uri and not self.conversation:
            duration = int((self.around.clock.monotonic() - self._talking_since) * 1000) if self.answered_at is not None else 0
            self.around.history.call_ended(self.account.id, self.peer_uri, duration, HISTORY_REASONS.get(ending, ""))
        self.around.over(self, ending)

    def hang_up(self) -> None:
        """Ends the call at its user's wish: CANCEL, 481 or BYE on the wire."""
        ending = Ending.HUNG_UP_RINGING if self.ringing else Ending.HUNG_UP
        for leg in (*self.early_legs(), self.leg):
            if leg is not None:
                leg.hang_up(481)
        self.end(ending)

    # -- LegOwner, once there is one leg -----------------------------------------------------------------------------
    def leg_progressed(self, leg: Leg, status: int) -> None:
        return None

    def leg_answered(self, leg: Leg, sdp: bytes) -> None:
        return None

    def leg_established(self, leg: Leg, sdp: bytes) -> None:
        self.changes.established(sdp)

    def leg_ended(self, leg: Leg, end: Ended) -> None:
        """The peer, or the network, ended the call."""
        if self.link is Link.CONNECTED:
            endings = {EndCause.LOST: Ending.LOST, EndCause.SILENCE: Ending.NO_ANSWER}
            self.end(endings.get(end.cause, Ending.PEER_HUNG_UP))
        else:
            self.end(Ending.LOST if end.cause is EndCause.LOST else Ending.PEER_CANCELLED)

    async def close(self) -> None:
        """Frees what the ended call holds."""
        await self.tasks.close()
        await self.around.audio.stop_recording(self.id)
        await self.sound.close()

    def publish(self, event: object) -> None:
        self.around.events.publish(event)

    def _path_lost(self) -> None:
        _log.warning("call %s: the peer's media is gone", self.id)
        if self.leg is not None:
            self.leg.hang_up()
        self.end(Ending.LOST)

    # -- media -------------------------------------------------------------------------------------------------------
    def tell_media(self, *, success: bool = True) -> None:
        """Tells clients the media in force."""
        self.publish(MediaNegotiationStatus(self.id, "NEGOTIATION_SUCCESS" if success else "NEGOTIATION_FAIL", to_maps(self.media)))

    def is_muted(self, label: str) -> bool:
        """Whether the peer must not hear us on a stream: muted here, or in the conference the call is part of."""
        if self.room is not None and self.room.host_silent:
            return True
        return any(each.label == label and each.muted for each in self.media)

    def source_of(self, label: str) -> str:
        return next((each.source for each in self.media if each.label == label), "")

    def muted(self, kind: MediaType) -> bool:
        """Whether every stream of KIND is muted; no video at all counts as muted video."""
        return all(each.muted for each in self.media if each.kind is kind and each.enabled)

    def mute(self, kind: MediaType, muted: bool) -> bool:
        """Mutes or un-mutes our streams of KIND; False when the call is over."""
        if self.over:
            return False
        self.set_media([replace(each, muted=muted) if each.kind is kind else each for each in self.media])
        return True

    def set_media(self, media: Sequence[MediaAttribute]) -> None:
        """Takes mutes and sources of MEDIA, which has our streams by label, and tells the client and the peer."""
        told_audio, told_video = self._flags(MediaType.AUDIO), self._flags(MediaType.VIDEO)
        self.media = list(media)
        for each in self.media:
            self.sound.set_muted(each.label, self.is_muted(each.label))
            self.sound.set_source(each.label, each.source)
        if self._flags(MediaType.AUDIO) != told_audio:
            muted = self.muted(MediaType.AUDIO)
            self.publish(AudioMuted(self.id, muted))
            self.send_info(mute_body(muted))
        if self._flags(MediaType.VIDEO) != told_video:
            self.publish(VideoMuted(self.id, self.muted(MediaType.VIDEO)))
        if self.link is Link.CONNECTED:
            self.tell_media()

    def send_info(self, body: bytes, content_type: str = MEDIA_CONTROL) -> None:
        """Sends an INFO if the call is answered."""
        if self.leg is not None and self.link is Link.CONNECTED:
            self.leg.session.send_info(content_type, body)

    def _flags(self, kind: MediaType) -> list[bool]:
        return [each.muted for each in self.media if each.kind is kind]

    # -- texts -------------------------------------------------------------------------------------------------------
    def send_text(self, payloads: Mapping[str, str]) -> None:
        """Sends PAYLOADS to the peer: at once to every device with a dialog, to the one that answers as soon as it does."""
        content_type, body = write_message(payloads)
        if self.leg is not None and self.link is Link.CONNECTED:
            self.leg.session.send_message(content_type, body)
            return
        if len(self._texts) >= CALL_MESSAGES_QUEUED:
            raise LocalError(f"more than {CALL_MESSAGES_QUEUED} messages wait for call {self.id} to be answered")
        self._texts.append((content_type, body))
        for leg in self.early_legs():
            self._send_texts(leg)

    def send_queued_texts(self) -> None:
        """Sends the answering device what it did not get while it rang."""
        if self.leg is not None:
            self._send_texts(self.leg)
        self._texts.clear()

    def _send_texts(self, leg: Leg) -> None:
        while leg.texts_sent < len(self._texts) and leg.session.send_message(*self._texts[leg.texts_sent]):
            leg.texts_sent += 1

    # -- recording ---------------------------------------------------------------------------------------------------
    @property
    def is_recorded(self) -> bool:
        """Whether the call is recorded, or will be as soon as there is sound."""
        return bool(self.recording) or self._recording_wanted

    async def toggle_recording(self) -> bool:
        """Begins or ends the recording; True when it runs now, or will with the first sound."""
        if self._recording_wanted:
            self._recording_wanted = False
            return False
        if self.recording:
            path, self.recording = self.recording, ""
            await self.around.audio.stop_recording(self.id)
            self.send_info(recording_body(recording=False))
            self._tell_recording_stopped(path)
            return False
        if not self.sound.streams:
            self._recording_wanted = True
            return True
        return await self._start_recording()

    def sound_started(self) -> None:
        """Media flows: what waited for it begins."""
        if (self._recording_wanted or self.around.always_record()) and not self.recording:
            self._recording_wanted = False
            self.tasks.spawn(self._start_recording(), "record")

    async def _start_recording(self) -> bool:
        try:
            path = await self.around.audio.start_recording(self.id, [stream.id for stream in self.sound.streams.values()])
        except LocalError as error:
            _log.warning("call %s is not recorded: %s", self.id, error)
            return False
        if self.over:
            # It ended while the file was opened: nobody else would close that any more.
            await self.around.audio.stop_recording(self.id)
            return False
        self.recording = path
        self.send_info(recording_body(recording=True))
        self.publish(RecordPlaybackFilepath(self.id, self.recording))
        self.publish(RecordingStateChanged(self.id, True))
        return True

    def _tell_recording_stopped(self, path: str) -> None:
        self.publish(RecordPlaybackStopped(path))
        self.publish(RecordPlaybackFilepath(self.id, told_path(self.around.generation, path)))
        self.publish(RecordingStateChanged(self.id, False))
