"""What frontends can ask about a certificate: its fields and a list of checks, worded as the real daemon words them (dbus, 7.10)."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import NameOID, SignatureAlgorithmOID

from jamid.core import limits
from jamid.core.errors import JamidError
from jamid.core.files import read_if_present
from jamid.crypto.certificates import Certificate, verify_chain
from jamid.crypto.keys import PrivateKey

PASSED: Final = "PASSED"
FAILED: Final = "FAILED"
UNSUPPORTED: Final = "UNSUPPORTED"
ABSENT: Final[Mapping[str, str]] = {"EXIST": FAILED}

_SIGNATURES: Final = {
    SignatureAlgorithmOID.RSA_WITH_SHA256: "RSA-SHA256",
    SignatureAlgorithmOID.RSA_WITH_SHA384: "RSA-SHA384",
    SignatureAlgorithmOID.RSA_WITH_SHA512: "RSA-SHA512",
    SignatureAlgorithmOID.RSA_WITH_SHA1: "RSA-SHA1",
    SignatureAlgorithmOID.ECDSA_WITH_SHA256: "ECDSA-SHA256",
    SignatureAlgorithmOID.ECDSA_WITH_SHA384: "ECDSA-SHA384",
    SignatureAlgorithmOID.ECDSA_WITH_SHA512: "ECDSA-SHA512",
    SignatureAlgorithmOID.ED25519: "EdDSA-Ed25519",
}
_NEVER_JUDGED: Final = (
    "NOT_SELF_SIGNED",
    "PRIVATE_KEY_SELINUX_ATTRIBUTES",
    "PRIVATE_KEY_STORAGE_LOCATION",
    "PUBLIC_KEY_SELINUX_ATTRIBUTES",
    "PUBLIC_KEY_STORAGE_LOCATION",
)


def read_certificate(path: str) -> Certificate | None:
    """The certificate chain in a file; None when there is none."""
    try:
        data = read_if_present(Path(path), limits.CERTIFICATE_CHAIN_BYTES) if path else None
        return None if data is None else Certificate.from_bytes(data)
    except JamidError:
        return None


def describe(certificate: Certificate) -> dict[str, str]:
    """The fields of a certificate, the union of what both generations tell."""
    native = certificate.native
    issuer_name = _dn(native.issuer)
    algorithm = _SIGNATURES.get(native.signature_algorithm_oid, native.signature_algorithm_oid._name)
    return {
        "ACTIVATION_DATE": f"{certificate.not_before:%Y-%m-%d}",
        "EXPIRATION_DATE": f"{certificate.not_after:%Y-%m-%d}",
        "REQUIRE_PRIVATE_KEY_PASSWORD": FAILED,
        "PUBLIC_SIGNATURE": native.signature.hex(),
        "VERSION_NUMBER": str(native.version.value + 1),
        "SERIAL_NUMBER": certificate.serial_hex,
        "ISSUER": certificate.issuer.id.hex() if certificate.issuer is not None else _attribute(native.issuer, NameOID.USER_ID),
        "SUBJECT_KEY": certificate.public_key.der.hex(),
        "SUBJECT_KEY_ALGORITHM": _key_algorithm(certificate),
        "CN": _attribute(native.subject, NameOID.COMMON_NAME),
        "UID": _attribute(native.subject, NameOID.USER_ID),
        "N": _attribute(native.subject, NameOID.SURNAME),
        "O": _attribute(native.subject, NameOID.ORGANIZATION_NAME),
        "SIGNATURE_ALGORITHM": algorithm,
        "MD5_FINGERPRINT": hashlib.md5(certificate.to_der(), usedforsecurity=False).hexdigest(),
        "SHA1_FINGERPRINT": hashlib.sha1(certificate.to_der(), usedforsecurity=False).hexdigest(),
        "PUBLIC_KEY_ID": certificate.id.hex(),
        "ISSUER_DN": issuer_name,
        "ISSUER_CN": _attribute(native.issuer, NameOID.COMMON_NAME),
        "ISSUER_UID": _attribute(native.issuer, NameOID.USER_ID),
        "ISSUER_N": _attribute(native.issuer, NameOID.SURNAME),
        "ISSUER_O": _attribute(native.issuer, NameOID.ORGANIZATION_NAME),
        "NEXT_EXPECTED_UPDATE_DATE": issuer_name,
        "OUTGOING_SERVER": "",
        "IS_CA": "true" if certificate.is_ca else "false",
    }


def check(
    certificate: Certificate, now: datetime, *, key: PrivateKey | None = None, path: str = "", key_path: str = "", authorities: str = ""
) -> dict[str, str]:
    """The checks of a certificate and, with PATH and KEY_PATH, of the files it lies in."""
    known_authority = _is_known(certificate, authorities, now)
    result = dict.fromkeys(_NEVER_JUDGED, UNSUPPORTED)
    result |= {
        "HAS_PRIVATE_KEY": _word(key is not None),
        "EXPIRED": _word(now <= certificate.not_after),
        "NOT_ACTIVATED": _word(now >= certificate.not_before),
        "STRONG_SIGNING": _word(certificate.native.signature_hash_algorithm is None or _strong(certificate)),
        "KEY_MATCH": UNSUPPORTED if key is None else _word(key.public == certificate.public_key),
        "EXIST": PASSED,
        "VALID": PASSED,
        "VALID_AUTHORITY": _word(known_authority),
        "KNOWN_AUTHORITY": _word(known_authority),
        "NOT_REVOKED": PASSED,
        "AUTHORITY_MISMATCH": PASSED,
        "UNEXPECTED_OWNER": PASSED,
        "PUBLIC_KEY_STORAGE_PERMISSION": _private(path) if path else UNSUPPORTED,
        "PUBLICKEY_DIRECTORY_PERMISSIONS": _private(str(Path(path).parent), directory=True) if path else FAILED,
        "PRIVATE_KEY_STORAGE_PERMISSION": _private(key_path) if key_path else UNSUPPORTED,
        "PRIVATEKEY_DIRECTORY_PERMISSIONS": _private(str(Path(key_path).parent), directory=True) if key_path else UNSUPPORTED,
    }
    return result


def read_key(path: str, password: str) -> PrivateKey | None:
    """The private key in a file; None when there is none or the password is wrong."""
    try:
        data = read_if_present(Path(path), limits.CERTIFICATE_CHAIN_BYTES) if path else None
        return None if data is None else PrivateKey.from_pem(data, password.encode() or None)
    except JamidError:
        return None


def _word(passed: bool) -> str:
    return PASSED if passed else FAILED


def _strong(certificate: Certificate) -> bool:
    algorithm = certificate.native.signature_hash_algorithm
    return algorithm is not None and algorithm.digest_size >= 32


def _is_known(certificate: Certificate, authorities: str, now: datetime) -> bool:
    anchor = read_certificate(authorities)
    if anchor is None:
        return False
    try:
        verify_chain(certificate, now=now, anchor=anchor)
    except JamidError:
        return False
    return True


def _private(path: str, *, directory: bool = False) -> str:
    """Whether only the owner may use a file or directory."""
    try:
        mode = stat.S_IMODE(Path(path).stat().st_mode)
    except OSError:
        return FAILED
    return _word(not mode & 0o077 and (directory or not mode & 0o100))


def _key_algorithm(certificate: Certificate) -> str:
    key = certificate.public_key.native
    if isinstance(key, rsa.RSAPublicKey):
        return "RSA"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return "EC/ECDSA"
    return "EdDSA" if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey) else UNSUPPORTED


def _attribute(name: x509.Name, oid: x509.ObjectIdentifier) -> str:
    attributes = name.get_attributes_for_oid(oid)
    if not attributes:
        return UNSUPPORTED
    value = attributes[0].value
    return value if isinstance(value, str) else value.decode(errors="replace")


def _dn(name: x509.Name) -> str:
    """The name in the order in which it is written, as GnuTLS shows it."""
    return ",".join(attribute.rfc4514_string() for attribute in name)
