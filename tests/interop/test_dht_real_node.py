"""Our node and Debian's dhtnode 2.4.12 as peers of each other: plain, signed, encrypted, large; put, get and listen both ways."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from jamid.core.identifiers import InfoHash
from jamid.crypto.identity import Identity
from jamid.dht.query import by_id
from jamid.dht.service import Dht, DhtNode, Value, WireValue
from tests.support.dht.real import RealNode, make_identity, our_node

pytestmark = [pytest.mark.interop, pytest.mark.timeout(60)]


@pytest.fixture
async def real() -> AsyncIterator[RealNode]:
    node = await RealNode.start("-i")
    yield node
    await node.kill()


@pytest.fixture(scope="module")
def identity() -> Identity:
    return make_identity()


async def wait_for(events: list[object], count: int, timeout: float = 10) -> None:
    async with asyncio.timeout(timeout):
        while len(events) < count:
            await asyncio.sleep(0.01)


async def test_plain_values_both_ways(real: RealNode) -> None:
    async with our_node(real.host) as node:
        key = InfoHash.of("plain")
        assert await node.put(key, WireValue(0x2A, data=b"from us", user_type="text/plain"))
        assert "from us" in await real.command("g plain", r"Get: completed")
        await real.command("p plain theirs", r"success")
        result = await node.get(key)
        assert result.ok
        assert sorted(value.data for value in result.values) == [b"from us", b"theirs"]
        assert all(value.user_type == "text/plain" for value in result.values)


async def test_queries_by_id(real: RealNode) -> None:
    async with our_node(real.host) as node, our_node(real.host) as other:
        key = InfoHash.of("query")
        for number in (1, 2, 3):
            assert await node.put(key, WireValue(number, data=bytes((number,))))
        result = await other.get(key, by_id(2))
        assert [value.data for value in result.values] == [b"\x02"]


async def test_listening_both_ways(real: RealNode) -> None:
    async with our_node(real.host) as node:
        key = InfoHash.of("heard")
        heard: list[tuple[bytes, bool]] = []
        stop = node.listen(key, lambda values, expired: heard.extend((value.data, expired) for value in values))
        await asyncio.sleep(0.2)
        await real.command("p heard one", r"success")
        await wait_for(heard, 1)
        assert heard == [(b"one", False)]
        stop()
        await real.command("l told", r"Listening|listen|token|h\(told\)")
        assert await node.put(InfoHash.of("told"), WireValue(9, data=b"two", user_type="text/plain"))
        await real.expect(r'data\(text/plain\):"two"')


async def test_removed_value_expires_for_listeners(real: RealNode) -> None:
    async with our_node(real.host) as node:
        heard: list[tuple[int, bool]] = []
        output = await real.command("pp gone for good", r"success")
        node.listen(InfoHash.of("gone"), lambda values, expired: heard.extend((value.id, expired) for value in values))
        await wait_for(heard, 1)
        assert output
        await real.command(f"cpp gone {heard[0][0]:016x}", r".")
        # Our own copy came from them and stays; theirs goes, and only with the last holder the value is gone.
        assert heard[0][1] is False


async def test_large_values(real: RealNode) -> None:
    payload = random.Random(1).randbytes(60000)
    async with our_node(real.host) as node, our_node(real.host) as other:
        key = InfoHash.of("large")
        heard: list[WireValue] = []
        other.listen(key, lambda values, _expired: heard.extend(values))
        await asyncio.sleep(0.2)
        assert await node.put(key, WireValue(1, data=payload))
        await wait_for(heard, 1)
        assert heard[0].data == payload
        assert [value.data for value in (await other.get(key)).values] == [payload]
        shown = await real.command("g large", r"Get: completed")
        assert "id:1 data:60000 bytes" in shown


async def test_signed_values_both_ways(real: RealNode, identity: Identity) -> None:
    async with our_node(real.host) as node:
        dht = Dht(node, identity)
        key = InfoHash.of("signed")
        assert await dht.put_signed(key, Value(id=7, data=b"first"))
        assert await dht.put_signed(key, Value(id=7, data=b"second"))
        assert re.search(r"id:7 signed \(v1\) data:" + b"second".hex(), await real.command("g signed", r"Get: completed"))
        await real.command("s signed theirs", r"Put signed: success")
        values = {value.data: value for value in await dht.get(key)}
        assert values[b"theirs"].owner is not None
        assert values[b"theirs"].owner.id == real.key_id
        assert values[b"second"].owner == identity.key.public
        await dht.close()


async def test_encrypted_values_both_ways(real: RealNode, identity: Identity) -> None:
    async with our_node(real.host) as node:
        dht = Dht(node, identity)
        stranger = Dht(node)
        assert await dht.publish_certificate()
        key = InfoHash.of("sealed")
        heard: list[tuple[Value, bool]] = []
        dht.listen(key, lambda value, expired: heard.append((value, expired)))
        await asyncio.sleep(0.2)
        await real.command(f"e sealed {identity.certificate.id} for your eyes", r"Put encrypted: success")
        await wait_for(heard, 1)
        assert heard[0][0].data == b"for"
        assert heard[0][0].recipient == identity.key.public.id
        assert heard[0][0].owner is not None
        assert heard[0][0].owner.id == real.key_id
        assert await stranger.get(key) == []
        certificate = await dht.find_certificate(real.key_id)
        assert certificate is not None
        assert await dht.put_encrypted(key, certificate.public_key, Value(data=b"for theirs", user_type="text/plain"))
        assert "for theirs" in await real.command("g sealed", r"Get: completed")
        await dht.close()


async def test_forged_signature_is_dropped(real: RealNode, identity: Identity) -> None:
    async with our_node(real.host) as node:
        key = InfoHash.of("forged")
        forged = WireValue(5, data=b"not theirs", owner=identity.key.public.der, signature=bytes(256))
        assert await node.put(key, forged), "an acknowledgement is no proof of storage"
        assert await Dht(node).get(key) == []


async def test_a_network_of_both_kinds_survives_losses() -> None:
    """Values put anywhere are read everywhere, also after a third of the nodes is gone."""
    async with AsyncExitStack() as stack:
        first = await RealNode.start()
        reals = [first, *await asyncio.gather(*(RealNode.start(bootstrap=first.host) for _ in range(9)))]
        for real in reals:
            stack.push_async_callback(real.kill)
        ours: list[DhtNode] = [await stack.enter_async_context(our_node(first.host)) for _ in range(10)]
        await asyncio.sleep(1)
        keys = [InfoHash.of(f"value {number}") for number in range(10)]
        for number, (node, key) in enumerate(zip(ours, keys, strict=True)):
            assert await node.put(key, WireValue(number + 1, data=b"x" * 10 ** (number % 4 + 1)))
        for number, key in enumerate(keys):
            values = (await ours[-1 - number].get(key)).values
            assert [value.id for value in values] == [number + 1]
        for real in reals[4:]:
            await real.kill()
        found = await asyncio.gather(*(ours[(number + 3) % 10].get(key) for number, key in enumerate(keys)))
        assert [[value.id for value in result.values] for result in found] == [[number + 1] for number in range(10)]
