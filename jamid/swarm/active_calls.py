"""Calls that go on in a conversation, as its commits tell (protocol: swarm, section 16)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from jamid.core import limits
from jamid.core.signals import ActiveCallsChanged
from jamid.swarm import message_maps

if TYPE_CHECKING:
    from jamid.swarm.commits import Commit
    from jamid.swarm.conversation import Conversation


class ActiveCalls:
    """The calls that were begun and not ended, newest last; kept over restarts."""

    def __init__(self, conversation: Conversation, calls: list[dict[str, str]]) -> None:
        self._conversation = conversation
        self.calls = calls

    def before_announcement(self, commit: Commit, body: dict[str, str]) -> None:
        """On the host clients learn of the call before its message."""
        if commit.device == self._conversation.author.device:
            self._take(commit, body)

    def announced(self, commit: Commit, body: dict[str, str]) -> None:
        """A commit was announced: a call may have begun or ended, its host may be gone."""
        if commit.device != self._conversation.author.device:
            self._take(commit, body)
        if body["type"] == message_maps.MEMBER and body.get("action") in ("remove", "ban"):
            gone = body.get("uri")
            self._replace([call for call in self.calls if gone not in (call["uri"], call["device"])])

    def replay(self, history: Iterable[tuple[Commit, dict[str, str]]]) -> None:
        """Finds out what goes on from a history that came as a whole, newest first, and tells clients."""
        ended: set[tuple[str, str]] = set()
        calls: list[dict[str, str]] = []
        for commit, body in history:
            if _is_of_host(commit, body):
                key = (body["confId"], commit.device)
                if "duration" not in body and key not in ended and len(calls) < limits.ACTIVE_CALLS:
                    calls.insert(0, _call(body))
                ended.add(key)
        self._set(calls)

    def _take(self, commit: Commit, body: dict[str, str]) -> None:
        if _is_of_host(commit, body):
            call = _call(body)
            others = [each for each in self.calls if (each["id"], each["device"]) != (call["id"], call["device"])]
            self._replace(others if "duration" in body else [*others, call][-limits.ACTIVE_CALLS :])

    def _replace(self, calls: list[dict[str, str]]) -> None:
        if calls != self.calls:
            self._set(calls)

    def _set(self, calls: list[dict[str, str]]) -> None:
        self.calls = calls
        conversation = self._conversation
        conversation.publish(ActiveCallsChanged(conversation.home.id, conversation.id, [dict(call) for call in calls]))
        save = conversation.run(lambda _repository: conversation.store.write_active_calls(conversation.id, list(self.calls)))
        conversation.tasks.spawn(save, "active calls")


def _is_of_host(commit: Commit, body: dict[str, str]) -> bool:
    """Whether it is the beginning or end of a group's call, written by its host: nobody may speak for another."""
    of_call = body["type"] == message_maps.CALL and "confId" in body
    return of_call and body.get("device") == commit.device and body.get("uri") == body["author"]


def _call(body: dict[str, str]) -> dict[str, str]:
    return {"id": body["confId"], "uri": body["uri"], "device": body["device"]}
