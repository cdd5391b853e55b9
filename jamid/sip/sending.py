"""Sender: what one dialog's side says, each message with the headers a Jami device gives it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from jamid.core.errors import LocalError
from jamid.sip.dialogs import ALLOW, Dialog
from jamid.sip.transactions import ClientTransaction, ServerTransaction, respond_to

if TYPE_CHECKING:
    from jamid.sip.exchange import SipExchange
    from jamid.sip.sessions import InviteSession

_log = logging.getLogger(__name__)

Headers = tuple[tuple[str, str], ...]

SDP: Final = ("Content-Type", "application/sdp")
REPLACES: Final = ("Supported", "replaces")


class Sender:
    """Requests and responses of SESSION in its dialog."""

    def __init__(self, session: InviteSession, exchange: SipExchange, dialog: Dialog) -> None:
        self._session = session
        self._exchange = exchange
        self._dialog = dialog

    @property
    def contact(self) -> str:
        return self._exchange.path.contact(self._exchange.party)

    @property
    def user_agent(self) -> tuple[str, str]:
        return ("User-Agent", self._exchange.party.user_agent)

    @property
    def identity(self) -> Headers:
        """Who we are and what we take, in responses."""
        return (self.user_agent, ("Allow", ALLOW), ("Contact", self.contact))

    def invite(self, sdp: bytes, *headers: tuple[str, str]) -> ClientTransaction:
        """Sends an INVITE with an offer; raises ConnectionError."""
        features = (("Allow", ALLOW), REPLACES, self.user_agent)
        request = self._dialog.request("INVITE", self._exchange.path, *headers, *features, SDP, contact=self.contact, body=sdp)
        return self._exchange.send(request, self._session)

    def request(self, method: str, *headers: tuple[str, str], contact: str = "", body: bytes = b"") -> bool:
        """Sends a request; False when it cannot be sent."""
        try:
            self._exchange.send(self._dialog.request(method, self._exchange.path, *headers, contact=contact, body=body), self._session)
        except ConnectionError:
            return False
        except LocalError as error:
            _log.warning("not sent: %s", error)
            return False
        return True

    def bye(self) -> None:
        """Sends BYE; should the peer's Contact make it too long, the session ends here all the same."""
        self.request("BYE", ("Contact", self.contact), self.user_agent)

    def acknowledge(self, transaction: ClientTransaction) -> None:
        self._exchange.send_ack(self._dialog.numbered("ACK", transaction.request.cseq[0], self._exchange.path))

    def respond(
        self, transaction: ServerTransaction, status: int, *headers: tuple[str, str], body: bytes = b"", tagged: bool = True
    ) -> None:
        tag = self._dialog.local_tag if tagged else ""
        self._exchange.respond(transaction, respond_to(transaction.request, status, tag=tag, headers=headers, body=body))
