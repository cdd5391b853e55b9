"""Certificate revocation lists of accounts, in the form the real daemon writes (RFC 5280, section 5; protocol: identity, section 13.4)."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from jamid.core import limits
from jamid.core.errors import RemoteError
from jamid.crypto import der
from jamid.crypto.keys import PrivateKey, PublicKey

if TYPE_CHECKING:
    from jamid.crypto.certificates import Certificate

_SHA512_WITH_RSA = der.write(der.SEQUENCE, der.write(der.OBJECT_IDENTIFIER, bytes.fromhex("2a864886f70d01010d")), der.write(der.NULL))
_CRL_NUMBER = der.write(der.OBJECT_IDENTIFIER, bytes.fromhex("551d14"))


@dataclass(frozen=True, slots=True)
class RevocationList:
    """A signed list of the serial numbers of revoked devices."""

    encoded: bytes
    """the whole list in DER"""
    signed: bytes
    """the part that the signature covers"""
    signature: bytes
    issuer_name: bytes
    """the issuer's subject in DER"""
    number: int
    """counts up with every new list; negative in half of the real ones"""
    serials: frozenset[int]

    @classmethod
    def from_der(cls, data: bytes) -> RevocationList:
        """Parses a list; raises RemoteError. The signature is not checked here."""
        if len(data) > limits.REVOCATION_LIST_BYTES:
            raise RemoteError(f"a revocation list of {len(data)} bytes is too large")
        outer = der.read_element(data).expect(der.SEQUENCE).children()
        if len(outer) != 3:
            raise RemoteError("a revocation list has three parts")
        signed, _, signature = outer
        parts = signed.expect(der.SEQUENCE).children()
        if parts and parts[0].tag == der.INTEGER:
            parts = parts[1:]
        if len(parts) < 3:
            raise RemoteError("the revocation list is cut short")
        serials: set[int] = set()
        number = 0
        for part in parts[3:]:
            if part.tag == der.SEQUENCE:
                serials.update(_serials(part))
            elif part.tag == der.CONTEXT_0:
                number = _number(part)
        return cls(data, signed.encoded, signature.expect(der.BIT_STRING).content[1:], parts[1].encoded, number, frozenset(serials))

    @classmethod
    def create(cls, issuer: Certificate, issuer_key: PrivateKey, now: datetime | None = None) -> RevocationList:
        """An empty, signed list of ISSUER (an account)."""
        blank = cls(b"", b"", b"", issuer.native.subject.public_bytes(), secrets.randbits(62), frozenset())
        return blank._signed(issuer, issuer_key, {}, now or datetime.now(UTC))

    def with_revoked(
        self, certificate: Certificate, issuer: Certificate, issuer_key: PrivateKey, now: datetime | None = None
    ) -> RevocationList:
        """A newer list that also names CERTIFICATE, signed by its issuer."""
        now = now or datetime.now(UTC)
        dates = self._dates() | {certificate.native.serial_number: _time(now)}
        return replace(self, number=self.number + 1)._signed(issuer, issuer_key, dates, now)

    def contains(self, certificate: Certificate) -> bool:
        """Whether CERTIFICATE is named in the list; only meaningful when its issuer signed the list."""
        return certificate.native.serial_number in self.serials

    def is_signed_by(self, key: PublicKey) -> bool:
        """Whether KEY signed the list."""
        return key.verify(self.signed, self.signature)

    def to_der(self) -> bytes:
        return self.encoded

    def _dates(self) -> dict[int, bytes]:
        dates: dict[int, bytes] = {}
        for part in der.read_element(self.signed).children():
            if part.tag == der.SEQUENCE:
                for entry in part.children():
                    fields = entry.children() if entry.tag == der.SEQUENCE else []
                    if len(fields) >= 2 and fields[0].tag == der.INTEGER and fields[1].tag in (der.UTC_TIME, der.GENERALIZED_TIME):
                        dates[int.from_bytes(fields[0].content, "big", signed=True)] = fields[1].encoded
        return dates

    def _signed(self, issuer: Certificate, issuer_key: PrivateKey, dates: dict[int, bytes], now: datetime) -> RevocationList:
        entries = [der.write(der.SEQUENCE, der.integer(serial), date) for serial, date in dates.items()]
        number = der.write(der.SEQUENCE, _CRL_NUMBER, der.write(der.OCTET_STRING, der.integer(self.number)))
        signed = der.write(
            der.SEQUENCE,
            der.integer(1),
            _SHA512_WITH_RSA,
            self.issuer_name,
            _time(now),
            _time(issuer.not_after),
            *([der.write(der.SEQUENCE, *entries)] if entries else []),
            der.write(der.CONTEXT_0, der.write(der.SEQUENCE, number)),
        )
        signature = issuer_key.sign(signed)
        encoded = der.write(der.SEQUENCE, signed, _SHA512_WITH_RSA, der.write(der.BIT_STRING, b"\0", signature))
        return RevocationList(encoded, signed, signature, self.issuer_name, self.number, frozenset(dates))


def _time(moment: datetime) -> bytes:
    moment = moment.astimezone(UTC)
    if moment.year < 2050:
        return der.write(der.UTC_TIME, moment.strftime("%y%m%d%H%M%SZ").encode())
    return der.write(der.GENERALIZED_TIME, moment.strftime("%Y%m%d%H%M%SZ").encode())


def _serials(revoked: der.Element) -> set[int]:
    serials = set()
    for entry in revoked.children():
        fields = entry.expect(der.SEQUENCE).children()
        if not fields:
            raise RemoteError("an entry of the revocation list is empty")
        serials.add(int.from_bytes(fields[0].expect(der.INTEGER).content, "big", signed=True))
    return serials


def _number(extensions: der.Element) -> int:
    for sequence in extensions.children():
        for extension in sequence.children():
            fields = extension.children() if extension.tag == der.SEQUENCE else []
            if len(fields) >= 2 and fields[0].encoded == _CRL_NUMBER:
                value = der.read_element(fields[-1].expect(der.OCTET_STRING).content).expect(der.INTEGER)
                return int.from_bytes(value.content, "big", signed=True)
    return 0
