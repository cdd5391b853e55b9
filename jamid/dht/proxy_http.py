"""Bodies and streams of a DHT proxy's HTTP: one JSON object a line (protocol: opendht, section 25)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from jamid.core.errors import LocalError, RemoteError

if TYPE_CHECKING:
    from aiohttp import web

STREAMS_MAX: Final = 4096
"""Open listens and gets; each holds a connection."""
HEADERS: Final = {"Access-Control-Allow-Origin": "*", "Server": "RESTinio"}
"""What every reply carries; real clients know the server by that name."""


class Streams:
    """Counts the open streams of a server."""

    def __init__(self) -> None:
        self._open = 0

    def open(self, request: web.Request) -> Stream:
        """A chunked reply to REQUEST; raises LocalError when too many are open."""
        if self._open >= STREAMS_MAX:
            raise LocalError("too many streams are open")
        return Stream(request, self._count)

    def _count(self, change: int) -> None:
        self._open += change


class Stream:
    """A chunked reply; an async context."""

    def __init__(self, request: web.Request, count: Callable[[int], None]) -> None:
        from aiohttp import web

        self._request = request
        self._count = count
        self.response = web.StreamResponse(headers={"Content-Type": "application/json", **HEADERS})

    async def __aenter__(self) -> Stream:
        self._count(1)
        self.response.enable_chunked_encoding()
        await self.response.prepare(self._request)
        return self

    async def __aexit__(self, *error: object) -> None:
        self._count(-1)

    async def write(self, line: bytes) -> None:
        """Waits while the reader is slow."""
        await self.response.write(line)


def json_line(fields: dict[str, Any]) -> bytes:
    """FIELDS as one line."""
    return json.dumps(fields).encode() + b"\n"


async def json_body(request: web.Request) -> dict[str, Any]:
    """The object in a request, {} without a body; raises RemoteError."""
    text = await request.read()
    if not text:
        return {}
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        raise RemoteError("not JSON") from None
    if not isinstance(body, dict):
        raise RemoteError("not an object")
    return body
