"""RSA keys as Jami uses them: ids, PKCS#1 v1.5 signatures with SHA-512, OpenDHT's encryption (protocol: opendht, sections 18-20)."""

from __future__ import annotations

import functools
import os

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from jamid.core import limits
from jamid.core.errors import LocalError, RemoteError
from jamid.core.identifiers import InfoHash, LongId

_SIGNATURE_HASH = hashes.SHA512()
_PKCS1_OVERHEAD = 11
_IV_LENGTH = 12
_TAG_LENGTH = 16
_AES_KEY_LENGTHS = (32, 24, 16)


class PublicKey:
    """A public key, known by the SHA-1 and the SHA-256 of its SubjectPublicKeyInfo; equal when that is equal."""

    __slots__ = ("__dict__", "der", "native")

    def __init__(self, native: PublicKeyTypes) -> None:
        self.native = native
        self.der = native.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)

    @classmethod
    def from_der(cls, data: bytes) -> PublicKey:
        """Parses a SubjectPublicKeyInfo in DER (or PEM, as some peers write it); raises RemoteError."""
        return _load_public_key(bytes(data))

    @functools.cached_property
    def id(self) -> InfoHash:
        """The short key id: SHA-1 of the SubjectPublicKeyInfo."""
        return InfoHash.of(self.der)

    @functools.cached_property
    def long_id(self) -> LongId:
        """The long key id: SHA-256 of the SubjectPublicKeyInfo."""
        return LongId.of(self.der)

    def verify(self, data: bytes, signature: bytes) -> bool:
        """Whether SIGNATURE over DATA was made by this key (RSASSA-PKCS1-v1_5, SHA-512); False for keys that are not RSA."""
        if not isinstance(self.native, rsa.RSAPublicKey):
            return False
        try:
            self.native.verify(signature, data, padding.PKCS1v15(), _SIGNATURE_HASH)
        except InvalidSignature:
            return False
        return True

    def encrypt(self, data: bytes) -> bytes:
        """DATA for the owner of this key: plain RSA when it fits, else RSA(AES key) followed by AES-256-GCM."""
        if not isinstance(self.native, rsa.RSAPublicKey):
            raise LocalError("only an RSA key can be encrypted to")
        size_limit = self.native.key_size // 8 - _PKCS1_OVERHEAD
        if len(data) <= size_limit:
            return self.native.encrypt(data, padding.PKCS1v15())
        key = os.urandom(next(length for length in _AES_KEY_LENGTHS if length <= size_limit))
        iv = os.urandom(_IV_LENGTH)
        return self.native.encrypt(key, padding.PKCS1v15()) + iv + AESGCM(key).encrypt(iv, data, None)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublicKey) and self.der == other.der

    def __hash__(self) -> int:
        return hash(self.der)

    def __repr__(self) -> str:
        return f"PublicKey({self.id})"


class PrivateKey:
    """An RSA private key."""

    __slots__ = ("__dict__", "native")

    def __init__(self, native: rsa.RSAPrivateKey) -> None:
        self.native = native

    @classmethod
    def generate(cls, bits: int = 4096) -> PrivateKey:
        """A new key; takes 0.2 to 5 s for 4096 bits: call it off the event loop."""
        return cls(rsa.generate_private_key(public_exponent=65537, key_size=bits))

    @classmethod
    def from_pem(cls, pem: bytes, password: bytes | None = None, *, trusted: bool = False) -> PrivateKey:
        """Parses PEM (PKCS#8 or PKCS#1), encrypted or not; raises RemoteError on anything but an RSA key of sane size.

        The check that its numbers fit together takes 0.25 s; a key of our own making is TRUSTED and spared it.
        """
        try:
            native = serialization.load_pem_private_key(pem, password or None, unsafe_skip_rsa_key_validation=trusted)
        except (ValueError, TypeError, UnicodeError) as error:
            raise RemoteError(f"not a usable private key: {error}") from None
        except Exception as error:
            raise RemoteError(f"not a supported private key: {type(error).__name__}") from None
        if not isinstance(native, rsa.RSAPrivateKey):
            raise RemoteError("the private key is not an RSA key")
        _check_size(native.key_size)
        return cls(native)

    @functools.cached_property
    def public(self) -> PublicKey:
        return PublicKey(self.native.public_key())

    def to_pem(self) -> bytes:
        """PKCS#8 PEM, unencrypted, as the real daemon stores it."""
        return self.native.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())

    def sign(self, data: bytes) -> bytes:
        """RSASSA-PKCS1-v1_5 with SHA-512; 2 ms for 4096 bits."""
        return self.native.sign(data, padding.PKCS1v15(), _SIGNATURE_HASH)

    def decrypt(self, blob: bytes) -> bytes:
        """Opens what `PublicKey.encrypt` made for this key; raises RemoteError when it is for somebody else or damaged."""
        key_length = self.native.key_size // 8
        if len(blob) < key_length:
            raise RemoteError(f"encrypted data of {len(blob)} bytes is shorter than the key")
        try:
            head = self.native.decrypt(blob[:key_length], padding.PKCS1v15())
        except ValueError:
            raise RemoteError("the data is not encrypted to this key") from None
        if len(blob) == key_length:
            return head
        if len(head) not in _AES_KEY_LENGTHS or len(blob) < key_length + _IV_LENGTH + _TAG_LENGTH:
            raise RemoteError("the data is not encrypted to this key")
        iv, sealed = blob[key_length : key_length + _IV_LENGTH], blob[key_length + _IV_LENGTH :]
        try:
            return AESGCM(head).decrypt(iv, sealed, None)
        except InvalidTag:
            raise RemoteError("the encrypted data is damaged or not for this key") from None

    def __repr__(self) -> str:
        return f"PrivateKey(public={self.public.id})"


@functools.lru_cache(maxsize=512)
def _load_public_key(data: bytes) -> PublicKey:
    if len(data) > limits.CERTIFICATE_CHAIN_BYTES:
        raise RemoteError(f"a public key of {len(data)} bytes is too large")
    try:
        load = serialization.load_pem_public_key if data.startswith(b"-----") else serialization.load_der_public_key
        native = load(data)
    except Exception as error:
        raise RemoteError(f"not a public key: {type(error).__name__}") from None
    if isinstance(native, rsa.RSAPublicKey):
        _check_size(native.key_size)
    return PublicKey(native)


def _check_size(bits: int) -> None:
    if not limits.RSA_KEY_BITS_MIN <= bits <= limits.RSA_KEY_BITS_MAX:
        raise RemoteError(f"RSA keys have {limits.RSA_KEY_BITS_MIN} to {limits.RSA_KEY_BITS_MAX} bits here, not {bits}")
