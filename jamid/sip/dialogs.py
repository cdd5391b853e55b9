"""Dialogs: what two user agents share between INVITE and BYE, and the requests made from it (RFC 3261 section 12)."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Final

from jamid.sip.headers import NameAddress, address_of, new_branch, new_tag, split_list
from jamid.sip.messages import Headers, Request, Response

ALLOW: Final = "SUBSCRIBE, NOTIFY, REFER, INVITE, ACK, BYE, CANCEL, UPDATE, INFO, OPTIONS, MESSAGE, PUBLISH"
USER_AGENT: Final = "Jami Daemon 17.0.0 (Linux)"
"""Peers offer several streams only to a `Jami Daemon` from 13.11.0 on (protocol: calls, section 2.3)."""
JAMI_DOMAIN: Final = "ring.dht"


@dataclass(frozen=True, slots=True)
class LocalParty:
    """Who we are in From and Contact."""

    user: str
    """account id, or the username of a SIP account"""
    domain: str = JAMI_DOMAIN
    contact_user: str = ""
    """short device id of a Jami account"""
    display_name: str = ""
    user_agent: str = USER_AGENT


@dataclass(frozen=True, slots=True)
class Path:
    """How requests travel: what Via, Contact and Request-URI say of the transport."""

    transport: str
    """`TLS`, `UDP`, `TCP`"""
    local: tuple[str, int]
    remote: tuple[str, int]
    secure: bool

    def via(self, branch: str) -> str:
        alias = ";alias" if self.transport != "UDP" else ""
        return f"SIP/2.0/{self.transport} {_host(self.local[0])}:{self.local[1]};rport;branch={branch}{alias}"

    def uri(self, user: str, address: tuple[str, int]) -> str:
        """A URI of USER at ADDRESS; `sips` and `;transport=` as the reference writes them."""
        scheme = "sips" if self.secure else "sip"
        parameter = {"TLS": ";transport=tls", "TCP": ";transport=tcp"}.get(self.transport, "")
        return f"{scheme}:{f'{user}@' if user else ''}{_host(address[0])}:{address[1]}{parameter}"

    def contact(self, party: LocalParty) -> str:
        return str(NameAddress(self.uri(party.contact_user or party.user, self.local), party.display_name))


@dataclass(slots=True)
class Dialog:
    """One dialog; `remote_tag` is "" until the peer's first response that carries one."""

    call_id: str
    local: str
    """our From (or To) value without tag"""
    remote: str
    """the peer's value without tag"""
    local_tag: str
    remote_tag: str = ""
    remote_target: str = ""
    local_cseq: int = field(default_factory=lambda: secrets.randbelow(2**15 - 1) + 1)
    remote_cseq: int = -1
    routes: tuple[str, ...] = ()

    @classmethod
    def calling(cls, party: LocalParty, remote: str, target: str) -> Dialog:
        """A dialog-to-be for an INVITE of ours to the address REMOTE, sent to TARGET."""
        local = str(NameAddress(f"sip:{party.user}@{party.domain}", party.display_name))
        return cls(new_tag(), local, remote, new_tag(), remote_target=target)

    @classmethod
    def called(cls, invite: Request) -> Dialog:
        """The dialog of an INVITE that came in; raises RemoteError."""
        sender = address_of(invite, "From")
        number, _ = invite.cseq
        return cls(
            call_id=invite.call_id,
            local=_without_tag(invite.headers.get("To")),
            remote=_without_tag(invite.headers.get("From")),
            local_tag=new_tag(),
            remote_tag=sender.tag,
            remote_target=target_of(invite) or sender.uri,
            remote_cseq=number,
            routes=tuple(route for value in invite.headers.all("Record-Route") for route in split_list(value)),
        )

    def learn(self, response: Response) -> None:
        """Takes tag, target and route set from a response to our INVITE."""
        tag = address_of(response, "To").tag
        if tag:
            self.remote_tag = tag
        self.remote_target = target_of(response) or self.remote_target
        routes = [route for value in response.headers.all("Record-Route") for route in split_list(value)]
        if routes:
            self.routes = tuple(reversed(routes))

    def refresh(self, request: Request) -> None:
        """Takes the new target of a re-INVITE (its Contact may be anything; protocol: calls, section 2.2)."""
        self.remote_target = target_of(request) or self.remote_target

    def request(self, method: str, path: Path, *headers: tuple[str, str], contact: str = "", body: bytes = b"") -> Request:
        """The next request of this dialog; an ACK repeats the number of the INVITE it is for."""
        if method != "ACK":
            self.local_cseq += 1
        return self.numbered(method, self.local_cseq, path, *headers, contact=contact, body=body)

    def numbered(self, method: str, number: int, path: Path, *headers: tuple[str, str], contact: str = "", body: bytes = b"") -> Request:
        """A request with a CSeq number of the caller's choice."""
        fields = [
            ("Via", path.via(new_branch())),
            ("Max-Forwards", "70"),
            ("From", f"{self.local};tag={self.local_tag}"),
            ("To", f"{self.remote};tag={self.remote_tag}" if self.remote_tag else self.remote),
        ]
        if contact:
            fields.append(("Contact", contact))
        fields += [("Call-ID", self.call_id), ("CSeq", f"{number} {method}")]
        fields += [("Route", route) for route in self.routes]
        return Request(Headers((*fields, *headers)), body, method=method, uri=self.remote_target)


def target_of(message: Request | Response) -> str:
    """The URI in Contact, "" when there is none."""
    contact = message.headers.get("Contact")
    return address_of(message, "Contact").uri if contact else ""


def to_address(path: Path, user: str) -> str:
    """The To of a request to USER on a Jami channel: the peer's address without port."""
    return f"<sips:{user}@{_host(path.remote[0])}>" if path.secure else f"<sip:{user}@{_host(path.remote[0])}>"


def bare_target(path: Path) -> str:
    """The Request-URI of a first INVITE on a Jami channel: no user part."""
    return path.uri("", path.remote)


def version_of(user_agent: str) -> tuple[int, ...]:
    """The version in `Jami Daemon 13.7.0-abc (linux)`, () for any other agent (protocol: calls, section 2.3)."""
    _, found, rest = user_agent.partition("Jami Daemon ")
    if not found:
        return ()
    parts = rest.split("-")[0].split(" ")[0].split(".")
    if len(parts) > 4 or not all(part.isascii() and part.isdigit() and len(part) < 10 for part in parts):
        return ()
    return tuple(int(part) for part in parts)


def _without_tag(value: str) -> str:
    address = NameAddress.parse(value)
    others = {key: each for key, each in address.parameters.items() if key != "tag"}
    return str(NameAddress(address.uri, address.display_name, others))


def _host(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
