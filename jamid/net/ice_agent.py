"""The ICE agent for TCP, without I/O: connects and frames in, commands out (protocol: connection, sections 5.2 to 5.4).

Rules. The answerer of an offer is controlling and nominates; the requester is controlled. Every passive candidate of the peer is
connected to, best first, and every connection of the session, whoever opened it, is checked once from each side. There is no pair
list: over TCP a pair is a connection.

    link:  OPEN -> CHECKED (our check succeeded) -> NOMINATING (controlling: USE-CANDIDATE sent) -> selected
"""

from __future__ import annotations

import enum
import logging
import secrets
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from jamid.core import limits
from jamid.core.errors import RemoteError
from jamid.net import stun
from jamid.net.candidates import Blob, Candidate, Credentials, Kind
from jamid.net.stun import Address, Attribute, Class, Message, Method

_log = logging.getLogger(__name__)

SOFTWARE: Final = "jamid"
CHECK_SPACING: Final = 0.05
"""between two new connections"""
CHECK_REPEAT: Final = 2.0
"""before a check without response is sent again, once; the reference loses one now and then while it starts"""
RELAY_RETRY: Final = 0.5
RELAY_TRIES: Final = 24
"""a relay refuses us until the peer has installed its permission"""
DIRECT_PREFERENCE: Final = 0.2
"""how long a checked relayed pair waits for a direct one, which takes fewer round trips if it exists"""
PEER_CHECK_WAIT: Final = 0.5
"""how long a nomination waits for the peer's own check, which shows that it has our candidates"""
_PRIORITY_BASE: Final = 110 << 24 | 255


@dataclass(frozen=True, slots=True)
class Connect:
    """Open a TCP connection to the candidate; answer with `link_opened` or `connect_failed`."""

    target: Candidate


@dataclass(frozen=True, slots=True)
class Send:
    """Send one STUN message on a link."""

    link: int
    message: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """Close a link that misbehaves."""

    link: int


@dataclass(frozen=True, slots=True)
class Selected:
    """The checks are done: this link carries the data."""

    link: int


Command = Connect | Send | Close | Selected


class _State(enum.Enum):
    OPEN = enum.auto()
    CHECKED = enum.auto()
    NOMINATING = enum.auto()


@dataclass(slots=True)
class _Link:
    remote: Address
    target: Candidate | None
    """the candidate we connected to, None when the peer connected"""
    relayed: bool
    state: _State = _State.OPEN
    transaction: bytes = b""
    """of our unanswered request"""
    sent: float = 0.0
    repeated: bool = False
    peer_checked: bool = False
    peer_nominated: bool = False
    bad: int = 0


@dataclass(slots=True)
class _Target:
    candidate: Candidate
    due: float
    tries: int = 0


@dataclass(slots=True)
class IceTcpAgent:
    """One agent of one session. Call `take` after each input for what is to be done, and `tick` when `deadline` has come."""

    local: Credentials
    controlling: bool
    tie_breaker: int = field(default_factory=lambda: secrets.randbits(64))
    remote: Credentials | None = None
    selected: int | None = None
    peer_software: str = ""
    _links: dict[int, _Link] = field(default_factory=dict)
    _targets: list[_Target] = field(default_factory=list)
    _commands: deque[Command] = field(default_factory=deque)
    _next_connect: float = 0.0
    _first_checked: float | None = None
    _nominate_times: list[float] = field(default_factory=list)
    _tries: dict[Candidate, int] = field(default_factory=dict)

    # -- inputs ---------------------------------------------------------------------------------------------------------------

    def set_remote(self, blob: Blob, now: float) -> None:
        """The peer's offer or answer: connects to its candidates and checks back on the links that are already there."""
        if self.remote is not None:
            return
        self.remote = blob.credentials
        if self.selected is not None:
            return
        ordered = sorted(blob.candidates, key=lambda candidate: candidate.priority, reverse=True)
        self._targets = [_Target(candidate, now) for candidate in _without_duplicates(ordered)]
        self._next_connect = now
        for link in self._links:
            self._check(link, now)
        self.tick(now)

    def link_opened(self, link: int, remote: Address, now: float, *, target: Candidate | None = None, relayed: bool = False) -> None:
        """A TCP connection of this session stands; TARGET is the candidate it was opened to, None when the peer opened it."""
        if len(self._links) >= limits.ICE_LINKS:
            self._commands.append(Close(link))
            return
        self._links[link] = _Link(remote, target, relayed or (target is not None and target.kind is Kind.RELAY))
        self._check(link, now)

    def connect_failed(self, target: Candidate, now: float) -> None:
        """The connection to TARGET was refused or timed out."""
        self._retry(target, now)

    def link_closed(self, link: int, now: float) -> None:
        """A TCP connection ended; never an error by itself."""
        lost = self._links.pop(link, None)
        if lost is None or self.selected is not None:
            return
        if lost.target is not None and lost.state is _State.OPEN:
            self._retry(lost.target, now)
        if self.controlling and lost.state is _State.NOMINATING:
            self._nominate(now)

    def message_received(self, link: int, data: bytes, now: float) -> None:
        """A STUN message came on LINK."""
        state = self._links.get(link)
        if state is None:
            return
        try:
            message = stun.parse(data)
            if message.method != Method.BINDING:
                raise RemoteError(f"STUN method {message.method:#05x} in an ICE session")
            if message.cls is Class.REQUEST:
                self._request(link, state, message, data, now)
            elif message.cls in (Class.SUCCESS, Class.ERROR):
                self._response(link, state, message, data, now)
        except RemoteError as error:
            state.bad += 1
            _log.debug("link with %s: %s", state.remote, error)
            if state.bad >= limits.ICE_BAD_MESSAGES and link != self.selected:
                del self._links[link]
                self._commands.append(Close(link))

    def data_received(self, link: int) -> bool:
        """TLS bytes came on LINK before a selection; true when they may be taken: a controlled agent then selects it."""
        state = self._links.get(link)
        if state is None or self.controlling or not state.peer_checked:
            return False
        self._select(link)
        return True

    def tick(self, now: float) -> None:
        """Does what has become due."""
        if self.selected is not None:
            return
        if self.remote is not None and now >= self._next_connect:
            due = next((target for target in self._targets if target.due <= now), None)
            if due is not None:
                self._targets.remove(due)
                due.tries += 1
                self._tries[due.candidate] = due.tries
                self._commands.append(Connect(due.candidate))
                self._next_connect = now + CHECK_SPACING
        for number, link in self._links.items():
            if link.transaction and not link.repeated and now >= link.sent + CHECK_REPEAT:
                link.repeated = True
                self._commands.append(Send(number, self._encode_request(link)))
        if self._nominate_times and self._nominate_times[0] <= now:
            self._nominate_times = [time for time in self._nominate_times if time > now]
            self._nominate(now)

    @property
    def deadline(self) -> float | None:
        """When `tick` is due next; None when there is nothing to wait for."""
        if self.selected is not None:
            return None
        times = [max(target.due, self._next_connect) for target in self._targets]
        times += [link.sent + CHECK_REPEAT for link in self._links.values() if link.transaction and not link.repeated]
        return min(times + self._nominate_times, default=None)

    def take(self) -> list[Command]:
        """The commands that came up, in order; each is given once."""
        commands = list(self._commands)
        self._commands.clear()
        return commands

    # -- checks ---------------------------------------------------------------------------------------------------------------

    def _retry(self, target: Candidate, now: float) -> None:
        tries = self._tries.get(target, 0)
        if target.kind is Kind.RELAY and tries < RELAY_TRIES:
            self._targets.append(_Target(target, now + RELAY_RETRY, tries))

    def _check(self, number: int, now: float) -> None:
        """Sends our check on a link that has none yet, as soon as the peer's credentials are known."""
        link = self._links[number]
        if self.remote is None or link.transaction or link.state is not _State.OPEN:
            return
        self._send_request(number, link, now)

    def _send_request(self, number: int, link: _Link, now: float) -> None:
        link.transaction, link.sent, link.repeated = stun.new_transaction(), now, False
        self._commands.append(Send(number, self._encode_request(link)))

    def _encode_request(self, link: _Link) -> bytes:
        assert self.remote is not None
        attributes: list[tuple[int, stun.Value]] = [(Attribute.PRIORITY, _PRIORITY_BASE + (65535 << 8))]
        if link.state is _State.NOMINATING:
            attributes.append((Attribute.USE_CANDIDATE, None))
        attributes += [
            (Attribute.ICE_CONTROLLING if self.controlling else Attribute.ICE_CONTROLLED, self.tie_breaker),
            (Attribute.SOFTWARE, SOFTWARE),
            (Attribute.USERNAME, f"{self.remote.ufrag}:{self.local.ufrag}"),
        ]
        return Message(Method.BINDING, Class.REQUEST, link.transaction, tuple(attributes)).encode(self.remote.pwd.encode())

    def _request(self, number: int, link: _Link, message: Message, data: bytes, now: float) -> None:
        username = message.text(Attribute.USERNAME)
        if username.partition(":")[0] != self.local.ufrag or not stun.verify(data, self.local.pwd.encode()):
            self._refuse(number, message, 401, "Unauthorized")
            raise RemoteError("a check without our credentials")
        if self.remote is not None and username.partition(":")[2] != self.remote.ufrag:
            self._refuse(number, message, 401, "Unauthorized")
            raise RemoteError("a check with another peer's ufrag")
        if message.has(Attribute.ICE_CONTROLLING if self.controlling else Attribute.ICE_CONTROLLED):
            # Roles follow offer and answer, and TLS follows the roles: there is nothing to negotiate, the peer has to yield.
            self._refuse(number, message, 487, "Role Conflict")
            raise RemoteError("a check in our own role")
        self.peer_software = message.text(Attribute.SOFTWARE) or self.peer_software
        answer = (Attribute.XOR_MAPPED_ADDRESS, link.remote), (Attribute.SOFTWARE, SOFTWARE)
        response = Message(Method.BINDING, Class.SUCCESS, message.transaction, answer)
        self._commands.append(Send(number, response.encode(self.local.pwd.encode())))
        link.peer_checked = True
        self._check(number, now)
        if not self.controlling and message.has(Attribute.USE_CANDIDATE):
            self._select(number)
        elif self.controlling:
            self._nominate(now)

    def _refuse(self, number: int, message: Message, code: int, reason: str) -> None:
        response = Message(Method.BINDING, Class.ERROR, message.transaction, ((Attribute.ERROR_CODE, (code, reason)),))
        self._commands.append(Send(number, response.encode()))

    def _response(self, number: int, link: _Link, message: Message, data: bytes, now: float) -> None:
        if not link.transaction or message.transaction != link.transaction:
            return  # late, or the second answer to a repeated request
        if message.cls is Class.ERROR:
            link.transaction = b""
            raise RemoteError("check refused: {} {}".format(*message.error()))
        if self.remote is None or not stun.verify(data, self.remote.pwd.encode()):
            raise RemoteError("a response that the peer has not signed")
        if message.address(Attribute.XOR_MAPPED_ADDRESS) is None:
            raise RemoteError("a response without an address")
        link.transaction = b""
        self.peer_software = message.text(Attribute.SOFTWARE) or self.peer_software
        if link.state is _State.NOMINATING:
            self._select(number)
        elif link.state is _State.OPEN:
            link.state = _State.CHECKED
            if self._first_checked is None:
                self._first_checked = now
                self._nominate_times = [now + DIRECT_PREFERENCE, now + PEER_CHECK_WAIT] if self.controlling else []
            if self.controlling:
                self._nominate(now)

    def _nominate(self, now: float) -> None:
        """Controlling: nominates the best checked link once nothing better is to be expected soon."""
        if self.selected is not None or self._first_checked is None:
            return
        if any(link.state is _State.NOMINATING for link in self._links.values()):
            return
        waited = now - self._first_checked
        # Our own kind takes a nomination at any time; the reference is spared one before it has read our answer.
        peer_ready = self.peer_software == SOFTWARE or any(link.peer_checked for link in self._links.values())
        if not peer_ready and waited < PEER_CHECK_WAIT:
            return
        checked = [(number, link) for number, link in self._links.items() if link.state is _State.CHECKED]
        if not checked:
            return
        number, link = min(checked, key=lambda item: (item[1].relayed, not item[1].peer_checked))
        if link.relayed and waited < DIRECT_PREFERENCE:
            return
        link.state = _State.NOMINATING
        self._send_request(number, link, now)

    def _select(self, number: int) -> None:
        if self.selected is None:
            self.selected = number
            self._targets.clear()
            self._commands.append(Selected(number))


def _without_duplicates(candidates: Sequence[Candidate]) -> list[Candidate]:
    seen: set[Address] = set()
    kept = []
    for candidate in candidates:
        where = candidate.host, candidate.port
        if candidate.connectable and where not in seen:
            seen.add(where)
            kept.append(candidate)
    return kept
