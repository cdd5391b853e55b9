"""The values of structured SIP headers: URIs, addresses, Via (RFC 3261 sections 19 and 20)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from jamid.core.errors import RemoteError
from jamid.sip.messages import Message

_URI = re.compile(
    r"(?P<scheme>sips?|tel):(?:(?P<user>[^@>]*)@)?(?P<host>\[[^\]]*\]|[^:;?@>]*)(?::(?P<port>[0-9]{1,5}))?(?P<rest>[;?].*)?",
    re.IGNORECASE,
)
_VIA = re.compile(r"SIP\s*/\s*2\.0\s*/\s*(?P<transport>[A-Za-z0-9\-]+)\s+(?P<sentby>[^;\s]+)\s*(?P<rest>;.*)?", re.IGNORECASE)
BRANCH_PREFIX = "z9hG4bK"


@dataclass(frozen=True, slots=True)
class SipUri:
    """`sips:user@host:port;transport=tls?Replaces=…`; `user` may hold slashes, parameters keep their case."""

    scheme: str
    user: str
    host: str
    port: int = 0
    parameters: str = ""

    @classmethod
    def parse(cls, text: str) -> SipUri:
        """Parses TEXT; raises RemoteError."""
        match = _URI.fullmatch(text.strip())
        if match is None or int(match["port"] or 0) > 65535:
            raise RemoteError(f"not a SIP URI: {text[:80]!r}")
        return cls(match["scheme"].lower(), match["user"] or "", match["host"], int(match["port"] or 0), match["rest"] or "")

    def __str__(self) -> str:
        user = f"{self.user}@" if self.user else ""
        port = f":{self.port}" if self.port else ""
        return f"{self.scheme}:{user}{self.host}{port}{self.parameters}"


@dataclass(frozen=True, slots=True)
class NameAddress:
    """The value of From, To, Contact, Refer-To: display name, URI text, parameters such as `tag`."""

    uri: str
    display_name: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> NameAddress:
        """Parses one address; raises RemoteError."""
        text = text.strip()
        name = ""
        if text.startswith('"'):
            name, text = _quoted(text)
        if "<" in text:
            before, _, rest = text.partition("<")
            uri, closed, tail = rest.partition(">")
            if not closed:
                raise RemoteError(f"an address without end: {text[:80]!r}")
            return cls(uri.strip(), name or before.strip(), parse_parameters(tail))
        uri, separator, tail = text.partition(";")
        if not uri.strip():
            raise RemoteError(f"not an address: {text[:80]!r}")
        return cls(uri.strip(), name, parse_parameters(separator + tail))

    @property
    def tag(self) -> str:
        return self.parameters.get("tag", "")

    @property
    def user(self) -> str:
        """The user part of the URI, "" when it cannot be parsed."""
        try:
            return SipUri.parse(self.uri).user
        except RemoteError:
            return ""

    def __str__(self) -> str:
        name = '"{}" '.format(self.display_name.replace("\\", "\\\\").replace('"', '\\"')) if self.display_name else ""
        return f"{name}<{self.uri}>{format_parameters(self.parameters)}"


@dataclass(frozen=True, slots=True)
class Via:
    """One Via value; parameters in order, flags have None."""

    transport: str
    sent_by: str
    parameters: tuple[tuple[str, str | None], ...]

    @classmethod
    def parse(cls, text: str) -> Via:
        """Parses the first value of TEXT (values may be joined by commas); raises RemoteError."""
        match = _VIA.fullmatch(split_list(text)[0])
        if match is None:
            raise RemoteError(f"not a Via: {text[:80]!r}")
        parameters: list[tuple[str, str | None]] = []
        for part in (match["rest"] or "").split(";")[1:]:
            key, equals, value = part.strip().partition("=")
            parameters.append((key.strip().lower(), value.strip() if equals else None))
        return cls(match["transport"].upper(), match["sentby"], tuple(parameters))

    @property
    def branch(self) -> str:
        return dict(self.parameters).get("branch") or ""

    def filled(self, host: str, port: int) -> Via:
        """With `received` and `rport` as a responder writes them (RFC 3581)."""
        parameters: list[tuple[str, str | None]] = []
        received = False
        for key, value in self.parameters:
            if key == "rport":
                parameters += [("rport", str(port)), ("received", host)]
                received = True
            elif key != "received":
                parameters.append((key, value))
        if not received and self.sent_by.rpartition(":")[0] != host:
            parameters.append(("received", host))
        return Via(self.transport, self.sent_by, tuple(parameters))

    def __str__(self) -> str:
        parameters = "".join(f";{key}" if value is None else f";{key}={value}" for key, value in self.parameters)
        return f"SIP/2.0/{self.transport} {self.sent_by}{parameters}"


def new_branch() -> str:
    """A fresh transaction branch in the reference's form."""
    return f"{BRANCH_PREFIX}Pj{_random_uuid()}"


def new_tag() -> str:
    """A fresh tag or Call-ID: a lower-case UUID."""
    return _random_uuid()


def address_of(message: Message, name: str) -> NameAddress:
    """The parsed From, To or Contact of MESSAGE; raises RemoteError."""
    return NameAddress.parse(split_list(message.headers.get(name))[0])


def branch_of(message: Message) -> str:
    """The branch of the top Via; raises RemoteError when it has none."""
    branch = Via.parse(message.headers.get("Via")).branch
    if not branch:
        raise RemoteError("a Via without branch")
    return branch


def split_list(text: str) -> list[str]:
    """Splits a comma-separated header value, but not inside quotes or angle brackets; at least one entry."""
    parts, start, quoted, depth, index = [], 0, False, 0, 0
    while index < len(text):
        character = text[index]
        if quoted:
            if character == "\\":
                index += 1
            elif character == '"':
                quoted = False
        elif character == '"':
            quoted = True
        elif character == "<":
            depth += 1
        elif character == ">":
            depth = max(0, depth - 1)
        elif character == "," and not depth:
            parts.append(text[start:index].strip())
            start = index + 1
        index += 1
    parts.append(text[start:].strip())
    return parts


def tokens(text: str) -> frozenset[str]:
    """The members of a list such as Allow or Supported, upper-cased."""
    return frozenset(part.strip().upper() for part in text.split(",") if part.strip())


def parse_parameters(text: str) -> dict[str, str]:
    """`;tag=x;flag` as {"tag": "x", "flag": ""}; keys lower-cased."""
    result: dict[str, str] = {}
    for part in text.split(";")[1:]:
        key, _, value = part.strip().partition("=")
        if key:
            result.setdefault(key.strip().lower(), value.strip())
    return result


def format_parameters(parameters: Mapping[str, str]) -> str:
    return "".join(f";{key}={value}" if value else f";{key}" for key, value in parameters.items())


def _quoted(text: str) -> tuple[str, str]:
    """The content of the quoted string at the start of TEXT, and what follows it."""
    result, index = [], 1
    while index < len(text):
        if text[index] == "\\" and index + 1 < len(text):
            result.append(text[index + 1])
            index += 2
        elif text[index] == '"':
            return "".join(result), text[index + 1 :]
        else:
            result.append(text[index])
            index += 1
    raise RemoteError(f"a quoted name without end: {text[:80]!r}")


def _random_uuid() -> str:
    import uuid  # brings the platform module with it

    return str(uuid.uuid4())
