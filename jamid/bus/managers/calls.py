"""Calls on D-Bus (protocol: dbus, section 5.15)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jamid.calls.conferences import Conferences
from jamid.calls.service import Calls

Media = Sequence[Mapping[str, str]]


class CallsPart:
    """The part of CallManager that is about single calls; some of its methods take the id of a conference as well."""

    def __init__(self, calls: Calls, conferences: Conferences) -> None:
        self._calls = calls
        self._conferences = conferences

    # -- placing and answering --

    def placeCall(self, account_id: str, to: str) -> str:
        return self._calls.place(account_id, to)

    def placeCallWithMedia(self, account_id: str, to: str, media: Media) -> str:
        return self._calls.place(account_id, to, media)

    def accept(self, account_id: str, call_id: str) -> bool:
        return self._calls.accept(account_id, call_id)

    def acceptWithMedia(self, account_id: str, call_id: str, media: Media) -> bool:
        return self._calls.accept(account_id, call_id, media)

    def refuse(self, account_id: str, call_id: str) -> bool:
        return self._calls.refuse(account_id, call_id)

    def hangUp(self, account_id: str, call_id: str) -> bool:
        return self._calls.hang_up(account_id, call_id)

    # -- a running call --

    def hold(self, account_id: str, call_id: str) -> bool:
        return self._calls.hold(account_id, call_id)

    def unhold(self, account_id: str, call_id: str) -> bool:
        return self._calls.resume(account_id, call_id)

    def resume(self, account_id: str, call_id: str) -> bool:
        return self._calls.resume(account_id, call_id)

    def muteLocalMedia(self, account_id: str, call_id: str, media_type: str, mute: bool) -> bool:
        return self._meant(account_id, call_id).mute(account_id, call_id, media_type, mute)

    def requestMediaChange(self, account_id: str, call_id: str, media: Media) -> bool:
        return self._meant(account_id, call_id).request_media_change(account_id, call_id, media)

    def answerMediaChangeRequest(self, account_id: str, call_id: str, media: Media) -> bool:
        return self._calls.answer_media_change(account_id, call_id, media)

    def switchInput(self, account_id: str, call_id: str, source: str) -> bool:
        return self._calls.switch_input(account_id, call_id, source)

    def transfer(self, account_id: str, call_id: str, to: str) -> bool:
        return self._calls.transfer(account_id, call_id, to)

    def attendedTransfer(self, account_id: str, call_id: str, target_id: str) -> bool:
        return self._calls.attended_transfer(account_id, call_id, target_id)

    def playDTMF(self, key: str) -> None:
        self._calls.play_dtmf(key)

    def startTone(self, start: int, kind: int) -> None:
        self._calls.telephone_tone(kind if start else -1)

    def sendTextMessage(self, account_id: str, call_id: str, messages: Mapping[str, str], mixed: bool) -> None:
        self._meant(account_id, call_id).send_text(account_id, call_id, messages)

    async def toggleRecording(self, account_id: str, call_id: str) -> bool:
        return await self._meant(account_id, call_id).toggle_recording(account_id, call_id)

    # -- looking --

    def getIsRecording(self, account_id: str, call_id: str) -> bool:
        return self._meant(account_id, call_id).is_recording(account_id, call_id)

    def getCallDetails(self, account_id: str, call_id: str) -> dict[str, str]:
        return self._calls.details(account_id, call_id)

    def getCallList(self, account_id: str) -> list[str]:
        return self._calls.ids(account_id)

    def currentMediaList(self, account_id: str, call_id: str) -> list[dict[str, str]]:
        return self._meant(account_id, call_id).media(account_id, call_id)

    def _meant(self, account_id: str, any_id: str) -> Calls | Conferences:
        """Who knows ANY_ID."""
        return self._calls if self._conferences.find(account_id, any_id) is None else self._conferences
