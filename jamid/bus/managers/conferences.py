"""Conferences on D-Bus (protocol: dbus, section 5.16)."""

from __future__ import annotations

from collections.abc import Sequence

from jamid.calls.conferences import Conferences


class ConferencesPart:
    """The part of CallManager that is about conferences."""

    def __init__(self, conferences: Conferences) -> None:
        self._conferences = conferences

    # -- making and changing --

    def joinParticipant(self, account_id: str, call_id: str, other_account_id: str, other_call_id: str) -> bool:
        return self._conferences.join(account_id, call_id, other_account_id, other_call_id)

    def createConfFromParticipantList(self, account_id: str, participants: Sequence[str]) -> None:
        self._conferences.create_from(account_id, participants)

    def addParticipant(self, account_id: str, call_id: str, other_account_id: str, conf_id: str) -> bool:
        return self._conferences.add(account_id, call_id, other_account_id, conf_id)

    def joinConference(self, account_id: str, conf_id: str, other_account_id: str, other_conf_id: str) -> bool:
        return self._conferences.merge(account_id, conf_id, other_account_id, other_conf_id)

    def detachParticipant(self, account_id: str, call_id: str) -> bool:
        return self._conferences.detach(account_id, call_id)

    def addMainParticipant(self, account_id: str, conf_id: str) -> bool:
        return self._conferences.attach_host(account_id, conf_id)

    def detachLocalParticipant(self) -> bool:
        return self._conferences.detach_current()

    def holdConference(self, account_id: str, conf_id: str) -> bool:
        return self._conferences.detach_host(account_id, conf_id)

    def unholdConference(self, account_id: str, conf_id: str) -> bool:
        return self._conferences.attach_host(account_id, conf_id)

    def resumeConference(self, account_id: str, conf_id: str) -> bool:
        return self._conferences.attach_host(account_id, conf_id)

    def hangUpConference(self, account_id: str, conf_id: str) -> bool:
        return self._conferences.hang_up(account_id, conf_id)

    # -- orders --

    def setConferenceLayout(self, account_id: str, conf_id: str, layout: int) -> None:
        self._conferences.set_layout(account_id, conf_id, layout)

    def setActiveParticipant(self, account_id: str, conf_id: str, participant: str) -> None:
        self._conferences.set_active(account_id, conf_id, participant)

    def setActiveStream(self, account_id: str, conf_id: str, uri: str, device: str, stream: str, state: bool) -> None:
        self._conferences.set_active_stream(account_id, conf_id, uri, device, stream, state)

    def setModerator(self, account_id: str, conf_id: str, peer: str, state: bool) -> None:
        self._conferences.set_moderator(account_id, conf_id, peer, state)

    def muteParticipant(self, account_id: str, conf_id: str, peer: str, state: bool) -> None:
        self._conferences.mute_participant(account_id, conf_id, peer, state)

    def muteStream(self, account_id: str, conf_id: str, uri: str, device: str, stream: str, state: bool) -> None:
        self._conferences.mute_stream(account_id, conf_id, uri, device, stream, state)

    def raiseParticipantHand(self, account_id: str, conf_id: str, peer: str, state: bool) -> None:
        self._conferences.raise_hand(account_id, conf_id, peer, "", state, version=0)

    def raiseHand(self, account_id: str, conf_id: str, uri: str, device: str, state: bool) -> None:
        self._conferences.raise_hand(account_id, conf_id, uri, device, state)

    def hangupParticipant(self, account_id: str, conf_id: str, uri: str, device: str) -> None:
        self._conferences.hang_up_participant(account_id, conf_id, uri, device)

    # -- looking --

    def isConferenceParticipant(self, account_id: str, call_id: str) -> bool:
        return bool(self._conferences.of_call(account_id, call_id))

    def getConferenceDetails(self, account_id: str, conf_id: str) -> dict[str, str]:
        return self._conferences.details(account_id, conf_id)

    def getConferenceList(self, account_id: str) -> list[str]:
        return self._conferences.ids(account_id)

    def getConferenceId(self, account_id: str, call_id: str) -> str:
        return self._conferences.of_call(account_id, call_id)

    def getConferenceInfos(self, account_id: str, conf_id: str) -> list[dict[str, str]]:
        return self._conferences.infos(account_id, conf_id)

    def getParticipantList(self, account_id: str, conf_id: str) -> list[str]:
        return self._conferences.participants(account_id, conf_id)
