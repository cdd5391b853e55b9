"""Reinvites: the media changes of one session, ours and the peer's, one at a time (RFC 3261 section 14, RFC 3264 section 8).

A re-INVITE is answered, refused, or lapses; the session goes on as before but for 408 and 481. When both sides send one at once, both
get 491: each tries again after a random time, and gives its own up when the peer's comes first.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import TYPE_CHECKING, Final

from jamid.core.errors import LocalError
from jamid.sip.dialogs import ALLOW
from jamid.sip.messages import Request, Response
from jamid.sip.sending import REPLACES, SDP, Sender
from jamid.sip.session_events import SessionState
from jamid.sip.transactions import ClientTransaction, ServerTransaction

if TYPE_CHECKING:
    from jamid.sip.sessions import InviteSession

_log = logging.getLogger(__name__)

OFFER_SECONDS: Final = 25.0
"""How long a peer's offer may wait for its answer: after 32 it would give up on the call."""


class Reinvites:
    """The re-INVITEs of SESSION."""

    def __init__(self, session: InviteSession, sender: Sender) -> None:
        self._session = session
        self._sender = sender
        self.sent: ClientTransaction | None = None
        """ours that waits for its answer"""
        self.received: ServerTransaction | None = None
        """the peer's that waits for its answer"""
        self._offer_in_answer = False
        """whether our last 200 held the offer, to be answered in its ACK"""
        self._lapse: asyncio.TimerHandle | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._overtaken = False
        """whether the peer's offer came while ours waited to be repeated"""

    @property
    def under_way(self) -> bool:
        return self.sent is not None or self.received is not None or self._retry is not None or self._offer_in_answer

    def stop(self) -> None:
        """The session is over."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        self._take_received()

    # -- ours --------------------------------------------------------------------------------------------------------
    def offer(self, sdp: bytes) -> None:
        """Sends one; raises ConnectionError."""
        self.sent = self._sender.invite(sdp)

    def response(self, response: Response) -> None:
        """Takes a response to ours."""
        if response.status < 200 or self.sent is None:
            return
        transaction, self.sent = self.sent, None
        session = self._session
        if response.status < 300:
            session.dialog.learn(response)
            self._sender.acknowledge(transaction)
            if session.listener is not None:
                session.listener.offer_answered(session, response.body)
        elif session.state is SessionState.ENDED:
            return
        elif response.status == 491:
            # Both sides offered at once: the caller waits longer (RFC 3261 section 14.1).
            delay = 2.1 + secrets.randbelow(1900) / 1000 if session.invite is None else secrets.randbelow(2000) / 1000
            self._retry = asyncio.get_running_loop().call_later(delay, self._offer_again, transaction.request.body)
        elif response.status in (408, 481):
            session.fail(response.status)
        elif session.listener is not None:
            session.listener.offer_refused(session, response.status)

    def no_response(self) -> None:
        self.sent = None
        if self._session.listener is not None:
            self._session.listener.offer_refused(self._session, 408)

    def _offer_again(self, sdp: bytes) -> None:
        self._retry = None
        session = self._session
        if self._overtaken:
            # What it describes may be gone since.
            self._overtaken = False
            if session.listener is not None:
                session.listener.offer_refused(session, 491)
            return
        try:
            session.offer(sdp)
        except (LocalError, ConnectionError) as error:
            if session.listener is not None:
                _log.info("a media change could not be repeated: %s", error)
                session.listener.offer_refused(session, 491)

    # -- the peer's --------------------------------------------------------------------------------------------------
    def take(self, request: Request, transaction: ServerTransaction) -> None:
        """Takes one of the peer."""
        session = self._session
        if session.state not in (SessionState.CONFIRMED, SessionState.ANSWERED) or self.received is not None:
            self._sender.respond(transaction, 500, ("Retry-After", "1"))
            return
        if self.sent is not None or self._offer_in_answer:
            self._sender.respond(transaction, 491)
            return
        session.dialog.refresh(request)
        self._overtaken = self._retry is not None
        self.received = transaction
        self._lapse = asyncio.get_running_loop().call_later(OFFER_SECONDS, self.lapse, 480)
        if session.listener is not None:
            session.listener.offered(session, request.body)
        else:
            self.refuse(488)

    def answer(self, sdp: bytes) -> ServerTransaction | None:
        """Accepts the peer's; None when there is none any more."""
        transaction = self._take_received()
        if transaction is None or transaction.answered:
            return None
        self._offer_in_answer = not transaction.request.body.strip()
        contact = ("Contact", self._sender.contact)
        self._sender.respond(transaction, 200, ("Allow", ALLOW), REPLACES, contact, self._sender.user_agent, SDP, body=sdp)
        return transaction

    def acknowledged(self) -> None:
        """The ACK of the last 200 came."""
        self._offer_in_answer = False

    def refuse(self, status: int) -> None:
        """Refuses the peer's, if there is one."""
        transaction = self._take_received()
        if transaction is not None:
            self._sender.respond(transaction, status)

    def lapse(self, status: int) -> None:
        """Nobody will answer the peer's any more: it is refused with STATUS."""
        self.refuse(status)
        if self._session.listener is not None:
            self._session.listener.offer_lapsed(self._session)

    def _take_received(self) -> ServerTransaction | None:
        transaction, self.received = self.received, None
        if self._lapse is not None:
            self._lapse.cancel()
            self._lapse = None
        return transaction
