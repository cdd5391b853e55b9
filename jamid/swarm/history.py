"""The loaded part of a conversation as clients of 17 see it: edits and reactions folded into their messages (protocol: swarm, section 17).

Pure: messages go in from either end, what changed comes out. Messages are held newest first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, overload

from jamid.core.signals import SwarmMessage
from jamid.swarm import message_maps

SENDING: Final = 1
FETCHED: Final = 2
READ: Final = 3


class Message:
    """A shown message in its present state."""

    __slots__ = ("_packed", "author", "editions", "id", "linearized_parent", "reactions", "status", "version")

    def __init__(
        self, commit: str, body: dict[str, str], parent: str = "", *, version: str = "", editions: tuple[dict[str, str], ...] = ()
    ) -> None:
        self.id = commit
        self.author = body["author"]
        self.linearized_parent = parent
        self.reactions: tuple[dict[str, str], ...] = ()
        self.editions = editions
        """earlier versions, newest first"""
        self.status: Mapping[str, int] = {}
        """shared among messages: replaced, never changed"""
        self.version = version or commit
        """the commit that brought the present text"""
        self.body = body

    @property
    def body(self) -> dict[str, str]:
        """A copy of its map; assign a changed one to change it."""
        # Ten thousand of these may be kept: as one string they take a quarter of what a dictionary does. No part of it holds a NUL.
        parts = self._packed.decode().split("\0")
        return {"id": self.id, "author": self.author, **dict(zip(parts[::2], parts[1::2], strict=True))}

    @body.setter
    def body(self, body: dict[str, str]) -> None:
        self._packed = "\0".join(part for name, value in body.items() if name not in ("id", "author") for part in (name, value)).encode()

    def copy(self) -> Message:
        """One that stays as this one is now."""
        copied = Message.__new__(Message)
        for name in Message.__slots__:
            setattr(copied, name, getattr(self, name))
        return copied

    def shown(self, *, with_status: bool = True) -> SwarmMessage:
        """A copy for a signal."""
        body = self.body
        return SwarmMessage(
            self.id,
            body["type"],
            self.linearized_parent,
            body,
            [dict(reaction) for reaction in self.reactions],
            [dict(edition) for edition in self.editions],
            dict(self.status) if with_status else {},
        )


class Shown(Sequence[SwarmMessage]):
    """Messages as they are now, each made only when it is looked at: the maps of ten thousand take 15 MiB."""

    def __init__(self, messages: Iterable[Message]) -> None:
        self._messages = [message.copy() for message in messages]

    def __len__(self) -> int:
        return len(self._messages)

    @overload
    def __getitem__(self, index: int) -> SwarmMessage: ...
    @overload
    def __getitem__(self, index: slice) -> list[SwarmMessage]: ...
    def __getitem__(self, index: int | slice) -> SwarmMessage | list[SwarmMessage]:
        if isinstance(index, slice):
            return [message.shown() for message in self._messages[index]]
        return self._messages[index].shown()


@dataclass(frozen=True, slots=True)
class Added:
    """A message to show."""

    message: Message


@dataclass(frozen=True, slots=True)
class Updated:
    """A message that changed."""

    message: Message


@dataclass(frozen=True, slots=True)
class Reacted:
    """A reaction joined a message."""

    target: str
    reaction: dict[str, str]


@dataclass(frozen=True, slots=True)
class Unreacted:
    """A reaction was taken back."""

    target: str
    reaction_id: str


Change = Added | Updated | Reacted | Unreacted


class History:
    """What is loaded of one conversation."""

    def __init__(self) -> None:
        self._messages: deque[Message] = deque()
        self._by_id: dict[str, Message] = {}
        self._folded: dict[str, str] = {}
        """commit that is no message of its own -> the message that was the newest when it came, "" for one that was loaded as old"""
        self._pending_edits: dict[str, list[dict[str, str]]] = {}
        """edits, newest first, whose target is not loaded"""
        self._pending_reactions: dict[str, list[dict[str, str]]] = {}
        self._reactions: dict[str, str] = {}
        """reaction commit -> message it is on"""
        self.progress: dict[str, tuple[str, str]] = {}
        """member -> newest commit fetched, newest commit read"""
        self._shared: dict[tuple[tuple[str, int], ...], Mapping[str, int]] = {}
        self._reached: dict[str, int] = {}
        """member -> status of everything that is loaded from here on downwards"""
        self._advanced: dict[tuple[str, int], str] = {}
        """member, status -> the message below which everything has that status already: what a member wrote has it, and tells nothing"""

    def __len__(self) -> int:
        return len(self._messages)

    def __iter__(self) -> Iterator[Message]:
        return iter(self._messages)

    def __contains__(self, commit: str) -> bool:
        return commit in self._by_id or commit in self._folded

    def get(self, message: str) -> Message | None:
        return self._by_id.get(message)

    def clear(self) -> None:
        """Forgets what is loaded: the next load begins anew."""
        progress = self.progress
        self.__init__()  # type: ignore[misc]
        self.progress = progress

    def add_new(self, body: dict[str, str]) -> list[Change]:
        """A commit newer than all loaded ones."""
        commit = body["id"]
        if commit in self:
            return []
        newest = self._messages[0].id if self._messages else ""
        if is_folded(body):
            self._folded[commit] = newest
            if target := body.get("react-to"):
                return self._react(target, body)
            return self._edit(body["edit"], body) if body.get("edit") else []
        message = Message(commit, body, newest)
        message.status = self._share({**dict.fromkeys(self.progress, SENDING), message.author: READ})
        self._messages.appendleft(message)
        self._by_id[commit] = message
        return [Added(message), *self._apply_pending(message, tell=True)]

    def add_old(self, body: dict[str, str]) -> Message | None:
        """A commit older than all loaded ones; the message when it is one to show."""
        commit = body["id"]
        if commit in self:
            return None
        for member, (fetched, read) in self.progress.items():
            if commit == read:
                self._reached[member] = READ
            elif commit == fetched:
                self._reached[member] = max(FETCHED, self._reached.get(member, SENDING))
        if is_folded(body):
            self._folded[commit] = ""
            if target := body.get("react-to"):
                if not any(edit.get("body", "") == "" for edit in self._pending_edits.pop(commit, ())):
                    self._pending_reactions.setdefault(target, []).append(body)
            elif target := body.get("edit"):
                self._pending_edits.setdefault(target, []).append(body)
            return None
        message = Message(commit, body)
        reached = {member: self._reached.get(member, SENDING) for member in self.progress}
        message.status = self._share({**reached, message.author: READ})
        if self._messages:
            self._messages[-1].linearized_parent = commit
        self._messages.append(message)
        self._by_id[commit] = message
        self._apply_pending(message, tell=False)
        return message

    @property
    def oldest(self) -> Message | None:
        return self._messages[-1] if self._messages else None

    @property
    def newest(self) -> Message | None:
        return self._messages[0] if self._messages else None

    # -- status --

    def advance(self, member: str, commit: str, status: int) -> list[Message]:
        """MEMBER has fetched or read up to COMMIT: the loaded messages whose status thereby rose, newest first."""
        fetched, read = self.progress.get(member, ("", ""))
        self.progress[member] = (fetched, commit) if status == READ else (commit, read)
        start = self._folded.get(commit, commit)
        if commit in self:
            self._reached[member] = max(status, self._reached.get(member, SENDING))
        raised = []
        reached = False
        known = {self._advanced.get((member, each), "") for each in (status, READ)}
        for message in self._messages:
            reached = reached or message.id == start
            if not reached:
                continue
            if message.id in known:
                break
            if message.status.get(member, 0) < status:
                message.status = self._share({**message.status, member: status})
                raised.append(message)
            elif message.author != member:
                break
        if reached:
            self._advanced[member, status] = start
        return raised

    def _share(self, status: dict[str, int]) -> Mapping[str, int]:
        """One object for all messages of the same status: there are few different ones and many messages."""
        return self._shared.setdefault(tuple(sorted(status.items())), status)

    # -- folding --

    def _react(self, target: str, body: dict[str, str]) -> list[Change]:
        message = self._by_id.get(target)
        if message is None:
            self._pending_reactions.setdefault(target, []).insert(0, body)
            return []
        message.reactions += (body,)
        self._reactions[body["id"]] = target
        return [Reacted(target, body)]

    def _edit(self, target: str, body: dict[str, str]) -> list[Change]:
        if (reacted := self._reactions.get(target)) is not None:
            return self._unreact(reacted, target, body)
        message = self._by_id.get(target)
        if message is None:
            self._pending_edits.setdefault(target, []).insert(0, body)
            return []
        _apply_edit(message, body)
        return [Updated(message)]

    def _unreact(self, target: str, reaction: str, body: Mapping[str, str]) -> list[Change]:
        if body.get("body", ""):
            return []
        del self._reactions[reaction]
        message = self._by_id[target]
        removed = [item for item in message.reactions if item["id"] == reaction]
        message.reactions = tuple(item for item in message.reactions if item["id"] != reaction)
        changes: list[Change] = [Unreacted(target, reaction)]
        if removed:
            # Clients of 17 are also told of the reaction's own commit; they ignore ids they do not show.
            gone = Message(reaction, {**removed[0], "body": ""}, version=body["id"], editions=(removed[0],))
            changes.append(Updated(gone))
        return changes

    def _apply_pending(self, message: Message, *, tell: bool) -> list[Change]:
        changes: list[Change] = []
        for reaction in reversed(self._pending_reactions.pop(message.id, [])):
            if reaction["author"] and any(edit.get("body", "") == "" for edit in self._pending_edits.pop(reaction["id"], ())):
                continue
            message.reactions += (reaction,)
            self._reactions[reaction["id"]] = message.id
            changes.append(Reacted(message.id, reaction))
        edits = self._pending_edits.pop(message.id, [])
        for edit in reversed(edits):
            _apply_edit(message, edit, keep_reactions=True)
        if edits:
            changes.append(Updated(message))
        return changes if tell else []


def is_folded(body: Mapping[str, str]) -> bool:
    """Whether a commit shows in other messages, or not at all, instead of being one."""
    return body["type"] == message_maps.MERGE or bool(body.get("react-to") or body.get("edit"))


def _apply_edit(message: Message, body: Mapping[str, str], *, keep_reactions: bool = False) -> None:
    current = message.body
    message.editions = ({**current, "id": message.version}, *message.editions)
    if current["type"] == message_maps.FILE:
        current["tid"] = body.get("tid", "")
        if not current["tid"]:
            current["fileId"] = ""
    else:
        current["body"] = body.get("body", "")
        if not current["body"] and not keep_reactions:
            message.reactions = ()
    message.body = current
    message.version = body["id"]
