"""InviteSession: one call with one device as SIP sees it, from INVITE to BYE (RFC 3261); its media changes are in `Reinvites`.

| state | leaves it |
|---|---|
| CALLING | 1xx with tag -> EARLY, 2xx -> CONFIRMED, 300 and more -> ENDED |
| INCOMING | `ring` -> EARLY, `answer` -> ANSWERED, `reject` or CANCEL -> ENDED |
| EARLY | as CALLING or INCOMING |
| ANSWERED | ACK -> CONFIRMED, BYE or no ACK for 32 s -> ENDED |
| CONFIRMED | BYE of either side, transport gone -> ENDED |
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from jamid.core.errors import LocalError
from jamid.sip.dialogs import ALLOW, Dialog, LocalParty, bare_target, to_address, version_of
from jamid.sip.headers import address_of, tokens
from jamid.sip.messages import Request, Response
from jamid.sip.reinvites import Reinvites
from jamid.sip.sending import REPLACES, SDP, Sender
from jamid.sip.session_events import EndCause, Ended, SessionListener, SessionState
from jamid.sip.transactions import ClientTransaction, ServerTransaction, State, cancel_request

if TYPE_CHECKING:
    from jamid.sip.exchange import SipExchange

_log = logging.getLogger(__name__)


class InviteSession:
    """One INVITE dialog; made by `outgoing` or by SipExchange for an INVITE that came in."""

    def __init__(self, exchange: SipExchange, dialog: Dialog, state: SessionState) -> None:
        self.exchange = exchange
        self.dialog = dialog
        self.state = state
        self.listener: SessionListener | None = None
        self.invite: Request | None = None
        """the INVITE that came in"""
        self.peer_user_agent = ""
        self.peer_allows: frozenset[str] = frozenset()
        self._invite_sent: ClientTransaction | None = None
        self._invite_received: ServerTransaction | None = None
        self._unacknowledged: ServerTransaction | None = None
        self._cancel_wanted = False
        self._cancel_sent = False
        self._sender = Sender(self, exchange, dialog)
        self.reinvites = Reinvites(self, self._sender)
        """the media changes"""

    @classmethod
    def outgoing(cls, exchange: SipExchange, recipient: str, *, party: LocalParty | None = None) -> InviteSession:
        """A session that will call RECIPIENT (the user part of To) with `call`."""
        dialog = Dialog.calling(party or exchange.party, to_address(exchange.path, recipient), bare_target(exchange.path))
        session = cls(exchange, dialog, SessionState.CALLING)
        exchange.add_session(session)
        return session

    @classmethod
    def incoming(cls, exchange: SipExchange, invite: Request, transaction: ServerTransaction) -> InviteSession:
        """The session of an INVITE; raises RemoteError."""
        session = cls(exchange, Dialog.called(invite), SessionState.INCOMING)
        session.invite = invite
        session._invite_received = transaction
        session._learn(invite)
        exchange.add_session(session)
        return session

    @property
    def key(self) -> tuple[str, str]:
        return (self.dialog.call_id, self.dialog.local_tag)

    @property
    def recipient(self) -> str:
        """The user part of To in the INVITE that came in: the account, or `conversation/account/device/conference`."""
        return address_of(self.invite, "To").user if self.invite is not None else ""

    @property
    def caller(self) -> str:
        """The user part of From in the INVITE that came in."""
        return address_of(self.invite, "From").user if self.invite is not None else ""

    @property
    def caller_name(self) -> str:
        return address_of(self.invite, "From").display_name if self.invite is not None else ""

    @property
    def peer_version(self) -> tuple[int, ...]:
        """The version of the peer's Jami daemon, () when it is something else or has not said yet."""
        return version_of(self.peer_user_agent)

    @property
    def offering(self) -> bool:
        """Whether a re-INVITE of either side is under way."""
        return self.reinvites.under_way

    # -- what the owner asks -----------------------------------------------------------------------------------------
    def call(self, sdp: bytes) -> None:
        """Sends the INVITE; raises ConnectionError."""
        self._invite_sent = self._sender.invite(sdp, ("Subject", "Phone call"))

    def trying(self) -> None:
        """Sends 100; it has no tag."""
        if self._invite_received is not None:
            self._sender.respond(self._invite_received, 100, self._sender.user_agent, tagged=False)

    def ring(self) -> None:
        """Sends 180."""
        if self._invite_received is not None and self.state is SessionState.INCOMING:
            self.state = SessionState.EARLY
            self._sender.respond(self._invite_received, 180, *self._sender.identity)

    def answer(self, sdp: bytes) -> None:
        """Sends 200 with SDP; raises LocalError when it is too late."""
        if self._invite_received is None or self.state not in (SessionState.INCOMING, SessionState.EARLY):
            raise LocalError("this call can no longer be answered")
        self.state = SessionState.ANSWERED
        self._unacknowledged = self._invite_received
        user_agent, allow, contact = self._sender.identity
        self._sender.respond(self._invite_received, 200, user_agent, allow, REPLACES, contact, SDP, body=sdp)

    def reject(self, status: int) -> None:
        """Refuses the INVITE with STATUS."""
        if self._invite_received is not None and self.state in (SessionState.INCOMING, SessionState.EARLY):
            self._sender.respond(self._invite_received, status, *self._sender.identity)
            self._finish()

    def hang_up(self, status: int = 481) -> None:
        """Ends the session by whatever its state asks for: CANCEL, STATUS, or BYE; the listener is not told."""
        if self.state is SessionState.ENDED:
            return
        try:
            if self._invite_received is not None and self.state in (SessionState.INCOMING, SessionState.EARLY):
                self.reject(status)
            elif self.state in (SessionState.CALLING, SessionState.EARLY):
                self._cancel()
                self._finish()
            else:
                self.reinvites.refuse(487)
                self._finish()
                self._sender.bye()
        except ConnectionError:
            self._finish()

    def offer(self, sdp: bytes) -> None:
        """Sends a re-INVITE; raises LocalError while another is under way, ConnectionError when the transport is gone."""
        if self.state not in (SessionState.CONFIRMED, SessionState.ANSWERED) or self.offering:
            raise LocalError("a re-INVITE has to wait for the one under way")
        self.reinvites.offer(sdp)

    def answer_offer(self, sdp: bytes) -> bool:
        """Accepts the peer's re-INVITE; False when there is none any more. SDP is an offer if the re-INVITE held none."""
        transaction = self.reinvites.answer(sdp)
        if transaction is None:
            return False
        self._unacknowledged = transaction
        return True

    def refuse_offer(self, status: int = 488) -> None:
        """Refuses the peer's re-INVITE; the session goes on as before."""
        self.reinvites.refuse(status)

    def send_info(self, content_type: str, body: bytes) -> None:
        """Sends an INFO whose answer does not matter (the reference answers 500 to some it understood)."""
        self._send("INFO", ("Content-Type", content_type), body=body)

    def send_message(self, content_type: str, body: bytes) -> bool:
        """Sends a MESSAGE; False when the peer said that it takes none."""
        if self.peer_allows and "MESSAGE" not in self.peer_allows:
            return False
        return self._send("MESSAGE", ("Content-Type", content_type), body=body)

    def refer(self, refer_to: str) -> bool:
        """Asks the peer to call REFER_TO."""
        return self._send(
            "REFER", ("Event", "refer"), ("Expires", "600"), ("Supported", "replaces, 100rel"),
            ("Accept", "message/sipfrag;version=2.0"), ("Allow-Events", "refer, presence"), ("Refer-To", refer_to),
            contact=self._sender.contact,
        )  # fmt: skip

    # -- what the exchange tells -------------------------------------------------------------------------------------
    def response(self, transaction: ClientTransaction, response: Response) -> None:
        """Takes a response to a request of this dialog."""
        if transaction is self._invite_sent:
            self._take_invite_response(response)
        elif transaction is self.reinvites.sent:
            self.reinvites.response(response)
        elif transaction.request.method == "INVITE" and 200 <= response.status < 300:
            self._sender.acknowledge(transaction)
        elif response.status == 408 and transaction.request.method == "BYE":
            _log.debug("the peer did not confirm the end of its call")

    def no_response(self, transaction: ClientTransaction) -> None:
        if transaction is self._invite_sent:
            self._end(Ended(EndCause.SILENCE, 408))
        elif transaction is self.reinvites.sent:
            self.reinvites.no_response()

    def request(self, request: Request, transaction: ServerTransaction | None) -> None:
        """Takes a request of the peer in this dialog; raises RemoteError."""
        number, method = request.cseq
        if transaction is None:
            self._take_ack(request)
            return
        if number < self.dialog.remote_cseq:
            self._sender.respond(transaction, 500)
            return
        self.dialog.remote_cseq = number
        if self.state is SessionState.ENDED:
            self._sender.respond(transaction, 481)
            return
        self._learn(request)
        handler = {
            "INVITE": self.reinvites.take, "BYE": self._take_bye, "INFO": self._take_content, "MESSAGE": self._take_content,
            "REFER": self._take_refer, "NOTIFY": self._take_content, "UPDATE": self._take_update, "OPTIONS": self._take_options,
            "PRACK": self._take_options,
        }.get(method)  # fmt: skip
        if handler is None:
            self._sender.respond(transaction, 405, ("Allow", ALLOW))
        else:
            handler(request, transaction)

    def cancelled(self, transaction: ServerTransaction) -> None:
        """A CANCEL came for TRANSACTION, if it is this session's."""
        if transaction is self._invite_received and not transaction.answered:
            user_agent, allow, _ = self._sender.identity
            self._sender.respond(transaction, 487, user_agent, allow)
            self._end(Ended(EndCause.CANCELLED))
        elif transaction is self.reinvites.received:
            self.reinvites.lapse(487)

    def unacknowledged(self, transaction: ServerTransaction) -> None:
        """No ACK came for the final response of TRANSACTION."""
        if transaction is self._unacknowledged:
            self._unacknowledged = None
            if self.state is not SessionState.ENDED:
                self._sender.bye()
                self._end(Ended(EndCause.SILENCE, 408))

    def fail(self, status: int) -> None:
        """The peer answered a request of this dialog with STATUS, which ends it."""
        self._sender.bye()
        self._end(Ended(EndCause.REFUSED, status))

    def lost(self) -> None:
        """The transport is gone."""
        self._end(Ended(EndCause.LOST))

    # -- responses to our INVITEs ------------------------------------------------------------------------------------
    def _take_invite_response(self, response: Response) -> None:
        if self.state is SessionState.ENDED:
            self._after_end(response)
            return
        self._learn(response)
        if response.status < 200:
            if address_of(response, "To").tag:
                self.dialog.learn(response)
                self.state = SessionState.EARLY
            if self.listener is not None:
                self.listener.progressed(self, response.status)
        elif response.status >= 300:
            self._end(Ended(EndCause.REFUSED, response.status))
        else:
            first = self.state is not SessionState.CONFIRMED
            if first:
                self.dialog.learn(response)
                self.state = SessionState.CONFIRMED
            if self._invite_sent is not None:
                self._sender.acknowledge(self._invite_sent)
            if first and self.listener is not None:
                self.listener.answered(self, response.body)

    def _after_end(self, response: Response) -> None:
        """We hung up before the answer: a CANCEL may go out only after a provisional response, and may come too late."""
        if response.status < 200:
            if self._cancel_wanted and not self._cancel_sent:
                self._cancel()
        elif response.status < 300 and self._invite_sent is not None:
            self.dialog.learn(response)
            self._sender.acknowledge(self._invite_sent)
            self._sender.bye()

    # -- requests of the peer ----------------------------------------------------------------------------------------
    def _take_ack(self, request: Request) -> None:
        transaction, self._unacknowledged = self._unacknowledged, None
        if transaction is None:
            return
        self.reinvites.acknowledged()
        self.exchange.acknowledged(transaction)
        if self.state is SessionState.ANSWERED:
            self.state = SessionState.CONFIRMED
        if self.state is SessionState.CONFIRMED and self.listener is not None:
            self.listener.established(self, request.body)

    def _take_bye(self, request: Request, transaction: ServerTransaction) -> None:
        self._sender.respond(transaction, 200)
        self.reinvites.refuse(487)
        if self._invite_received is not None and not self._invite_received.answered:
            self._sender.respond(self._invite_received, 487)
        self._end(Ended(EndCause.BYE))

    def _take_content(self, request: Request, transaction: ServerTransaction) -> None:
        self._sender.respond(transaction, 200)
        listener, (_, method) = self.listener, request.cseq
        if listener is not None and method == "INFO":
            listener.info(self, request.content_type, request.body)
        elif listener is not None and method == "MESSAGE":
            listener.message(self, request.content_type, request.body)
        elif listener is not None:
            listener.notified(self, request.body)

    def _take_refer(self, request: Request, transaction: ServerTransaction) -> None:
        refer_to = request.headers.get("Refer-To")
        if not refer_to:
            self._sender.respond(transaction, 400)
            return
        self._sender.respond(transaction, 202, *self._sender.identity, ("Supported", "replaces, 100rel"))
        if self.listener is not None:
            self.listener.referred(self, refer_to)

    def _take_update(self, request: Request, transaction: ServerTransaction) -> None:
        self.dialog.refresh(request)
        self._sender.respond(transaction, 488 if request.body else 200, *self._sender.identity)

    def _take_options(self, request: Request, transaction: ServerTransaction) -> None:
        self._sender.respond(transaction, 200, ("Allow", ALLOW), ("Accept", "application/sdp"), REPLACES)

    # -- details -----------------------------------------------------------------------------------------------------
    def _learn(self, message: Request | Response) -> None:
        self.peer_user_agent = message.headers.get("User-Agent") or self.peer_user_agent
        self.peer_allows = tokens(message.headers.get("Allow")) or self.peer_allows

    def _send(self, method: str, *headers: tuple[str, str], contact: str = "", body: bytes = b"") -> bool:
        if self.state is SessionState.ENDED or not self.dialog.remote_tag:
            return False
        return self._sender.request(method, *headers, contact=contact, body=body)

    def _cancel(self) -> None:
        self._cancel_wanted = True
        sent = self._invite_sent
        if sent is None or sent.state is State.TRYING or self._cancel_sent:
            return
        self._cancel_sent = True
        who = ("Contact", self._sender.contact), self._sender.user_agent
        self.exchange.send(cancel_request(sent.request, *who), self)

    def _finish(self) -> None:
        self.state = SessionState.ENDED
        self.reinvites.stop()
        self.exchange.remove_session(self)
        # Transactions keep the session for another half minute; the call behind it need not wait for them.
        self.listener = None

    def _end(self, end: Ended) -> None:
        if self.state is SessionState.ENDED:
            return
        listener = self.listener
        self._finish()
        if listener is not None:
            listener.ended(self, end)
