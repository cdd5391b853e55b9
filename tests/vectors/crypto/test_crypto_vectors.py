"""Keys, certificates, revocation lists and boxes of the real daemons, byte by byte."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest

from jamid.core.errors import RemoteError
from jamid.core.identifiers import InfoHash, LongId
from jamid.crypto import boxes
from jamid.crypto.certificates import Certificate, verify_chain
from jamid.crypto.keys import PrivateKey
from jamid.crypto.revocations import RevocationList

DATA = Path(__file__).parents[2] / "data/crypto"
OPENDHT = json.loads((DATA / "opendht_crypto.json").read_text())
IDS = json.loads((DATA / "ids.json").read_text())


@pytest.mark.parametrize("name", ["A", "K2"])
def test_ids_of_opendht_keys(name: str) -> None:
    expected = OPENDHT["keys"][name]
    key = PrivateKey.from_pem((DATA / expected["key_file"]).read_bytes())
    certificate = Certificate.from_pem((DATA / expected["cert_file"]).read_bytes())
    assert key.public.id.hex() == expected["id_sha1"] == certificate.id.hex()
    assert key.public.long_id.hex() == expected["long_id_sha256"]
    assert InfoHash.of(bytes(key.public.long_id)).hex() == expected["cert_key_3_5"]


def test_ids_of_a_real_account() -> None:
    device = Certificate.from_pem((DATA / "ring_device.crt").read_bytes())
    account = device.issuer
    assert account is not None
    assert account.issuer is not None
    assert device.long_id.hex() == IDS["device_id"]
    assert device.id.hex() == device.uid == IDS["device_short_id"]
    assert device.account_uri == IDS["account_id"]
    assert account.long_id.hex() == IDS["account_long_id"]
    assert account.issuer.id.hex() == IDS["ca_id"]
    assert InfoHash.of("inbox:" + device.id.hex()).hex() == IDS["inbox_key"]
    assert InfoHash.of(bytes(device.long_id)).hex() == IDS["certificate_key_new"]


def test_chain_packs_to_the_same_bytes_and_verifies() -> None:
    packed = (DATA / "ring_device.crt").read_bytes()
    device = Certificate.from_pem(packed)
    assert device.to_pem() == packed
    verify_chain(device, now=device.not_before)
    assert device.issuer is not None
    verify_chain(device, now=device.not_before, anchor=device.issuer)
    other = Certificate.from_pem((DATA / "g17_device.crt").read_bytes())
    with pytest.raises(RemoteError, match="does not lead to"):
        verify_chain(device, now=device.not_before, anchor=other.issuer)


def test_receipt_signature_of_the_account_key() -> None:
    account = Certificate.from_pem((DATA / "ring_device.crt").read_bytes()).issuer
    assert account is not None
    receipt = (DATA / "receipt.txt").read_bytes()
    signature = (DATA / "receipt_signature.bin").read_bytes()
    assert account.public_key.verify(receipt, signature)
    assert not account.public_key.verify(receipt + b" ", signature)


def test_signature_is_the_one_opendht_makes() -> None:
    key = PrivateKey.from_pem((DATA / "k2.pem").read_bytes())
    vector = OPENDHT["python_signed_value"]
    assert key.sign(bytes.fromhex(vector["to_sign_hex"])).hex() == vector["signature_hex"]


def test_password_box_of_opendht() -> None:
    vector = OPENDHT["password_aes"]
    blob = bytes.fromhex(vector["output_hex"])
    assert boxes.stretch_key(vector["password"], blob[:16]).hex() == vector["aes256_key_hex"]
    assert boxes.decrypt_with_password(blob, vector["password"]) == vector["plaintext"].encode()


@pytest.mark.parametrize(("name", "number"), [("crl_b61ef73de793c835.der", -0x49E108C2186C37CB), ("a_crl_c9eb26c19e7587ed.der", None)])
def test_real_revocation_lists_with_negative_numbers(name: str, number: int | None) -> None:
    data = (DATA / name).read_bytes()
    revocations = RevocationList.from_der(data)
    assert revocations.number < 0
    assert number is None or revocations.number == number
    assert len(revocations.serials) == 1
    assert revocations.to_der() == data


def test_real_revocation_list_is_signed_by_its_account() -> None:
    revocations = RevocationList.from_der((DATA / "a_crl_c9eb26c19e7587ed.der").read_bytes())
    account = Certificate.from_pem((DATA / "g17_device.crt").read_bytes()).issuer
    assert account is not None
    assert revocations.issuer_name == account.native.subject.public_bytes()
    assert revocations.is_signed_by(account.public_key)


def test_expired_chain_names_the_dates() -> None:
    device = Certificate.from_pem((DATA / "ring_device.crt").read_bytes())
    with pytest.raises(RemoteError, match="is valid from"):
        verify_chain(device, now=device.not_before.replace(year=device.not_before.year + 11))


def test_identifiers_of_text() -> None:
    vector = OPENDHT["infohash"][0]
    assert InfoHash.of(vector["input"]).hex() == vector["infohash"]
    assert LongId.of(vector["input"].encode()).hex() == vector["pkid"]
    assert isinstance(Certificate.from_pem((DATA / "k2.crt").read_bytes()).not_before, datetime)
