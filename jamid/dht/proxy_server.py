"""The DHT over HTTP, for clients that cannot keep a UDP socket open (protocol: opendht, section 25)."""

from __future__ import annotations

import asyncio
import functools
import logging
import ssl
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jamid.core import limits
from jamid.core.errors import LocalError, RemoteError
from jamid.core.files import read_if_present, set_aside, write_atomically
from jamid.core.identifiers import InfoHash
from jamid.core.tasks import Tasks, in_thread
from jamid.dht.addresses import Family
from jamid.dht.node import DhtNode
from jamid.dht.present import parse_key
from jamid.dht.proxy_http import HEADERS, Streams, json_body, json_line
from jamid.dht.proxy_json import value_from_json, value_to_json
from jamid.dht.proxy_push import Push, PushSender, PushTarget
from jamid.dht.proxy_state import PermanentPut, ProxyState, pack_proxy_state, unpack_proxy_state
from jamid.dht.values import WireValue

if TYPE_CHECKING:
    from aiohttp import web

_log = logging.getLogger(__name__)
OPERATION_LIFETIME: Final = 24 * 3600.0
_REMINDER: Final = 2 * 3600.0
_BACKLOG_LINES: Final = 1024
"""Values waiting for a slow reader; then its stream ends."""
_CORS: Final = {
    "Access-Control-Allow-Methods": "OPTIONS, GET, POST, LISTEN",
    "Access-Control-Allow-Headers": "content-type",
    "Access-Control-Max-Age": "86400",
}


class ProxyServer:
    """An HTTP(S) server over a running node; off unless somebody starts it."""

    def __init__(
        self,
        node: DhtNode,
        *,
        port: int,
        host: str | None = None,
        certificate: Path | None = None,
        key: Path | None = None,
        push_server: str = "",
        state_file: Path | None = None,
    ) -> None:
        self._node = node
        self._host = host
        self._port = port
        self._certificate = certificate
        self._key = key
        self._state_file = state_file
        self._sender = PushSender(push_server)
        self._tasks = Tasks("dht proxy")
        self._runner: web.AppRunner | None = None
        self._puts: dict[tuple[InfoHash, int], PermanentPut] = {}
        self._pushes: dict[tuple[InfoHash, str, str], Push] = {}
        self._stops: dict[tuple[InfoHash, str, str], Callable[[], None]] = {}
        self._streams = Streams()
        self._listens = 0
        self._requests = 0
        self._started = time.monotonic()

    async def start(self) -> None:
        """Begins to serve; raises LocalError when the port or the certificate cannot be used."""
        from aiohttp import web

        context = await in_thread(self._tls_context) if self._certificate is not None else None

        @web.middleware
        async def common(request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.StreamResponse:
            return await self._common(request, handler)

        app = web.Application(client_max_size=limits.DHT_PROXY_BODY_BYTES, middlewares=[common])
        for prefix in ("/key", ""):
            app.router.add_route("GET", f"{prefix}/{{hash}}", self._get)
            app.router.add_route("POST", f"{prefix}/{{hash}}", self._put)
            app.router.add_route("SUBSCRIBE", f"{prefix}/{{hash}}", self._subscribe)
            app.router.add_route("UNSUBSCRIBE", f"{prefix}/{{hash}}", self._unsubscribe)
            app.router.add_route("OPTIONS", f"{prefix}/{{hash}}", self._options)
        app.router.add_route("GET", "/", self._info)
        app.router.add_route("GET", "/node/info", self._info)
        app.router.add_route("GET", "/node/stats", self._stats)
        app.router.add_route("POST", "/node/pingPush", self._ping_push)
        app.router.add_route("GET", "/key/{hash}/listen", self._listen)
        app.router.add_route("GET", "/key/{hash}/options", self._options)
        app.router.add_route("POST", "/key/{hash}/sign", self._not_here)
        app.router.add_route("POST", "/key/{hash}/encrypt", self._not_here)
        await self._load()
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port, ssl_context=context).start()
        except OSError as error:
            await self._runner.cleanup()
            raise LocalError(f"the DHT proxy cannot listen on port {self._port}: {error.strerror}") from None
        self._tasks.spawn(self._expire_forever(), "expire")
        _log.info("DHT proxy on port %d (%s)", self.port, "HTTPS" if context else "HTTP")

    async def stop(self) -> None:
        """Ends all streams and remembers permanent puts and subscriptions."""
        for stop in self._stops.values():
            stop()
        self._stops.clear()
        await self._tasks.close()
        await self._sender.close()
        if self._state_file is not None:
            state = ProxyState(list(self._puts.values()), list(self._pushes.values()))
            await in_thread(write_atomically, self._state_file, pack_proxy_state(state))
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @property
    def port(self) -> int:
        """The TCP port it listens on."""
        if self._runner is not None and self._runner.addresses:
            return int(self._runner.addresses[0][1])
        return self._port

    # -- routes

    async def _common(self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.StreamResponse:
        """What all replies share; no bad request may become a traceback."""
        from aiohttp import web

        self._requests += 1
        try:
            response = await handler(request)
        except web.HTTPException as error:
            response = web.json_response({"err": error.reason}, status=error.status)
        except (RemoteError, UnicodeError, ValueError):
            response = web.json_response({"err:": "Incorrect JSON"}, status=400)
        except LocalError as error:
            response = web.json_response({"err": str(error)}, status=503)
        if not response.prepared:
            response.headers.update(HEADERS)
        return response

    async def _info(self, _request: web.Request) -> web.StreamResponse:
        from aiohttp import web

        return web.json_response(self._node_info())

    async def _stats(self, _request: web.Request) -> web.StreamResponse:
        from aiohttp import web

        return web.json_response(
            {
                "listenCount": self._listens,
                "putCount": len(self._puts),
                "totalPermanentPuts": len(self._puts),
                "pushListenersCount": len(self._pushes),
                "requestRate": self._requests / max(time.monotonic() - self._started, 1.0),
                "nodeInfo": self._node_info(),
            }
        )

    async def _options(self, _request: web.Request) -> web.StreamResponse:
        from aiohttp import web

        return web.Response(headers=_CORS)

    async def _not_here(self, _request: web.Request) -> web.StreamResponse:
        from aiohttp import web

        return web.json_response({"err": "Unsupported"}, status=501)

    async def _get(self, request: web.Request) -> web.StreamResponse:
        key = parse_key(request.match_info["hash"])
        lines: asyncio.Queue[WireValue | None] = asyncio.Queue()

        def take(values: list[WireValue]) -> bool:
            for value in values:
                lines.put_nowait(value)
            return True

        async def search() -> None:
            try:
                await self._node.get(key, on_values=take)
            finally:
                lines.put_nowait(None)

        async with self._streams.open(request) as response:
            searching = self._tasks.spawn(search(), "get")
            try:
                while (value := await lines.get()) is not None:
                    await response.write(json_line(value_to_json(value)))
            finally:
                searching.cancel()
        return response.response

    async def _listen(self, request: web.Request) -> web.StreamResponse:
        key = parse_key(request.match_info["hash"])
        lines: asyncio.Queue[bytes] = asyncio.Queue(_BACKLOG_LINES)
        overrun = asyncio.Event()

        def news(values: list[WireValue], expired: bool) -> None:
            for value in values:
                fields = value_to_json(value)
                if expired:
                    fields["expired"] = True
                try:
                    lines.put_nowait(json_line(fields))
                except asyncio.QueueFull:
                    overrun.set()

        async with self._streams.open(request) as response:
            stop = self._node.listen(key, news)
            self._listens += 1
            try:
                while not overrun.is_set():
                    await response.write(await lines.get())
            finally:
                self._listens -= 1
                stop()
        return response.response

    async def _put(self, request: web.Request) -> web.StreamResponse:
        from aiohttp import web

        key = parse_key(request.match_info["hash"])
        body = await json_body(request)
        if not body:
            return web.json_response({"err": "Missing parameters"}, status=400)
        value = value_from_json(body)
        if not value.id:
            from jamid.dht.sealing import new_value_id

            value = value.with_id(new_value_id())
        if value.size > limits.DHT_VALUE_BYTES:
            return web.json_response({"err": "Put failed"}, status=502)
        wanted = body.get("permanent")
        permanent = wanted is not None and wanted is not False
        if permanent:
            if len(self._puts) >= limits.DHT_PROXY_OPERATIONS:
                return web.json_response({"err": "Put failed"}, status=502)
            target = PushTarget.from_json(wanted) if isinstance(wanted, dict) else None
            self._puts[key, value.id] = PermanentPut(key, value, time.time() + OPERATION_LIFETIME, target)
        ok = await self._node.put(key, value, permanent=permanent)
        if not ok and not permanent:
            return web.json_response({"err": "Put failed"}, status=502)
        return web.json_response(value_to_json(value))

    async def _subscribe(self, request: web.Request) -> web.StreamResponse:
        from aiohttp import web

        key = parse_key(request.match_info["hash"])
        body = await json_body(request)
        target = PushTarget.from_json(body)
        if not target.token:
            return web.json_response({"err": "No token"}, status=400)
        name = (key, target.token, target.client_id)
        known = self._pushes.get(name)
        if known is None and len(self._pushes) >= limits.DHT_PROXY_OPERATIONS:
            return web.json_response({"err": "Too many subscriptions"}, status=503)
        push = self._pushes[name] = Push(key, target, time.time() + OPERATION_LIFETIME)
        if known is None:
            self._stops[name] = self._node.listen(key, functools.partial(self._notify, name))
            return web.Response(body=b"{}\n", content_type="application/json")
        if body.get("refresh"):
            return web.Response(body=b"{}\n", content_type="application/json")
        found = await self._node.get(push.key)
        return web.Response(body=b"".join(json_line(value_to_json(value)) for value in found.values), content_type="application/json")

    async def _unsubscribe(self, request: web.Request) -> web.StreamResponse:
        from aiohttp import web

        key = parse_key(request.match_info["hash"])
        target = PushTarget.from_json(await json_body(request))
        self._end_push((key, target.token, target.client_id))
        return web.Response()

    async def _ping_push(self, request: web.Request) -> web.StreamResponse:
        from aiohttp import web

        target = PushTarget.from_json(await json_body(request))
        if not target.token:
            return web.json_response({"err": "No token"}, status=400)
        self._tasks.spawn(self._sender.send(target, {"to": target.client_id, "pong": True}), "pong")
        return web.json_response({})

    # -- inside

    def _node_info(self) -> dict[str, Any]:
        core = self._node.core
        now = core.timers.now()
        info: dict[str, Any] = {"id": str(self._node.id), "node_id": str(self._node.id)}
        for family, name in ((Family.V4, "ipv4"), (Family.V6, "ipv6")):
            table = core.tables[family]
            nodes = table.nodes()
            good = sum(node.is_good(now) for node in nodes)
            info[name] = {
                "good": good,
                "dubious": sum(not node.expired for node in nodes) - good,
                "incoming": 0,
                "table_depth": table.depth,
            }
            info[f"port_{name}"] = self._node.port_of(family)
        addresses = self._node.own_addresses()
        info |= {
            "ops": self._listens + len(self._puts),
            "public_ip": addresses[0] if addresses else "",
            "storage_values": core.storage.values,
            "storage_size": core.storage.bytes,
        }
        return info

    def _notify(self, name: tuple[InfoHash, str, str], values: list[WireValue], expired: bool) -> None:
        push = self._pushes.get(name)
        if push is None:
            return
        ids = ",".join(str(value.id) for value in values)
        data: dict[str, Any] = {
            "key": str(push.key),
            "to": push.target.client_id,
            "t": int(time.time() * 1000),
            "s": push.target.session_id,
        }
        data |= {"exp": ids} if expired else {"ids": ids}
        if not expired and values[0].push_type:
            data["pt"] = values[0].push_type
        urgent = any(value.priority == 0 for value in values) and not expired
        self._tasks.spawn(self._sender.send(push.target, data, urgent=urgent), "push")

    def _end_push(self, name: tuple[InfoHash, str, str]) -> None:
        self._pushes.pop(name, None)
        stop = self._stops.pop(name, None)
        if stop is not None:
            stop()

    async def _expire_forever(self) -> None:
        reminded: set[object] = set()
        while True:
            await asyncio.sleep(60)
            now = time.time()
            for name, put in list(self._puts.items()):
                if put.expires <= now:
                    del self._puts[name]
                    reminded.discard(name)
                    self._node.cancel_put(*name)
                elif put.target is not None and put.expires - now < _REMINDER and name not in reminded:
                    reminded.add(name)
                    data = {"timeout": str(put.key), "to": put.target.client_id, "s": put.target.session_id, "vid": str(put.value.id)}
                    self._tasks.spawn(self._sender.send(put.target, data), "remind")
            for push_name, push in list(self._pushes.items()):
                if push.expires <= now:
                    reminded.discard(push_name)
                    self._end_push(push_name)
                elif push.expires - now < _REMINDER and push_name not in reminded:
                    reminded.add(push_name)
                    data = {"timeout": str(push.key), "to": push.target.client_id, "s": push.target.session_id}
                    self._tasks.spawn(self._sender.send(push.target, data), "remind")

    async def _load(self) -> None:
        if self._state_file is None:
            return
        data = await in_thread(read_if_present, self._state_file, limits.STATE_FILE_BYTES)
        if data is None:
            return
        try:
            state = unpack_proxy_state(data)
        except RemoteError as error:
            set_aside(self._state_file, str(error))
            return
        now = time.time()
        for put in state.puts:
            if put.expires > now:
                self._puts[put.key, put.value.id] = put
                self._tasks.spawn(self._node.put(put.key, put.value, permanent=True), "restore")
        for push in state.pushes:
            if push.expires > now:
                name = (push.key, push.target.token, push.target.client_id)
                self._pushes[name] = push
                self._stops[name] = self._node.listen(push.key, functools.partial(self._notify, name))

    def _tls_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(str(self._certificate), str(self._key) if self._key is not None else None)
        except (OSError, ssl.SSLError) as error:
            raise LocalError(f"the DHT proxy cannot use {self._certificate}: {error}") from None
        return context
