"""The four SIP transaction machines and the layer that finds them; no sockets, time as an argument (RFC 3261 section 17, RFC 6026).

Over a reliable transport (a Jami channel, TCP, TLS) the retransmission timers A, E, G and the waiting timers D, I, J, K are zero;
B, F, H (64 * T1 = 32 s) run everywhere.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from jamid.core.errors import RemoteError
from jamid.core.limits import SIP_TRANSACTIONS_PER_EXCHANGE
from jamid.sip.headers import branch_of
from jamid.sip.messages import Headers, Message, Request, Response

T1: Final = 0.5
T2: Final = 4.0
T4: Final = 5.0
PATIENCE: Final = 64 * T1


class State(enum.Enum):
    """The states of RFC 3261's figures 5 to 8, and ACCEPTED of RFC 6026."""

    TRYING = "trying"
    """called CALLING in a client INVITE transaction"""
    PROCEEDING = "proceeding"
    ACCEPTED = "accepted"
    COMPLETED = "completed"
    CONFIRMED = "confirmed"
    TERMINATED = "terminated"


@dataclass(frozen=True, slots=True)
class ToSend:
    """A message for the transport."""

    message: Message


@dataclass(frozen=True, slots=True)
class ResponseArrived:
    """A response for whoever sent the request of TRANSACTION."""

    transaction: ClientTransaction
    response: Response


@dataclass(frozen=True, slots=True)
class NoResponse:
    """TRANSACTION timed out (B, F) without a final response; the same as a 408."""

    transaction: ClientTransaction


@dataclass(frozen=True, slots=True)
class RequestArrived:
    """A new request; `transaction` is None for an ACK to a 2xx, which has none."""

    request: Request
    transaction: ServerTransaction | None


@dataclass(frozen=True, slots=True)
class CancelArrived:
    """A CANCEL for `transaction`, already answered 200; the INVITE itself still wants its 487."""

    transaction: ServerTransaction


@dataclass(frozen=True, slots=True)
class NoAck:
    """The final response of TRANSACTION was never acknowledged (H, L)."""

    transaction: ServerTransaction


Step = ToSend | ResponseArrived | NoResponse | RequestArrived | CancelArrived | NoAck


class RequestOwner(Protocol):
    """Who sent a request and takes what comes back."""

    def response(self, transaction: ClientTransaction, response: Response) -> None: ...

    def no_response(self, transaction: ClientTransaction) -> None:
        """No final response came in time, or the transport is gone."""
        ...


class _Nobody:
    def response(self, transaction: ClientTransaction, response: Response) -> None:
        """Nobody waits for it."""

    def no_response(self, transaction: ClientTransaction) -> None:
        """Nobody waits for it."""


_NOBODY = _Nobody()


class ClientTransaction:
    """One request of ours and the responses to it."""

    def __init__(self, request: Request, owner: RequestOwner, *, reliable: bool, now: float) -> None:
        self.request = request
        self.owner = owner
        self.key = (branch_of(request), request.method)
        self.state = State.TRYING
        self._invite = request.method == "INVITE"
        self._reliable = reliable
        self._interval = T1
        self._resend_at: float | None = None if reliable else now + T1
        self._ends_at: float | None = now + PATIENCE
        self._ack: Request | None = None

    @property
    def deadline(self) -> float | None:
        """When `expire` wants to be called."""
        return min((at for at in (self._resend_at, self._ends_at) if at is not None), default=None)

    def start(self) -> list[Step]:
        return [ToSend(self.request)]

    def receive(self, response: Response, now: float) -> list[Step]:
        """Takes a response that matches `key`."""
        if self.state is State.TERMINATED:
            return []
        if self._invite:
            return self._receive_invite(response, now)
        if self.state is State.COMPLETED:
            return []
        if response.status < 200:
            self.state = State.PROCEEDING
        else:
            self._finish(now, T4)
        return [ResponseArrived(self, response)]

    def expire(self, now: float) -> list[Step]:
        """Does what is due at NOW."""
        if self._ends_at is not None and now >= self._ends_at:
            waiting = self.state in (State.TRYING, State.PROCEEDING)
            self.state, self._ends_at, self._resend_at = State.TERMINATED, None, None
            if waiting:
                return [NoResponse(self)]
            # Owners know their transactions: such a ring, half a minute old, would wait for a rare full collection.
            self.owner = _NOBODY
            return []
        if self._resend_at is not None and now >= self._resend_at:
            self._interval = min(self._interval * 2, T2) if not self._invite else self._interval * 2
            self._resend_at = now + (T2 if self.state is State.PROCEEDING else self._interval)
            return [ToSend(self.request)]
        return []

    def _receive_invite(self, response: Response, now: float) -> list[Step]:
        if self.state is State.COMPLETED:
            return [ToSend(self._ack)] if response.status >= 300 and self._ack is not None else []
        if self.state is State.ACCEPTED:
            return [ResponseArrived(self, response)] if 200 <= response.status < 300 else []
        if response.status < 200:
            # A ringing call may wait for hours; only silence before the first answer is a timeout.
            self.state, self._resend_at, self._ends_at = State.PROCEEDING, None, None
            return [ResponseArrived(self, response)]
        if response.status < 300:
            self.state, self._resend_at, self._ends_at = State.ACCEPTED, None, now + PATIENCE
            return [ResponseArrived(self, response)]
        self._ack = acknowledge_refusal(self.request, response)
        self._finish(now, 32.0)
        return [ToSend(self._ack), ResponseArrived(self, response)]

    def _finish(self, now: float, linger: float) -> None:
        self.state, self._resend_at = State.COMPLETED, None
        self._ends_at = now if self._reliable else now + linger


class ServerTransaction:
    """One request of a peer and our responses to it."""

    def __init__(self, request: Request, *, reliable: bool) -> None:
        self.request = request
        self.key = (branch_of(request), request.method)
        self.state = State.PROCEEDING if request.method == "INVITE" else State.TRYING
        self._invite = request.method == "INVITE"
        self._reliable = reliable
        self.last_response: Response | None = None
        self._interval = T1
        self._resend_at: float | None = None
        self._ends_at: float | None = None

    @property
    def deadline(self) -> float | None:
        return min((at for at in (self._resend_at, self._ends_at) if at is not None), default=None)

    @property
    def answered(self) -> bool:
        """Whether a final response was sent."""
        return self.state not in (State.TRYING, State.PROCEEDING)

    def respond(self, response: Response, now: float) -> list[Step]:
        """Sends RESPONSE; nothing after a final one."""
        if self.answered:
            return []
        self.last_response = response
        if response.status < 200:
            self.state = State.PROCEEDING
        elif not self._invite:
            self.state, self._ends_at = State.COMPLETED, now if self._reliable else now + PATIENCE
        else:
            self.state, self._ends_at = State.ACCEPTED if response.status < 300 else State.COMPLETED, now + PATIENCE
            self._resend_at = None if self._reliable else now + T1
        return [ToSend(response)]

    def repeat(self) -> list[Step]:
        """Takes a retransmission of the request."""
        return [ToSend(self.last_response)] if self.last_response is not None and self.state is not State.CONFIRMED else []

    def acknowledge(self, now: float) -> list[Step]:
        """Takes the ACK of our final response (for a 2xx the dialog tells us)."""
        if self.state in (State.COMPLETED, State.ACCEPTED):
            self.state, self._resend_at = State.CONFIRMED, None
            self._ends_at = now if self._reliable else now + T4
        return []

    def expire(self, now: float) -> list[Step]:
        if self._ends_at is not None and now >= self._ends_at:
            unacknowledged = self._invite and self.state in (State.COMPLETED, State.ACCEPTED)
            self.state, self._ends_at, self._resend_at = State.TERMINATED, None, None
            return [NoAck(self)] if unacknowledged else []
        if self._resend_at is not None and now >= self._resend_at and self.last_response is not None:
            self._interval = min(self._interval * 2, T2)
            self._resend_at = now + self._interval
            return [ToSend(self.last_response)]
        return []


class TransactionLayer:
    """All transactions of one transport: sorts incoming messages to them and keeps their timers."""

    def __init__(self, *, reliable: bool) -> None:
        self._reliable = reliable
        self._clients: dict[tuple[str, str], ClientTransaction] = {}
        self._servers: dict[tuple[str, str], ServerTransaction] = {}

    def __len__(self) -> int:
        return len(self._clients) + len(self._servers)

    def pending(self) -> list[ClientTransaction]:
        """Our requests without final response."""
        return [each for each in self._clients.values() if each.state in (State.TRYING, State.PROCEEDING)]

    def send(self, request: Request, owner: RequestOwner, now: float) -> tuple[ClientTransaction, list[Step]]:
        """Begins a client transaction whose responses are OWNER's."""
        transaction = ClientTransaction(request, owner, reliable=self._reliable, now=now)
        self._clients[transaction.key] = transaction
        return transaction, transaction.start()

    def respond(self, transaction: ServerTransaction, response: Response, now: float) -> list[Step]:
        return transaction.respond(response, now)

    def acknowledge(self, transaction: ServerTransaction, now: float) -> None:
        """The ACK of a 2xx arrived."""
        transaction.acknowledge(now)

    def receive(self, message: Message, now: float) -> list[Step]:
        """Takes a message from the wire; raises RemoteError when it belongs nowhere."""
        if isinstance(message, Response):
            client = self._clients.get((branch_of(message), message.cseq[1]))
            return client.receive(message, now) if client is not None else []
        return self._receive_request(message, now)

    @property
    def deadline(self) -> float | None:
        """The next moment `expire` has work."""
        return min((at for each in self._all() if (at := each.deadline) is not None), default=None)

    def expire(self, now: float) -> list[Step]:
        steps: list[Step] = []
        for transaction in tuple(self._all()):
            deadline = transaction.deadline
            if deadline is not None and now >= deadline:
                steps += transaction.expire(now)
        self._sweep()
        return steps

    def _receive_request(self, request: Request, now: float) -> list[Step]:
        branch = branch_of(request)
        if request.method == "ACK":
            server = self._servers.get((branch, "INVITE"))
            if server is not None and server.state in (State.COMPLETED, State.CONFIRMED):
                return server.acknowledge(now)
            return [RequestArrived(request, None)]
        server = self._servers.get((branch, request.method))
        if server is not None:
            return server.repeat()
        if len(self._servers) >= SIP_TRANSACTIONS_PER_EXCHANGE:
            return [ToSend(respond_to(request, 503))]
        server = ServerTransaction(request, reliable=self._reliable)
        self._servers[server.key] = server
        if request.method == "CANCEL":
            return self._receive_cancel(server, branch, now)
        return [RequestArrived(request, server)]

    def _receive_cancel(self, cancel: ServerTransaction, branch: str, now: float) -> list[Step]:
        invite = self._servers.get((branch, "INVITE"))
        if invite is None:
            return self.respond(cancel, respond_to(cancel.request, 481), now)
        arrived: list[Step] = [] if invite.answered else [CancelArrived(invite)]
        # To the peer both answers come from one user agent: the CANCEL's has the tag of the INVITE's.
        to = invite.last_response.headers.get("To") if invite.last_response is not None else ""
        answer = respond_to(cancel.request, 200)
        if ";tag=" in to:
            answer = Response(answer.headers.setting("To", to), status=200)
        return [*self.respond(cancel, answer, now), *arrived]

    def _all(self) -> Iterator[ClientTransaction | ServerTransaction]:
        yield from self._clients.values()
        yield from self._servers.values()

    def _sweep(self) -> None:
        for clients_key, client in tuple(self._clients.items()):
            if client.state is State.TERMINATED:
                del self._clients[clients_key]
        for servers_key, server in tuple(self._servers.items()):
            if server.state is State.TERMINATED:
                del self._servers[servers_key]


def respond_to(
    request: Request, status: int, reason: str = "", *, tag: str = "", headers: tuple[tuple[str, str], ...] = (), body: bytes = b""
) -> Response:
    """A response with the headers every response copies, in the reference's order; TAG is added to To unless it has one."""
    to = request.headers.get("To")
    if tag and ";tag=" not in to:
        to = f"{to};tag={tag}"
    fields = [("Via", value) for value in request.headers.all("Via")]
    fields += [("Record-Route", value) for value in request.headers.all("Record-Route")]
    fields += [("Call-ID", request.call_id), ("From", request.headers.get("From")), ("To", to), ("CSeq", request.headers.get("CSeq"))]
    return Response(Headers((*fields, *headers)), body, status=status, reason=reason)


def acknowledge_refusal(invite: Request, response: Response) -> Request:
    """The ACK of a final response from 300 on: branch, Request-URI and Via of the INVITE (RFC 3261 section 17.1.1.3)."""
    number, _ = invite.cseq
    fields = [
        ("Via", invite.headers.all("Via")[0]),
        ("Max-Forwards", "70"),
        ("From", invite.headers.get("From")),
        ("To", response.headers.get("To")),
        ("Call-ID", invite.call_id),
        ("CSeq", f"{number} ACK"),
        *(("Route", value) for value in invite.headers.all("Route")),
    ]
    return Request(Headers(fields), method="ACK", uri=invite.uri)


def cancel_request(invite: Request, *headers: tuple[str, str]) -> Request:
    """The CANCEL of INVITE: its branch, Request-URI and CSeq number (RFC 3261 section 9.1)."""
    number, method = invite.cseq
    if method != "INVITE":
        raise RemoteError(f"a {method} cannot be cancelled")
    fields = [
        ("Via", invite.headers.all("Via")[0]),
        ("Max-Forwards", "70"),
        ("From", invite.headers.get("From")),
        ("To", invite.headers.get("To")),
        ("Call-ID", invite.call_id),
        ("CSeq", f"{number} CANCEL"),
        *(("Route", value) for value in invite.headers.all("Route")),
        *headers,
    ]
    return Request(Headers(fields), method="CANCEL", uri=invite.uri)
