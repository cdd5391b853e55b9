"""The client of name servers against our own server and against hostile ones, and the server against bad requests."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from jamid.accounts.http import HttpClient
from jamid.accounts.names import Lookup, NameDirectory, Registration, _registration_body
from jamid.accounts.nameserver.server import Quota, make_application
from jamid.accounts.nameserver.store import NameStore
from jamid.core.errors import LocalError
from tests.support.accounts.world import small_key

KEY, OTHER = small_key(1), small_key(2)
URI, OTHER_URI = KEY.public.id.hex(), OTHER.public.id.hex()
ETH = "95d63d530b857bdf69f919bbbbfe314c5d1840a5"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(application: web.Application) -> AsyncIterator[str]:
    """The base URL of a running APPLICATION."""
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def answering(handler: Handler) -> AsyncIterator[str]:
    """A server that answers every request by HANDLER."""
    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", handler)
    async with serving(application) as url:
        yield url


@pytest.fixture
async def directory(tmp_path: Path) -> AsyncIterator[NameDirectory]:
    names = NameDirectory(tmp_path, HttpClient(timeout=1.0))
    yield names
    await names.close()


@pytest.fixture
def store(tmp_path: Path) -> NameStore:
    return NameStore(tmp_path / "names.sqlite")


class TestOurServer:
    async def test_registration_and_look_up(self, directory: NameDirectory, store: NameStore, tmp_path: Path) -> None:
        async with serving(make_application(store)) as url:
            assert await directory.register(url, "Alice", URI, ETH, KEY) is Registration.SUCCESS
            assert await directory.register(url, "alice", OTHER_URI, ETH, OTHER) is Registration.TAKEN
            fresh = NameDirectory(tmp_path / "fresh", HttpClient(timeout=1.0))
            assert await fresh.lookup_name(url, "ALICE") == await fresh.lookup_name(url, f"jami:alice@{url}")
            assert (await fresh.lookup_name(url, "alice")).address == URI
            assert (await fresh.lookup_address(url, "0x" + URI.upper())).name == "alice"
            assert (await fresh.lookup_address(url, OTHER_URI)).status is Lookup.NOT_FOUND
            assert await fresh.register(url, "alice", OTHER_URI, ETH, OTHER) is Registration.TAKEN
            assert await fresh.register(url, "second", URI, ETH, KEY) is Registration.TAKEN
            await fresh.close()
        again = NameDirectory(tmp_path / "fresh", HttpClient(timeout=1.0))
        assert (await again.lookup_name(url, "alice")).address == URI, "names are remembered when the server is gone"
        await again.close()

    async def test_bad_requests(self, store: NameStore) -> None:
        good = json.loads(_registration_body("alice", URI, ETH, KEY))
        statuses = {
            "no JSON": (b"{", "alice", 400),
            "deep JSON": (b"[" * 5000, "alice", 400),
            "no object": (b"[]", "alice", 400),
            "wrong name": (json.dumps(good).encode(), "bob", 401),
            "bad name": (json.dumps(good).encode(), "a!", 400),
            "foreign address": (json.dumps(good | {"addr": OTHER_URI}).encode(), "alice", 401),
            "no address": (json.dumps(good | {"addr": "x"}).encode(), "alice", 400),
            "no key": (json.dumps(good | {"publickey": ""}).encode(), "alice", 400),
            "bad key": (json.dumps(good | {"publickey": "QUJD"}).encode(), "alice", 400),
            "too large": (json.dumps(good | {"x": "y" * 100_000}).encode(), "alice", 413),
            "good with NUL": (
                json.dumps(good | {"publickey": base64.b64encode(base64.b64decode(good["publickey"]) + b"\0").decode()}).encode(),
                "alice",
                200,
            ),
            "same again": (json.dumps(good).encode(), "alice", 200),
        }
        client = HttpClient(timeout=2.0)
        async with serving(make_application(store)) as url:
            for reason, (body, name, status) in statuses.items():
                assert (await client.request("POST", f"{url}/name/{name}", body=body)).status == status, reason
            assert (await client.request("GET", f"{url}/name/alice/owner")).json == {"name": "alice", "owner": f"0x{ETH}"}
            assert (await client.request("GET", f"{url}/addr/nonsense")).status == 400
            assert (await client.request("GET", f"{url}/addr/ring:{URI}")).json == {"name": "alice"}
            assert (await client.request("GET", f"{url}/elsewhere")).status == 404
        await client.close()
        assert store.count() == 1

    async def test_registrations_are_rationed(self, store: NameStore) -> None:
        client = HttpClient(timeout=2.0)
        async with serving(make_application(store, registrations_per_minute=2)) as url:
            statuses = [(await client.request("POST", f"{url}/name/alice", body=b"{}")).status for _ in range(3)]
        await client.close()
        assert statuses == [400, 400, 429]

    def test_quota_comes_back(self) -> None:
        now = [0.0]
        quota = Quota(1, lambda: now[0])
        assert quota.take("a")
        assert not quota.take("a")
        assert quota.take("b")
        now[0] = 61
        assert quota.take("a")

    def test_names_survive_the_process(self, tmp_path: Path) -> None:
        from jamid.accounts.nameserver.registration import read_registration

        record = read_registration("alice", json.loads(_registration_body("alice", URI, ETH, KEY)), 5)
        first = NameStore(tmp_path / "names.sqlite")
        assert first.register(record)
        assert NameStore(tmp_path / "names.sqlite").by_address(URI) == record  # while the first still has it open

    def test_unusable_file(self, tmp_path: Path) -> None:
        (tmp_path / "names.sqlite").write_bytes(b"not a database" * 100)
        with pytest.raises(LocalError, match="cannot open the names"):
            NameStore(tmp_path / "names.sqlite")


class TestHostileServers:
    @pytest.mark.parametrize(
        ("body", "status", "expected"),
        [
            (b"", 200, Lookup.INVALID),
            (b"[1]", 200, Lookup.INVALID),
            (b'{"name": 5, "addr": "0x' + URI.encode() + b'"}', 200, Lookup.INVALID),
            (b'{"name": "alice", "addr": "zz"}', 200, Lookup.INVALID),
            (b'{"name": "mallory", "addr": "' + URI.encode() + b'"}', 200, Lookup.INVALID),
            (b'{"name": "alice"}', 200, Lookup.NOT_FOUND),
            (b"{}", 404, Lookup.NOT_FOUND),
            (b"{}", 400, Lookup.INVALID),
            (b"{}", 500, Lookup.ERROR),
            (b"{}", 302, Lookup.ERROR),
        ],
        ids=range(10),
    )
    async def test_useless_answers(self, directory: NameDirectory, body: bytes, status: int, expected: Lookup) -> None:
        async def handler(request: web.Request) -> web.Response:
            return web.Response(body=body, status=status, headers={"Location": "http://127.0.0.1:1/"} if status == 302 else {})

        async with answering(handler) as url:
            assert (await directory.lookup_name(url, "alice")).status is expected

    async def test_wrong_signature(self, directory: NameDirectory) -> None:
        record = json.loads(_registration_body("alice", OTHER_URI, ETH, OTHER))

        async def handler(request: web.Request) -> web.Response:
            return web.json_response({"name": "alice", "addr": URI, "publickey": record["publickey"], "signature": record["signature"]})

        async with answering(handler) as url:
            assert (await directory.lookup_name(url, "alice")).status is Lookup.INVALID

    async def test_slow_drip_and_endless_body(self, directory: NameDirectory) -> None:
        async def drip(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            while True:
                await response.write(b" " * (65536 if "endless" in request.path else 1))
                await asyncio.sleep(0.0 if "endless" in request.path else 0.2)

        async with answering(drip) as url:
            assert (await directory.lookup_name(url, "slow")).status is Lookup.ERROR
            assert (await directory.lookup_name(url, "endless")).status is Lookup.ERROR

    async def test_nobody_there_and_nonsense(self, directory: NameDirectory) -> None:
        assert (await directory.lookup_name("http://127.0.0.1:1", "alice")).status is Lookup.ERROR
        assert (await directory.lookup_name("http://[", "alice")).status is Lookup.ERROR
        assert (await directory.lookup_name("http://127.0.0.1:1", "a b")).status is Lookup.INVALID
        assert (await directory.lookup_address("http://127.0.0.1:1", "zz")).status is Lookup.INVALID

    async def test_equal_questions_are_asked_once(self, directory: NameDirectory) -> None:
        asked = []

        async def handler(request: web.Request) -> web.Response:
            asked.append(request.path)
            await asyncio.sleep(0.1)
            return web.json_response({"error": "name not registered"}, status=404)

        async with answering(handler) as url:
            answers = await asyncio.gather(*(directory.lookup_name(url, "alice") for _ in range(20)))
        assert {answer.status for answer in answers} == {Lookup.NOT_FOUND}
        assert asked == ["/name/alice"]
