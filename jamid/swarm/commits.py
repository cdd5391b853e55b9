"""Commits with Jami's signature header: read, built, signed, verified (protocol: swarm, section 3)."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from jamid.core import limits
from jamid.core.errors import LimitError, RemoteError
from jamid.crypto.keys import PrivateKey, PublicKey
from jamid.swarm.objects import COMMIT, object_id

_OID = re.compile(rb"[0-9a-f]{40}")
_AUTHOR = re.compile(rb"(.*?) ?<([^<>\n]*)> (-?\d{1,18}) ([+-]\d{4})", re.DOTALL)
_SIGNATURE: Final = b"signature "


@dataclass(frozen=True, slots=True)
class Commit:
    """A parsed commit object."""

    id: str
    tree: str
    parents: tuple[str, ...]
    author_name: str
    device: str
    """what stands as the author's e-mail address: the device id"""
    time: int
    """committer time, unix seconds"""
    message: bytes
    signature: bytes | None
    """base64 text of the header, None without one"""
    signed: bytes
    """the exact bytes that the signature covers"""

    def is_signed_by(self, key: PublicKey) -> bool:
        """Whether the signature header holds KEY's signature of this commit."""
        if self.signature is None:
            return False
        try:
            signature = base64.b64decode(self.signature, validate=False)
        except (binascii.Error, ValueError):
            return False
        return key.verify(self.signed, signature)

    def json(self) -> dict[str, Any]:
        """The message as a JSON object, {} when it is none (or one too large or too deep to be an honest message)."""
        return parse_message(self.message)


def parse_message(message: bytes) -> dict[str, Any]:
    """A commit message as a JSON object; {} for anything that is none."""
    if not message.startswith(b"{") or len(message) > limits.COMMIT_BYTES:
        return {}
    if message.count(b"{") > limits.JSON_NESTING or message.count(b"[") > limits.JSON_NESTING:
        # A body may hold braces of its own: only then look closely.
        depth = _nesting(message)
        if depth > limits.JSON_NESTING:
            return {}
    try:
        parsed = json.loads(message)
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _nesting(message: bytes) -> int:
    deepest = depth = 0
    for token in re.finditer(rb'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', message, re.DOTALL):
        first = token.group()[:1]
        if first in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif first in b"]}":
            depth -= 1
    return deepest


def write_message(content: Mapping[str, Any]) -> bytes:
    """JSON as the real daemons write it: compact, keys sorted, ASCII only, no newline."""
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def parse_commit(data: bytes, oid: str | None = None) -> Commit:
    """Parses the content of a commit object; raises RemoteError."""
    if len(data) > limits.COMMIT_BYTES:
        raise LimitError(f"a commit has {len(data)} bytes, more than {limits.COMMIT_BYTES}")
    head, separator, message = data.partition(b"\n\n")
    if not separator:
        raise RemoteError("commit without a message")
    headers: dict[bytes, bytes] = {}
    parents: list[str] = []
    signature: bytes | None = None
    kept: list[bytes] = []
    in_signature = False
    for line in head.split(b"\n"):
        if line.startswith(b" "):
            if in_signature:
                assert signature is not None
                signature += b"\n" + line[1:]
            else:
                kept.append(line)
            continue
        in_signature = line.startswith(_SIGNATURE)
        if in_signature:
            if signature is not None:
                raise RemoteError("commit with two signatures")
            signature = line[len(_SIGNATURE) :]
            continue
        kept.append(line)
        name, _, value = line.partition(b" ")
        if name == b"parent":
            parents.append(_oid(value))
            if len(parents) > limits.COMMIT_PARENTS:
                raise LimitError(f"a commit has more than {limits.COMMIT_PARENTS} parents")
        elif name in headers:
            raise RemoteError(f"commit with two {name[:20]!r} headers")
        else:
            headers[name] = value
    if not {b"tree", b"author", b"committer"} <= headers.keys():
        raise RemoteError("commit without tree, author or committer")
    author_name, device, _ = _person(headers[b"author"])
    _, _, time = _person(headers[b"committer"])
    return Commit(
        id=oid or object_id(COMMIT, data),
        tree=_oid(headers[b"tree"]),
        parents=tuple(parents),
        author_name=author_name,
        device=device,
        time=time,
        message=message,
        signature=signature,
        signed=data if signature is None else b"\n".join(kept) + b"\n\n" + message,
    )


def build_commit(*, tree: str, parents: Sequence[str], name: str, device: str, time: int, message: bytes) -> bytes:
    """The bytes to sign of a commit by DEVICE, whose display name is NAME."""
    person = f"{clean_name(name) or device} <{device}> {time} +0000"
    lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents), f"author {person}", f"committer {person}"]
    return "\n".join(lines).encode() + b"\n\n" + message


def sign_commit(unsigned: bytes, key: PrivateKey) -> bytes:
    """The commit object: UNSIGNED with the signature header of KEY behind the committer."""
    signature = base64.b64encode(key.sign(unsigned))
    head, _, message = unsigned.partition(b"\n\n")
    return b"%s\n%s%s\n\n%s" % (head, _SIGNATURE, signature, message)


def clean_name(name: str) -> str:
    """NAME as it may stand before an e-mail address: without brackets and control characters, "" when nothing visible is left."""
    kept = "".join(character for character in name if character not in "<>" and character >= " " and character != "\x7f")
    return kept.encode("utf-8", "replace").decode().strip()[: limits.AUTHOR_NAME_LENGTH].strip(" .,:;\"'\\")


def _oid(value: bytes) -> str:
    if _OID.fullmatch(value) is None:
        raise RemoteError(f"malformed object id {value[:60]!r}")
    return value.decode()


def _person(value: bytes) -> tuple[str, str, int]:
    match = _AUTHOR.fullmatch(value)
    if match is None:
        raise RemoteError(f"malformed author {value[:80]!r}")
    name, email, time, _ = match.groups()
    return name.decode(errors="replace"), email.decode(errors="replace"), int(time)
