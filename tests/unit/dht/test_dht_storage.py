"""What is stored, edited, refreshed, expired and evicted, and who hears of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jamid.core import limits
from jamid.core.identifiers import InfoHash
from jamid.crypto.keys import PrivateKey
from jamid.dht.addresses import Address, pack_sockaddr, unpack_sockaddr
from jamid.dht.nodes import RemoteNode
from jamid.dht.packing import pack, pack_bin, unpack
from jamid.dht.query import by_id
from jamid.dht.signatures import sign
from jamid.dht.storage import Change, Shelf, Storage
from jamid.dht.types import ValueTypes
from jamid.dht.values import WireValue
from tests.simulation.dht.simulator import World

KEY = InfoHash.of("key")
PEER = Address("10.0.0.1", 4222)
OTHER = Address("10.0.0.2", 4222)


class Shop:
    """A storage with its clock, noting what it reports."""

    def __init__(self, limit: int = 1 << 20) -> None:
        self.world = World(1)
        self.news: list[tuple[Change, list[int]]] = []
        self.storage = Storage(self.world, ValueTypes(), self._note, limit)

    def _note(self, _key: InfoHash, _shelf: Shelf | None, change: Change, values: list[WireValue]) -> None:
        self.news.append((change, [value.id for value in values]))

    def put(self, value: WireValue, source: Address | None = PEER, key: InfoHash = KEY, **options: bool) -> bool:
        return self.storage.store(key, value, self.world.now(), source, **options)


@pytest.fixture(scope="module")
def signer() -> PrivateKey:
    return PrivateKey.generate(2048)


def test_value_lives_as_long_as_its_type() -> None:
    shop = Shop()
    shop.put(WireValue(1, data=b"user data"))
    shop.put(WireValue(2, type=5, data=b"candidates"))
    shop.world.run(59)
    assert shop.storage.values == 2
    shop.world.run(2)
    assert [value.id for value in shop.storage.get(KEY)] == [1]
    shop.world.run(540)
    assert KEY not in shop.storage
    assert shop.news[-2:] == [(Change.EXPIRED, [2]), (Change.EXPIRED, [1])]
    assert (shop.storage.bytes, shop.storage.values, len(shop.storage)) == (0, 0, 0)


def test_the_same_content_again_prolongs() -> None:
    shop = Shop()
    shop.put(WireValue(1, data=b"x"))
    shop.world.run(500)
    assert shop.put(WireValue(1, data=b"x"), OTHER)
    shop.world.run(500)
    assert KEY in shop.storage
    assert shop.news == [(Change.ADDED, [1]), (Change.REFRESHED, [1])]


def test_own_permanent_value_never_expires_and_goes_when_removed() -> None:
    shop = Shop()
    shop.put(WireValue(1, data=b"x"), None, permanent=True)
    shop.world.run(100_000)
    assert KEY in shop.storage
    shop.storage.remove(KEY, 1)
    assert KEY not in shop.storage


def test_unsigned_values_are_never_edited() -> None:
    shop = Shop()
    shop.put(WireValue(1, data=b"x"))
    assert not shop.put(WireValue(1, data=b"y"))
    assert shop.storage.get(KEY)[0].data == b"x"


def test_signed_values_follow_their_sequence_number(signer: PrivateKey) -> None:
    shop = Shop()
    first = sign(WireValue(1, data=b"one", seq=3), signer)
    assert shop.put(first)
    assert not shop.put(sign(WireValue(1, data=b"lower", seq=2), signer))
    assert not shop.put(sign(WireValue(1, data=b"equal", seq=3), signer))
    assert not shop.put(replace(sign(WireValue(1, data=b"higher", seq=4), signer), data=b"changed"))
    assert not shop.put(WireValue(1, data=b"unsigned"))
    assert shop.put(sign(WireValue(1, data=b"higher", seq=4), signer))
    assert shop.storage.get(KEY)[0].data == b"higher"


def test_bad_signature_is_not_stored(signer: PrivateKey) -> None:
    shop = Shop()
    assert not shop.put(replace(sign(WireValue(1, data=b"x"), signer), data=b"y"))
    assert not shop.put(WireValue(2, data=b"x", owner=b"no key", signature=b"none"))
    assert shop.storage.values == 0


def test_size_limit_and_message_policy() -> None:
    shop = Shop()
    assert not shop.put(WireValue(1, data=bytes(65537)))
    assert shop.put(WireValue(1, data=bytes(65536)))
    assert not shop.put(WireValue(2, type=1, data=pack(["", b"text"])))
    assert shop.put(WireValue(2, type=1, data=pack(["service", b"text"])))


def test_service_announcement_gets_the_senders_address() -> None:
    shop = Shop()
    claimed = pack_bin(pack_sockaddr(Address("1.2.3.4", 4567)))
    assert shop.put(WireValue(1, type=2, data=claimed))
    assert unpack_sockaddr(unpack(shop.storage.get(KEY)[0].data)) == Address("10.0.0.1", 4567)
    assert not shop.put(WireValue(2, type=2, data=b"nonsense"))


def test_certificates_belong_under_both_of_their_ids(tmp_path_factory: pytest.TempPathFactory) -> None:
    from pathlib import Path

    from jamid.crypto.certificates import Certificate
    from jamid.dht.generations import long_id_key

    pem = (Path(__file__).parents[2] / "data" / "dht" / "identS.crt").read_bytes()
    certificate = Certificate.from_pem(pem)
    value = WireValue(1, type=8, data=pack_bin(pem))
    shop = Shop()
    assert shop.put(value, key=certificate.id)
    assert shop.put(value, key=long_id_key(certificate.long_id))
    assert not shop.put(value, key=KEY)
    assert not shop.put(WireValue(2, type=8, data=b"-----BEGIN CERTIFICATE-----"), key=certificate.id)


def test_over_quota_the_greediest_sender_loses_its_soonest_values() -> None:
    shop = Shop(limit=10_000)
    shop.put(WireValue(1, data=bytes(1000)), OTHER)
    for number in range(2, 20):
        shop.put(WireValue(number, data=bytes(1000)), PEER)
        shop.world.run(1)
    kept = {value.id for value in shop.storage.get(KEY)}
    assert 1 in kept
    assert 19 in kept
    assert 2 not in kept
    assert shop.storage.bytes <= 10_000


def test_over_quota_what_lives_longest_stays_however_often_it_was_prolonged() -> None:
    shop = Shop(limit=10_000)
    shop.put(WireValue(99, data=bytes(1000)), None, permanent=True)
    for number in range(1, 8):
        shop.put(WireValue(number, data=bytes(1000)), PEER)
        shop.world.run(1)
    for _ in range(300):
        shop.put(WireValue(1, data=bytes(1000)), PEER)
        shop.world.run(1)
    for number in range(8, 13):
        shop.put(WireValue(number, data=bytes(1000)), PEER)
    assert {value.id for value in shop.storage.get(KEY)} == {99, 1, 7, *range(8, 13)}


def test_many_small_senders_share_what_one_would_have() -> None:
    shop = Shop(limit=100_000)
    senders = [Address(f"10.{number}.0.1", 4222) for number in range(200)]
    for number in range(2000):
        shop.put(WireValue(number + 1, data=bytes(100)), senders[number % 200])
        shop.world.run(0.01)
    kept = [value.id for value in shop.storage.get(KEY)]
    assert min(kept) > 1600, "the oldest went"
    assert len(kept) == 100_000 // 356
    for number in range(3000, 3300):
        shop.put(WireValue(number, data=bytes(100)), PEER)
    theirs = sum(value.id >= 3000 for value in shop.storage.get(KEY))
    assert theirs <= 4, "who sends the most makes room"


def test_empty_values_count_too() -> None:
    shop = Shop(limit=100_000)
    for number in range(1, 1000):
        shop.put(WireValue(number, data=b""), PEER)
    shop.put(WireValue(1000, data=b"x"), OTHER)
    assert shop.storage.values < 400
    assert 1000 in {value.id for value in shop.storage.get(KEY)}


def test_one_host_cannot_take_all_subscriptions() -> None:
    shop = Shop()
    for number in range(limits.DHT_LISTENERS_PER_HOST + 10):
        name = InfoHash(number.to_bytes(20, "big"))
        shop.storage.listen(name, RemoteNode(name, PEER), 1, None)
    assert shop.storage.listeners == limits.DHT_LISTENERS_PER_HOST
    assert shop.storage.listen(KEY, RemoteNode(KEY, OTHER), 1, None) is not None
    shop.world.run(700)
    shop.storage.expire()
    assert shop.storage.listeners == 0


def test_own_values_do_not_count_against_the_quota() -> None:
    shop = Shop(limit=10_000)
    for number in range(1, 30):
        assert shop.put(WireValue(number, data=bytes(1000)), None, permanent=True)
    assert shop.storage.bytes == 0
    assert shop.storage.values == 29


def test_listeners_get_what_matches_and_are_forgotten_with_their_node() -> None:
    shop = Shop()
    shop.put(WireValue(1, data=b"x"))
    shop.put(WireValue(2, data=b"y"))
    node = RemoteNode(InfoHash.of("node"), PEER)
    stored = shop.storage.listen(KEY, node, 77, by_id(2))
    assert stored is not None
    assert [value.id for value in stored] == [2]
    assert shop.storage.listen(KEY, node, 77, by_id(2)) is None, "a refresh does not send values again"
    assert shop.storage.listeners == 1
    shop.storage.forget_listener(node)
    assert shop.storage.listeners_at(KEY) == []
    assert shop.storage.listeners == 0


def test_a_listener_that_was_forgotten_and_came_back_keeps_its_subscription() -> None:
    shop = Shop()
    old, new = RemoteNode(InfoHash.of("node"), PEER), RemoteNode(InfoHash.of("node"), PEER)
    shop.storage.listen(KEY, old, 77, None)
    assert shop.storage.listen(KEY, new, 77, None) is None
    shop.storage.forget_listener(old)
    assert [listener.node for listener in shop.storage.listeners_at(KEY)] == [new]
    shop.storage.forget_listener(new)
    assert (shop.storage.listeners, shop.storage._listeners_of) == (0, {})


def test_listeners_that_are_not_refreshed_end_after_ten_minutes() -> None:
    shop = Shop()
    shop.storage.listen(KEY, RemoteNode(InfoHash.of("node"), PEER), 77, None)
    shop.world.run(590)
    shop.storage.expire()
    assert shop.storage.listeners == 1
    shop.world.run(20)
    shop.storage.expire()
    assert (shop.storage.listeners, len(shop.storage)) == (0, 0)


def test_a_value_from_the_past_is_stored_only_if_it_still_lives() -> None:
    shop = Shop()
    shop.world.run(1000)
    assert not shop.storage.store(KEY, WireValue(1, data=b"x"), shop.world.now() - 601, PEER)
    assert shop.storage.store(KEY, WireValue(1, data=b"x"), shop.world.now() - 599, PEER)
    shop.world.run(2)
    assert KEY not in shop.storage
