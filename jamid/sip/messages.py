"""SIP messages: text on the wire <-> frozen dataclasses, unknown headers kept in order (RFC 3261 section 7; protocol: calls, section 2)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from jamid.core.errors import LimitError, RemoteError
from jamid.core.limits import SIP_BODY_BYTES, SIP_HEAD_BYTES, SIP_HEADERS

VERSION: Final = "SIP/2.0"
COMPACT_NAMES: Final = {
    "a": "Accept-Contact", "b": "Referred-By", "c": "Content-Type", "d": "Request-Disposition", "e": "Content-Encoding",
    "f": "From", "i": "Call-ID", "j": "Reject-Contact", "k": "Supported", "l": "Content-Length", "m": "Contact", "n": "Identity-Info",
    "o": "Event", "r": "Refer-To", "s": "Subject", "t": "To", "u": "Allow-Events", "v": "Via", "x": "Session-Expires", "y": "Identity",
}  # fmt: skip
REASONS: Final = {
    100: "Trying", 180: "Ringing", 183: "Session Progress", 200: "OK", 202: "Accepted", 400: "Bad Request", 401: "Unauthorized",
    403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 407: "Proxy Authentication Required", 408: "Request Timeout",
    415: "Unsupported Media Type", 480: "Temporarily Unavailable", 481: "Call/Transaction Does Not Exist", 486: "Busy Here",
    487: "Request Terminated", 488: "Not Acceptable Here", 489: "Bad Event", 491: "Request Pending", 500: "Internal Server Error",
    501: "Not Implemented", 503: "Service Unavailable", 603: "Decline",
}  # fmt: skip

_TOKEN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+")
_REQUIRED = ("Via", "From", "To", "Call-ID", "CSeq")
_STATUS = re.compile(r"[1-6][0-9][0-9]")
_CSEQ = re.compile(r"(\d{1,10})[ \t]+(\S+)")
_UNSAFE = re.compile(r"[\r\n\0]")


class Headers(Sequence[tuple[str, str]]):
    """An immutable, ordered list of (name, value); names compare without case, compact names are spelled out."""

    __slots__ = ("_fields",)

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        self._fields = tuple(fields)

    def get(self, name: str, default: str = "") -> str:
        """The first value of header NAME."""
        lowered = name.lower()
        return next((value for key, value in self._fields if key.lower() == lowered), default)

    def all(self, name: str) -> list[str]:
        """Every value line of header NAME, in order."""
        lowered = name.lower()
        return [value for key, value in self._fields if key.lower() == lowered]

    def having(self, name: str) -> bool:
        lowered = name.lower()
        return any(key.lower() == lowered for key, _ in self._fields)

    def adding(self, *fields: tuple[str, str]) -> Headers:
        """A copy with FIELDS appended."""
        return Headers((*self._fields, *fields))

    def setting(self, name: str, value: str) -> Headers:
        """A copy whose first header NAME has VALUE; appended when there was none."""
        lowered, done, fields = name.lower(), False, []
        for key, old in self._fields:
            if key.lower() == lowered and not done:
                fields.append((key, value))
                done = True
            else:
                fields.append((key, old))
        return Headers(fields if done else (*fields, (name, value)))

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        return self._fields[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self._fields == other._fields

    def __hash__(self) -> int:
        return hash(self._fields)

    def __repr__(self) -> str:
        return f"Headers({self._fields!r})"


@dataclass(frozen=True, slots=True)
class _Message:
    headers: Headers
    body: bytes = b""

    @property
    def call_id(self) -> str:
        return self.headers.get("Call-ID")

    @property
    def cseq(self) -> tuple[int, str]:
        """(number, method)."""
        number, method = parse_cseq(self.headers.get("CSeq"))
        return number, method

    @property
    def content_type(self) -> str:
        return self.headers.get("Content-Type")

    @property
    def first_line(self) -> str:
        raise NotImplementedError

    def __bytes__(self) -> bytes:
        """The message as the reference writes it; Content-Length is made from the body and comes last."""
        lines = [self.first_line]
        lines += [f"{name}: {_UNSAFE.sub(' ', value)}" for name, value in self.headers if name.lower() != "content-length"]
        lines.append(f"Content-Length: {len(self.body):5d}" if self.body else "Content-Length:  0")
        return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + self.body


@dataclass(frozen=True, slots=True)
class Request(_Message):
    """A SIP request."""

    method: str = field(default="", kw_only=True)
    uri: str = field(default="", kw_only=True)

    @property
    def first_line(self) -> str:
        return f"{self.method} {self.uri} {VERSION}"


@dataclass(frozen=True, slots=True)
class Response(_Message):
    """A SIP response."""

    status: int = field(default=0, kw_only=True)
    reason: str = field(default="", kw_only=True)

    @property
    def first_line(self) -> str:
        return f"{VERSION} {self.status} {self.reason or REASONS.get(self.status, '')}".rstrip()


Message = Request | Response


def parse_message(data: bytes) -> Message:
    """Parses one complete message (head, blank line, exactly its body); raises RemoteError."""
    head, separator, body = data.partition(b"\r\n\r\n")
    if not separator:
        raise RemoteError("a SIP message needs an empty line after its headers")
    message = parse_head(head)
    length = content_length(message.headers)
    if length is not None:
        if length > len(body):
            raise RemoteError(f"a SIP body of {length} bytes was announced, {len(body)} came")
        body = body[:length]
    return _with_body(message, body)


def parse_head(head: bytes) -> Message:
    """Parses start line and headers (without the final empty line) into a message without body; raises RemoteError."""
    if len(head) > SIP_HEAD_BYTES:
        raise LimitError(f"SIP headers of {len(head)} bytes are more than {SIP_HEAD_BYTES}")
    lines = head.decode("utf-8", "surrogateescape").split("\r\n")
    headers = Headers(_fields(lines[1:]))
    for name in _REQUIRED:
        if not headers.get(name):
            raise RemoteError(f"a SIP message needs the header {name}")
    cseq_method = parse_cseq(headers.get("CSeq"))[1]
    first = lines[0].split(" ", 2)
    if len(first) < 2:
        raise RemoteError(f"not a SIP start line: {lines[0][:80]!r}")
    if first[0] == VERSION:
        if not _STATUS.fullmatch(first[1]):
            raise RemoteError(f"not a SIP status: {lines[0][:80]!r}")
        return Response(headers, status=int(first[1]), reason=first[2] if len(first) == 3 else "")
    if len(first) != 3 or first[2] != VERSION or not _TOKEN.fullmatch(first[0]) or not first[1]:
        raise RemoteError(f"not a SIP start line: {lines[0][:80]!r}")
    if cseq_method != first[0]:
        raise RemoteError(f"the CSeq of a {first[0][:40]} says {cseq_method[:40]}")
    return Request(headers, method=first[0], uri=first[1])


def parse_cseq(value: str) -> tuple[int, str]:
    """`4852 INVITE` as (4852, "INVITE"); raises RemoteError."""
    match = _CSEQ.fullmatch(value.strip())
    if match is None or not match[1].isascii() or int(match[1]) >= 2**32:
        raise RemoteError(f"not a CSeq: {value[:80]!r}")
    return int(match[1]), match[2]


def content_length(headers: Headers) -> int | None:
    """The announced body length, None when there is none; raises RemoteError."""
    text = headers.get("Content-Length").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 12:
        raise RemoteError(f"not a Content-Length: {text[:40]!r}")
    return int(text)


class MessageStream:
    """Cuts a byte stream into SIP messages; stray CRLF between them (keep-alives) are skipped."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._head: Message | None = None
        self._missing = 0

    def feed(self, data: bytes) -> list[Message]:
        """The messages completed by DATA; raises RemoteError, after which the stream is lost."""
        self._buffer += data
        messages: list[Message] = []
        while (message := self._next()) is not None:
            messages.append(message)
        return messages

    def _next(self) -> Message | None:
        if self._head is None:
            while self._buffer[:2] == b"\r\n":
                del self._buffer[:2]
            end = self._buffer.find(b"\r\n\r\n", 0, SIP_HEAD_BYTES + 4)
            if end < 0:
                if len(self._buffer) > SIP_HEAD_BYTES:
                    raise LimitError(f"SIP headers are more than {SIP_HEAD_BYTES} bytes")
                return None
            head = parse_head(bytes(self._buffer[:end]))
            length = content_length(head.headers) or 0
            if length > SIP_BODY_BYTES:
                raise LimitError(f"a SIP body of {length} bytes is more than {SIP_BODY_BYTES}")
            del self._buffer[: end + 4]
            self._head, self._missing = head, length
        if len(self._buffer) < self._missing:
            return None
        message = _with_body(self._head, bytes(self._buffer[: self._missing]))
        del self._buffer[: self._missing]
        self._head = None
        return message


def _with_body(message: Message, body: bytes) -> Message:
    if isinstance(message, Request):
        return Request(message.headers, body, method=message.method, uri=message.uri)
    return Response(message.headers, body, status=message.status, reason=message.reason)


def _fields(lines: list[str]) -> list[tuple[str, str]]:
    fields: list[tuple[str, str]] = []
    for line in lines:
        if line[:1] in (" ", "\t"):
            if not fields:
                raise RemoteError("a SIP header begins with a continuation line")
            name, value = fields[-1]
            fields[-1] = (name, f"{value} {line.strip()}")
            continue
        name, separator, value = line.partition(":")
        name = name.strip()
        if not separator or not _TOKEN.fullmatch(name):
            raise RemoteError(f"not a SIP header: {line[:80]!r}")
        if len(fields) >= SIP_HEADERS:
            raise LimitError(f"more than {SIP_HEADERS} SIP headers")
        fields.append((COMPACT_NAMES.get(name.lower(), name) if len(name) == 1 else name, value.strip()))
    return fields
