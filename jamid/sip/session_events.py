"""The states of a session, how it ends, and who is told (RFC 3261 sections 13 to 15)."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from jamid.sip.sessions import InviteSession


class SessionState(enum.Enum):
    """Where a session is; the table above."""

    CALLING = "calling"
    INCOMING = "incoming"
    EARLY = "early"
    ANSWERED = "answered"
    CONFIRMED = "confirmed"
    ENDED = "ended"


class EndCause(enum.Enum):
    """Why a session ended without our asking."""

    BYE = "bye"
    CANCELLED = "cancelled"
    REFUSED = "refused"
    """a final response from 300 on"""
    SILENCE = "silence"
    """no response or no ACK for 32 s"""
    LOST = "lost"
    """the transport closed"""


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a session, told once; `status` is the SIP code behind REFUSED, else 0."""

    cause: EndCause
    status: int = 0


class SessionListener(Protocol):
    """Who conducts a session: a leg of a call."""

    def progressed(self, session: InviteSession, status: int) -> None:
        """A provisional response to our INVITE: 100, 180, 183."""
        ...

    def answered(self, session: InviteSession, sdp: bytes) -> None:
        """Our INVITE was accepted; the ACK is on its way."""
        ...

    def established(self, session: InviteSession, sdp: bytes) -> None:
        """The ACK of a 200 of ours arrived; SDP is the answer when that 200 held the offer."""
        ...

    def offered(self, session: InviteSession, sdp: bytes) -> None:
        """A re-INVITE arrived: answer with `answer_offer` or `refuse_offer` in time; SDP is empty when we are to make the offer."""
        ...

    def offer_answered(self, session: InviteSession, sdp: bytes) -> None:
        """Our re-INVITE was accepted."""
        ...

    def offer_refused(self, session: InviteSession, status: int) -> None:
        """Our re-INVITE was refused; the session goes on as before. With 491 the peer's own came first: another may be sent."""
        ...

    def offer_lapsed(self, session: InviteSession) -> None:
        """The peer took its re-INVITE back, or waited too long for an answer and got 480."""
        ...

    def info(self, session: InviteSession, content_type: str, body: bytes) -> None: ...

    def message(self, session: InviteSession, content_type: str, body: bytes) -> None: ...

    def referred(self, session: InviteSession, refer_to: str) -> None:
        """The peer wants us to call REFER_TO instead (already answered 202)."""
        ...

    def notified(self, session: InviteSession, body: bytes) -> None:
        """A NOTIFY, for a transfer of ours with the status line of the new call."""
        ...

    def ended(self, session: InviteSession, end: Ended) -> None:
        """The session ended, not by our own `hang_up` or `reject`."""
        ...
