"""TLS between two devices over memory: ciphertext in, plaintext out, and the other way round (protocol: connection, section 9)."""

from __future__ import annotations

from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL

from jamid.core import limits
from jamid.core.errors import RemoteError
from jamid.crypto.certificates import Certificate
from jamid.crypto.identity import Identity

RECORD_PLAINTEXT: Final = 16384
_RECORD_OVERHEAD: Final = 64
_OPTIONS: Final = SSL.OP_NO_TICKET | SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION


def make_context(identity: Identity) -> SSL.Context:
    """The TLS settings of a device, for both roles. Every certificate of its chain is sent: the older generation insists on it."""
    context = SSL.Context(SSL.TLS_METHOD)
    # Not 1.3 alone: only a client that also offers 1.2 sends renegotiation_info, without which both generations hang up.
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_max_proto_version(SSL.TLS1_3_VERSION)
    # The one group for which both generations send a key share and which they prefer as servers: no second round for the keys.
    context.set_tmp_ecdh(ec.SECP384R1())
    context.set_options(_OPTIONS)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_verify_depth(limits.CERTIFICATE_CHAIN_LENGTH)
    # Peers are their own authorities: the chain is checked after the handshake, against who we meant to talk to.
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
    leaf, *issuers = identity.certificate.chain()
    context.use_certificate(leaf.native)
    for issuer in issuers:
        context.add_extra_chain_cert(issuer.native)
    context.use_privatekey(identity.key.native)
    return context


class TlsEngine:
    """One TLS connection. After each call `take_output` has the records to send."""

    def __init__(self, context: SSL.Context, *, server: bool) -> None:
        self.established = False
        self.closed_by_peer = False
        self._connection = SSL.Connection(context, None)
        if server:
            self._connection.set_accept_state()
        else:
            self._connection.set_connect_state()
        self._shut = False

    def start(self) -> None:
        """Begins the handshake; the client's first flight is then in the output."""
        self._handshake()

    def feed(self, data: bytes | memoryview) -> list[bytes]:
        """Takes ciphertext and returns the plaintext that came with it; raises RemoteError when the peer broke TLS."""
        plain: list[bytes] = []
        if self.closed_by_peer:
            return plain
        self._connection.bio_write(data)
        if not self.established and not self._handshake():
            return plain
        receive = self._connection.recv
        try:
            while True:
                plain.append(receive(RECORD_PLAINTEXT))
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            self.closed_by_peer = True
        except SSL.Error as error:
            raise RemoteError(f"TLS failed: {_reason(error)}") from None
        return plain

    def encrypt(self, data: bytes | memoryview) -> bytes:
        """The records that carry DATA; the connection must be established. Whole records when DATA fills them."""
        try:
            self._connection.sendall(data)  # not `send`, which stops after a record
        except SSL.Error as error:
            raise RemoteError(f"TLS failed: {_reason(error)}") from None
        return self.take_output(len(data) + (len(data) // RECORD_PLAINTEXT + 1) * _RECORD_OVERHEAD)

    def take_output(self, expected: int = 8192) -> bytes:
        """The records that are to be sent, possibly none."""
        parts = []
        try:
            while True:
                part = self._connection.bio_read(expected)
                parts.append(part)
                if len(part) < expected:
                    break
        except SSL.WantReadError:
            pass
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def shutdown(self) -> bytes:
        """The close_notify to send, once."""
        if self._shut or not self.established:
            return b""
        self._shut = True
        try:
            self._connection.shutdown()
        except SSL.Error:
            return b""
        return self.take_output()

    def peer_certificate(self) -> Certificate:
        """The peer's certificate with the chain it sent, in order of issuing; raises RemoteError when it is not usable."""
        leaf = self._connection.get_peer_certificate(as_cryptography=True)
        if leaf is None:
            raise RemoteError("the peer sent no certificate")
        # OpenSSL's chain has the leaf in one role and not in the other.
        rest = [member for member in self._connection.get_peer_cert_chain(as_cryptography=True) or () if member != leaf]
        try:
            ordered = _in_order(leaf, rest)
        except ValueError as error:  # names are only parsed when they are asked for
            raise RemoteError(f"the peer's certificate has a broken name: {error}") from None
        return Certificate.from_chain(ordered)

    @property
    def version(self) -> str:
        """Such as `TLSv1.3`."""
        return self._connection.get_protocol_version_name()

    @property
    def cipher(self) -> str:
        """Such as `TLS_AES_256_GCM_SHA384`."""
        return self._connection.get_cipher_name() or ""

    def _handshake(self) -> bool:
        try:
            self._connection.do_handshake()
        except SSL.WantReadError:
            return False
        except SSL.Error as error:
            raise RemoteError(f"TLS handshake failed: {_reason(error)}") from None
        self.established = True
        return True


def _in_order(leaf: x509.Certificate, rest: list[x509.Certificate]) -> list[x509.Certificate]:
    ordered = [leaf]
    while ordered[-1].issuer != ordered[-1].subject and len(ordered) <= limits.CERTIFICATE_CHAIN_LENGTH:
        issuer = next((member for member in rest if member.subject == ordered[-1].issuer and member not in ordered), None)
        if issuer is None:
            break
        ordered.append(issuer)
    return ordered


def _reason(error: SSL.Error) -> str:
    if isinstance(error, SSL.SysCallError):
        return "the peer hung up"
    details = error.args[0] if error.args else None
    if isinstance(details, list) and details:
        return ", ".join(str(entry[-1]) for entry in details)
    return type(error).__name__
