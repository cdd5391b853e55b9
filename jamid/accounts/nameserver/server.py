"""The HTTP side of the name server: the public name server's API (protocol: identity, section 15)."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from aiohttp import web

from jamid.accounts.json_reader import read_json
from jamid.accounts.nameserver.registration import NAME, BadRegistration, BadSignature, bare_address, read_registration
from jamid.accounts.nameserver.store import NameStore, NameTaken, Record
from jamid.core import limits
from jamid.core.errors import LocalError, RemoteError
from jamid.core.tasks import in_thread

_log = logging.getLogger(__name__)
_MINUTE: Final = 60.0
_PARTS: Final[dict[str, Callable[[Record], str]]] = {
    "publickey": lambda record: record.public_key,
    "signature": lambda record: record.signature,
    "owner": lambda record: f"0x{record.owner}",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Quota:
    """How many registrations a client address may try per minute."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._spent: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def take(self, client: str) -> bool:
        """Whether CLIENT may try once more now."""
        now = self._clock()
        began, count = self._spent.pop(client, (now, 0))
        if now - began >= _MINUTE:
            began, count = now, 0
        self._spent[client] = (began, count + 1)
        while len(self._spent) > limits.NAME_SERVER_CLIENTS:
            self._spent.popitem(last=False)
        return count < self._per_minute


_STORE: Final = web.AppKey("store", NameStore)
_QUOTA: Final = web.AppKey("quota", Quota)


def make_application(store: NameStore, *, registrations_per_minute: int = 30) -> web.Application:
    """The application that serves STORE."""
    application = web.Application(client_max_size=limits.NAME_REGISTRATION_BYTES, middlewares=[_answer_errors])
    application[_STORE] = store
    application[_QUOTA] = Quota(registrations_per_minute)
    application.add_routes(
        [
            web.get("/name/{name}", _get_name),
            web.get("/name/{name}/{part:publickey|signature|owner}", _get_part),
            web.get("/addr/{address}", _get_address),
            web.post("/name/{name}", _post_name),
        ]
    )
    return application


async def _get_name(request: web.Request) -> web.Response:
    record = await _by_name(request)
    if record is None:
        return _json({"error": "name not registered"}, 404)
    answer = {"name": record.name, "addr": f"0x{record.address}", "publickey": record.public_key, "signature": record.signature}
    return _json(answer)


async def _get_part(request: web.Request) -> web.Response:
    record, part = await _by_name(request), request.match_info["part"]
    if record is None:
        return _json({"error": "name not registered"}, 404)
    return _json({"name": record.name, part: _PARTS[part](record)})


async def _get_address(request: web.Request) -> web.Response:
    address = bare_address(request.match_info["address"])
    if address is None:
        return _json({"success": False}, 400)
    record = await in_thread(request.app[_STORE].by_address, address)
    return _json({"error": "address not registered"}, 404) if record is None else _json({"name": record.name})


async def _post_name(request: web.Request) -> web.Response:
    if not request.app[_QUOTA].take(request.remote or ""):
        return _json({"success": False, "error": "too many registrations, try again in a minute"}, 429)
    try:
        body = read_json(await request.read())
    except RemoteError:
        return _json({"success": False}, 400)
    try:
        record = await in_thread(read_registration, request.match_info["name"], body, int(time.time()))
        new = await in_thread(request.app[_STORE].register, record)
    except BadRegistration as error:
        return _json({"success": False, "error": str(error)}, 400)
    except BadSignature as error:
        return _json({"success": False, "error": str(error)}, 401)
    except NameTaken:
        return _json({"success": False}, 403)
    if new:
        _log.info("%s is now the name of %s", record.name, record.address)
    return _json({"success": True})


async def _by_name(request: web.Request) -> Record | None:
    name = request.match_info["name"].lower()
    return await in_thread(request.app[_STORE].by_name, name) if NAME.fullmatch(name) else None


@web.middleware
async def _answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        return _json({"error": error.reason}, error.status)
    except LocalError as error:
        _log.error("%s", error)
        return _json({"error": "server error"}, 500)


def _json(content: Mapping[str, object], status: int = 200) -> web.Response:
    return web.json_response(content, status=status)
