"""Whom an account lets in: statuses of certificates and the decision about a peer (protocol: identity, section 10)."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from datetime import datetime

from jamid.core import limits
from jamid.core.errors import LimitError, RemoteError
from jamid.crypto.certificates import Certificate, verify_chain
from jamid.crypto.revocations import RevocationList


class Status(enum.Enum):
    """What the user or the contact list says of an id."""

    UNDEFINED = "UNDEFINED"
    ALLOWED = "ALLOWED"
    BANNED = "BANNED"

    @classmethod
    def parse(cls, word: str) -> Status:
        """The status a D-Bus caller names; unknown words count as UNDEFINED."""
        return cls(word) if word in cls._value2member_map_ else cls.UNDEFINED


class TrustStore:
    """Id (short or long, hex) -> status. It is rebuilt from the contacts at every start, not stored."""

    def __init__(self) -> None:
        self._statuses: dict[str, Status] = {}

    def get(self, certificate_id: str) -> Status:
        return self._statuses.get(certificate_id, Status.UNDEFINED)

    def set(self, certificate_id: str, status: Status) -> bool:
        """Sets a status; whether it changed."""
        if self.get(certificate_id) is status:
            return False
        if status is Status.UNDEFINED:
            del self._statuses[certificate_id]
            return True
        if certificate_id not in self._statuses and len(self._statuses) >= limits.TRUST_STATUSES:
            raise LimitError(f"more than {limits.TRUST_STATUSES} certificates have a status")
        self._statuses[certificate_id] = status
        return True

    def by_status(self, status: Status) -> list[str]:
        return [certificate_id for certificate_id, known in self._statuses.items() if known is status]

    def status_of(self, certificate: Certificate) -> Status:
        """BANNED when anything in the chain is, else ALLOWED when anything in it is."""
        statuses = {
            self.get(certificate_id)
            for member in certificate.chain()
            for certificate_id in (member.id.hex(), member.long_id.hex())
        }  # fmt: skip
        return next((status for status in (Status.BANNED, Status.ALLOWED) if status in statuses), Status.UNDEFINED)

    def is_allowed(self, certificate: Certificate, *, allow_public: bool) -> bool:
        """Whether the owner of a verified CERTIFICATE may talk to us; strangers may when ALLOW_PUBLIC."""
        status = self.status_of(certificate)
        return status is Status.ALLOWED or (status is Status.UNDEFINED and allow_public)


def check_peer_device(certificate: Certificate, now: datetime, revocations: Sequence[RevocationList] = ()) -> str:
    """The Jami id of the account a peer's device belongs to; raises RemoteError when its chain does not hold.

    The only anchor is the chain's own top: a Jami id is trusted because it is the hash of its key, not because somebody signed it.
    """
    if certificate.issuer is None:
        raise RemoteError("the device certificate comes without its account")
    verify_chain(certificate, now=now, revocations=revocations)
    return certificate.account_uri


def check_own_device(certificate: Certificate, account: Certificate, now: datetime, revocations: Sequence[RevocationList] = ()) -> None:
    """Checks that a device belongs to the own ACCOUNT; raises RemoteError with the reason."""
    if certificate.issuer is None or certificate.issuer.public_key != account.public_key:
        raise RemoteError(f"device {certificate.long_id.hex()[:16]} is not one of this account")
    verify_chain(certificate, now=now, anchor=account, revocations=revocations)


def check_expiry(certificate: Certificate, now: datetime) -> None:
    """Raises RemoteError when the own chain has expired or its issuers cannot sign; a clock that lags is no reason."""
    for member in certificate.chain():
        if now > member.not_after:
            raise RemoteError(f"the certificate of {member.id} expired on {member.not_after:%Y-%m-%d}")
        if member is not certificate and not member.is_ca:
            raise RemoteError(f"the certificate of {member.id} is not a certificate authority's")
