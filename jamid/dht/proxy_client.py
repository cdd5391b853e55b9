"""A DHT proxy in place of a UDP node: the same get, put and listen over HTTP (protocol: opendht, section 25)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import time
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, Final

from jamid.core import limits
from jamid.core.errors import LocalError, RemoteError
from jamid.core.identifiers import InfoHash
from jamid.core.tasks import Tasks
from jamid.dht.core import Status
from jamid.dht.proxy_json import value_from_json, value_to_json
from jamid.dht.proxy_push import PushTarget
from jamid.dht.query import Query
from jamid.dht.seams import GetResult, OnWireNews, OnWireValues
from jamid.dht.values import WireValue

if TYPE_CHECKING:
    import aiohttp

_log = logging.getLogger(__name__)
_RENEW: Final = 22 * 3600.0
_CHECK: Final = 15 * 60.0
_CHECK_AFTER_FAILURE: Final = 60.0
_FIRST_RETRY: Final = 1.0
_LAST_RETRY: Final = 60.0
_ANSWER_SECONDS: Final = 30.0
"""A put or subscription that the server has not answered by then is lost."""
_GET_SECONDS: Final = 60.0
"""…and a get; the server's own search takes some seconds."""
_DEAD_AFTER: Final = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 20, "TCP_KEEPCNT": 3}
"""A stream of news is silent by nature: only the probes of TCP tell that its server is gone."""


class _ProxyListening:
    """A listen and what it has reported."""

    def __init__(self, key: InfoHash, query: Query | None, on_news: OnWireNews) -> None:
        self.key = key
        self.query = query
        self.on_news = on_news
        self.known: dict[int, WireValue] = {}
        self.task: asyncio.Task[None] | None = None

    def news(self, value: WireValue, expired: bool) -> None:
        """Reports VALUE unless that is nothing new."""
        if self.query is not None and not self.query.matches(value):
            return
        known = self.known.get(value.id)
        if expired:
            if known is not None:
                del self.known[value.id]
                self.on_news([known], True)
        elif known is None or (not known.same_content(value) and value.seq >= known.seq):
            if len(self.known) >= limits.DHT_CACHED_VALUES:
                del self.known[next(iter(self.known))]
            self.known[value.id] = value
            self.on_news([value], False)


class ProxyClient:
    """The node of an account that uses a proxy. With PUSH, news come as notifications that the frontend hands in."""

    def __init__(self, server: str, *, push: PushTarget | None = None) -> None:
        self._base = (server if "://" in server else f"http://{server}").rstrip("/")
        self._push = push
        self._session: aiohttp.ClientSession | None = None
        self._tasks = Tasks("dht proxy client")
        self._status = Status.DISCONNECTED
        self._on_status: list[Callable[[Status], None]] = []
        self._puts: dict[tuple[InfoHash, int], WireValue] = {}
        self._listenings: list[_ProxyListening] = []
        self._checked = asyncio.Event()
        self._check_now = asyncio.Event()

    async def start(self) -> None:
        """Begins to watch the server; does not wait for it."""
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
        self._session = aiohttp.ClientSession(timeout=timeout, read_bufsize=limits.DHT_PROXY_LINE_BYTES, headers={"User-Agent": "jamid"})
        self._set_status(Status.CONNECTING)
        self._tasks.spawn(self._watch(), "watch")
        self._tasks.spawn(self._renew_forever(), "renew")

    async def stop(self) -> None:
        await self._tasks.close()
        if self._session is not None:
            await self._session.close()
            self._session = None
        self._set_status(Status.DISCONNECTED)

    @property
    def status(self) -> Status:
        return self._status

    def on_status(self, callback: Callable[[Status], None]) -> Callable[[], None]:
        """Calls CALLBACK at every change of `status`; returns the function that ends it."""
        self._on_status.append(callback)
        return lambda: self._on_status.remove(callback) if callback in self._on_status else None

    def connectivity_changed(self) -> None:
        """Looks for the server again at once; the streams of news may hang on the network that is gone, and begin anew."""
        self._check_now.set()
        if self._push is None:
            for listening in self._listenings:
                if listening.task is not None:
                    listening.task.cancel()
                listening.task = self._tasks.spawn(self._follow(listening), "listen")

    async def get(self, key: InfoHash, query: Query | None = None, *, on_values: OnWireValues | None = None) -> GetResult:
        """The values under KEY; ok = the server answered."""
        found: list[WireValue] = []
        try:
            async with asyncio.timeout(_GET_SECONDS):
                async for value, expired in self._stream("GET", f"/key/{key}"):
                    if expired or (query is not None and not query.matches(value)):
                        continue
                    found.append(value)
                    if on_values is not None and not on_values([value]):
                        break
        except (OSError, LocalError, RemoteError) as error:
            _log.info("get from the DHT proxy failed: %s", error)
            return GetResult(False, found)
        return GetResult(True, found)

    async def put(self, key: InfoHash, value: WireValue, *, permanent: bool = False, created: int | None = None) -> bool:
        """Whether the server took VALUE; a permanent one is renewed until cancelled."""
        if permanent:
            self._puts[key, value.id] = value
        return await self._post(key, value, permanent)

    def cancel_put(self, key: InfoHash, value_id: int) -> None:
        """The server lets it run out: there is no request to end it."""
        self._puts.pop((key, value_id), None)

    def announced(self, key: InfoHash, value_id: int) -> WireValue | None:
        return self._puts.get((key, value_id))

    def listen(self, key: InfoHash, on_news: OnWireNews, query: Query | None = None) -> Callable[[], None]:
        """Reports values that appear and expire under KEY; returns the function that ends it."""
        listening = _ProxyListening(key, query, on_news)
        self._listenings.append(listening)
        listening.task = self._tasks.spawn(self._follow(listening), "listen")

        def stop() -> None:
            if listening in self._listenings:
                self._listenings.remove(listening)
                if listening.task is not None:
                    listening.task.cancel()
                if self._push is not None and not any(one.key == key for one in self._listenings):
                    self._tasks.spawn(self._unsubscribe(key), "unsubscribe")

        return stop

    def push_received(self, data: dict[str, str]) -> None:
        """A notification came: news under a key, or a reminder to renew."""
        if self._push is None or data.get("s", "") != self._push.session_id:
            return
        try:
            key = InfoHash.from_hex(data.get("key") or data.get("timeout") or "")
        except RemoteError:
            return
        for listening in [one for one in self._listenings if one.key == key]:
            if "timeout" in data:
                self._tasks.spawn(self._subscribe(listening, refresh=True), "resubscribe")
            elif "exp" in data:
                for text in data["exp"].split(","):
                    known = listening.known.get(int(text)) if text.isdigit() else None
                    if known is not None:
                        listening.news(known, True)
            else:
                self._tasks.spawn(self._fetch(listening), "fetch")
        if "vid" in data and data["vid"].isdigit() and (value := self._puts.get((key, int(data["vid"])))) is not None:
            self._tasks.spawn(self._post(key, value, True), "renew")

    # -- inside

    async def _post(self, key: InfoHash, value: WireValue, permanent: bool) -> bool:
        fields = value_to_json(value)
        if permanent:
            fields["permanent"] = self._push.to_json() if self._push is not None else True
        try:
            async with asyncio.timeout(_ANSWER_SECONDS), self._open("POST", f"/key/{key}", fields) as response:
                return response.status == 200
        except (OSError, LocalError, TimeoutError) as error:
            _log.info("put to the DHT proxy failed: %s", error)
            self._check_now.set()
            return False

    async def _follow(self, listening: _ProxyListening) -> None:
        """Keeps a stream of news open, or a subscription with push notifications."""
        retry = _FIRST_RETRY
        while True:
            started = time.monotonic()
            try:
                if self._push is not None:
                    await self._subscribe(listening)
                    await asyncio.sleep(_RENEW)
                    continue
                async for value, expired in self._stream("GET", f"/key/{listening.key}/listen"):
                    listening.news(value, expired)
            except (OSError, LocalError, RemoteError) as error:
                _log.info("listening through the DHT proxy was interrupted: %s", error)
                self._check_now.set()
            retry = _FIRST_RETRY if time.monotonic() - started > _LAST_RETRY else min(retry * 2, _LAST_RETRY)
            await asyncio.sleep(retry)

    async def _subscribe(self, listening: _ProxyListening, *, refresh: bool = False) -> None:
        assert self._push is not None
        body = self._push.to_json() | ({"refresh": True} if refresh else {})
        async with asyncio.timeout(_ANSWER_SECONDS), self._open("SUBSCRIBE", f"/key/{listening.key}", body) as response:
            if response.status != 200:
                raise LocalError(f"the DHT proxy refused a subscription with status {response.status}")
        if not refresh:
            await self._fetch(listening)

    async def _unsubscribe(self, key: InfoHash) -> None:
        assert self._push is not None
        try:
            body = {"key": self._push.token, "client_id": self._push.client_id}
            async with asyncio.timeout(_ANSWER_SECONDS), self._open("UNSUBSCRIBE", f"/key/{key}", body):
                pass
        except (OSError, LocalError) as error:
            _log.info("unsubscribing at the DHT proxy failed: %s", error)

    async def _fetch(self, listening: _ProxyListening) -> None:
        for value in (await self.get(listening.key)).values:
            listening.news(value, False)

    async def _watch(self) -> None:
        while True:
            connected = await self._check()
            self._check_now.clear()
            try:
                async with asyncio.timeout(_CHECK if connected else _CHECK_AFTER_FAILURE):
                    await self._check_now.wait()
                    await asyncio.sleep(_FIRST_RETRY)
            except TimeoutError:
                pass

    async def _check(self) -> bool:
        before = self._status
        try:
            async with asyncio.timeout(30), self._open("GET", "/node/info") as response:
                info = json.loads(await response.read())
            nodes = [info.get(name, {}) for name in ("ipv4", "ipv6")]
            good = any(int(one.get("good", 0)) for one in nodes)
            dubious = any(int(one.get("dubious", 0)) for one in nodes)
            self._set_status(Status.CONNECTED if good else Status.CONNECTING if dubious else Status.DISCONNECTED)
        except (OSError, LocalError, ValueError, TypeError, AttributeError, OverflowError, RecursionError, TimeoutError) as error:
            _log.info("the DHT proxy %s does not answer: %s", self._base, error or type(error).__name__)
            self._set_status(Status.DISCONNECTED)
        if self._status is Status.CONNECTED and before is Status.DISCONNECTED:
            for (key, _), value in list(self._puts.items()):
                self._tasks.spawn(self._post(key, value, True), "redo")
        return self._status is Status.CONNECTED

    async def _renew_forever(self) -> None:
        while True:
            await asyncio.sleep(_RENEW)
            for (key, _), value in list(self._puts.items()):
                await self._post(key, value, True)

    async def _stream(self, method: str, path: str) -> AsyncIterator[tuple[WireValue, bool]]:
        """The values of a chunked reply, each with whether it expired; raises OSError, LocalError or RemoteError."""
        async with self._open(method, path) as response:
            if response.status != 200:
                raise LocalError(f"the DHT proxy answered with status {response.status}")
            _probe(response)
            while True:
                try:
                    line = await response.content.readline()
                    if not line:
                        return
                    fields: Any = json.loads(line) if line.strip() else None
                except (ValueError, RecursionError):  # the reader raises ValueError for a line beyond its limit
                    raise RemoteError("the DHT proxy sent something that is not JSON") from None
                if isinstance(fields, dict) and "id" in fields:
                    yield value_from_json(fields), fields.get("expired") is True

    def _open(self, method: str, path: str, body: dict[str, Any] | None = None) -> _Request:
        if self._session is None:
            raise LocalError("the DHT proxy client is not running")
        return _Request(self._session, method, self._base + path, body)

    def _set_status(self, status: Status) -> None:
        if status is not self._status:
            self._status = status
            for callback in tuple(self._on_status):
                callback(status)


def _probe(response: aiohttp.ClientResponse) -> None:
    """Lets TCP find out when the server of a long silent RESPONSE is gone."""
    transport = response.connection.transport if response.connection is not None else None
    tcp = transport.get_extra_info("socket") if transport is not None else None
    if tcp is not None:
        with contextlib.suppress(OSError):
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, seconds in _DEAD_AFTER.items():
                tcp.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), seconds)


class _Request:
    """One HTTP exchange; what goes wrong in it is an OSError or LocalError."""

    def __init__(self, session: aiohttp.ClientSession, method: str, url: str, body: dict[str, Any] | None) -> None:
        self._context = session.request(method, url, json=body)

    async def __aenter__(self) -> aiohttp.ClientResponse:
        import aiohttp

        try:
            return await self._context.__aenter__()
        except aiohttp.ClientError as error:
            raise LocalError(f"the DHT proxy cannot be reached: {error}") from None

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        import aiohttp

        await self._context.__aexit__(kind, error, None)
        if isinstance(error, aiohttp.ClientError):
            raise LocalError(f"the connection to the DHT proxy broke: {error}") from None
