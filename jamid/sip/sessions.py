"""InviteSession: one call with one device as SIP sees it, from INVITE to BYE, with its offers and answers (RFC 3261, 3264).

| state | leaves it |
|---|---|
| CALLING | 1xx with tag -> EARLY, 2xx -> CONFIRMED, 300 and more -> ENDED |
| INCOMING | `ring` -> EARLY, `answer` -> ANSWERED, `reject` or CANCEL -> ENDED |
| EARLY | as CALLING or INCOMING |
| ANSWERED | ACK -> CONFIRMED, BYE or no ACK for 32 s -> ENDED |
| CONFIRMED | BYE of either side, transport gone -> ENDED |
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import TYPE_CHECKING, Final

from jamid.core.errors import LocalError
from jamid.sip.dialogs import ALLOW, Dialog, LocalParty, bare_target, to_address, version_of
from jamid.sip.headers import address_of, tokens
from jamid.sip.messages import Request, Response
from jamid.sip.session_events import EndCause, Ended, SessionListener, SessionState
from jamid.sip.transactions import ClientTransaction, ServerTransaction, State, cancel_request, respond_to

if TYPE_CHECKING:
    from jamid.sip.exchange import SipExchange

_log = logging.getLogger(__name__)

OFFER_SECONDS: Final = 25.0
"""How long a peer's offer may wait for its answer: after 32 it would give up on the call."""
_SDP = ("Content-Type", "application/sdp")


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
        self._offer_sent: ClientTransaction | None = None
        self._offer_received: ServerTransaction | None = None
        self._lapse: asyncio.TimerHandle | None = None
        self._offer_in_answer = False
        """whether our last 200 held the offer, to be answered in its ACK"""
        self._unacknowledged: ServerTransaction | None = None
        self._cancel_wanted = False
        self._cancel_sent = False
        self._retry: asyncio.TimerHandle | None = None
        self._overtaken = False
        """whether the peer's offer came while ours waited to be repeated"""

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
        return self._offer_sent is not None or self._offer_received is not None or self._retry is not None or self._offer_in_answer

    # -- what the owner asks -----------------------------------------------------------------------------------------
    def call(self, sdp: bytes) -> None:
        """Sends the INVITE; raises ConnectionError."""
        request = self.dialog.request(
            "INVITE", self.exchange.path, ("Subject", "Phone call"), *self._features(), _SDP, contact=self._contact(), body=sdp
        )
        self._invite_sent = self.exchange.send(request, self)

    def trying(self) -> None:
        """Sends 100; it has no tag."""
        if self._invite_received is not None:
            self._respond(self._invite_received, 100, ("User-Agent", self.exchange.party.user_agent), tagged=False)

    def ring(self) -> None:
        """Sends 180."""
        if self._invite_received is not None and self.state is SessionState.INCOMING:
            self.state = SessionState.EARLY
            self._respond(self._invite_received, 180, *self._identity())

    def answer(self, sdp: bytes) -> None:
        """Sends 200 with SDP; raises LocalError when it is too late."""
        if self._invite_received is None or self.state not in (SessionState.INCOMING, SessionState.EARLY):
            raise LocalError("this call can no longer be answered")
        self.state = SessionState.ANSWERED
        self._unacknowledged = self._invite_received
        user_agent, allow, contact = self._identity()
        self._respond(self._invite_received, 200, user_agent, allow, ("Supported", "replaces"), contact, _SDP, body=sdp)

    def reject(self, status: int) -> None:
        """Refuses the INVITE with STATUS."""
        if self._invite_received is not None and self.state in (SessionState.INCOMING, SessionState.EARLY):
            self._respond(self._invite_received, status, *self._identity())
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
                if self._offer_received is not None:
                    self._respond(self._offer_received, 487)
                self._finish()
                self._bye()
        except ConnectionError:
            self._finish()

    def offer(self, sdp: bytes) -> None:
        """Sends a re-INVITE; raises LocalError while another is under way, ConnectionError when the transport is gone."""
        if self.state not in (SessionState.CONFIRMED, SessionState.ANSWERED) or self.offering:
            raise LocalError("a re-INVITE has to wait for the one under way")
        request = self.dialog.request("INVITE", self.exchange.path, *self._features(), _SDP, contact=self._contact(), body=sdp)
        self._offer_sent = self.exchange.send(request, self)

    def answer_offer(self, sdp: bytes) -> bool:
        """Accepts the peer's re-INVITE; False when there is none any more. SDP is an offer if the re-INVITE held none."""
        transaction = self._take_offer_received()
        if transaction is None or transaction.answered:
            return False
        self._unacknowledged = transaction
        self._offer_in_answer = not transaction.request.body.strip()
        user_agent, allow, contact = self._identity()
        self._respond(transaction, 200, allow, ("Supported", "replaces"), contact, user_agent, _SDP, body=sdp)
        return True

    def refuse_offer(self, status: int = 488) -> None:
        """Refuses the peer's re-INVITE; the session goes on as before."""
        transaction = self._take_offer_received()
        if transaction is not None:
            self._respond(transaction, status)

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
            ("Accept", "message/sipfrag;version=2.0"), ("Allow-Events", "refer, presence"), ("Refer-To", refer_to), contact=self._contact(),
        )  # fmt: skip

    # -- what the exchange tells -------------------------------------------------------------------------------------
    def response(self, transaction: ClientTransaction, response: Response) -> None:
        """Takes a response to a request of this dialog."""
        if transaction is self._invite_sent:
            self._take_invite_response(response)
        elif transaction is self._offer_sent:
            self._take_offer_response(response)
        elif transaction.request.method == "INVITE" and 200 <= response.status < 300:
            self._acknowledge(transaction)
        elif response.status == 408 and transaction.request.method == "BYE":
            _log.debug("the peer did not confirm the end of its call")

    def no_response(self, transaction: ClientTransaction) -> None:
        if transaction is self._invite_sent:
            self._end(Ended(EndCause.SILENCE, 408))
        elif transaction is self._offer_sent:
            self._offer_sent = None
            if self.state is not SessionState.ENDED and self.listener is not None:
                self.listener.offer_refused(self, 408)

    def request(self, request: Request, transaction: ServerTransaction | None) -> None:
        """Takes a request of the peer in this dialog; raises RemoteError."""
        number, method = request.cseq
        if transaction is None:
            self._take_ack(request)
            return
        if number < self.dialog.remote_cseq:
            self._respond(transaction, 500)
            return
        self.dialog.remote_cseq = number
        if self.state is SessionState.ENDED:
            self._respond(transaction, 481)
            return
        self._learn(request)
        handler = {
            "INVITE": self._take_offer, "BYE": self._take_bye, "INFO": self._take_content, "MESSAGE": self._take_content,
            "REFER": self._take_refer, "NOTIFY": self._take_content, "UPDATE": self._take_update, "OPTIONS": self._take_options,
            "PRACK": self._take_options,
        }.get(method)  # fmt: skip
        if handler is None:
            self._respond(transaction, 405, ("Allow", ALLOW))
        else:
            handler(request, transaction)

    def cancelled(self, transaction: ServerTransaction) -> None:
        """A CANCEL came for TRANSACTION, if it is this session's."""
        if transaction is self._invite_received and not transaction.answered:
            user_agent, allow, _ = self._identity()
            self._respond(transaction, 487, user_agent, allow)
            self._end(Ended(EndCause.CANCELLED))
        elif transaction is self._offer_received:
            self._offer_lapsed(487)

    def unacknowledged(self, transaction: ServerTransaction) -> None:
        """No ACK came for the final response of TRANSACTION."""
        if transaction is self._unacknowledged:
            self._unacknowledged = None
            if self.state is not SessionState.ENDED:
                self._bye()
                self._end(Ended(EndCause.SILENCE, 408))

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
                self._acknowledge(self._invite_sent)
            if first and self.listener is not None:
                self.listener.answered(self, response.body)

    def _after_end(self, response: Response) -> None:
        """We hung up before the answer: a CANCEL may go out only after a provisional response, and may come too late."""
        if response.status < 200:
            if self._cancel_wanted and not self._cancel_sent:
                self._cancel()
        elif response.status < 300 and self._invite_sent is not None:
            self.dialog.learn(response)
            self._acknowledge(self._invite_sent)
            self._bye()

    def _take_offer_response(self, response: Response) -> None:
        if response.status < 200:
            return
        transaction, self._offer_sent = self._offer_sent, None
        if transaction is None:
            return
        if response.status < 300:
            self.dialog.learn(response)
            self._acknowledge(transaction)
            if self.state is not SessionState.ENDED and self.listener is not None:
                self.listener.offer_answered(self, response.body)
        elif self.state is SessionState.ENDED:
            return
        elif response.status == 491:
            # Both sides offered at once: the caller waits longer (RFC 3261 section 14.1).
            delay = 2.1 + secrets.randbelow(1900) / 1000 if self._invite_sent is not None else secrets.randbelow(2000) / 1000
            self._retry = asyncio.get_running_loop().call_later(delay, self._offer_again, transaction.request.body)
        elif response.status in (408, 481):
            self._bye()
            self._end(Ended(EndCause.REFUSED, response.status))
        elif self.listener is not None:
            self.listener.offer_refused(self, response.status)

    def _offer_again(self, sdp: bytes) -> None:
        self._retry = None
        if self._overtaken:
            # What it describes may be gone since.
            self._overtaken = False
            if self.listener is not None:
                self.listener.offer_refused(self, 491)
            return
        try:
            self.offer(sdp)
        except (LocalError, ConnectionError) as error:
            if self.state is not SessionState.ENDED and self.listener is not None:
                _log.info("a media change could not be repeated: %s", error)
                self.listener.offer_refused(self, 491)

    # -- requests of the peer ----------------------------------------------------------------------------------------
    def _take_ack(self, request: Request) -> None:
        transaction, self._unacknowledged = self._unacknowledged, None
        if transaction is None:
            return
        self._offer_in_answer = False
        self.exchange.acknowledged(transaction)
        if self.state is SessionState.ANSWERED:
            self.state = SessionState.CONFIRMED
        if self.state is SessionState.CONFIRMED and self.listener is not None:
            self.listener.established(self, request.body)

    def _take_offer(self, request: Request, transaction: ServerTransaction) -> None:
        if self.state not in (SessionState.CONFIRMED, SessionState.ANSWERED) or self._offer_received is not None:
            self._respond(transaction, 500, ("Retry-After", "1"))
            return
        if self._offer_sent is not None or self._offer_in_answer:
            self._respond(transaction, 491)
            return
        self.dialog.refresh(request)
        self._overtaken = self._retry is not None
        self._offer_received = transaction
        self._lapse = asyncio.get_running_loop().call_later(OFFER_SECONDS, self._offer_lapsed, 480)
        if self.listener is not None:
            self.listener.offered(self, request.body)
        else:
            self.refuse_offer()

    def _take_offer_received(self) -> ServerTransaction | None:
        transaction, self._offer_received = self._offer_received, None
        if self._lapse is not None:
            self._lapse.cancel()
            self._lapse = None
        return transaction

    def _offer_lapsed(self, status: int) -> None:
        """Nobody will answer the peer's re-INVITE any more: it is refused with STATUS."""
        self.refuse_offer(status)
        if self.listener is not None:
            self.listener.offer_lapsed(self)

    def _take_bye(self, request: Request, transaction: ServerTransaction) -> None:
        self._respond(transaction, 200)
        for open_invite in (self._offer_received, self._invite_received):
            if open_invite is not None and not open_invite.answered:
                self._respond(open_invite, 487)
        self._end(Ended(EndCause.BYE))

    def _take_content(self, request: Request, transaction: ServerTransaction) -> None:
        self._respond(transaction, 200)
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
            self._respond(transaction, 400)
            return
        self._respond(transaction, 202, *self._identity(), ("Supported", "replaces, 100rel"))
        if self.listener is not None:
            self.listener.referred(self, refer_to)

    def _take_update(self, request: Request, transaction: ServerTransaction) -> None:
        self.dialog.refresh(request)
        self._respond(transaction, 488 if request.body else 200, *self._identity())

    def _take_options(self, request: Request, transaction: ServerTransaction) -> None:
        self._respond(transaction, 200, ("Allow", ALLOW), ("Accept", "application/sdp"), ("Supported", "replaces"))

    # -- details -----------------------------------------------------------------------------------------------------
    def _learn(self, message: Request | Response) -> None:
        self.peer_user_agent = message.headers.get("User-Agent") or self.peer_user_agent
        self.peer_allows = tokens(message.headers.get("Allow")) or self.peer_allows

    def _features(self) -> tuple[tuple[str, str], ...]:
        return (("Allow", ALLOW), ("Supported", "replaces"), ("User-Agent", self.exchange.party.user_agent))

    def _contact(self) -> str:
        return self.exchange.path.contact(self.exchange.party)

    def _identity(self) -> tuple[tuple[str, str], tuple[str, str], tuple[str, str]]:
        return (("User-Agent", self.exchange.party.user_agent), ("Allow", ALLOW), ("Contact", self._contact()))

    def _respond(
        self, transaction: ServerTransaction, status: int, *headers: tuple[str, str], body: bytes = b"", tagged: bool = True
    ) -> None:
        tag = self.dialog.local_tag if tagged else ""
        self.exchange.respond(transaction, respond_to(transaction.request, status, tag=tag, headers=headers, body=body))

    def _send(self, method: str, *headers: tuple[str, str], contact: str = "", body: bytes = b"") -> bool:
        if self.state is SessionState.ENDED or not self.dialog.remote_tag:
            return False
        return self._deliver(method, *headers, contact=contact, body=body)

    def _deliver(self, method: str, *headers: tuple[str, str], contact: str = "", body: bytes = b"") -> bool:
        try:
            self.exchange.send(self.dialog.request(method, self.exchange.path, *headers, contact=contact, body=body), self)
        except ConnectionError:
            return False
        except LocalError as error:
            _log.warning("not sent: %s", error)
            return False
        return True

    def _acknowledge(self, transaction: ClientTransaction) -> None:
        self.exchange.send_ack(self.dialog.numbered("ACK", transaction.request.cseq[0], self.exchange.path))

    def _cancel(self) -> None:
        self._cancel_wanted = True
        sent = self._invite_sent
        if sent is None or sent.state is State.TRYING or self._cancel_sent:
            return
        self._cancel_sent = True
        who = ("Contact", self._contact()), ("User-Agent", self.exchange.party.user_agent)
        self.exchange.send(cancel_request(sent.request, *who), self)

    def _bye(self) -> None:
        # Should the peer's Contact make it too long, the session ends here all the same.
        self._deliver("BYE", ("Contact", self._contact()), ("User-Agent", self.exchange.party.user_agent))

    def _finish(self) -> None:
        self.state = SessionState.ENDED
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        self._take_offer_received()
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
