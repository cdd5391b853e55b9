"""Conference: calls of ours that hear one another through us, the host (protocol: calls, section 12).

To its participants a conference is an ordinary call plus messages: the host tells who is in it (confInfo), they send orders (confOrder).
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jamid.calls.call import Call, Surroundings
from jamid.calls.conference_orders import CONFERENCE_VERSION, Action, Order, parse_orders
from jamid.calls.generations import told_path
from jamid.calls.in_call_messages import CONFERENCE_INFO, write_message
from jamid.calls.media_control import recording_body
from jamid.calls.media_maps import MediaAttribute, MediaType, to_maps
from jamid.calls.seams import CallAccount
from jamid.calls.states import CallState
from jamid.core.errors import LocalError, RemoteError
from jamid.core.limits import CONFERENCE_INFO_BYTES
from jamid.core.signals import (
    AudioMuted,
    ConferenceChanged,
    ConferenceCreated,
    ConferenceRemoved,
    IncomingMessage,
    MediaNegotiationStatus,
    OnConferenceInfosUpdated,
    RecordingStateChanged,
    RecordPlaybackFilepath,
    RecordPlaybackStopped,
    RemoteRecordingChanged,
    VideoMuted,
)

_log = logging.getLogger(__name__)

ATTACHED, DETACHED = "ACTIVE_ATTACHED", "ACTIVE_DETACHED"
HOST_STREAM = "host_video_0"
"""the reference names its own stream so, also without video"""
VCARD = "x-ring/ring.profile.vcard"
_WIDTH, _HEIGHT, _AUDIO_ONLY = 1280, 720, 10


@dataclass(slots=True)
class Member:
    """What the host knows of one participant beyond its call."""

    call: Call
    hand: bool = False
    moderator_muted: bool = False
    active: bool = False
    voice: bool = False

    @property
    def device(self) -> str:
        return self.call.leg.exchange.peer.device_id if self.call.leg is not None else ""

    @property
    def stream(self) -> str:
        return f"{self.call.id}_audio_0"

    def is_meant(self, order: Order) -> bool:
        """Whether ORDER is for this participant."""
        return order.uri.partition("@")[0] == self.call.peer_uri and order.device in ("", self.device)


class Conference:
    """One conference; `members` in the order in which they came."""

    def __init__(
        self,
        conference_id: str,
        account: CallAccount,
        around: Surroundings,
        *,
        attached: bool = True,
        lasting: bool = False,
        conversation: str = "",
    ) -> None:
        self.id = conference_id
        self.account = account
        self.lasting = lasting
        """whether it goes on with a single participant (a rendezvous)"""
        self.conversation = conversation
        """the group whose call this is, "" when it is nobody's"""
        self.began = around.clock.monotonic()
        self.state = ATTACHED if attached else DETACHED
        self.members: dict[str, Member] = {}
        self.media = [MediaAttribute(MediaType.AUDIO, label="audio_0")]
        self.layout = 0
        self.recording = ""
        self.over = False
        self._around = around
        self._host_hand = False
        self._host_moderator_muted = False
        """by a moderator's order: apart from our own mute, which nobody else may undo"""
        self._moderators: dict[str, bool] = {}
        self._telling = False
        around.audio.set_host(self.id, present=attached)
        self.tell_media()
        self._publish(ConferenceCreated(account.id, conversation, self.id))
        self.changed()

    # -- who is in it ------------------------------------------------------------------------------------------------
    def add(self, call: Call) -> None:
        """Takes CALL in: it hears all others and is heard."""
        if call.id in self.members or self.over:
            return
        if call.room is not None:
            call.room.remove(call)
        self.members[call.id] = Member(call)
        call.room = self
        call.conference = self.id
        call.sound.join(self.id)
        if call.state is CallState.HOLD:
            call.changes.resume()
        self._apply_mutes()
        call.tell_media()
        self._publish(AudioMuted(self.id, self.audio_muted))
        self._publish(VideoMuted(self.id, True))
        self.changed()

    def remove(self, call: Call) -> None:
        """Lets CALL go: it is an ordinary call again, or over."""
        if self.members.pop(call.id, None) is None:
            return
        call.room, call.conference = None, ""
        call.sound.leave()
        for each in call.media:
            call.sound.set_muted(each.label, each.muted)
        if not call.over and call.leg is not None:
            call.leg.session.send_message(CONFERENCE_INFO, b"{}")
        self.changed()

    @property
    def abandoned(self) -> bool:
        """Whether nobody is left to talk to."""
        if self.conversation:
            return not self.members and self.state == DETACHED
        return len(self.members) < (1 if self.lasting else 2)

    def attach(self) -> None:
        """The host takes part."""
        self._set_state(ATTACHED)

    def detach(self) -> None:
        """The host leaves without ending it."""
        self._set_state(DETACHED)

    def tell_state(self) -> None:
        self._publish(ConferenceChanged(self.account.id, self.id, self.state))

    def end(self) -> None:
        """Dissolves it; whoever is left in it goes on alone."""
        if self.over:
            return
        self.over = True
        if self.conversation:
            self.state = DETACHED
        self.tell_state()
        self._publish(ConferenceRemoved(self.account.id, self.id))
        if self.recording:
            path, self.recording = self.recording, ""
            self._publish(RecordPlaybackStopped(path))
            for member in self.members.values():
                member.call.send_info(recording_body(recording=False))
        for member in tuple(self.members.values()):
            self.remove(member.call)

    # -- what the host does ------------------------------------------------------------------------------------------
    @property
    def audio_muted(self) -> bool:
        return all(each.muted for each in self.media if each.kind is MediaType.AUDIO)

    @property
    def host_silent(self) -> bool:
        """Whether nothing of us may be heard."""
        return self.audio_muted or self._host_moderator_muted

    def mute(self, kind: MediaType, muted: bool) -> bool:
        """Mutes the host for everybody."""
        if kind is MediaType.VIDEO:
            self._publish(VideoMuted(self.id, muted))
            return True
        self.media = [replace(each, muted=muted) if each.kind is kind else each for each in self.media]
        self._apply_mutes()
        self.changed()
        self._publish(AudioMuted(self.id, muted))
        return True

    def mute_quietly(self) -> None:
        """The host begins muted."""
        self.media = [replace(each, muted=True) for each in self.media]
        self._publish(AudioMuted(self.id, True))

    def send_text(self, payloads: Mapping[str, str], *, but: Call | None = None) -> None:
        """Says PAYLOADS to every participant BUT one."""
        content_type, body = write_message(payloads)
        for member in self.members.values():
            if member.call.leg is not None and member.call is not but:
                member.call.leg.session.send_message(content_type, body)

    def set_moderator(self, uri: str, moderator: bool) -> None:
        """Lets an account give orders, or not."""
        self._moderators[uri] = moderator
        self.changed()

    async def toggle_recording(self) -> bool:
        """Begins or ends the recording of everybody; True when it runs now."""
        if self.recording:
            path, self.recording = self.recording, ""
            await self._around.audio.stop_recording(self.id)
            self._publish(RecordPlaybackStopped(path))
            self._publish(RecordPlaybackFilepath(self.id, told_path(self._around.generation, path)))
        else:
            streams = [stream.id for member in self.members.values() for stream in member.call.sound.streams.values()]
            try:
                self.recording = await self._around.audio.start_recording(self.id, streams)
            except LocalError as error:
                _log.warning("conference %s is not recorded: %s", self.id, error)
                return False
            self._publish(RecordPlaybackFilepath(self.id, self.recording))
        for member in self.members.values():
            member.call.send_info(recording_body(bool(self.recording)))
        self._publish(RecordingStateChanged(self.id, bool(self.recording)))
        self.changed()
        return bool(self.recording)

    def tell_media(self) -> None:
        self._publish(MediaNegotiationStatus(self.id, "NEGOTIATION_SUCCESS", to_maps(self.media)))

    # -- what participants do ----------------------------------------------------------------------------------------
    def ordered(self, call: Call, text: str) -> None:
        """A participant sent orders; those it may not give are ignored."""
        try:
            orders = parse_orders(text)
        except RemoteError as error:
            _log.info("conference %s: %s", self.id, error)
            return
        for order in orders:
            own = order.uri.partition("@")[0] == call.peer_uri
            for_oneself = own and order.action in (Action.HAND, Action.VOICE)
            raises = order.action is Action.HAND and order.on
            if for_oneself or (self.is_moderator(call.peer_uri) and not raises):
                self.obey(order)
            else:
                _log.info("conference %s: %s may not order %s", self.id, call.peer_uri, order.action.value)

    def obey(self, order: Order) -> None:
        """Does what the host or a moderator wants."""
        if order.action is Action.LAYOUT and 0 <= order.layout <= 2:
            self.layout = order.layout
        meant = [member for member in self.members.values() if member.is_meant(order)]
        if order.action is Action.ACTIVE:
            for member in self.members.values():
                member.active = order.on and member in meant
        for member in meant:
            if order.action is Action.MUTE:
                member.moderator_muted = order.on
                member.call.sound.set_peer_muted(order.on)
            elif order.action is Action.HAND:
                member.hand = order.on
            elif order.action is Action.VOICE:
                member.voice = order.on
            elif order.action is Action.HANG_UP:
                member.call.hang_up()
        if not meant and order.uri.partition("@")[0] == self.account.uri:
            if order.action is Action.MUTE:
                self._host_moderator_muted = order.on
                self._apply_mutes()
            elif order.action is Action.HANG_UP:
                self.detach()
            elif order.action is Action.HAND:
                self._host_hand = order.on
        self.changed()

    def said(self, call: Call, payloads: Mapping[str, str]) -> None:
        """A participant's text goes to everybody, its author included, and to our client."""
        self._publish(IncomingMessage(self.account.id, self.id, call.peer_number, dict(payloads)))
        if not any(kind.startswith(VCARD) for kind in payloads):
            # One that hosts a conference itself would send it back to us, and we to it, for ever.
            self.send_text(payloads, but=call if call.talk.conference_infos else None)

    def peer_recording(self, call: Call, recording: bool) -> None:
        self._publish(RemoteRecordingChanged(self.id, call.peer_number, recording))
        self.changed()

    def is_moderator(self, uri: str) -> bool:
        """Whether an account may give orders."""
        if uri in self._moderators:
            return self._moderators[uri]
        details = self.account.details
        everybody = details.get("Account.allModeratorEnabled", details.get("Account.allModeratorsEnabled", "true")) == "true"
        return everybody or uri == self.account.uri or uri in details.get("Account.defaultModerators", "").split("/")

    # -- infos -------------------------------------------------------------------------------------------------------
    def infos(self) -> list[dict[str, str]]:
        """As our client sees it: every value as text, the host without uri."""
        return [{key: _text(value) for key, value in entry.items()} for entry in self._entries("")]

    def changed(self) -> None:
        """Tells everybody the new state of things, once for all changes of this turn."""
        if not self._telling and not self.over:
            self._telling = True
            asyncio.get_running_loop().call_soon(self._tell)

    def _tell(self) -> None:
        self._telling = False
        if self.over:
            return
        entries = self._entries(f"{self.account.uri}@ring.dht")
        body = info_body(self.layout, entries)
        for member in self.members.values():
            if member.call.leg is not None:
                member.call.leg.session.send_message(CONFERENCE_INFO, body)
        self._publish(OnConferenceInfosUpdated(self.id, self.infos()))

    def _entries(self, host: str) -> list[dict[str, Any]]:
        entries = []
        if self.state == ATTACHED:
            entries.append(
                _entry(
                    host,
                    self.account.device_id,
                    HOST_STREAM,
                    audioLocalMuted=self.audio_muted,
                    audioModeratorMuted=self._host_moderator_muted,
                    handRaised=self._host_hand,
                    isModerator=True,
                    recording=bool(self.recording),
                )
            )
        entries += [
            _entry(
                member.call.peer_number,
                member.device,
                member.stream,
                active=member.active,
                audioLocalMuted=member.call.peer_muted,
                audioModeratorMuted=member.moderator_muted,
                handRaised=member.hand,
                isModerator=self.is_moderator(member.call.peer_uri),
                recording=member.call.peer_records,
                voiceActivity=member.voice,
            )
            for member in self.members.values()
        ]
        return entries

    # -- details -----------------------------------------------------------------------------------------------------
    def _set_state(self, state: str) -> None:
        changed, self.state = state != self.state, state
        self._around.audio.set_host(self.id, present=state == ATTACHED)
        if changed:
            self.tell_media()
        self.tell_state()
        self.changed()

    def _apply_mutes(self) -> None:
        """The host's own mute counts for every participant, whatever the single calls had."""
        for member in self.members.values():
            for label in tuple(member.call.sound.streams):
                member.call.sound.set_muted(label, self.host_silent)

    def _publish(self, event: object) -> None:
        self._around.events.publish(event)


def _entry(uri: str, device: str, stream: str, **flags: bool) -> dict[str, Any]:
    """One participant with the fifteen keys clients know; nobody here sends a picture."""
    names: Sequence[str] = ("active", "audioLocalMuted", "audioModeratorMuted", "handRaised", "isModerator", "recording", "voiceActivity")
    return {
        **{name: flags.get(name, False) for name in names},
        "device": device,
        "sinkId": stream,
        "uri": uri,
        "videoMuted": True,
        "x": 0,
        "y": 0,
        "w": _AUDIO_ONLY,
        "h": _AUDIO_ONLY,
    }


def info_body(layout: int, entries: list[dict[str, Any]]) -> bytes:
    """What participants are told. A missing value counts as its zero; what is still too long for a message loses its last entries."""
    shown = entries
    while True:
        content = {"h": _HEIGHT, "layout": layout, "p": shown, "v": CONFERENCE_VERSION, "w": _WIDTH}
        body = json.dumps(content, separators=(",", ":"), sort_keys=True).encode()
        if len(body) <= CONFERENCE_INFO_BYTES:
            return body
        shown = [{key: value for key, value in each.items() if value} for each in entries] if shown is entries else shown[:-1]


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
