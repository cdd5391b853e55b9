"""Conferences on D-Bus (protocol: dbus, section 5.16).

This daemon takes part in conferences of others: infos come from their host, orders go to it. It hosts none yet, so every question
about a conference of its own has the answer for an unknown id.
"""

from __future__ import annotations

from collections.abc import Sequence

from jamid.calls.service import Calls


class ConferencesPart:
    """The part of CallManager that is about conferences."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    # -- as a participant --

    def getConferenceInfos(self, account_id: str, conf_id: str) -> list[dict[str, str]]:
        return self._calls.conference_infos(account_id, conf_id)

    def setConferenceLayout(self, account_id: str, conf_id: str, layout: int) -> None:
        self._calls.order_layout(account_id, conf_id, layout)

    def setActiveParticipant(self, account_id: str, conf_id: str, participant: str) -> None:
        self._calls.order_active(account_id, conf_id, participant)

    def setActiveStream(self, account_id: str, conf_id: str, uri: str, device: str, stream: str, state: bool) -> None:
        self._calls.order_stream(account_id, conf_id, uri, device, stream, "active", state)

    def muteParticipant(self, account_id: str, conf_id: str, peer: str, state: bool) -> None:
        self._calls.order_mute(account_id, conf_id, peer, state)

    def muteStream(self, account_id: str, conf_id: str, uri: str, device: str, stream: str, state: bool) -> None:
        self._calls.order_stream(account_id, conf_id, uri, device, stream, "muteAudio", state)

    def raiseParticipantHand(self, account_id: str, conf_id: str, peer: str, state: bool) -> None:
        self._calls.order_hand(account_id, conf_id, peer, "", state, version=0)

    def raiseHand(self, account_id: str, conf_id: str, uri: str, device: str, state: bool) -> None:
        self._calls.order_hand(account_id, conf_id, uri, device, state)

    def hangupParticipant(self, account_id: str, conf_id: str, uri: str, device: str) -> None:
        self._calls.order_hang_up(account_id, conf_id, uri, device)

    # -- as a host --

    def joinParticipant(self, account_id: str, call_id: str, other_account_id: str, other_call_id: str) -> bool:
        return False

    def createConfFromParticipantList(self, account_id: str, participants: Sequence[str]) -> None:
        return None

    def setModerator(self, account_id: str, conf_id: str, peer: str, state: bool) -> None:
        return None

    def isConferenceParticipant(self, account_id: str, call_id: str) -> bool:
        return False

    def addParticipant(self, account_id: str, call_id: str, other_account_id: str, conf_id: str) -> bool:
        return False

    def addMainParticipant(self, account_id: str, conf_id: str) -> bool:
        return False

    def detachLocalParticipant(self) -> bool:
        return False

    def detachParticipant(self, account_id: str, call_id: str) -> bool:
        return False

    def joinConference(self, account_id: str, conf_id: str, other_account_id: str, other_conf_id: str) -> bool:
        return False

    def hangUpConference(self, account_id: str, conf_id: str) -> bool:
        return False

    def holdConference(self, account_id: str, conf_id: str) -> bool:
        return False

    def unholdConference(self, account_id: str, conf_id: str) -> bool:
        return False

    def resumeConference(self, account_id: str, conf_id: str) -> bool:
        return False

    def getConferenceDetails(self, account_id: str, conf_id: str) -> dict[str, str]:
        return {}

    def getConferenceList(self, account_id: str) -> list[str]:
        return []

    def getConferenceId(self, account_id: str, call_id: str) -> str:
        return ""

    def getParticipantList(self, account_id: str, conf_id: str) -> list[str]:
        return []
