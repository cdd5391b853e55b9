"""Messages inside a call: one MIME part or several in one body (protocol: calls, section 9)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from jamid.core.errors import LimitError, RemoteError
from jamid.core.limits import CALL_MESSAGE_BYTES, CALL_MESSAGE_PARTS

CONFERENCE_INFO = "application/confInfo+json"
CONFERENCE_ORDER = "application/confOrder+json"

_BOUNDARY = re.compile(r"boundary=(?:\"([^\"]{1,200})\"|([^;\s\"]{1,200}))", re.IGNORECASE)
_ESCAPE = re.compile(r"%(2[cC]|3[dD]|3[bB]|20)")


def write_message(payloads: Mapping[str, str]) -> tuple[str, bytes]:
    """(content type, body) of PAYLOADS: MIME type with parameters -> text; several become one multipart body in key order."""
    if len(payloads) == 1:
        ((kind, text),) = payloads.items()
        return _header_type(kind), _bytes(text)
    import uuid

    boundary = str(uuid.uuid4())
    body = b""
    for kind in sorted(payloads):
        part = _bytes(payloads[kind])
        body += f"\r\n--{boundary}\r\nContent-Type: {_header_type(kind)}\r\nContent-Length: {len(part):5d}\r\n\r\n".encode() + part
    return f"multipart/mixed;boundary={boundary}", body + f"\r\n--{boundary}--\r\n".encode()


def read_message(content_type: str, body: bytes) -> dict[str, str]:
    """MIME type with parameters -> text, as clients get it; raises RemoteError."""
    if len(body) > CALL_MESSAGE_BYTES:
        raise LimitError(f"a message of {len(body)} bytes in a call is more than {CALL_MESSAGE_BYTES}")
    if not content_type.lower().startswith("multipart/"):
        return {_key(content_type): _text(body)}
    match = _BOUNDARY.search(content_type)
    if match is None:
        raise RemoteError("a multipart message without boundary")
    delimiter = b"--" + (match[1] or match[2]).encode("utf-8", "surrogateescape")
    pieces = (b"\r\n" + body).split(b"\r\n" + delimiter)
    if len(pieces) - 1 > CALL_MESSAGE_PARTS:
        raise LimitError(f"a multipart message has more than {CALL_MESSAGE_PARTS} parts")
    result: dict[str, str] = {}
    for piece in pieces[1:]:
        if piece.startswith(b"--"):
            break
        head, separator, content = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        if not separator:
            head, content = b"", piece.removeprefix(b"\r\n")
        result[_key(_part_type(head))] = _text(content)
    return result


def _part_type(head: bytes) -> str:
    for line in head.decode("utf-8", "replace").split("\r\n"):
        name, _, value = line.partition(":")
        if name.strip().lower() in ("content-type", "c"):
            return value.strip()
    return "text/plain"


def _key(content_type: str) -> str:
    """`type/subtype;name=value` without spaces around `;`, escapes of the reference undone."""
    parts = [part.strip() for part in content_type.split(";")]
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), ";".join(part for part in parts if part)) or "text/plain"


def _header_type(kind: str) -> str:
    return ";".join(part.strip() for part in kind.replace("\r", " ").replace("\n", " ").split(";"))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _text(body: bytes) -> str:
    return body.decode("utf-8", "replace").replace("\0", "")
