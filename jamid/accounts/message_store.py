"""Outgoing messages that wait, and ids of messages seen: the state of the message engine and its files (protocol: identity, 8.4, 8.5)."""

from __future__ import annotations

import enum
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgpack

from jamid.core import limits
from jamid.core.errors import LimitError, RemoteError

_DAY = 86_400


class MessageStatus(enum.IntEnum):
    """How far a message got; the numbers of the real daemon's files."""

    UNKNOWN = 0
    IDLE = 1
    SENDING = 2
    SENT = 3
    DISPLAYED = 4
    FAILURE = 5
    CANCELLED = 6

    @property
    def told(self) -> int:
        """The number that D-Bus clients get."""
        return max(int(self) - 1, 0) if self > MessageStatus.IDLE else int(self)

    @property
    def is_final(self) -> bool:
        return self > MessageStatus.SENDING


@dataclass(slots=True)
class OutgoingMessage:
    """One message to an account."""

    token: int
    to: str
    payloads: dict[str, str]
    status: MessageStatus = MessageStatus.IDLE
    retried: int = 0
    last_attempt: int = 0
    """seconds since 1970"""


class Outbox:
    """Token -> message; finished ones are kept for a while to answer questions about them."""

    def __init__(self) -> None:
        self._messages: dict[int, OutgoingMessage] = {}

    def add(self, message: OutgoingMessage) -> None:
        """Keeps MESSAGE; raises LimitError when too many wait."""
        if sum(not kept.status.is_final for kept in self._messages.values()) >= limits.WAITING_MESSAGES:
            raise LimitError(f"more than {limits.WAITING_MESSAGES} messages wait to be sent")
        self._messages[message.token] = message
        finished = [token for token, kept in self._messages.items() if kept.status.is_final]
        for token in finished[: -limits.FINISHED_MESSAGES]:
            del self._messages[token]

    def get(self, token: int) -> OutgoingMessage | None:
        return self._messages.get(token)

    def waiting(self, uri: str = "") -> Iterator[OutgoingMessage]:
        """What is to be sent (again), to URI or to anybody."""
        return (
            message for message in tuple(self._messages.values())
            if message.status is MessageStatus.IDLE and (not uri or message.to == uri)
        )  # fmt: skip

    def to_bytes(self) -> bytes:
        """The file `messages` as 13 writes it: only what is unsent."""
        peers: dict[str, dict[str, Any]] = {}
        for message in self._messages.values():
            if not message.status.is_final:
                peers.setdefault(message.to, {})[f"{message.token:016x}"] = {
                    "status": int(MessageStatus.IDLE),
                    "to": message.to,
                    "last_op": message.last_attempt,
                    "retried": message.retried,
                    "payload": message.payloads,
                }
        return json.dumps(peers).encode("utf-8", "replace")

    @classmethod
    def from_bytes(cls, data: bytes) -> Outbox:
        """Parses the file of either generation; raises RemoteError."""
        outbox = cls()
        for message in _parse_json(data) if data.lstrip()[:1] == b"{" else _parse_msgpack(data):
            if not message.status.is_final and len(outbox._messages) < limits.WAITING_MESSAGES:
                message.status = MessageStatus.IDLE
                outbox._messages[message.token] = message
        return outbox


class SeenTokens:
    """Ids of received messages, for a day, so that one that comes twice is delivered once."""

    def __init__(self) -> None:
        self._seen: dict[int, int] = {}

    def add(self, token: int, now: int) -> bool:
        """Notes a token at NOW (seconds); False when it was seen already. 0 is no token and always new."""
        if token == 0:
            return True
        if token in self._seen:
            return False
        self._seen[token] = now
        while self._seen and (len(self._seen) > limits.SEEN_MESSAGES or self._seen[next(iter(self._seen))] < now - _DAY):
            del self._seen[next(iter(self._seen))]
        return True

    def to_bytes(self) -> bytes:
        """A stream of `[token, timestamp]`."""
        return b"".join(msgpack.packb([token, msgpack.Timestamp(seen)]) for token, seen in self._seen.items())

    @classmethod
    def from_bytes(cls, data: bytes) -> SeenTokens:
        """Parses the stream; raises RemoteError."""
        seen = cls()
        unpacker = msgpack.Unpacker(raw=False, max_buffer_size=limits.STATE_FILE_BYTES)
        try:
            unpacker.feed(data)
            for entry in unpacker:
                if isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], int) and isinstance(entry[1], msgpack.Timestamp):
                    seen._seen[entry[0]] = entry[1].seconds
        except Exception as error:
            raise RemoteError(f"not a list of seen messages: {type(error).__name__}") from None
        return seen


def _parse_json(data: bytes) -> Iterator[OutgoingMessage]:
    try:
        peers = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise RemoteError(f"not JSON: {str(error)[:100]}") from None
    for uri, messages in peers.items() if isinstance(peers, dict) else ():
        for token, fields in messages.items() if isinstance(messages, dict) else ():
            try:
                number = int(token, 16)
            except ValueError:
                continue
            if isinstance(fields, dict) and (message := _message(number, uri, fields.get("payload"), fields)) is not None:
                yield message


def _parse_msgpack(data: bytes) -> Iterator[OutgoingMessage]:
    if not data:
        return
    try:
        peers = msgpack.unpackb(data, raw=False, strict_map_key=False, unicode_errors="replace")
    except Exception as error:
        raise RemoteError(f"not msgpack: {type(error).__name__}") from None
    for uri, messages in peers.items() if isinstance(peers, dict) else ():
        for fields in messages if isinstance(messages, list) else ():
            token = fields.get("token") if isinstance(fields, dict) else None
            if isinstance(token, int) and (message := _message(token, uri, fields.get("payloads"), fields)) is not None:
                yield message


def _message(token: int, uri: Any, payloads: Any, fields: Mapping[Any, Any]) -> OutgoingMessage | None:
    if not isinstance(uri, str) or not isinstance(payloads, dict) or not 0 < token < 2**64:
        return None
    texts = {mime: text for mime, text in payloads.items() if isinstance(mime, str) and isinstance(text, str)}
    status, retried, last = fields.get("status"), fields.get("retried"), fields.get("last_op")
    known = MessageStatus(status) if isinstance(status, int) and 0 <= status <= 6 else MessageStatus.IDLE
    return OutgoingMessage(
        token, uri, texts, known, retried if isinstance(retried, int) else 0, last if isinstance(last, int) else 0
    )  # fmt: skip
