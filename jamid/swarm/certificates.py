"""Certificates as files of a conversation, parsed once per content (protocol: swarm, sections 2, 3 and 5.4)."""

from __future__ import annotations

import functools

from cryptography.x509.oid import NameOID

from jamid.core.errors import RemoteError
from jamid.crypto.certificates import Certificate
from jamid.crypto.keys import PublicKey
from jamid.swarm.objects import BLOB, Tree, read_as

_CACHED = 512
_cache: dict[str, CertificateFile] = {}


class CertificateFile:
    """The first certificate of a file, with the answers that the rules ask for again and again."""

    def __init__(self, certificate: Certificate) -> None:
        self.certificate = certificate
        self.public_key: PublicKey = certificate.public_key
        self.account_id = certificate.id.hex()
        self.device_id = certificate.long_id.hex()
        self.issuer_uid = _issuer_uid(certificate)
        self.valid_from = int(certificate.not_before.timestamp())
        self.valid_until = int(certificate.not_after.timestamp())
        self._signed_by: dict[bytes, bool] = {}

    def is_signed_by(self, issuer: CertificateFile) -> bool:
        """Whether ISSUER's key made this certificate."""
        key = issuer.public_key.der
        if key not in self._signed_by:
            self._signed_by[key] = self.certificate.is_signed_by(issuer.certificate)
        return self._signed_by[key]


def read_certificate_file(tree: Tree, path: str) -> CertificateFile | None:
    """The certificate in the file at PATH, None when there is no such file; raises RemoteError when it holds none."""
    entry = tree.entry(path)
    if entry is None or entry.is_directory:
        return None
    known = _cache.get(entry.oid)
    if known is None:
        if len(_cache) >= _CACHED:
            _cache.pop(next(iter(_cache)))
        known = _cache[entry.oid] = CertificateFile(Certificate.from_pem(read_as(tree.objects, entry.oid, BLOB)))
    return known


@functools.lru_cache(maxsize=_CACHED)
def _issuer_uid(certificate: Certificate) -> str:
    """The account named in a device certificate's issuer, "" when it names none."""
    try:
        attributes = certificate.native.issuer.get_attributes_for_oid(NameOID.USER_ID)
    except ValueError as error:
        raise RemoteError(f"the certificate's issuer is malformed: {error}") from None
    value = attributes[0].value if attributes else ""
    return value if isinstance(value, str) else value.decode(errors="replace")
