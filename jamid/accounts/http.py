"""Requests to the HTTP servers of accounts (names, account management): bounded in time and size, no redirects, JSON answers."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from jamid.accounts.json_reader import read_json
from jamid.core import limits
from jamid.core.errors import LocalError, RemoteError
from jamid.core.tasks import in_thread

if TYPE_CHECKING:
    import ssl

    import aiohttp

_TIMEOUT: Final = 15.0
_USER_AGENT: Final = "JamiDHT"


class HttpError(LocalError):
    """The server could not be asked or did not answer properly."""


@dataclass(frozen=True, slots=True)
class Response:
    """An answer."""

    status: int
    json: Any
    """the parsed body, None when it is no JSON"""


class HttpClient:
    """Makes requests; aiohttp is loaded with the first one, as it is large."""

    def __init__(self, timeout: float = _TIMEOUT) -> None:
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None
        self._loading = asyncio.Lock()
        self._running = asyncio.Semaphore(limits.HTTP_REQUESTS)

    async def request(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        context: ssl.SSLContext | None = None,
    ) -> Response:
        """Sends one request; raises HttpError when there is no complete answer in time or it is too large."""
        async with self._running:
            session = await self._open()
            import aiohttp

            sent = {"User-Agent": _USER_AGENT, "Accept": "*/*", "Content-Type": "application/json", "Connection": "close"}
            options: dict[str, Any] = {} if context is None else {"ssl": context}
            try:
                async with (
                    asyncio.timeout(self._timeout),
                    session.request(method, url, data=body, headers=sent | dict(headers or {}), allow_redirects=False, **options) as reply,
                ):
                    data = await reply.content.read(limits.HTTP_ANSWER_BYTES + 1)
                    while len(data) <= limits.HTTP_ANSWER_BYTES and (more := await reply.content.read(limits.HTTP_ANSWER_BYTES)):
                        data += more
                    if len(data) > limits.HTTP_ANSWER_BYTES:
                        raise HttpError(f"the answer has more than {limits.HTTP_ANSWER_BYTES} bytes")
                    return Response(reply.status, _parsed(data))
            except TimeoutError:
                raise HttpError(f"no answer within {self._timeout:.0f} s") from None
            except (aiohttp.ClientError, OSError, ValueError) as error:
                raise HttpError(str(error) or type(error).__name__) from error

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _open(self) -> aiohttp.ClientSession:
        async with self._loading:
            if self._session is None:
                await in_thread(importlib.import_module, "aiohttp")
                import aiohttp

                self._session = aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(force_close=True), cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
                )
            return self._session


def _parsed(data: bytes) -> Any:
    try:
        return read_json(data)
    except RemoteError:
        return None
