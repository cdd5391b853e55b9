"""SipExchange: SIP with one peer device over one transport, shared by calls and by swarm's instant messages.

How to use it (swarm, calls):

* Get one from `SipChannels` (channels.py): `exchange = await channels.get(device_id)`; `channels.open_to(account_uri)` has those open.
* `await exchange.send_message("application/im-gitmessage-id", body)` sends an out-of-dialog MESSAGE and returns True when the peer answered
  2xx, False when it refused; raises ConnectionError when the channel died and TimeoutError when no answer came.
* Received out-of-dialog MESSAGEs are answered 200 first, then handed to every handler given to `channels.on_message(handler)` as
  `handler(exchange, IncomingMessage)`; the sender is `exchange.peer` (from the certificate), never the From header.
* INVITEs become an `InviteSession` handed to the handler of `channels.on_call(handler)`; requests inside a dialog go to their session.

Both ends may send requests at any time and any number of dialogs may be open at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from jamid.core.errors import LocalError, RemoteError
from jamid.core.limits import SIP_MESSAGE_BYTES_SENT, SIP_SESSIONS_PER_EXCHANGE
from jamid.core.tasks import Tasks
from jamid.sip.dialogs import ALLOW, Dialog, LocalParty, Path, to_address
from jamid.sip.headers import Via, address_of, split_list
from jamid.sip.messages import Message, MessageStream, Request, Response
from jamid.sip.sessions import InviteSession
from jamid.sip.transactions import (
    PATIENCE,
    CancelArrived,
    ClientTransaction,
    NoAck,
    NoResponse,
    RequestArrived,
    RequestOwner,
    ResponseArrived,
    ServerTransaction,
    Step,
    ToSend,
    TransactionLayer,
    respond_to,
)

_log = logging.getLogger(__name__)


class SipTransport(Protocol):
    """What carries the messages: a Jami channel now; UDP, TCP and TLS of SIP accounts behind the same four members."""

    path: Path
    reliable: bool

    def send(self, data: bytes) -> None:
        """Sends one complete message in one write; raises ConnectionError when closed."""
        ...

    async def read(self) -> bytes:
        """The next bytes, b"" at the end."""
        ...

    def probe(self) -> None:
        """Has the transport find out soon whether the peer is still there, if it can."""
        ...

    def close(self) -> None: ...


class Peer(Protocol):
    """Whom a channel's certificate authenticated."""

    @property
    def device_id(self) -> str: ...
    @property
    def account_uri(self) -> str: ...


@dataclass(frozen=True, slots=True)
class IncomingMessage:
    """An out-of-dialog MESSAGE."""

    content_type: str
    """as written, with parameters"""
    body: bytes
    message_id: str
    """16 hex digits of the sender's token; "" when absent"""
    sender: str
    """user part of From: for display only, `SipExchange.peer` is who really sent it"""
    recipient: str
    """user part of To"""


MessageHandler = Callable[["SipExchange", IncomingMessage], None]
CallHandler = Callable[["SipExchange", InviteSession], None]
EndHandler = Callable[["SipExchange"], None]


class SipExchange:
    """SIP over one transport: transactions, dialogs, one timer, one reader."""

    def __init__(
        self,
        transport: SipTransport,
        peer: Peer,
        party: Callable[[], LocalParty],
        *,
        on_message: MessageHandler,
        on_call: CallHandler,
        on_end: EndHandler,
    ) -> None:
        self.peer = peer
        self.path = transport.path
        self._transport = transport
        self._party = party
        self._on_message = on_message
        self._on_call = on_call
        self._on_end = on_end
        self._layer = TransactionLayer(reliable=transport.reliable)
        self._sessions: dict[tuple[str, str], InviteSession] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._tasks = Tasks(f"sip {peer.device_id[:8]}")
        self._closed = False
        self._drained: asyncio.Event | None = None

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def party(self) -> LocalParty:
        """Who we are now; the display name may change between requests."""
        return self._party()

    @property
    def sessions(self) -> int:
        """Dialogs open now."""
        return len(self._sessions)

    def probe(self) -> None:
        """Has a dead transport noticed soon, before something that a user waits for."""
        self._transport.probe()

    def start(self) -> None:
        """Begins to read."""
        self._tasks.spawn(self._read(), "read")

    def close(self) -> None:
        """Closes the transport; every dialog on it ends as lost."""
        if self._closed:
            return
        self._closed = True
        if self._drained is not None:
            self._drained.set()
        self._transport.close()
        if self._timer is not None:
            self._timer.cancel()
        for session in tuple(self._sessions.values()):
            session.lost()
        self._sessions.clear()
        for transaction in self._layer.pending():
            transaction.owner.no_response(transaction)
        self._on_end(self)

    async def drain(self, seconds: float) -> None:
        """Waits until everything we sent is answered, SECONDS at most: a farewell is lost when its channel closes before it is read."""
        if self._layer.pending() and not self._closed:
            self._drained = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._drained.wait()

    async def wait_closed(self) -> None:
        """Closes and waits for the reader."""
        self.close()
        await self._tasks.close()

    async def send_message(
        self, content_type: str, body: bytes, *, message_id: int | None = None, recipient: str = "", timeout: float = PATIENCE
    ) -> bool:
        """Sends an out-of-dialog MESSAGE; True when answered 2xx. Raises ConnectionError (lost) or TimeoutError (no answer)."""
        user = recipient or self.peer.account_uri
        dialog = Dialog.calling(self.party, to_address(self.path, user), self.path.uri(user, self.path.remote))
        token = message_id if message_id is not None else secrets.randbelow(2**53) + 1
        request = dialog.request(
            "MESSAGE",
            self.path,
            ("Date", time.strftime("%a %b %e %H:%M:%S %Y", time.gmtime())),
            ("Message-ID", f"{token:016x}"),
            ("User-Agent", self.party.user_agent),
            ("Content-Type", content_type),
            body=body,
        )
        waiting = _Waiting()
        self.send(request, waiting)
        async with asyncio.timeout(timeout):
            return 200 <= (await waiting.result).status < 300

    # -- for sessions ------------------------------------------------------------------------------------------------
    def send(self, request: Request, owner: RequestOwner) -> ClientTransaction:
        """Begins a transaction whose responses go to OWNER; raises ConnectionError when closed, LocalError when it is too long."""
        if self._closed:
            raise ConnectionError("the SIP channel is closed")
        if (length := len(bytes(request))) > SIP_MESSAGE_BYTES_SENT:
            raise LocalError(f"a {request.method} of {length} bytes is more than peers take, {SIP_MESSAGE_BYTES_SENT}")
        transaction, steps = self._layer.send(request, owner, self._now())
        self._run(steps)
        return transaction

    def send_ack(self, request: Request) -> None:
        """Sends the ACK of a 2xx, which has no transaction."""
        if not self._closed:
            self._run([ToSend(request)])

    def respond(self, transaction: ServerTransaction, response: Response) -> None:
        """Answers a request; nothing once closed."""
        if not self._closed:
            self._run(self._layer.respond(transaction, response, self._now()))

    def acknowledged(self, transaction: ServerTransaction) -> None:
        """The dialog saw the ACK of TRANSACTION's 2xx."""
        self._layer.acknowledge(transaction, self._now())
        self._arm()

    def add_session(self, session: InviteSession) -> None:
        """Sends requests of SESSION's dialog to it from now on."""
        self._sessions[session.key] = session

    def remove_session(self, session: InviteSession) -> None:
        self._sessions.pop(session.key, None)

    # -- the driver --------------------------------------------------------------------------------------------------
    async def _read(self) -> None:
        stream = MessageStream()
        try:
            while data := await self._transport.read():
                for message in stream.feed(data):
                    self._receive(message)
        except RemoteError as error:
            _log.warning("SIP from device %s is broken, closing its channel: %s", self.peer.device_id[:16], error)
        except ConnectionError:
            pass
        finally:
            self.close()

    def _receive(self, message: Message) -> None:
        _log.debug("SIP from %s: %s", self.peer.device_id[:8], message.first_line)
        try:
            if isinstance(message, Request):
                message = self._stamped(message)
            steps = self._layer.receive(message, self._now())
        except RemoteError as error:
            _log.info("SIP message from device %s dropped: %s", self.peer.device_id[:16], error)
            return
        except Exception:  # a fault of ours must not cost the peer's other calls their channel
            _log.exception("SIP message from device %s dropped", self.peer.device_id[:16])
            return
        self._run(steps)

    def _stamped(self, request: Request) -> Request:
        """REQUEST with our view of the sender's address in its Via, which responses copy."""
        first, *others = split_list(request.headers.get("Via"))
        via = ", ".join((str(Via.parse(first).filled(*self.path.remote)), *others))
        return Request(request.headers.setting("Via", via), request.body, method=request.method, uri=request.uri)

    def _run(self, steps: list[Step]) -> None:
        for step in steps:
            if self._closed:
                return
            try:
                self._take(step)
            except RemoteError as error:
                _log.info("SIP message from device %s dropped: %s", self.peer.device_id[:16], error)
                if isinstance(step, RequestArrived) and step.transaction is not None:
                    self._refuse(step.transaction, 400)
            except ConnectionError:
                self.close()
                return
            except Exception:  # a fault of ours must not cost the peer's other calls their channel
                _log.exception("SIP message from device %s not served", self.peer.device_id[:16])
                if isinstance(step, RequestArrived) and step.transaction is not None:
                    self._refuse(step.transaction, 500)
        self._arm()
        if self._drained is not None and not self._layer.pending():
            self._drained.set()

    def _take(self, step: Step) -> None:
        if isinstance(step, ToSend):
            _log.debug("SIP to %s: %s", self.peer.device_id[:8], step.message.first_line)
            self._transport.send(bytes(step.message))
        elif isinstance(step, ResponseArrived):
            step.transaction.owner.response(step.transaction, step.response)
        elif isinstance(step, NoResponse):
            step.transaction.owner.no_response(step.transaction)
        elif isinstance(step, RequestArrived):
            self._take_request(step.request, step.transaction)
        elif isinstance(step, CancelArrived | NoAck):
            for session in tuple(self._sessions.values()):
                if isinstance(step, CancelArrived):
                    session.cancelled(step.transaction)
                else:
                    session.unacknowledged(step.transaction)

    def _take_request(self, request: Request, transaction: ServerTransaction | None) -> None:
        tag = address_of(request, "To").tag
        if tag:
            session = self._sessions.get((request.call_id, tag))
            if session is not None:
                session.request(request, transaction)
            elif transaction is not None:
                self._refuse(transaction, 481)
        elif transaction is None:
            return
        elif request.method == "INVITE":
            self._take_invite(request, transaction)
        elif request.method == "MESSAGE":
            self.respond(transaction, respond_to(request, 200))
            self._on_message(self, _incoming_message(request))
        elif request.method == "OPTIONS":
            self.respond(transaction, respond_to(request, 200, headers=(("Allow", ALLOW), ("Accept", "application/sdp"))))
        elif request.method in ("BYE", "INFO", "UPDATE", "PRACK", "REFER"):
            self._refuse(transaction, 481)
        elif request.method in ("SUBSCRIBE", "PUBLISH"):
            self._refuse(transaction, 489)
        elif request.method == "NOTIFY":
            self.respond(transaction, respond_to(request, 200))
        else:
            self._refuse(transaction, 405, (("Allow", ALLOW),))

    def _take_invite(self, request: Request, transaction: ServerTransaction) -> None:
        if len(self._sessions) >= SIP_SESSIONS_PER_EXCHANGE:
            _log.warning("device %s has %d dialogs open, another call of it is refused", self.peer.device_id[:16], len(self._sessions))
            self._refuse(transaction, 503)
            return
        self._on_call(self, InviteSession.incoming(self, request, transaction))

    def _refuse(self, transaction: ServerTransaction, status: int, headers: tuple[tuple[str, str], ...] = ()) -> None:
        self.respond(transaction, respond_to(transaction.request, status, headers=headers))

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self._layer.deadline
        if deadline is not None and not self._closed:
            self._timer = asyncio.get_running_loop().call_at(deadline, self._expire)

    def _expire(self) -> None:
        self._run(self._layer.expire(self._now()))

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


class _Waiting:
    """Waits for the final response of one request."""

    def __init__(self) -> None:
        self.result: asyncio.Future[Response] = asyncio.get_running_loop().create_future()

    def response(self, transaction: ClientTransaction, response: Response) -> None:
        if response.status >= 200 and not self.result.done():
            self.result.set_result(response)

    def no_response(self, transaction: ClientTransaction) -> None:
        if not self.result.done():
            self.result.set_exception(ConnectionError("the SIP channel closed or the peer did not answer"))


def _incoming_message(request: Request) -> IncomingMessage:
    identifier = request.headers.get("Message-ID") or request.headers.get("imdn.Message-ID")
    return IncomingMessage(
        request.content_type, request.body, identifier, address_of(request, "From").user, address_of(request, "To").user
    )
