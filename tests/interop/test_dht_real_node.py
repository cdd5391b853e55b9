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


async def test_a_network_of_both_kinds_survives_losses(identity: Identity) -> None:
    """Thirty nodes: values of every kind put anywhere are read and heard everywhere, also after a third of the nodes is gone."""
    payloads = {"plain": b"p", "signed": b"s", "sealed": b"e", "large": random.Random(3).randbytes(64_000)}
    async with AsyncExitStack() as stack:
        first = await RealNode.start()
        reals = [first, *await asyncio.gather(*(RealNode.start(bootstrap=first.host) for _ in range(14)))]
        for real in reals:
            stack.push_async_callback(real.kill)
        ours: list[DhtNode] = [await stack.enter_async_context(our_node(first.host)) for _ in range(15)]
        facades = [Dht(node, identity) for node in ours]
        heard: list[dict[str, bytes]] = [{} for _ in ours[:4]]
        for listener, notes in zip(facades, heard, strict=False):
            for name in payloads:

                def note(value: Value, expired: bool, name: str = name, notes: dict[str, bytes] = notes) -> None:
                    if not expired:
                        notes[name] = value.data

                listener.listen(InfoHash.of(name), note)
        await asyncio.sleep(2)

        async def put_all(id_: int, offset: int) -> None:
            keys = [InfoHash.of(name) for name in payloads]
            assert await facades[5 + offset].put(keys[0], Value(id=id_, data=payloads["plain"]))
            assert await facades[6 + offset].put_signed(keys[1], Value(id=id_, data=payloads["signed"]))
            assert await facades[7 + offset].put_encrypted(keys[2], identity.key.public, Value(id=id_, data=payloads["sealed"]))
            assert await facades[8 + offset].put(keys[3], Value(id=id_, data=payloads["large"]))

        async def check(readers: list[Dht], ids: list[int]) -> None:
            for name, payload in payloads.items():
                for values in await asyncio.gather(*(reader.get(InfoHash.of(name)) for reader in readers)):
                    assert sorted((value.id, value.data) for value in values) == [(id_, payload) for id_ in ids]

        await put_all(1, 0)
        await check(facades[::4], [1])
        assert "id:1 data:64000 bytes" in await reals[7].command("g large", r"Get: completed")
        assert "id:1 signed" in await reals[8].command("g signed", r"Get: completed")
        async with asyncio.timeout(35):
            while any(notes != payloads for notes in heard):
                await asyncio.sleep(0.1)
            for real in reals[5:]:
                await real.kill()
            for notes in heard:
                notes.clear()
            await put_all(2, 3)
            while any(notes != payloads for notes in heard):
                await asyncio.sleep(0.1)
        await check(facades[:3], [1, 2])
        for facade in facades:
            await facade.close()
