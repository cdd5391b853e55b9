"""Our node and OpenDHT 4.4.2 (the `opendht` wheel), which looks certificates up by long id only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from jamid.core.identifiers import InfoHash, LongId
from jamid.crypto.identity import Identity
from jamid.dht.service import Dht, Value
from tests.support.dht.real import free_port, make_identity, our_node

opendht = pytest.importorskip("opendht", reason="the opendht wheel is not installed (extra dev)")
pytestmark = [pytest.mark.interop, pytest.mark.timeout(60)]


class Wheel:
    """A running node of the wheel with an identity."""

    def __init__(self, runner: Any, identity: Any, port: int) -> None:
        self.runner = runner
        self.identity = identity
        self.host = f"127.0.0.1:{port}"

    async def get(self, name: str) -> list[bytes]:
        return await asyncio.to_thread(lambda: [value.data for value in self.runner.get(opendht.InfoHash.get(name)) or []])


@pytest.fixture
async def wheel() -> AsyncIterator[Wheel]:
    def start() -> Wheel:
        port = free_port()
        runner, identity, config = opendht.DhtRunner(), opendht.Identity.generate("peer"), opendht.DhtConfig()
        config.setIdentity(identity)
        runner.run(port=port, config=config)
        return Wheel(runner, identity, port)

    node = await asyncio.to_thread(start)
    yield node
    await asyncio.to_thread(node.runner.shutdown)
    await asyncio.to_thread(node.runner.join)


@pytest.fixture(scope="module")
def our_identity() -> Identity:
    return make_identity()


async def test_values_of_every_kind_both_ways(wheel: Wheel, our_identity: Identity) -> None:
    async with our_node(wheel.host) as node:
        dht = Dht(node, our_identity)
        assert await dht.publish_certificate()
        key, name = InfoHash.of("shared"), opendht.InfoHash.get("shared")
        heard: dict[bytes, Value] = {}
        complete = asyncio.Event()

        def news(value: Value, expired: bool) -> None:
            heard[value.data] = value
            if len(heard) == 4:
                complete.set()

        dht.listen(key, news)
        assert await dht.put(key, Value(id=3, data=b"plain"))
        assert await dht.put_signed(key, Value(data=b"our signed"))
        await asyncio.to_thread(wheel.runner.putSigned, name, opendht.Value(b"their signed"))
        our_long_id = opendht.PkId(our_identity.certificate.long_id.hex().encode())
        assert await asyncio.to_thread(wheel.runner.putEncrypted, name, opendht.Value(b"their sealed"), our_long_id)
        async with asyncio.timeout(10):
            await complete.wait()
        their_id = LongId.from_hex(str(wheel.identity.publickey.getLongId()))
        assert heard[b"their signed"].owner is not None
        assert heard[b"their signed"].owner.long_id == their_id
        assert heard[b"their sealed"].recipient == our_identity.key.public.id
        certificate = await dht.find_certificate(their_id)
        assert certificate is not None
        assert certificate.long_id == their_id
        assert await dht.put_encrypted(key, certificate.public_key, Value(data=b"our sealed"))
        assert {b"plain", b"our signed", b"our sealed"} <= set(await wheel.get("shared"))
        await dht.close()


async def test_an_edit_is_heard(wheel: Wheel, our_identity: Identity) -> None:
    async with our_node(wheel.host) as node, our_node(wheel.host) as listener:
        dht = Dht(node, our_identity)
        key = InfoHash.of("edited")
        heard: list[bytes] = []
        second = asyncio.Event()
        listener.listen(key, lambda values, _expired: (heard.extend(value.data for value in values), len(heard) > 1 and second.set()))
        assert await dht.put_signed(key, Value(id=5, data=b"one"))
        assert await dht.put_signed(key, Value(id=5, data=b"two"))
        async with asyncio.timeout(10):
            await second.wait()
        assert heard == [b"one", b"two"]
        await dht.close()


async def test_large_value_reaches_it(wheel: Wheel) -> None:
    async with our_node(wheel.host) as node:
        payload = bytes(range(256)) * 240
        assert await Dht(node).put(InfoHash.of("large"), Value(data=payload))
        assert await wheel.get("large") == [payload]
