"""Signals of `cx.ring.Ring.CallManager`: what the daemon tells of calls and conferences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jamid.core.signals.base import Signal


@dataclass(frozen=True, slots=True)
class AudioMuted(Signal):
    """call, flag (local)."""

    call_id: str
    audio_muted: bool


@dataclass(frozen=True, slots=True)
class CallStateChanged(Signal):
    """account, call, state (§7.1), code: 0, errno (103, 111) or SIP status; FAILURE carries 6 when no device answered."""

    account_id: str
    call_id: str
    state: str
    code: int


@dataclass(frozen=True, slots=True)
class ConferenceChanged(Signal):
    """account, conf, state (ACTIVE_ATTACHED, ACTIVE_DETACHED, HOLD)."""

    account_id: str
    conference_id: str
    state: str


@dataclass(frozen=True, slots=True)
class ConferenceCreated(Signal):
    """13.7.0 (account, conf); HEAD (account, conversation or "", conf)."""

    account_id: str
    conversation_id: str
    conference_id: str


@dataclass(frozen=True, slots=True)
class ConferenceRemoved(Signal):
    """account, conf."""

    account_id: str
    conference_id: str


@dataclass(frozen=True, slots=True)
class IncomingCallWithMedia(Signal):
    """13.7.0's incoming call signal; follows callStateChanged CONNECTING, INACTIVE, INCOMING. `from` is `<40hex>@ring.dht` for Jami
    calls."""

    account_id: str
    call_id: str
    peer: str
    media: Sequence[Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class IncomingMessage(Signal):
    """account, call, from, payloads (in-call text)."""

    account_id: str
    call_id: str
    sender: str
    messages: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class MediaChangeRequested(Signal):
    """peer asks for other media; answer with answerMediaChangeRequest. Not emitted when only mutes change."""

    account_id: str
    call_id: str
    media_list: Sequence[Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class MediaNegotiationStatus(Signal):
    """call, NEGOTIATION_SUCCESS / NEGOTIATION_FAIL, media list in force. Emitted also after a local mute."""

    call_id: str
    event: str
    media_list: Sequence[Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class OnConferenceInfosUpdated(Signal):
    """conf or call id, participant maps."""

    conference_id: str
    infos: Sequence[Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class OnRtcpReportReceived(Signal):
    """call, map of numbers; not used by Qt."""

    call_id: str
    report: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class PeerHold(Signal):
    """call, flag."""

    call_id: str
    peer_hold: bool


@dataclass(frozen=True, slots=True)
class RecordingStateChanged(Signal):
    """call, flag."""

    call_id: str
    recording_state: bool


@dataclass(frozen=True, slots=True)
class RecordPlaybackFilepath(Signal):
    """call, file."""

    call_id: str
    filepath: str


@dataclass(frozen=True, slots=True)
class RecordPlaybackStopped(Signal):
    """file; also for the ringtone file when ringing stops."""

    filepath: str


@dataclass(frozen=True, slots=True)
class RemoteRecordingChanged(Signal):
    """call, peer number, flag."""

    call_id: str
    peer_number: str
    remote_recording_state: bool


@dataclass(frozen=True, slots=True)
class SmartInfo(Signal):
    """13.7.0, never emitted."""

    info: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TransferFailed(Signal):
    """no arguments."""


@dataclass(frozen=True, slots=True)
class TransferSucceeded(Signal):
    """no arguments."""


@dataclass(frozen=True, slots=True)
class UpdatePlaybackScale(Signal):
    """file, position, size; every 100 ms while a file (also the RINGTONE) plays: subscribe selectively."""

    filepath: str
    position: int
    size: int


@dataclass(frozen=True, slots=True)
class VideoMuted(Signal):
    """call, flag (local)."""

    call_id: str
    video_muted: bool


@dataclass(frozen=True, slots=True)
class VoiceMailNotify(Signal):
    """account, new, old, urgent counts."""

    account_id: str
    new_count: int
    old_count: int
    urgent_count: int
