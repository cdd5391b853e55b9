"""Parsers of foreign keys, certificates and lists answer with a value or a RemoteError, nothing else."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from jamid.core.errors import RemoteError
from jamid.crypto import der
from jamid.crypto.certificates import Certificate
from jamid.crypto.keys import PrivateKey, PublicKey
from jamid.crypto.revocations import RevocationList

DATA = Path(__file__).parents[2] / "data/crypto"
CHAIN = (DATA / "ring_device.crt").read_bytes()
LEAF = Certificate.from_pem(CHAIN).to_der()
LIST = (DATA / "a_crl_c9eb26c19e7587ed.der").read_bytes()


@st.composite
def damaged(draw: st.DrawFn, original: bytes) -> bytes:
    """ORIGINAL with some bytes changed, removed or inserted."""
    data = bytearray(original)
    for _ in range(draw(st.integers(1, 5))):
        at = draw(st.integers(0, len(data)))
        piece = draw(st.binary(max_size=4))
        data[at : at + draw(st.integers(0, 4))] = piece
    return bytes(data[: draw(st.integers(0, len(data) + 64))])


@given(st.one_of(damaged(LEAF), damaged(CHAIN), st.binary(max_size=300)))
@settings(max_examples=300, deadline=None)
def test_certificate_parser(data: bytes) -> None:
    try:
        certificate = Certificate.from_bytes(data)
        for member in certificate.chain():
            assert member.is_ca in (True, False)
            assert isinstance(member.common_name, str)
            assert len(member.id) == 20
    except RemoteError:
        pass


@given(st.one_of(damaged(LIST), st.binary(max_size=200)))
@settings(max_examples=300, deadline=None)
def test_revocation_list_parser(data: bytes) -> None:
    try:
        assert isinstance(RevocationList.from_der(data).number, int)
    except RemoteError:
        pass


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_key_parsers(data: bytes) -> None:
    for parse in (PublicKey.from_der, PrivateKey.from_pem):
        try:
            parse(data)
        except RemoteError:
            continue


@given(st.integers(-(2**80), 2**80))
def test_der_integers_round_trip(value: int) -> None:
    element = der.read_element(der.integer(value))
    assert int.from_bytes(element.content, "big", signed=True) == value
    assert element.content[:2] not in (b"\x00\x00", b"\xff\xff")
