"""Telling clients of both generations about commits, in an order that suits both (protocol: swarm, section 17)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jamid.core.signals import (
    AccountMessageStatusChanged,
    ConversationMemberEvent,
    ConversationProfileUpdated,
    MessageReceived,
    ReactionAdded,
    ReactionRemoved,
    SwarmMessageReceived,
    SwarmMessageUpdated,
)
from jamid.swarm import message_maps
from jamid.swarm.commits import Commit
from jamid.swarm.history import Added, Change, Reacted, Unreacted, Updated

if TYPE_CHECKING:
    from jamid.swarm.conversation import Batch, Conversation

STATUS_SENDING: Final = 1
STATUS_SENT: Final = 2
STATUS_DISPLAYED: Final = 3
_AWAITED: Final = frozenset({message_maps.TEXT, message_maps.EDITED, message_maps.FILE, message_maps.CALL})
"""Types for which clients of 13.7 show whether they were sent."""


class Announcer:
    """The signals of one conversation's commits."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation

    def own(self, commit: Commit, body: dict[str, str]) -> None:
        """A commit that we made."""
        conversation = self._conversation
        self._one(commit, body, own=True)
        conversation.statuses.own_commit(commit.id, awaited=body["type"] in _AWAITED)

    def received(self, batch: Batch) -> None:
        """Commits that were fetched, and a merge that we made of them, oldest first."""
        conversation = self._conversation
        for commit, body in zip(batch.commits, batch.bodies, strict=True):
            author = body["author"]
            own = author == conversation.home.uri and commit.device == conversation.author.device
            self._one(commit, body, own=own)
            if not own and body["type"] != message_maps.MERGE and commit.id in batch.ahead:
                conversation.statuses.commit_by(author, commit.id)

    def _one(self, commit: Commit, body: dict[str, str], *, own: bool) -> None:
        conversation = self._conversation
        publish, account = conversation.publish, conversation.home.id
        for change in conversation.history.add_new(dict(body)):
            self.change(change, own=own)
        # The newer generation's clients expect the message before the event, the older one's the event before the message.
        if body["type"] == message_maps.MEMBER and body.get("action") in message_maps.MEMBER_EVENTS:
            event = message_maps.MEMBER_EVENTS[body["action"]]
            publish(ConversationMemberEvent(account, conversation.id, body.get("uri", ""), event))
        conversation.active_calls.before_announcement(commit, body)
        publish(MessageReceived(account, conversation.id, body))
        conversation.active_calls.announced(commit, body)
        if body["type"] == message_maps.PROFILE and conversation.facts is not None:
            publish(ConversationProfileUpdated(account, conversation.id, dict(conversation.facts.infos)))

    def change(self, change: Change, *, own: bool = False) -> None:
        """Publishes what changed in the loaded history."""
        conversation = self._conversation
        publish, account = conversation.publish, conversation.home.id
        match change:
            case Added(message):
                publish(SwarmMessageReceived(account, conversation.id, message.shown(with_status=not own)))
            case Updated(message):
                publish(SwarmMessageUpdated(account, conversation.id, message.shown()))
            case Reacted(target, reaction):
                publish(ReactionAdded(account, conversation.id, target, dict(reaction)))
            case Unreacted(target, reaction_id):
                publish(ReactionRemoved(account, conversation.id, target, reaction_id))

    def status(self, peer: str, message: str, status: int) -> None:
        """Publishes how far a message has come."""
        conversation = self._conversation
        conversation.publish(AccountMessageStatusChanged(conversation.home.id, conversation.id, peer, message, status))
