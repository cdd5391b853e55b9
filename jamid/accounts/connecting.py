"""How an account connects to peers: its TURN server, its addresses, and which devices it lets in."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from jamid.core.errors import RemoteError
from jamid.core.identifiers import InfoHash, LongId
from jamid.crypto.certificates import Certificate
from jamid.net.connections import Connections, ConnectionSettings
from jamid.net.ice_tcp import IceSettings
from jamid.net.turn import TurnServer

if TYPE_CHECKING:
    from jamid.accounts.jami import JamiAccount

_log = logging.getLogger(__name__)


class AccountPolicy:
    """Whom an account lets connect (protocol: connection, section 2.3)."""

    def __init__(self, account: JamiAccount) -> None:
        self._account = account

    def allows(self, certificate: Certificate) -> bool:
        """Contacts, own devices and members of our conversations; everybody else only when public calls are allowed."""
        account = self._account
        uri = certificate.account_uri
        if any(known.contains(certificate) for known in account.certificates.revocations(uri)):
            return False
        public = account.details.flag("DHT.PublicInCalls") or account.seams.conversations.is_member(account.id, uri)
        return account.contacts.trust.is_allowed(certificate, allow_public=public)

    async def certificate(self, id: InfoHash | LongId) -> Certificate | None:  # noqa: A002 - the seam's name for it
        """A device's certificate whose chain holds, from the store or the DHT."""
        certificate = await self._account.peers.certificate(id)
        if certificate is None:
            return None
        try:
            await self._account.peers.check(certificate)
        except RemoteError as error:
            _log.info("[account=%s] device %s is not let in: %s", self._account.id, certificate.long_id, error)
            return None
        return certificate


def turn_server(account: JamiAccount) -> TurnServer | None:
    """The account's TURN server, None when it uses none."""
    details = account.details
    if not details.flag("TURN.enable"):
        return None
    return TurnServer.parse(details["TURN.server"], details["TURN.username"], details["TURN.password"], details["TURN.realm"])


def connect(account: JamiAccount) -> Connections:
    """The connections of an account that goes online; its handlers are to be given before `start`."""
    session, identity = account.session, account.identity
    assert session is not None
    assert identity is not None
    ice = IceSettings(turn=turn_server(account), public_addresses=session.own_addresses)
    return Connections(
        identity,
        session.dht,
        policy=AccountPolicy(account),
        settings=ConnectionSettings(ice=ice, map_ports=account.details.flag("Account.upnpEnabled"), dht_port=session.port),
        clock=account.clock,
        state_dir=account.cache_path,
        generations=account.generations,
    )
