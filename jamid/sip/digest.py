"""Digest authentication, for SIP accounts (RFC 2617 and 7616; protocol: calls, section 14.2)."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from jamid.core.errors import RemoteError

_PARAMETER = re.compile(r'([A-Za-z-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_HASHES: dict[str, Callable[[bytes], str]] = {
    "MD5": lambda data: hashlib.md5(data, usedforsecurity=False).hexdigest(),
    "SHA-256": lambda data: hashlib.sha256(data).hexdigest(),
}


@dataclass(frozen=True, slots=True)
class Challenge:
    """The value of WWW-Authenticate or Proxy-Authenticate."""

    realm: str
    nonce: str
    opaque: str = ""
    algorithm: str = "MD5"
    auth_quality: bool = False
    """whether `qop=auth` is offered"""
    stale: bool = False


@dataclass(frozen=True, slots=True)
class Credential:
    """Who we are in a realm; `*` fits every realm."""

    username: str
    password: str
    realm: str = "*"


def parse_challenge(value: str) -> Challenge:
    """Parses a Digest challenge with an algorithm we have; raises RemoteError."""
    scheme, _, rest = value.strip().partition(" ")
    if scheme.lower() != "digest":
        raise RemoteError(f"not a Digest challenge: {value[:80]!r}")
    found = {match[1].lower(): match[3] if match[2] is None else re.sub(r"\\(.)", r"\1", match[2]) for match in _PARAMETER.finditer(rest)}
    if not found.get("nonce") or "realm" not in found:
        raise RemoteError("a Digest challenge needs realm and nonce")
    algorithm = found.get("algorithm", "MD5").upper()
    if algorithm not in _HASHES:
        raise RemoteError(f"Digest algorithm {algorithm[:40]} is not known")
    qualities = {each.strip().lower() for each in found.get("qop", "").split(",")}
    return Challenge(
        found["realm"], found["nonce"], found.get("opaque", ""), algorithm, "auth" in qualities, found.get("stale", "").lower() == "true"
    )


def answer_challenge(challenge: Challenge, credential: Credential, method: str, uri: str, *, count: int = 1, cnonce: str = "") -> str:
    """The value of Authorization or Proxy-Authorization; COUNT is how often this nonce was used, this time included."""
    digest = _HASHES[challenge.algorithm]
    secret = digest(f"{credential.username}:{challenge.realm}:{credential.password}".encode())
    request = digest(f"{method}:{uri}".encode())
    fields = [
        f'username="{_quoted(credential.username)}"',
        f'realm="{_quoted(challenge.realm)}"',
        f'nonce="{_quoted(challenge.nonce)}"',
        f'uri="{_quoted(uri)}"',
    ]
    if challenge.auth_quality:
        cnonce, number = cnonce or secrets.token_hex(16), f"{count:08x}"
        response = digest(f"{secret}:{challenge.nonce}:{number}:{cnonce}:auth:{request}".encode())
        fields += [f'response="{response}"', f"algorithm={challenge.algorithm}", f'cnonce="{cnonce}"', "qop=auth", f"nc={number}"]
    else:
        response = digest(f"{secret}:{challenge.nonce}:{request}".encode())
        fields += [f'response="{response}"', f"algorithm={challenge.algorithm}"]
    if challenge.opaque:
        fields.append(f'opaque="{_quoted(challenge.opaque)}"')
    return "Digest " + ", ".join(fields)


def credential_for(challenge: Challenge, credentials: list[Credential]) -> Credential | None:
    """The credential of the challenge's realm, else one for every realm."""
    exact = next((each for each in credentials if each.realm == challenge.realm), None)
    return exact or next((each for each in credentials if each.realm in ("*", "")), None)


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
