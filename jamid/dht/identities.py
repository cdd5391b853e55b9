"""Identity files of `jami-dht`: a private key and its certificate chain in one PEM file, or in dhtnode's pair of files."""

from __future__ import annotations

from pathlib import Path

from jamid.core.errors import LocalError, RemoteError
from jamid.core.files import read_if_present, write_atomically
from jamid.crypto.certificates import Certificate, create_account_certificate, create_ca
from jamid.crypto.identity import Identity
from jamid.crypto.keys import PrivateKey

_FILE_BYTES = 1 << 20


def load_identity(path: Path, *, create: bool = True) -> Identity:
    """The identity in PATH, in PATH.pem and PATH.crt as dhtnode saves it, or a new one saved in PATH; raises LocalError.

    Making keys takes seconds: call it off the event loop.
    """
    data = read_if_present(path, _FILE_BYTES)
    if data is None:
        key, certificate = (read_if_present(path.with_name(path.name + suffix), _FILE_BYTES) for suffix in (".pem", ".crt"))
        data = key + b"\n" + certificate if key is not None and certificate is not None else None
    if data is not None:
        return _parse(path, data)
    if not create:
        raise LocalError(f"there is no identity file {path}")
    identity = make_identity()
    write_atomically(path, identity.key.to_pem() + identity.certificate.to_pem())
    return identity


def make_identity() -> Identity:
    """A new key with a certificate and a CA of its own."""
    ca_key, key = PrivateKey.generate(), PrivateKey.generate()
    return Identity(key, create_account_certificate(key, ca_key, create_ca(ca_key, name="jami-dht CA")))


def _parse(path: Path, data: bytes) -> Identity:
    begin, end = data.find(b"-----BEGIN"), data.find(b"-----END")
    blocks = data.split(b"-----BEGIN ")
    keys = [b"-----BEGIN " + block for block in blocks if block.partition(b"-----")[0].endswith(b"PRIVATE KEY")]
    if begin < 0 or end < 0 or not keys:
        raise LocalError(f"{path} holds no private key in PEM")
    try:
        identity = Identity(PrivateKey.from_pem(keys[0]), Certificate.from_pem(data))
    except RemoteError as error:
        raise LocalError(f"{path} is no identity: {error}") from None
    if identity.certificate.public_key != identity.key.public:
        raise LocalError(f"the certificate in {path} is not that of its key")
    return identity
