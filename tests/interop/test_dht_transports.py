"""Our node and dhtnode over IPv6, over HTTP proxies of either side, found by multicast, and with a state file of ours."""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path

import pytest

from jamid.core.identifiers import InfoHash
from jamid.dht.addresses import Address
from jamid.dht.core import Status
from jamid.dht.proxy_client import ProxyClient
from jamid.dht.proxy_server import ProxyServer
from jamid.dht.service import Dht, DhtNode, DhtSettings, Value, WireValue
from jamid.dht.state import NodeState, write_state
from tests.interop.lab import Lab
from tests.support.dht.real import RealNode, connected, make_identity, our_node

pytestmark = [pytest.mark.interop, pytest.mark.timeout(60)]


def free_tcp_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


async def test_ipv6_alone_and_both_families() -> None:
    real = await RealNode.start()
    try:
        key = InfoHash.of("six")
        only = DhtNode(DhtSettings(host4="", host6="::1", bootstrap=(f"[::1]:{real.port}",)))
        both = DhtNode(DhtSettings(host4="127.0.0.1", host6="::1", bootstrap=(real.host, f"[::1]:{real.port}")))
        for node in (only, both):
            await node.start()
            await connected(node)
        assert await only.put(key, WireValue(1, data=b"over six", user_type="text/plain"))
        assert [value.data for value in (await both.get(key)).values] == [b"over six"]
        assert "over six" in await real.command("g six", r"Get: completed")
        await only.stop()
        await both.stop()
    finally:
        await real.kill()


async def test_a_foreign_network_is_not_seen() -> None:
    real = await RealNode.start("-n", "7")
    try:
        same, other = (DhtNode(DhtSettings(host4="127.0.0.1", host6="", network=n, bootstrap=(real.host,))) for n in (7, 0))
        await same.start()
        await other.start()
        await connected(same)
        assert await same.put(InfoHash.of("x"), WireValue(1, data=bytes(5000)))
        assert other.status is Status.CONNECTING
        await same.stop()
        await other.stop()
    finally:
        await real.kill()


async def test_a_proxy_of_theirs_serves_our_client() -> None:
    port = free_tcp_port()
    first = await RealNode.start()
    proxy = await RealNode.start("--proxyserver", str(port), bootstrap=first.host)
    client = ProxyClient(f"http://127.0.0.1:{port}")
    identity = make_identity()
    try:
        await client.start()
        async with asyncio.timeout(20):
            while client.status is not Status.CONNECTED:  # a busy machine may be slow to open the proxy
                client.connectivity_changed()
                await asyncio.sleep(1.5)
        dht = Dht(client, identity)
        key = InfoHash.of("through")
        heard: asyncio.Queue[bytes] = asyncio.Queue()
        dht.listen(key, lambda value, expired: None if expired else heard.put_nowait(value.data))
        assert await dht.put_signed(key, Value(data=b"signed"))
        assert await dht.put_encrypted(key, identity.key.public, Value(data=b"sealed"))
        assert await dht.put(key, Value(data=b"kept", id=3), permanent=True)
        async with asyncio.timeout(15):
            assert {await heard.get() for _ in range(3)} == {b"signed", b"sealed", b"kept"}
        assert len(await dht.get(key)) == 3
        await dht.close()
    finally:
        await client.stop()
        await proxy.kill()
        await first.kill()


async def test_a_proxy_of_ours_serves_their_client() -> None:
    first = await RealNode.start()
    try:
        async with our_node(first.host) as node:
            server = ProxyServer(node, port=free_tcp_port(), host="127.0.0.1")
            await server.start()
            theirs = await RealNode.start("--proxyclient", f"127.0.0.1:{server.port}")
            await theirs.command("stt", r".")
            await asyncio.sleep(2)
            await theirs.command("p box hello", r"Put: success")
            assert [value.data for value in (await node.get(InfoHash.of("box"))).values] == [b"hello"]
            await theirs.command("l box", r'"hello"')
            await node.put(InfoHash.of("box"), WireValue(77, data=b"again", user_type="text/plain"))
            await theirs.expect(r'"again"')
            await theirs.kill()
            await server.stop()
    finally:
        await first.kill()


async def test_nodes_of_a_local_network_find_each_other(lab: Lab) -> None:
    lab.up(["a", "b"])
    lab.spawn("a", "dht", ["sh", "-c", "sleep 30 | dhtnode -p 4222 -D"])
    await asyncio.sleep(1.5)
    output = lab.run("b", sys.executable, "-m", "jamid.dht.cli", "-q", "-D", "-t", "15", "--json", "ping")
    assert f'"address": "{lab.address("a")}:4222"' in output


async def test_their_node_starts_from_our_state_file(tmp_path: Path) -> None:
    async with our_node() as node:
        path = tmp_path / "state"
        value = (InfoHash.of("kept"), WireValue(5, data=b"x"), 0.0, 4e9)
        nodes = [(node.id, Address("127.0.0.1", node.port))]
        write_state(path, NodeState(InfoHash.of("their id"), nodes, [value]), {})
        real = await RealNode.start("-f", str(path))
        try:
            assert real.node_id == InfoHash.of("their id")
            await real.command("ll", r"Known nodes")
            await connected(node, 30)
        finally:
            await real.kill()
