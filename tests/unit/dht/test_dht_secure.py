"""The secure layer over a network in memory: what is signed, encrypted, opened, dropped and published where."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from jamid.core.errors import LocalError
from jamid.core.generations import BOTH, Generation
from jamid.core.identifiers import InfoHash, LongId
from jamid.crypto.certificates import Certificate, create_account_certificate, create_ca, create_device_certificate
from jamid.crypto.identity import Identity
from jamid.crypto.keys import PrivateKey, PublicKey
from jamid.dht.core import Status
from jamid.dht.generations import long_id_key
from jamid.dht.packing import unpack
from jamid.dht.query import Query
from jamid.dht.sealing import unseal
from jamid.dht.seams import GetResult, OnWireNews, OnWireValues
from jamid.dht.secure import Dht
from jamid.dht.signatures import sign, verify
from jamid.dht.values import Value, WireValue, pack_body, pack_value, unpack_value
from tests.support.dht.real import make_identity

KEY = InfoHash.of("key")
DATA = Path(__file__).parents[2] / "data" / "dht"
CRYPTO: dict[str, Any] = json.loads((DATA / "crypto.json").read_text())


class Board:
    """All values of a network, seen by everybody at once."""

    def __init__(self) -> None:
        self.values: dict[InfoHash, dict[int, WireValue]] = {}
        self.listeners: dict[InfoHash, list[OnWireNews]] = {}
        self.status = Status.CONNECTED

    def on_status(self, callback: Callable[[Status], None]) -> Callable[[], None]:
        return lambda: None

    async def get(self, key: InfoHash, query: Query | None = None, *, on_values: OnWireValues | None = None) -> GetResult:
        found = [value for value in self.values.get(key, {}).values() if query is None or query.matches(value)]
        if on_values is not None:
            on_values(found)
        return GetResult(True, found)

    async def put(self, key: InfoHash, value: WireValue, *, permanent: bool = False, created: int | None = None) -> bool:
        self.values.setdefault(key, {})[value.id] = value
        for listener in self.listeners.get(key, []):
            listener([value], False)
        return True

    def cancel_put(self, key: InfoHash, value_id: int) -> None:
        value = self.values.get(key, {}).pop(value_id, None)
        for listener in self.listeners.get(key, []):
            if value is not None:
                listener([value], True)

    def announced(self, key: InfoHash, value_id: int) -> WireValue | None:
        return None

    def listen(self, key: InfoHash, on_news: OnWireNews, query: Query | None = None) -> Callable[[], None]:
        self.listeners.setdefault(key, []).append(on_news)
        on_news(list(self.values.get(key, {}).values()), False)
        return lambda: self.listeners[key].remove(on_news)


@pytest.fixture(scope="module")
def alice() -> Identity:
    return make_identity()


@pytest.fixture(scope="module")
def bob() -> Identity:
    return make_identity()


@pytest.fixture
def board() -> Board:
    return Board()


async def test_signed_values_come_with_their_verified_owner(board: Board, alice: Identity) -> None:
    dht = Dht(board, alice)
    assert await dht.put_signed(KEY, Value(id=5, data=b"x", user_type="text/plain"))
    (value,) = await Dht(board).get(KEY)
    assert (value.data, value.owner, value.user_type) == (b"x", alice.key.public, "text/plain")
    board.values[KEY][5] = replace(board.values[KEY][5], data=b"y")
    assert await Dht(board).get(KEY) == []


async def test_sequence_numbers_rise_above_what_is_there(board: Board, alice: Identity, bob: Identity) -> None:
    dht = Dht(board, alice)
    for expected in range(3):
        await dht.put_signed(KEY, Value(id=5, data=bytes((expected,))))
        assert board.values[KEY][5].seq == expected
    await Dht(board, bob).put_signed(KEY, Value(id=5, data=b"bob's"))
    assert board.values[KEY][5].seq == 0, "another owner's numbers do not count"


async def test_encrypted_values_are_for_their_recipient_alone(board: Board, alice: Identity, bob: Identity) -> None:
    assert await Dht(board, alice).put_encrypted(KEY, bob.key.public, Value(data=b"secret", priority=1, push_type="audioCall"))
    (wire,) = board.values[KEY].values()
    assert b"secret" not in pack_value(wire)
    assert (wire.type, wire.priority, wire.push_type) == (0, 1, "audioCall")
    (value,) = await Dht(board, bob).get(KEY)
    assert (value.data, value.owner, value.recipient, value.id) == (b"secret", alice.key.public, bob.key.public.id, wire.id)
    assert await Dht(board, alice).get(KEY) == []
    assert await Dht(board).get(KEY) == []


async def test_a_value_re_encrypted_by_its_recipient_for_another_is_refused(board: Board, alice: Identity, bob: Identity) -> None:
    """Whoever can read a sealed value must not be able to pass it on as if it had been written to somebody else."""
    carol = make_identity()
    await Dht(board, alice).put_encrypted(KEY, bob.key.public, Value(data=b"for bob"))
    (wire,) = board.values[KEY].values()
    plaintext = bob.key.decrypt(wire.cipher)
    board.values[KEY] = {1: WireValue(1, cipher=carol.key.public.encrypt(plaintext))}
    assert await Dht(board, carol).get(KEY) == []


async def test_listening_keeps_the_order_and_maps_expiry(board: Board, alice: Identity, bob: Identity) -> None:
    heard: list[tuple[bytes, bool]] = []
    complete = asyncio.Event()

    def news(value: Value, expired: bool) -> None:
        heard.append((value.data, expired))
        if len(heard) == 5:
            complete.set()

    sender = Dht(board, alice)
    await sender.put(KEY, Value(id=1, data=b"before"))
    dht = Dht(board, bob)
    listening = dht.listen(KEY, news)
    assert heard == [], "nothing is delivered before the caller has the listening"
    await sender.put_encrypted(KEY, bob.key.public, Value(id=2, data=b"sealed"))
    await sender.put(KEY, Value(id=3, data=b"plain"))
    await sender.put(KEY, Value(id=4, data=b"for nobody", owner=alice.key.public, signature=b"bad"))
    board.cancel_put(KEY, 2)
    await sender.put(KEY, Value(id=5, data=b"last"))
    async with asyncio.timeout(5):
        await complete.wait()
    assert heard == [(b"before", False), (b"sealed", False), (b"plain", False), (b"sealed", True), (b"last", False)]
    listening.cancel()
    await sender.put(KEY, Value(id=6, data=b"after"))
    assert len(heard) == 5
    await dht.close()


@pytest.mark.parametrize(
    ("generations", "short", "long"),
    [(BOTH, True, True), (frozenset({Generation.G13}), True, False), (frozenset({Generation.G17}), False, True)],
)
async def test_certificates_are_published_for_each_generation(
    board: Board, alice: Identity, generations: frozenset[Generation], short: bool, long: bool
) -> None:
    dht = Dht(board, alice, generations=generations)
    assert await dht.publish_certificate()
    await asyncio.sleep(0)
    assert (alice.certificate.id in board.values) is short
    assert (long_id_key(alice.certificate.long_id) in board.values) is long
    published = next(iter(board.values.values()))[1]
    assert published.type == 8
    assert unpack(published.data) == alice.certificate.to_pem()
    reader = Dht(board)
    found = [await reader.find_certificate(one) for one in (alice.certificate.id, alice.certificate.long_id)]
    assert [one == alice.certificate if one is not None else None for one in found].count(True) >= 1
    await dht.close()


async def test_a_certificate_of_somebody_else_is_not_taken(board: Board, alice: Identity, bob: Identity) -> None:
    await board.put(alice.certificate.id, WireValue(1, type=8, data=bob.certificate.to_pem()))
    await board.put(alice.certificate.id, WireValue(2, type=8, data=b"nonsense"))
    await board.put(alice.certificate.id, WireValue(3, type=0, data=alice.certificate.to_pem()))
    dht = Dht(board)
    assert await dht.find_certificate(alice.certificate.id) is None
    await board.put(alice.certificate.id, WireValue(4, type=8, data=alice.certificate.to_pem()))
    assert await dht.find_certificate(alice.certificate.id) == alice.certificate
    assert dht.known_certificate(alice.certificate.long_id) == alice.certificate
    await dht.close()


async def test_the_certificate_by_the_right_account_is_found_among_forged_ones(board: Board, alice: Identity, bob: Identity) -> None:
    issuer, mallory = alice.certificate.issuer, PrivateKey.generate(2048)
    assert issuer is not None
    ca = create_ca(mallory)
    forged = [
        create_device_certificate(alice.key.public, mallory, create_account_certificate(mallory, mallory, ca)),
        create_device_certificate(alice.key.public, mallory, issuer),
        alice.certificate,
    ]
    for number, certificate in enumerate(forged, 1):
        await board.put(alice.certificate.id, WireValue(number, type=8, data=certificate.to_pem()))
    dht = Dht(board)
    assert await dht.find_certificate(alice.certificate.id, account=issuer.id) == alice.certificate
    assert await dht.find_certificate(alice.certificate.id, account=mallory.public.id) == forged[0]
    assert await dht.find_certificate(alice.certificate.id, account=bob.certificate.id) is None
    late = alice.certificate.chain_ends + timedelta(days=1)
    assert await dht.find_certificate(alice.certificate.id, account=issuer.id, now=late) is None
    await dht.close()


async def test_closing_ends_a_look_up_without_cancelling_who_asked(board: Board, alice: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_arguments: object, **_named: object) -> GetResult:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(board, "get", never)
    dht = Dht(board)
    look_up = asyncio.ensure_future(dht.find_certificate(alice.certificate.id))
    await asyncio.sleep(0.01)
    await dht.close()
    assert await look_up is None


async def test_large_sealed_values_open_every_time(board: Board, alice: Identity, bob: Identity) -> None:
    await Dht(board, alice).put_encrypted(KEY, bob.key.public, Value(data=bytes(40_000)))
    reader = Dht(board, bob)
    for _ in range(2):
        assert [len(value.data) for value in await reader.get(KEY)] == [40_000]


async def test_known_certificates_are_not_searched(board: Board, alice: Identity, bob: Identity) -> None:
    class Store:
        def get(self, certificate_id: InfoHash | LongId, /) -> Certificate | None:
            return bob.certificate if certificate_id == bob.certificate.long_id else None

    dht = Dht(board, alice, certificates=Store())
    assert await dht.find_certificate(bob.certificate.long_id) == bob.certificate
    assert await dht.find_certificate(alice.certificate.id) == alice.certificate


async def test_without_an_identity_nothing_can_be_signed(board: Board, alice: Identity) -> None:
    with pytest.raises(LocalError, match="identity"):
        await Dht(board).put_signed(KEY, Value(data=b"x"))
    with pytest.raises(LocalError, match="identity"):
        await Dht(board).publish_certificate()
    with pytest.raises(LocalError, match="largest"):
        await Dht(board).put(KEY, Value(data=bytes(65537)))
    assert await Dht(board).put_signed(KEY, Value(data=b"x"), signer=alice.key)


# -- captured from the real implementations


def test_captured_signed_and_encrypted_values_open() -> None:
    key = PrivateKey.from_pem((DATA / "k2.pem").read_bytes())
    assert len(CRYPTO["captured_values"]) >= 4
    for captured in CRYPTO["captured_values"]:
        value = unpack_value(bytes.fromhex(captured["wire_hex"]))
        if value.cipher:
            opened = unseal(value, key)
            assert opened is not None
            owner: PublicKey | None = opened.owner
        else:
            assert pack_body(value).hex() == captured["to_sign_hex"]
            owner = verify(value)
        assert owner is not None
        assert str(owner.id) == captured["signer_sha1"]


def test_our_signature_is_theirs_byte_for_byte() -> None:
    key = PrivateKey.from_pem((DATA / "k2.pem").read_bytes())
    captured = CRYPTO["python_signed_value"]
    value = unpack_value(bytes.fromhex(captured["wire_hex"]))
    assert pack_body(value).hex() == captured["to_sign_hex"]
    assert pack_value(sign(value, key)).hex() == captured["wire_hex"]
