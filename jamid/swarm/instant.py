"""The messages outside git that conversations live by: notifications, invitations, typing, receipts (protocol: swarm, sections 9, 10)."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from jamid.core import limits
from jamid.core.errors import LimitError, RemoteError
from jamid.core.identifiers import is_conversation_id, is_device_id
from jamid.swarm.commits import write_message
from jamid.swarm.message_maps import clean_text

_log = logging.getLogger(__name__)

NOTIFICATION: Final = "application/im-gitmessage-id"
INVITATION: Final = "application/invite+json"
ASK_INVITATION: Final = "application/invite"
COMPOSING: Final = "application/im-iscomposing+xml"
RECEIPT: Final = "message/imdn+xml"

_PROLOG: Final = '<?xml version="1.0" encoding="utf-8" ?>\n'
_MESSAGE_ID = re.compile(r"<message-id>\s*(\w+)")
_DISPOSITION = re.compile(r"<status>\s*<(\w+)\s*/>")
_CONVERSATION = re.compile(r"<conversation>\s*(\w+)")
_STATE = re.compile(r"<state>\s*(\w+)")


@dataclass(frozen=True, slots=True)
class Notification:
    """A conversation has a new commit."""

    conversation: str
    commit: str
    device: str
    """whom to fetch it from"""


@dataclass(frozen=True, slots=True)
class Invitation:
    """We are invited to a conversation."""

    conversation: str
    metadatas: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class AskInvitation:
    """The sender knows nothing of a conversation it was notified of."""

    conversation: str


@dataclass(frozen=True, slots=True)
class Composing:
    """The sender types or has stopped to."""

    conversation: str
    active: bool


@dataclass(frozen=True, slots=True)
class Receipt:
    """The sender has read up to a message."""

    conversation: str
    message: str
    displayed: bool


Instant = Notification | Invitation | AskInvitation | Composing | Receipt


def parse(mime: str, text: str) -> Instant | None:
    """The message of type MIME, None for a type that is none of ours; raises RemoteError when it is malformed."""
    if len(text) > limits.INSTANT_MESSAGE_BYTES:
        raise LimitError(f"a message of {len(text)} characters")
    match mime.partition(";")[0].strip().lower():
        case "application/im-gitmessage-id":
            fields = _json(text)
            notification = Notification(_field(fields, "id"), _field(fields, "commit"), _field(fields, "deviceId"))
            if not is_conversation_id(notification.conversation) or not is_conversation_id(notification.commit):
                raise RemoteError("a notification without conversation or commit")
            if not is_device_id(notification.device):
                raise RemoteError("a notification without a device")
            return notification
        case "application/invite+json":
            return _invitation(_json(text))
        case "application/invite":
            if not is_conversation_id(text.strip()):
                raise RemoteError("a request for an invitation to nothing")
            return AskInvitation(text.strip())
        case "application/im-iscomposing+xml":
            conversation, state = _CONVERSATION.search(text), _STATE.search(text)
            return Composing(conversation[1] if conversation else "", state is not None and state[1] == "active")
        case "message/imdn+xml":
            conversation, message = _CONVERSATION.search(text), _MESSAGE_ID.search(text)
            if message is None:
                raise RemoteError("a receipt for nothing")
            disposition = _DISPOSITION.search(text)
            displayed = disposition is not None and disposition[1] == "displayed"
            return Receipt(conversation[1] if conversation else "", message[1], displayed)
    return None


def write_invitation(conversation: str, metadatas: Mapping[str, str]) -> str:
    """The text of an invitation; metadata too large to be sent is left out but for the mode."""
    sent = dict(metadatas)
    if sum(len(value.encode()) for value in sent.values()) > limits.REQUEST_METADATA_BYTES:
        sent.pop("avatar", None)
    if sum(len(value.encode()) for value in sent.values()) > limits.REQUEST_METADATA_BYTES:
        sent = {"mode": metadatas.get("mode", "2")}
    return write_message({"conversationId": conversation, "metadatas": sent}).decode()


def write_composing(conversation: str, active: bool) -> str:
    state = "active" if active else "idle"
    return f"{_PROLOG}<isComposing><state>{state}</state><conversation>{conversation}</conversation></isComposing>"


def write_receipt(conversation: str, message: str) -> str:
    shown = f"<conversation>{conversation}</conversation>"
    notification = "<display-notification><status><displayed/></status></display-notification>"
    return f"{_PROLOG}<imdn><message-id>{message}</message-id>\n{shown}{notification}\n</imdn>"


def _invitation(fields: Mapping[str, Any]) -> Invitation:
    conversation = _field(fields, "conversationId")
    if not is_conversation_id(conversation):
        raise RemoteError("an invitation to nothing")
    given = fields.get("metadatas")
    metadatas = {
        clean_text(key): clean_text(value)
        for key, value in (given.items() if isinstance(given, dict) else ())
        if isinstance(key, str) and isinstance(value, str)
    }
    if len(metadatas) > 32:
        raise LimitError("an invitation with too many fields")
    return Invitation(conversation, metadatas)


def _json(text: str) -> dict[str, Any]:
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        raise RemoteError("a message that should be JSON is not") from None
    if not isinstance(parsed, dict):
        raise RemoteError("a message that should be a JSON object is not")
    return parsed


def _field(fields: Mapping[str, Any], key: str) -> str:
    value = fields.get(key, "")
    return value if isinstance(value, str) else ""
