"""The name service as its client sees it: looking names and addresses up, registering, a cache per server (protocol: identity, 15)."""

from __future__ import annotations

import asyncio
import base64
import enum
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import msgpack

from jamid.accounts.http import HttpClient, HttpError
from jamid.accounts.receipt import unpack_map
from jamid.core import limits
from jamid.core.errors import JamidError, LocalError, RemoteError
from jamid.core.files import read_if_present, write_atomically
from jamid.core.identifiers import is_account_uri
from jamid.core.tasks import Tasks, in_thread
from jamid.crypto.keys import PrivateKey, PublicKey

_log = logging.getLogger(__name__)

DEFAULT_SERVER: Final = "https://ns.jami.net"
_NAME = re.compile(r"[a-zA-Z0-9_-]{3,32}")
_URI = re.compile(r"(?:(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*):(?://)?)?(?:(?P<user>[^@]+)@)?(?P<host>[^@]+)")
_SAVE_DELAY: Final = 5.0


class Lookup(enum.IntEnum):
    """Results of a look-up, as registeredNameFound tells them."""

    FOUND = 0
    INVALID = 1
    NOT_FOUND = 2
    ERROR = 3


class Registration(enum.IntEnum):
    """Results of registering a name, as nameRegistrationEnded tells them; the numbers are 13's, which newer clients expect too."""

    SUCCESS = 0
    WRONG_PASSWORD = 1
    INVALID_NAME = 2
    TAKEN = 3
    ERROR = 4


@dataclass(frozen=True, slots=True)
class Answer:
    """What a look-up gave."""

    status: Lookup
    address: str = ""
    name: str = ""


class NameDirectory:
    """All name servers that the accounts of a daemon use."""

    def __init__(self, cache_directory: Path, http: HttpClient | None = None) -> None:
        self._cache_directory = cache_directory / "namecache"
        self._http = http or HttpClient()
        self._caches: dict[str, dict[str, str]] = {}
        self._asking: dict[tuple[str, str], asyncio.Future[Answer]] = {}
        self._unsaved: set[str] = set()
        self._tasks = Tasks("names")

    async def lookup_name(self, server: str, text: str) -> Answer:
        """The address of a name, or of `name@server`; never raises, a server that is down gives ERROR."""
        server, name = _split(server, text)
        if not _NAME.fullmatch(name):
            return Answer(Lookup.INVALID, "", text)
        name = name.lower()
        for address, known in (await self._cache(server)).items():
            if known == name:
                return Answer(Lookup.FOUND, address, known)
        answer = await self._ask(server, f"/name/{quote(name)}")
        if answer.status is Lookup.FOUND and answer.name and answer.name.lower() != name:
            return Answer(Lookup.INVALID, "", text)
        return answer if answer.status is Lookup.FOUND else Answer(answer.status, "", text)

    async def lookup_address(self, server: str, address: str) -> Answer:
        """The name of an address; never raises."""
        server, address = _normalised(server), address.lower().removeprefix("0x")
        if not is_account_uri(address):
            return Answer(Lookup.INVALID, address, "")
        if (known := (await self._cache(server)).get(address)) is not None:
            return Answer(Lookup.FOUND, address, known)
        answer = await self._ask(server, f"/addr/{address}")
        if answer.status is Lookup.FOUND and answer.address not in ("", address):
            return Answer(Lookup.INVALID, address, "")
        return Answer(answer.status, address, answer.name)

    async def register(self, server: str, name: str, uri: str, eth_address: str, key: PrivateKey) -> Registration:
        """Registers NAME for the account URI, signed with its KEY."""
        server, name = _normalised(server), name.lower()
        if not _NAME.fullmatch(name):
            return Registration.INVALID_NAME
        for address, known in (await self._cache(server)).items():
            if known == name:
                return Registration.SUCCESS if address == uri else Registration.TAKEN
        body = await in_thread(_registration_body, name, uri, eth_address, key)
        try:
            response = await self._http.request("POST", f"{server}/name/{quote(name)}", body=body)
        except HttpError as error:
            _log.warning("the name server %s cannot be asked: %s", server, error)
            return Registration.ERROR
        if response.status == 200 and isinstance(response.json, Mapping) and response.json.get("success") is True:
            await self._learn(server, uri, name)
            return Registration.SUCCESS
        outcomes = {400: Registration.INVALID_NAME, 401: Registration.WRONG_PASSWORD, 403: Registration.TAKEN, 409: Registration.TAKEN}
        return outcomes.get(response.status, Registration.ERROR)

    async def close(self) -> None:
        """Saves the caches and ends what is under way."""
        await self._tasks.close()
        for server in tuple(self._unsaved):
            await self._save(server)
        await self._http.close()

    # -- asking --

    async def _ask(self, server: str, path: str) -> Answer:
        key = (server, path)
        pending = self._asking.get(key)
        if pending is None:
            if len(self._asking) >= limits.NAME_LOOKUPS:
                return Answer(Lookup.ERROR)
            pending = asyncio.ensure_future(self._get(server, path))
            self._asking[key] = pending
            pending.add_done_callback(lambda _: self._asking.pop(key, None))
        return await asyncio.shield(pending)

    async def _get(self, server: str, path: str) -> Answer:
        try:
            response = await self._http.request("GET", server + path)
        except HttpError as error:
            _log.info("the name server %s cannot be asked: %s", server, error)
            return Answer(Lookup.ERROR)
        if response.status == 400:
            return Answer(Lookup.INVALID)
        if 400 < response.status < 500:
            return Answer(Lookup.NOT_FOUND)
        if response.status != 200:
            return Answer(Lookup.ERROR)
        try:
            address, name = await in_thread(_read_record, response.json)
        except RemoteError as error:
            _log.warning("the name server %s gave a useless answer: %s", server, error)
            return Answer(Lookup.INVALID)
        if not address:
            address = path.rpartition("/")[2] if path.startswith("/addr/") else ""
        if not address or not name:
            return Answer(Lookup.NOT_FOUND)
        await self._learn(server, address, name)
        return Answer(Lookup.FOUND, address, name)

    # -- the cache --

    async def _cache(self, server: str) -> dict[str, str]:
        cache = self._caches.get(server)
        if cache is None:
            cache = await in_thread(_load_cache, self._path(server))
            cache = self._caches.setdefault(server, cache)
        return cache

    async def _learn(self, server: str, address: str, name: str) -> None:
        cache = await self._cache(server)
        if cache.get(address) == name:
            return
        cache[address] = name
        while len(cache) > limits.CACHED_NAMES:
            del cache[next(iter(cache))]
        if server not in self._unsaved:
            self._unsaved.add(server)
            self._tasks.spawn(self._save_later(server), "save names")

    async def _save_later(self, server: str) -> None:
        await asyncio.sleep(_SAVE_DELAY)
        await self._save(server)

    async def _save(self, server: str) -> None:
        self._unsaved.discard(server)
        try:
            await in_thread(write_atomically, self._path(server), msgpack.packb(self._caches[server]))
        except LocalError as error:
            _log.warning("the names of %s are not kept: %s", server, error)

    def _path(self, server: str) -> Path:
        host = server.partition("://")[2].partition("/")[0]
        return self._cache_directory / re.sub(r"[^a-zA-Z0-9.:_-]", "_", host)


def _normalised(server: str) -> str:
    server = server.strip().rstrip("/") or DEFAULT_SERVER
    return server if "://" in server else f"https://{server}"


def _split(server: str, text: str) -> tuple[str, str]:
    """The server to ask and the bare name of `[scheme:[//]][user@]host`."""
    match = _URI.fullmatch(text.strip())
    if match is None:
        return _normalised(server), text
    if match["user"]:
        return _normalised(match["host"]), match["user"]
    return _normalised(server), match["host"]


def _read_record(record: Any) -> tuple[str, str]:
    """Address and name of a server's record; raises RemoteError when it is malformed or its signature does not hold."""
    if not isinstance(record, Mapping):
        raise RemoteError("not a JSON object")
    name, address = record.get("name", ""), record.get("addr", "")
    if not isinstance(name, str) or not isinstance(address, str):
        raise RemoteError("name or address is no text")
    address = address.lower().removeprefix("0x")
    if address and not is_account_uri(address):
        raise RemoteError("the address is none")
    encoded_key, encoded_signature = record.get("publickey"), record.get("signature")
    if isinstance(encoded_key, str) and isinstance(encoded_signature, str) and encoded_key and encoded_signature:
        try:
            key = PublicKey.from_der(base64.b64decode(encoded_key).rstrip(b"\0"))
            signature = base64.b64decode(encoded_signature)
        except ValueError:
            raise RemoteError("key or signature are no base64") from None
        if (address and key.id.hex() != address) or not key.verify(name.encode(), signature):
            raise RemoteError("the record is not signed by its address")
    return address, name


def _registration_body(name: str, uri: str, eth_address: str, key: PrivateKey) -> bytes:
    """The JSON of a registration, its members in the order that servers have always got them."""
    signature = base64.b64encode(key.sign(name.encode())).decode()
    encoded = base64.b64encode(key.public.der).decode()
    lines = [encoded[start : start + 64] for start in range(0, len(encoded), 64)]
    pem = "\n".join(("-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""))
    public_key = base64.b64encode(pem.encode()).decode()
    return f'{{"addr":"{uri}","owner":"{eth_address}","signature":"{signature}","publickey":"{public_key}"}}'.encode()


def _load_cache(path: Path) -> dict[str, str]:
    try:
        data = read_if_present(path, limits.STATE_FILE_BYTES)
        fields = unpack_map(data, limits.STATE_FILE_BYTES) if data else {}
    except JamidError as error:
        _log.warning("the cached names in %s are not used: %s", path, error)
        return {}
    names: dict[str, str] = {}
    for address, entry in fields.items():
        name = entry[0] if isinstance(entry, list) and entry else entry
        if isinstance(address, str) and isinstance(name, str) and is_account_uri(address) and len(names) < limits.CACHED_NAMES:
            names[address] = name
    return names
