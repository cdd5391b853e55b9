"""What a peer says inside its dialog: orders, texts, transfers, and media changes passed on to `MediaChanges`."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from jamid.calls.in_call_messages import CONFERENCE_INFO, CONFERENCE_ORDER, read_message
from jamid.calls.legs import Leg
from jamid.calls.media_control import MEDIA_CONTROL, MediaControl, parse_media_control
from jamid.core.errors import RemoteError
from jamid.core.signals import IncomingMessage, OnConferenceInfosUpdated, RemoteRecordingChanged

if TYPE_CHECKING:
    from jamid.calls.call import Call

_log = logging.getLogger(__name__)

_ACCOUNT = re.compile(r"(?<![0-9a-f])[0-9a-f]{40}(?![0-9a-f])")
INFO_KEYS = (
    "active", "audioLocalMuted", "audioModeratorMuted", "device", "h", "handRaised", "isModerator", "recording", "sinkId", "uri",
    "videoMuted", "voiceActivity", "w", "x", "y",
)  # fmt: skip


class Talk:
    """Takes what comes in over a call's legs, before and after the answer."""

    def __init__(self, call: Call, transfer: Callable[[Call, str], None]) -> None:
        self._call = call
        self._transfer = transfer
        self._transferred = False
        self.conference_version = 0
        """how the peer, if it hosts a conference, wants orders to be written"""
        self.conference_infos: list[dict[str, str]] = []

    # -- LegTalk -----------------------------------------------------------------------------------------------------
    def offered(self, leg: Leg, sdp: bytes) -> None:
        self._call.changes.offered(sdp)

    def offer_answered(self, leg: Leg, sdp: bytes) -> None:
        self._call.changes.offer_answered(sdp)

    def offer_refused(self, leg: Leg, status: int) -> None:
        self._call.changes.offer_refused(status)

    def offer_lapsed(self, leg: Leg) -> None:
        self._call.changes.offer_lapsed()

    def info(self, leg: Leg, content_type: str, body: bytes) -> None:
        """An INFO; what nobody here understands is only logged."""
        control = parse_media_control(body) if content_type.split(";")[0].strip().lower() == MEDIA_CONTROL else None
        if control is None:
            _log.debug("call %s: an INFO of type %s says nothing to us", self._call.id, content_type[:80])
        else:
            self._obey(control)

    def message(self, leg: Leg, content_type: str, body: bytes) -> None:
        """A MESSAGE: a text for the client, or what a conference's host tells."""
        call = self._call
        try:
            payloads = read_message(content_type, body)
        except RemoteError as error:
            _log.info("call %s: a message is dropped: %s", call.id, error)
            return
        if CONFERENCE_INFO in payloads:
            self._take_infos(payloads.pop(CONFERENCE_INFO))
        if CONFERENCE_ORDER in payloads:
            order = payloads.pop(CONFERENCE_ORDER)
            if call.room is not None:
                call.room.ordered(call, order)
        if payloads and call.room is not None:
            call.room.said(call, payloads)
        elif payloads:
            call.publish(IncomingMessage(call.account.id, call.id, call.peer_number, payloads))

    def referred(self, leg: Leg, refer_to: str) -> None:
        """The peer hands us on: any 40 hex digits in Refer-To are the account to call, whatever stands around them."""
        match = _ACCOUNT.search(refer_to.lower())
        if match is None:
            _log.info("call %s: a transfer to something that is no account: %s", self._call.id, refer_to[:80])
            return
        # One is enough: each would be a call of ours to somebody the peer chose.
        if not self._transferred:
            self._transferred = True
            self._transfer(self._call, match[0])

    def notified(self, leg: Leg, body: bytes) -> None:
        """How a transfer of ours goes: with the first 2xx the call is no longer ours."""
        if re.search(rb"SIP/2\.0 2\d\d", body):
            self._call.hang_up()

    # -- details -----------------------------------------------------------------------------------------------------
    def _obey(self, control: MediaControl) -> None:
        call = self._call
        if control.muted is not None:
            call.peer_muted = control.muted
            if call.room is not None:
                call.room.changed()
        elif control.recording is not None and control.recording != call.peer_records:
            call.peer_records = control.recording
            if call.room is not None:
                call.room.peer_recording(call, control.recording)
                return
            call.publish(RemoteRecordingChanged(call.id, call.peer_number, control.recording))

    def _take_infos(self, text: str) -> None:
        try:
            infos = json.loads(text)
        except (ValueError, RecursionError):
            _log.info("call %s: conference infos that are no JSON", self._call.id)
            return
        self.conference_version = infos["v"] if isinstance(infos, dict) and isinstance(infos.get("v"), int) else 0
        entries = infos.get("p", []) if isinstance(infos, dict) else infos
        entries = entries if isinstance(entries, list) else []
        self.conference_infos = [_info_map(each) for each in entries[:256] if isinstance(each, dict)]
        self._call.publish(OnConferenceInfosUpdated(self._call.id, self.conference_infos))


def _info_map(entry: dict[str, Any]) -> dict[str, str]:
    """One participant with the fifteen keys clients know, every value as text."""
    result = {}
    for key in INFO_KEYS:
        value = entry.get(key, "" if key in ("device", "sinkId", "uri") else 0 if key in "hwxy" else False)
        result[key] = str(value).lower() if isinstance(value, bool) else str(value)[:512]
    return result
