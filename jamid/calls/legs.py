"""A leg: one SIP session of a call. A call of ours has one per device until the first answers; afterwards every call has exactly one."""

from __future__ import annotations

from typing import Protocol

from jamid.calls.negotiation import Negotiator
from jamid.sip.exchange import SipExchange
from jamid.sip.session_events import Ended
from jamid.sip.sessions import InviteSession


class LegOwner(Protocol):
    """Who conducts legs: `Dialing` before the answer, `Call` after it."""

    def leg_progressed(self, leg: Leg, status: int) -> None: ...
    def leg_answered(self, leg: Leg, sdp: bytes) -> None: ...
    def leg_established(self, leg: Leg, sdp: bytes) -> None: ...
    def leg_ended(self, leg: Leg, end: Ended) -> None: ...


class LegTalk(Protocol):
    """Who takes what the peer says inside its dialog, also before the answer."""

    def offered(self, leg: Leg, sdp: bytes) -> None: ...
    def offer_answered(self, leg: Leg, sdp: bytes) -> None: ...
    def offer_refused(self, leg: Leg, status: int) -> None: ...
    def offer_lapsed(self, leg: Leg) -> None: ...
    def info(self, leg: Leg, content_type: str, body: bytes) -> None: ...
    def message(self, leg: Leg, content_type: str, body: bytes) -> None: ...
    def referred(self, leg: Leg, refer_to: str) -> None: ...
    def notified(self, leg: Leg, body: bytes) -> None: ...


class Leg:
    """One session with its negotiator; a SessionListener that passes on what it hears."""

    def __init__(self, session: InviteSession, negotiator: Negotiator, owner: LegOwner, talk: LegTalk) -> None:
        self.session = session
        self.negotiator = negotiator
        self.owner = owner
        self.texts_sent = 0
        """how many of the call's queued texts this device has"""
        self.responded = False
        """whether anything came back"""
        self.over_old_channel = False
        """whether the channel existed before the call, so that it may be dead"""
        self._talk = talk
        session.listener = self

    @property
    def exchange(self) -> SipExchange:
        return self.session.exchange

    def hang_up(self, status: int = 481) -> None:
        """Ends the session without being told of it."""
        self.session.hang_up(status)

    # -- SessionListener ---------------------------------------------------------------------------------------------
    def progressed(self, session: InviteSession, status: int) -> None:
        self.responded = True
        self.owner.leg_progressed(self, status)

    def answered(self, session: InviteSession, sdp: bytes) -> None:
        self.owner.leg_answered(self, sdp)

    def established(self, session: InviteSession, sdp: bytes) -> None:
        self.owner.leg_established(self, sdp)

    def ended(self, session: InviteSession, end: Ended) -> None:
        self.owner.leg_ended(self, end)

    def offered(self, session: InviteSession, sdp: bytes) -> None:
        self._talk.offered(self, sdp)

    def offer_answered(self, session: InviteSession, sdp: bytes) -> None:
        self._talk.offer_answered(self, sdp)

    def offer_refused(self, session: InviteSession, status: int) -> None:
        self._talk.offer_refused(self, status)

    def offer_lapsed(self, session: InviteSession) -> None:
        self._talk.offer_lapsed(self)

    def info(self, session: InviteSession, content_type: str, body: bytes) -> None:
        self._talk.info(self, content_type, body)

    def message(self, session: InviteSession, content_type: str, body: bytes) -> None:
        self._talk.message(self, content_type, body)

    def referred(self, session: InviteSession, refer_to: str) -> None:
        self._talk.referred(self, refer_to)

    def notified(self, session: InviteSession, body: bytes) -> None:
        self._talk.notified(self, body)
