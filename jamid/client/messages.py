"""Messages of a conversation, in one form for both generations' API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from jamid.client.model import moment, number

TEXT = "text/plain"
FILE = "application/data-transfer+json"
CALL = "application/call-history+json"
MEMBER = "member"


@dataclass(frozen=True, slots=True)
class Message:
    """One message (commit) of a conversation."""

    id: str
    type: str
    """`text/plain`, `member`, `initial`, `merge`, `application/data-transfer+json`, `application/call-history+json` …"""
    author: str
    """the Jami id of who wrote it"""
    body: str
    """its text; "" for what is no text"""
    time: datetime | None
    parent: str
    """the next older message of the linear history"""
    fields: Mapping[str, str] = field(default_factory=dict)
    """everything the daemon said of it"""
    status: Mapping[str, int] = field(default_factory=dict)
    """per member: 1 sending, 2 sent, 3 displayed (17 only)"""
    reactions: Sequence[Mapping[str, str]] = ()
    """17 only: where 13.7 has them as messages of their own"""
    editions: Sequence[Mapping[str, str]] = ()
    """what it said before, newest first (17 only: where 13.7 has edits as messages of their own)"""

    @classmethod
    def from_map(cls, content: Mapping[str, str], **known: Any) -> Self:
        """From the flat map of 13."""
        return cls(
            id=content.get("id", ""), type=content.get("type", ""), author=content.get("author", ""), body=content.get("body", ""),
            time=moment(number(content, "timestamp")), parent=content.get("linearizedParent", ""), fields=dict(content), **known,
        )  # fmt: skip

    @classmethod
    def from_structure(cls, structure: Sequence[Any]) -> Self:
        """From the structure `(sssa{ss}aa{ss}aa{ss}a{si})` of 17."""
        identifier, kind, parent, content, reactions, editions, status, *_ = structure
        return cls.from_map(
            {**content, "id": identifier, "type": kind, "linearizedParent": parent},
            status=dict(status), reactions=list(reactions), editions=list(editions),
        )  # fmt: skip

    @property
    def reply_to(self) -> str:
        """The message that this one answers, "" for none."""
        return self.fields.get("reply-to", "")

    @property
    def edits(self) -> str:
        """The message that this one replaces, "" for none."""
        return self.fields.get("edit", "")

    @property
    def reacts_to(self) -> str:
        """The message that this one is a reaction to, "" for none."""
        return self.fields.get("react-to", "")

    @property
    def file_id(self) -> str:
        """The id by which a file's message is downloaded."""
        return self.fields.get("fileId", "")

    def summary(self) -> str:
        """One line for people."""
        words = [self._content(), "[edited]" if self.editions and self.body else "", *(one.get("body", "") for one in self.reactions)]
        return " ".join(filter(None, words))

    def _content(self) -> str:
        if target := self.fields.get("react-to"):
            return f"[reaction to {target[:8]}] {self.body}"
        if target := self.fields.get("edit"):
            return f"[{'edit' if self.body else 'deletion'} of {target[:8]}] {self.body}".rstrip()
        if self.type == TEXT:
            return self.body or "[deleted]"
        if self.type == FILE:
            return f"[file {self.fields.get('displayName', '?')}, {self.fields.get('totalSize', '?')} bytes]"
        if self.type == CALL:
            return f"[call, {number(self.fields, 'duration') / 1000:.0f} s]"
        if self.type == MEMBER:
            return f"[{self.fields.get('action', '?')} {self.fields.get('uri', '')}]"
        return f"[{self.type}]"
