"""X.509 certificates in Jami's form: chains of device, account and CA (protocol: identity, section 2)."""

from __future__ import annotations

import functools
import secrets
import warnings
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

from jamid.core import limits
from jamid.core.errors import RemoteError
from jamid.core.identifiers import InfoHash, LongId
from jamid.crypto.keys import PrivateKey, PublicKey
from jamid.crypto.revocations import RevocationList

# Half of all Jami certificates carry a negative serial number: the real daemon writes its random bytes without a leading zero.
warnings.filterwarnings("ignore", message=".*serial number which wasn't positive.*")

VALIDITY = timedelta(days=10 * 365)
CLOCK_TOLERANCE = timedelta(hours=2)
"""So long before its start a certificate is taken already: whoever checks it may have the clock of another daylight saving time."""
_PEM_BEGIN = b"-----BEGIN CERTIFICATE-----"
_ACCEPTED_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)


class Certificate:
    """A certificate with, as far as known, the chain of its issuers."""

    __slots__ = ("__dict__", "issuer", "native")

    def __init__(self, native: x509.Certificate, issuer: Certificate | None = None) -> None:
        self.native = native
        self.issuer = issuer

    @classmethod
    def from_pem(cls, data: bytes) -> Certificate:
        """Parses concatenated PEM blocks, leaf first, each followed by its issuer, after any other bytes; raises RemoteError."""
        if len(data) > limits.CERTIFICATE_CHAIN_BYTES:
            raise RemoteError(f"a certificate chain of {len(data)} bytes is too large")
        start = data.find(_PEM_BEGIN)
        if start < 0:
            raise RemoteError("there is no PEM certificate in the data")
        return _load_pem_chain(bytes(data[start:]))

    @classmethod
    def from_der(cls, data: bytes, issuer: Certificate | None = None) -> Certificate:
        """Parses one certificate in DER; raises RemoteError."""
        if len(data) > limits.CERTIFICATE_CHAIN_BYTES:
            raise RemoteError(f"a certificate of {len(data)} bytes is too large")
        try:
            return cls(x509.load_der_x509_certificate(bytes(data)), issuer)
        except Exception as error:
            raise RemoteError(f"not a certificate: {type(error).__name__}") from None

    @classmethod
    def from_bytes(cls, data: bytes) -> Certificate:
        """Parses PEM or, failing that, DER, as peers pack either; raises RemoteError."""
        return cls.from_pem(data) if _PEM_BEGIN in data else cls.from_der(data)

    @classmethod
    def from_chain(cls, certificates: Sequence[x509.Certificate]) -> Certificate:
        """Links certificates that come leaf first, each followed by its issuer; raises RemoteError when they are not in that order."""
        if not 1 <= len(certificates) <= limits.CERTIFICATE_CHAIN_LENGTH:
            raise RemoteError(f"a chain of {len(certificates)} certificates is not accepted")
        linked: Certificate | None = None
        for native in reversed(certificates):
            if linked is not None and not _names_issuer(native, linked.native):
                raise RemoteError("the certificates are not in order: each must be followed by its issuer")
            linked = cls(native, linked)
        assert linked is not None
        return linked

    @functools.cached_property
    def public_key(self) -> PublicKey:
        """The key it certifies; raises RemoteError for a kind of key that nobody here uses."""
        try:
            native = self.native.public_key()
        except Exception as error:
            raise RemoteError(f"the certificate's key is not usable: {type(error).__name__}") from None
        return PublicKey.from_der(native.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))

    @functools.cached_property
    def id(self) -> InfoHash:
        """The short id of its key."""
        return self.public_key.id

    @functools.cached_property
    def long_id(self) -> LongId:
        """The long id of its key; of a device certificate this is the device id."""
        return self.public_key.long_id

    @functools.cached_property
    def common_name(self) -> str:
        return self._name(NameOID.COMMON_NAME)

    @functools.cached_property
    def uid(self) -> str:
        """The UID of the subject, by convention the short id of its key; never trust it, compute `id`."""
        return self._name(NameOID.USER_ID)

    @property
    def account_uri(self) -> str:
        """The Jami id of the account that a device certificate belongs to: the short id of its direct issuer; "" without one."""
        return self.issuer.id.hex() if self.issuer is not None else ""

    @property
    def serial_hex(self) -> str:
        """The serial number's bytes as they stand in the certificate, in hex."""
        serial = self.native.serial_number
        magnitude = serial if serial >= 0 else -serial - 1
        return serial.to_bytes(magnitude.bit_length() // 8 + 1, "big", signed=True).hex()

    @functools.cached_property
    def is_ca(self) -> bool:
        """Whether it may sign others: the CA flag and, if key usage is critical, keyCertSign."""
        try:
            extensions = self.native.extensions
            if not extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
                return False
            usage = extensions.get_extension_for_class(x509.KeyUsage)
        except x509.ExtensionNotFound as missing:
            return missing.oid == x509.KeyUsage.oid
        except Exception:
            return False
        return usage.value.key_cert_sign or not usage.critical

    @property
    def not_before(self) -> datetime:
        return self.native.not_valid_before_utc

    @property
    def not_after(self) -> datetime:
        return self.native.not_valid_after_utc

    def chain(self) -> Iterator[Certificate]:
        """Itself, its issuer, its issuer's issuer …"""
        certificate: Certificate | None = self
        while certificate is not None:
            yield certificate
            certificate = certificate.issuer

    @property
    def chain_ends(self) -> datetime:
        """When it or the first of its issuers expires."""
        return min(member.not_after for member in self.chain())

    def to_der(self) -> bytes:
        return self.native.public_bytes(serialization.Encoding.DER)

    def to_pem(self, chain: bool = True) -> bytes:
        """PEM of itself and, with CHAIN, of all its issuers: the packed form on disk and on the DHT."""
        members = self.chain() if chain else iter((self,))
        return b"".join(member.native.public_bytes(serialization.Encoding.PEM) for member in members)

    def is_signed_by(self, issuer: Certificate) -> bool:
        """Whether ISSUER's key signed it, with a digest of at least 256 bits, and the names agree."""
        try:
            if not isinstance(self.native.signature_hash_algorithm, _ACCEPTED_HASHES):
                return False
            self.native.verify_directly_issued_by(issuer.native)
        except Exception:
            return False
        return True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Certificate) and self.native == other.native

    def __hash__(self) -> int:
        return hash(self.native)

    def __repr__(self) -> str:
        return f"Certificate({self.common_name!r}, {self.id})"

    def _name(self, oid: x509.ObjectIdentifier) -> str:
        try:
            attributes = self.native.subject.get_attributes_for_oid(oid)
        except ValueError:
            return ""
        value = attributes[0].value if attributes else ""
        return value if isinstance(value, str) else value.decode(errors="replace")


def verify_chain(
    certificate: Certificate, *, now: datetime, anchor: Certificate | None = None, revocations: Sequence[RevocationList] = ()
) -> None:
    """Checks CERTIFICATE up to its topmost issuer, or up to ANCHOR when given; raises RemoteError with the reason.

    Each link must be signed by the next, all be valid NOW (give or take a clock that is behind), every issuer be a CA and none be revoked
    (protocol: identity, section 2).
    """
    if certificate.issuer is None and anchor is None:
        raise RemoteError("the certificate has no issuer")
    member: Certificate | None = certificate
    while member is not None:
        _check_dates(member, now)
        if member == anchor:
            return
        issuer = anchor if anchor is not None and member.is_signed_by(anchor) else member.issuer
        if issuer is not None:
            _check_link(member, issuer, revocations)
        elif anchor is not None:
            raise RemoteError(f"the chain does not lead to {anchor.id}")
        member = issuer


def _names_issuer(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        return certificate.issuer == issuer.subject
    except ValueError as error:  # names are only parsed when they are asked for
        raise RemoteError(f"a certificate's name is broken: {error}") from None


def _check_dates(certificate: Certificate, now: datetime) -> None:
    if not certificate.not_before - CLOCK_TOLERANCE <= now <= certificate.not_after:
        period = f"{certificate.not_before:%Y-%m-%d %H:%M} to {certificate.not_after:%Y-%m-%d %H:%M}"
        raise RemoteError(f"the certificate of {certificate.id} is valid from {period}, not at {now:%Y-%m-%d %H:%M}")


def _check_link(member: Certificate, issuer: Certificate, revocations: Sequence[RevocationList]) -> None:
    if not issuer.is_ca:
        raise RemoteError(f"the issuer {issuer.id} is not a certificate authority")
    if not member.is_signed_by(issuer):
        raise RemoteError(f"the certificate of {member.id} is not signed by {issuer.id}")
    for revocation_list in revocations:
        if member.native.serial_number in revocation_list.serials and revocation_list.is_signed_by(issuer.public_key):
            raise RemoteError(f"the certificate of {member.id} was revoked")


def create_ca(key: PrivateKey, now: datetime | None = None, name: str = "Jami CA") -> Certificate:
    """A self-signed CA certificate for KEY."""
    subject = _subject(name, key.public)
    return Certificate(_build(subject, key.public, subject, key, now, ca=True))


def create_account_certificate(key: PrivateKey, ca_key: PrivateKey, ca: Certificate, now: datetime | None = None) -> Certificate:
    """The certificate of an account's KEY, signed by its CA."""
    return Certificate(_build(_subject("Jami", key.public), key.public, ca.native.subject, ca_key, now, ca=True), ca)


def create_device_certificate(
    device_key: PublicKey, account_key: PrivateKey, account: Certificate, now: datetime | None = None
) -> Certificate:
    """The certificate of a device's key, signed by the account; like the real daemon's it has no extensions."""
    native = _build(_subject("Jami device", device_key), device_key, account.native.subject, account_key, now, ca=False)
    return Certificate(native, account)


def _subject(common_name: str, key: PublicKey) -> x509.Name:
    printable = _ASN1Type.PrintableString
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, common_name, printable),
            x509.NameAttribute(NameOID.USER_ID, key.id.hex(), printable),
        ]
    )


def _build(
    subject: x509.Name, key: PublicKey, issuer: x509.Name, issuer_key: PrivateKey, now: datetime | None, *, ca: bool
) -> x509.Certificate:
    start = (now or datetime.now(UTC)).replace(microsecond=0)
    builder = x509.CertificateBuilder(
        issuer_name=issuer,
        subject_name=subject,
        public_key=key.native,  # type: ignore[arg-type]
        serial_number=secrets.randbits(62) + 1,
        not_valid_before=start,
        not_valid_after=start + VALIDITY,
    )
    if ca:
        usage = dict.fromkeys(
            (
                "digital_signature",
                "content_commitment",
                "key_encipherment",
                "data_encipherment",
                "key_agreement",
                "encipher_only",
                "decipher_only",
            ),
            False,
        )
        builder = (
            builder.add_extension(x509.SubjectKeyIdentifier(bytes(key.id)), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.KeyUsage(key_cert_sign=True, crl_sign=True, **usage), critical=True)
        )
    return builder.sign(issuer_key.native, hashes.SHA384())


@functools.lru_cache(maxsize=256)
def _load_pem_chain(data: bytes) -> Certificate:
    try:
        certificates = x509.load_pem_x509_certificates(data)
    except Exception as error:
        raise RemoteError(f"not a certificate chain: {type(error).__name__}") from None
    return Certificate.from_chain(certificates)
