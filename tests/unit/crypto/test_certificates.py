"""Making certificates and revoking them."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from jamid.core.errors import RemoteError
from jamid.crypto.certificates import Certificate, create_account_certificate, create_ca, create_device_certificate, verify_chain
from jamid.crypto.identity import Identity
from jamid.crypto.keys import PrivateKey, PublicKey
from jamid.crypto.revocations import RevocationList
from jamid.dht.types import certificate_key

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def keys() -> list[PrivateKey]:
    return [PrivateKey.generate(2048) for _ in range(3)]


@pytest.fixture(scope="module")
def device(keys: list[PrivateKey]) -> Certificate:
    ca_key, account_key, device_key = keys
    ca = create_ca(ca_key, NOW)
    account = create_account_certificate(account_key, ca_key, ca, NOW)
    return create_device_certificate(device_key.public, account_key, account, NOW)


def test_chain_has_the_real_form(device: Certificate, keys: list[PrivateKey]) -> None:
    account = device.issuer
    assert account is not None
    ca = account.issuer
    assert ca is not None
    assert [member.common_name for member in device.chain()] == ["Jami device", "Jami", "Jami CA"]
    assert [member.uid for member in device.chain()] == [member.id.hex() for member in device.chain()]
    assert (device.is_ca, account.is_ca, ca.is_ca) == (False, True, True)
    assert len(list(device.native.extensions)) == 0
    assert device.native.version is x509.Version.v3
    assert [extension.oid.dotted_string for extension in account.native.extensions] == ["2.5.29.14", "2.5.29.19", "2.5.29.15"]
    assert device.not_after - device.not_before == timedelta(days=3650)
    assert device.native.issuer.public_bytes() == account.native.subject.public_bytes()
    assert b"\x13\x0bJami device" in device.to_der(), "names are PrintableString"
    verify_chain(device, now=NOW)
    assert Identity(keys[2], device).account_uri == keys[1].public.id.hex()


def test_pem_round_trip_and_order(device: Certificate) -> None:
    again = Certificate.from_pem(b"\xc5\x16\x20" + device.to_pem())
    assert [member.to_der() for member in again.chain()] == [member.to_der() for member in device.chain()]
    assert device.issuer is not None
    with pytest.raises(RemoteError, match="not in order"):
        Certificate.from_pem(device.issuer.to_pem(chain=False) + device.to_pem(chain=False))


def test_clock_that_is_an_hour_behind_refuses_no_new_certificate(device: Certificate) -> None:
    verify_chain(device, now=device.not_before - timedelta(hours=1))
    with pytest.raises(RemoteError, match="valid from"):
        verify_chain(device, now=device.not_before - timedelta(days=1))


def test_chain_with_a_strange_issuer_is_refused(device: Certificate, keys: list[PrivateKey]) -> None:
    stranger = create_ca(PrivateKey.generate(2048), NOW)
    forged = Certificate(device.native, Certificate(stranger.native))
    with pytest.raises(RemoteError, match="is not signed by"):
        verify_chain(forged, now=NOW)
    with pytest.raises(RemoteError, match="has no issuer"):
        verify_chain(Certificate(device.native), now=NOW)
    below_device = create_device_certificate(keys[0].public, keys[2], device, NOW)
    with pytest.raises(RemoteError, match="not a certificate authority"):
        verify_chain(below_device, now=NOW)


def test_revocation(device: Certificate, keys: list[PrivateKey]) -> None:
    account = device.issuer
    assert account is not None
    empty = RevocationList.create(account, keys[1], NOW)
    assert not empty.contains(device)
    revoked = empty.with_revoked(device, account, keys[1], NOW)
    again = RevocationList.from_der(revoked.to_der())
    assert again == revoked
    assert again.number == empty.number + 1
    assert x509.load_der_x509_crl(revoked.to_der()).get_revoked_certificate_by_serial_number(device.native.serial_number) is not None
    with pytest.raises(RemoteError, match="was revoked"):
        verify_chain(device, now=NOW, revocations=[again])
    second = again.with_revoked(account, account, keys[1], NOW)
    assert second.serials == {device.native.serial_number, account.native.serial_number}


def test_revocation_list_of_somebody_else_revokes_nothing(device: Certificate) -> None:
    account = device.issuer
    assert account is not None
    stranger = PrivateKey.generate(2048)
    forged = RevocationList.create(account, stranger, NOW).with_revoked(device, account, stranger, NOW)
    verify_chain(device, now=NOW, revocations=[forged])


def test_a_chain_with_names_that_cannot_be_read_is_refused(keys: list[PrivateKey]) -> None:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ABCDEFGH")])
    builder = x509.CertificateBuilder(name, name, keys[0].public.native, 5, NOW, NOW + timedelta(days=1))  # type: ignore[arg-type]
    der = builder.sign(keys[0].native, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
    broken = der.replace(b"ABCDEFGH", b"\xff" * 8)
    pem = b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(broken) + b"-----END CERTIFICATE-----\n"
    with pytest.raises(RemoteError, match="broken"):
        Certificate.from_pem(pem + pem)
    assert certificate_key(keys[0].public.id, pem + pem) is None, "nor may it escape where strangers put certificates"


def test_encryption_reaches_only_its_receiver(keys: list[PrivateKey]) -> None:
    receiver, other = keys[0], keys[1]
    for data in (b"", b"short", b"x" * 245, b"long" * 500):
        sealed = receiver.public.encrypt(data)
        assert receiver.decrypt(sealed) == data
    sealed = receiver.public.encrypt(b"long" * 500)
    with pytest.raises(RemoteError):
        other.decrypt(sealed)
    with pytest.raises(RemoteError, match="damaged"):
        receiver.decrypt(sealed[:-1] + bytes([sealed[-1] ^ 1]))
    with pytest.raises(RemoteError, match="shorter"):
        receiver.decrypt(sealed[:20])


def test_keys_of_absurd_size_are_refused() -> None:
    small = PrivateKey.generate(1024)
    with pytest.raises(RemoteError, match="bits"):
        PublicKey.from_der(small.public.der)
    with pytest.raises(RemoteError, match="bits"):
        PrivateKey.from_pem(small.to_pem())
