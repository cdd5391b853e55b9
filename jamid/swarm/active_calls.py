"""Calls that go on in a conversation, as its commits tell (protocol: swarm, section 16)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from jamid.core.signals import ActiveCallsChanged
from jamid.swarm import message_maps

if TYPE_CHECKING:
    from jamid.swarm.conversation import Conversation


class ActiveCalls:
    """The calls that were begun and not ended."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self.calls: list[dict[str, str]] = []

    def before_announcement(self, body: dict[str, str]) -> None:
        """On the host clients learn of the call before its message."""
        if body["type"] == message_maps.CALL and body.get("device") == self._conversation.author.device:
            self._take(body)

    def announced(self, body: dict[str, str]) -> None:
        """A commit was announced: a call may have begun or ended, its host may be gone."""
        if body["type"] == message_maps.CALL and body.get("device") != self._conversation.author.device:
            self._take(body)
        elif body["type"] == message_maps.MEMBER and body.get("action") in ("remove", "ban"):
            left = [call for call in self.calls if call["uri"] != body.get("uri")]
            self._replace(left)

    def replay(self, bodies: Iterable[dict[str, str]]) -> None:
        """Finds out what goes on from a history, newest first."""
        ended: set[tuple[str, str]] = set()
        calls = []
        for body in bodies:
            if body["type"] != message_maps.CALL or "confId" not in body:
                continue
            key = (body["confId"], body.get("device", ""))
            if "duration" in body:
                ended.add(key)
            elif key not in ended:
                calls.append(_call(body))
        self.calls = calls

    def _take(self, body: dict[str, str]) -> None:
        if "confId" not in body:
            return
        call = _call(body)
        others = [each for each in self.calls if (each["id"], each["device"]) != (call["id"], call["device"])]
        self._replace(others if "duration" in body else [*others, call])

    def _replace(self, calls: list[dict[str, str]]) -> None:
        if calls != self.calls:
            self.calls = calls
            conversation = self._conversation
            conversation.publish(ActiveCallsChanged(conversation.home.id, conversation.id, [dict(call) for call in calls]))


def _call(body: dict[str, str]) -> dict[str, str]:
    return {"id": body["confId"], "uri": body.get("uri", ""), "device": body.get("device", "")}
