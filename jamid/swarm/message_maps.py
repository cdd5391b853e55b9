"""Commits as the maps that clients get, and the content of the messages we write (protocol: swarm, section 4; dbus, section 7.8)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from jamid.swarm.commits import Commit

TEXT: Final = "text/plain"
EDITED: Final = "application/edited-message"
FILE: Final = "application/data-transfer+json"
CALL: Final = "application/call-history+json"
PROFILE: Final = "application/update-profile"
MEMBER: Final = "member"
VOTE: Final = "vote"
INITIAL: Final = "initial"
MERGE: Final = "merge"

MEMBER_EVENTS: Final[Mapping[str, int]] = {"add": 0, "join": 1, "remove": 2, "ban": 3, "unban": 4}
"""Action of a member commit -> code in conversationMemberEvent."""
_EXTENSION_LENGTH: Final = 8


def message_map(commit: Commit, author: str, linearized_parent: str = "") -> dict[str, str] | None:
    """The flat map of a commit; None when its message is no JSON object with a type."""
    content = commit.json()
    merge = len(commit.parents) > 1
    if not content.get("type") and not merge:
        return None
    fields = {clean_text(key): text for key, value in content.items() if (text := _text(value)) is not None}
    fields["type"] = MERGE if merge else fields.get("type", "")
    if fields["type"] == FILE:
        fields["fileId"] = file_id(commit.id, fields.get("tid", ""), fields.get("displayName", ""))
    fields["id"] = commit.id
    fields["parents"] = ",".join(commit.parents)
    fields["linearizedParent"] = linearized_parent
    fields["author"] = author
    fields["timestamp"] = str(commit.time)
    return fields


def file_id(interaction: str, tid: str, name: str) -> str:
    """The name under which a file is asked for and stored; "" for a deleted file."""
    if not tid:
        return ""
    _, dot, extension = name.rpartition(".")
    usable = dot and 0 < len(extension) < _EXTENSION_LENGTH
    return f"{interaction}_{tid}" + (f".{extension}" if usable else "")


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    return None


def clean_text(text: str) -> str:
    """TEXT as D-Bus can carry it: without NUL and lone surrogates."""
    if text.isascii():
        return text.replace("\0", "")
    return text.replace("\0", "").encode("utf-8", "replace").decode()


# -- what we write ------------------------------------------------------------------------------------------------------------


def text(body: str, reply_to: str = "") -> dict[str, Any]:
    content = {"body": body, "type": TEXT}
    if reply_to:
        content["reply-to"] = reply_to
    return content


def reaction(body: str, target: str) -> dict[str, Any]:
    return {"body": body, "react-to": target, "type": TEXT}


def edition(body: str, target: str) -> dict[str, Any]:
    """In the form of 13.7, which clients of both generations show as an edit; an empty body deletes."""
    return {"body": body, "edit": target, "type": EDITED}


def file_deletion(target: str) -> dict[str, Any]:
    return {"edit": target, "tid": "", "type": FILE}


def file_offer(name: str, size: int, digest: str, tid: int, reply_to: str = "") -> dict[str, Any]:
    content = {"displayName": name, "sha3sum": digest, "tid": str(tid), "totalSize": str(size), "type": FILE}
    if reply_to:
        content["reply-to"] = reply_to
    return content


def call_ended(peer: str, milliseconds: int, reason: str = "") -> dict[str, Any]:
    content = {"duration": str(milliseconds), "to": peer, "type": CALL}
    if reason:
        content["reason"] = reason
    return content


def hosted_call(conference: str, device: str, host: str, milliseconds: int | None = None) -> dict[str, Any]:
    """The beginning of a call in a group, or its end when its length is given."""
    content = {"confId": conference, "device": device, "type": CALL, "uri": host}
    if milliseconds is not None:
        content["duration"] = str(milliseconds)
    return content


def update_profile() -> dict[str, Any]:
    return {"type": PROFILE}
