"""The DHT proxy: JSON, server and client against each other, push notifications, state."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from jamid.core.errors import LocalError, RemoteError
from jamid.core.identifiers import InfoHash
from jamid.crypto.keys import PrivateKey
from jamid.dht import proxy_client
from jamid.dht.core import Status
from jamid.dht.node import DhtNode
from jamid.dht.proxy_client import ProxyClient
from jamid.dht.proxy_json import value_from_json, value_to_json
from jamid.dht.proxy_push import PushTarget, gorush_notification, web_push_encrypt
from jamid.dht.proxy_server import ProxyServer
from jamid.dht.proxy_state import pack_proxy_state, unpack_proxy_state
from jamid.dht.signatures import sign
from jamid.dht.values import WireValue
from tests.support.dht.real import make_identity, our_node

DATA = Path(__file__).parents[2] / "data" / "dht"
KEY = InfoHash.of("key")


@pytest.fixture(scope="module")
def signer() -> PrivateKey:
    return PrivateKey.generate(2048)


@pytest.fixture
async def node() -> AsyncIterator[DhtNode]:
    """A node with a neighbour, so that puts are taken."""
    async with our_node() as neighbour, our_node(f"127.0.0.1:{neighbour.port}") as node:
        yield node


@pytest.fixture
async def server(node: DhtNode) -> AsyncIterator[ProxyServer]:
    server = ProxyServer(node, port=0, host="127.0.0.1")
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def client(server: ProxyServer) -> AsyncIterator[ProxyClient]:
    client = ProxyClient(f"127.0.0.1:{server.port}")
    connected = asyncio.Event()
    client.on_status(lambda status: connected.set() if status is Status.CONNECTED else None)
    await client.start()
    async with asyncio.timeout(5):
        await connected.wait()
    yield client
    await client.stop()


def test_values_in_json(signer: PrivateKey) -> None:
    signed = sign(WireValue(2**63 + 5, type=3, data=b"\x00\xff", user_type="text/plain", seq=4, recipient=KEY, priority=1), signer)
    for value in (signed, WireValue(5, cipher=b"sealed", priority=2, push_type="audioCall"), WireValue(6)):
        assert value_from_json(json.loads(json.dumps(value_to_json(value)))) == value
    assert value_to_json(signed)["id"] == str(2**63 + 5)
    with_nul = value_to_json(signed)
    with_nul["owner"] += "\0"
    assert value_from_json(with_nul) == signed
    assert value_from_json({"id": 7, "data": "eA=="}) == WireValue(7, data=b"x")


@pytest.mark.parametrize(
    "raw",
    [
        None,
        [],
        {"id": -1},
        {"id": "x"},
        {"id": 2**64},
        {"data": 5},
        {"data": "x"},
        {"owner": "no key"},
        {"type": 2**16},
        {"utype": "\ud800"},
    ],
)
def test_bad_json_is_a_remote_error(raw: Any) -> None:
    with pytest.raises(RemoteError):
        value_from_json(raw)


async def test_get_put_and_listen_through_a_proxy(client: ProxyClient, node: DhtNode, signer: PrivateKey) -> None:
    heard: list[tuple[int, bool]] = []
    changed = asyncio.Event()

    def news(values: list[WireValue], expired: bool) -> None:
        heard.extend((value.id, expired) for value in values)
        changed.set()

    async def until(count: int) -> None:
        async with asyncio.timeout(5):
            while len(heard) < count:
                changed.clear()
                await changed.wait()

    signed = sign(WireValue(1, data=b"signed"), signer)
    assert await client.put(KEY, signed)
    result = await client.get(KEY)
    assert (result.ok, result.values) == (True, [signed])
    stop = client.listen(KEY, news)
    await until(1)
    assert await client.put(KEY, WireValue(2, data=b"x"), permanent=True)
    await until(2)
    node.cancel_put(KEY, 2)
    assert await node.put(KEY, WireValue(3, cipher=b"sealed"))
    await until(3)
    assert [entry for entry in heard if not entry[1]] == [(1, False), (2, False), (3, False)]
    stop()


async def test_the_rest_of_the_rest_interface(server: ProxyServer, node: DhtNode) -> None:
    base = f"http://127.0.0.1:{server.port}"
    async with aiohttp.ClientSession() as session:
        for path in ("/", "/node/info"):
            async with session.get(base + path) as response:
                info = await response.json()
                assert info["node_id"] == str(node.id)
                assert info["ipv4"]["good"] == 1
        async with session.get(base + "/node/stats") as response:
            assert (await response.json())["putCount"] == 0
        async with session.options(f"{base}/{KEY}") as response:
            assert response.headers["Access-Control-Allow-Methods"] == "OPTIONS, GET, POST, LISTEN"
        for body, status in ((b"", 400), (b"{no json", 400), (b"[]", 400), (b'{"id":"1","data":5}', 400), (b"{}", 400)):
            async with session.post(f"{base}/key/some text", data=body) as response:
                assert response.status == status
        async with session.post(f"{base}/key/some text", json={"data": "eA=="}) as response:
            assert response.status == 200
            assert int((await response.json())["id"]) > 0
        async with session.get(f"{base}/some text") as response:
            assert [json.loads(line)["data"] for line in (await response.text()).splitlines()] == ["eA=="]
        async with session.post(f"{base}/key/x/sign", json={}) as response:
            assert response.status == 501
        async with session.request("SUBSCRIBE", f"{base}/key/x", json={}) as response:
            assert response.status == 400
            assert await response.json() == {"err": "No token"}


async def test_https_and_its_errors(node: DhtNode, tmp_path: Path) -> None:
    identity = make_identity()
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_bytes(identity.certificate.to_pem())
    key.write_bytes(identity.key.to_pem())
    server = ProxyServer(node, port=0, host="127.0.0.1", certificate=chain, key=key)
    await server.start()
    async with aiohttp.ClientSession() as session, session.get(f"https://127.0.0.1:{server.port}/node/info", ssl=False) as response:
        assert (await response.json())["node_id"] == str(node.id)
    with pytest.raises(LocalError, match=f"cannot listen on port {server.port}"):
        await ProxyServer(node, port=server.port, host="127.0.0.1").start()
    with pytest.raises(LocalError, match="cannot use"):
        await ProxyServer(node, port=0, certificate=tmp_path / "missing.pem").start()
    await server.stop()


async def test_push_notifications_reach_a_unified_push_endpoint(node: DhtNode, server: ProxyServer) -> None:
    received: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def endpoint(request: web.Request) -> web.Response:
        received.put_nowait(json.loads(await request.read()))
        return web.Response(status=201)

    app = web.Application()
    app.router.add_post("/endpoint", endpoint)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    target = PushTarget(f"http://127.0.0.1:{port}/endpoint", "account", "12345678", "", "unifiedpush")
    client = ProxyClient(f"127.0.0.1:{server.port}", push=target)
    await client.start()
    heard: asyncio.Queue[tuple[bytes, bool]] = asyncio.Queue()
    stop = client.listen(KEY, lambda values, expired: [heard.put_nowait((value.data, expired)) for value in values] and None)
    async with asyncio.timeout(10):
        await asyncio.sleep(0.3)
        await node.put(KEY, WireValue(9, data=b"news"))
        data = await received.get()
        assert (data["key"], data["to"], data["s"], data["ids"]) == (str(KEY), "account", "12345678", "9")
        client.push_received({**data, "s": "somebody else"})
        assert heard.empty()
        client.push_received(data)
        assert await heard.get() == (b"news", False)
        client.push_received({"key": str(KEY), "s": "12345678", "exp": "9"})
        assert await heard.get() == (b"news", True)
    stop()
    await client.stop()
    await runner.cleanup()


def test_gorush_notifications() -> None:
    android = gorush_notification(PushTarget("t", platform="android"), {"key": "k", "t": 5}, True)
    assert (android["tokens"], android["platform"], android["data"]) == (["t"], 2, {"key": "k", "t": "5"})
    assert gorush_notification(PushTarget("t", topic="app", platform="ios"), {}, False)["push_type"] == "background"


def test_web_push_encryption_is_that_of_rfc_8291() -> None:
    from jamid.dht.proxy_push import _url_base64

    sealed = web_push_encrypt(
        b"When I grow up, I want to be a watermelon",
        _url_base64("BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"),
        _url_base64("BTBZMqHH6r4Tts7J_aSIgg"),
        salt=_url_base64("DGv6ra1nlYgDCS1FRnbzlw"),
        sender_key=int.from_bytes(_url_base64("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"), "big"),
    )
    expected = (
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPT"
        "pK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    )
    assert sealed == _url_base64(expected)


def test_the_real_proxys_state_is_read() -> None:
    state = unpack_proxy_state((DATA / "proxystate-2.4.12.bin").read_bytes())
    assert [(str(put.key), put.value.id, put.value.data) for put in state.puts] == [("f1" * 20, 0x1092, b"perm")]
    assert unpack_proxy_state(pack_proxy_state(state)) == state


async def test_permanent_puts_survive_a_restart_of_the_server(node: DhtNode, tmp_path: Path) -> None:
    state = tmp_path / "proxy"
    first = ProxyServer(node, port=0, host="127.0.0.1", state_file=state)
    await first.start()
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"http://127.0.0.1:{first.port}/key/{KEY}", json={"id": "5", "data": "eA==", "permanent": True}) as response,
    ):
        assert response.status == 200
    await first.stop()
    node.cancel_put(KEY, 5)
    second = ProxyServer(node, port=0, host="127.0.0.1", state_file=state)
    await second.start()
    await asyncio.sleep(0.1)
    announced = node.announced(KEY, 5)
    assert announced is not None
    assert announced.data == b"x"
    await second.stop()


class SilentServer:
    """A proxy that takes every request, begins to answer those to listen, and never says anything."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.paths.append(head.split()[1].decode())
        if self.paths[-1].endswith("/listen"):
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await reader.read()
        writer.close()


@pytest.fixture
async def silent() -> AsyncIterator[tuple[SilentServer, ProxyClient]]:
    server = SilentServer()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    client = ProxyClient(f"127.0.0.1:{listening.sockets[0].getsockname()[1]}")
    await client.start()
    yield server, client
    await client.stop()
    listening.close()


async def test_a_server_that_never_answers_fails_puts_and_gets(
    silent: tuple[SilentServer, ProxyClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy_client, "_ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(proxy_client, "_GET_SECONDS", 0.2)
    _, client = silent
    async with asyncio.timeout(3):
        assert not await client.put(KEY, WireValue(1, data=b"x"))
        assert not (await client.get(KEY)).ok


async def test_a_new_network_begins_streams_of_news_anew(silent: tuple[SilentServer, ProxyClient]) -> None:
    server, client = silent
    stop = client.listen(KEY, lambda values, expired: None)
    path = f"/key/{KEY}/listen"
    async with asyncio.timeout(3):
        while path not in server.paths:
            await asyncio.sleep(0.02)
        client.connectivity_changed()
        while server.paths.count(path) < 2:
            await asyncio.sleep(0.02)
    stop()
