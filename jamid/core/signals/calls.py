"""Signals of `cx.ring.Ring.CallManager`: what the daemon tells of calls and conferences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jamid.core.signals.base import Signal, event


@event
class AudioMuted(Signal):
    """This side of a call has muted or unmuted its sound."""

    call_id: str
    audio_muted: bool


@event
class CallStateChanged(Signal):
    """A call has another state (protocol: dbus, section 7.1); the code is 0, a system error number or a SIP status."""

    account_id: str
    call_id: str
    state: str
    code: int


@event
class ConferenceChanged(Signal):
    """A conference has another state or other participants."""

    account_id: str
    conference_id: str
    state: str


@event
class ConferenceCreated(Signal):
    """A conference has been created; the conversation is empty when it belongs to none."""

    account_id: str
    conversation_id: str
    conference_id: str


@event
class ConferenceRemoved(Signal):
    """A conference is over."""

    account_id: str
    conference_id: str


@event
class IncomingCallWithMedia(Signal):
    """Somebody calls; `peer` is a Jami id with `@ring.dht` or a SIP address. Clients of 17 get it as `incomingCall`."""

    account_id: str
    call_id: str
    peer: str
    media: Sequence[Mapping[str, str]]


@event
class IncomingMessage(Signal):
    """A message inside a call."""

    account_id: str
    call_id: str
    sender: str
    messages: Mapping[str, str]


@event
class MediaChangeRequested(Signal):
    """The peer of a call wants other media; answerMediaChangeRequest answers. Not sent when it only mutes."""

    account_id: str
    call_id: str
    media_list: Sequence[Mapping[str, str]]


@event
class MediaNegotiationStatus(Signal):
    """Both sides have agreed on the media of a call, or could not; also after a mute on this side."""

    call_id: str
    event: str
    media_list: Sequence[Mapping[str, str]]


@event
class OnConferenceInfosUpdated(Signal):
    """The participants of a conference, or what is known of them, changed."""

    conference_id: str
    infos: Sequence[Mapping[str, str]]


@event
class OnRtcpReportReceived(Signal):
    """What the peer reported of the quality of a call's streams."""

    call_id: str
    report: Mapping[str, int]


@event
class PeerHold(Signal):
    """The peer has put the call on hold or taken it off."""

    call_id: str
    peer_hold: bool


@event
class RecordingStateChanged(Signal):
    """A recording has started or ended."""

    call_id: str
    recording_state: bool


@event
class RecordPlaybackFilepath(Signal):
    """A recording goes to this file."""

    call_id: str
    filepath: str


@event
class RecordPlaybackStopped(Signal):
    """A file is no longer played; a ringtone counts too."""

    filepath: str


@event
class RemoteRecordingChanged(Signal):
    """The peer of a call has started or stopped recording."""

    call_id: str
    peer_number: str
    remote_recording_state: bool


@event
class SmartInfo(Signal):
    """Declared by 13.7.0, never sent."""

    info: Mapping[str, str]


@event
class TransferFailed(Signal):
    """The last transfer has failed."""


@event
class TransferSucceeded(Signal):
    """The last transfer has succeeded."""


@event
class UpdatePlaybackScale(Signal):
    """How far a file (a ringtone too) has been played; every 100 ms."""

    filepath: str
    position: int
    size: int


@event
class VideoMuted(Signal):
    """This side of a call has muted or unmuted its picture."""

    call_id: str
    video_muted: bool


@event
class VoiceMailNotify(Signal):
    """A SIP server tells of messages in the mailbox."""

    account_id: str
    new_count: int
    old_count: int
    urgent_count: int
