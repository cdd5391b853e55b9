"""Which DHT proxy an account uses: one of a list, kept for a week (protocol: identity, section 16)."""

from __future__ import annotations

import hashlib
import json
import logging
import random
import re
from typing import TYPE_CHECKING, Final

from jamid.accounts.http import HttpClient, HttpError
from jamid.core import limits
from jamid.core.errors import LocalError
from jamid.core.files import read_if_present, write_atomically
from jamid.core.tasks import in_thread

if TYPE_CHECKING:
    from jamid.accounts.jami import JamiAccount

_log = logging.getLogger(__name__)
_ENTRY = re.compile(r"(?P<scheme>https?://)?(?P<host>[\w.~-]+)(?::(?P<port>\d{1,5})|:\[(?P<first>\d{1,5})-(?P<last>\d{1,5})\])?")
_DAY: Final = 86_400.0
_LIST_AGE: Final = 3 * _DAY
_CHOICE_AGE: Final = 7 * _DAY


def expand(text: str) -> list[str]:
    """Every proxy that TEXT names, port ranges included: `dhtproxy.example:[80-95]` is sixteen of them."""
    servers: list[str] = []
    for match in _ENTRY.finditer(text):
        base = f"{match['scheme'] or ''}{match['host']}"
        if match["first"]:
            ports = range(int(match["first"]), min(int(match["last"]), 65535) + 1)
            servers += [f"{base}:{port}" for port in ports]
        else:
            servers.append(f"{base}:{match['port']}" if match["port"] else base)
        if len(servers) > limits.PROXY_SERVERS:
            break
    return servers[: limits.PROXY_SERVERS]


class ProxyChoice:
    """Chooses a proxy for an account and remembers it in the account's cache."""

    def __init__(self, account: JamiAccount) -> None:
        self._account = account
        self.current = ""
        """the chosen one, "" while the account uses none"""

    async def choose(self) -> str:
        """The proxy to use now, "" when the account uses none or none is to be had."""
        details = self._account.details
        if not details.flag("Account.proxyEnabled"):
            self.current = ""
            return ""
        list_url = details["Account.dhtProxyListUrl"] if details.flag("Account.proxyListEnabled") else ""
        key = hashlib.sha1(f"{details['Account.proxyServer']}{list_url}".encode(), usedforsecurity=False).hexdigest()
        kept = await self._kept(key)
        if not kept:
            servers = expand(await self._list(list_url)) if list_url else []
            servers = servers or expand(details["Account.proxyServer"])
            kept = random.choice(servers) if servers else ""  # spreads clients over servers, no secret
            if kept:
                await self._keep(key, kept)
        self.current = kept
        return kept

    async def _list(self, url: str) -> str:
        path = self._account.cache_path / "dhtproxylist"
        if path.exists() and self._account.clock.time() - path.stat().st_mtime < _LIST_AGE:
            data = await in_thread(read_if_present, path, limits.PROXY_LIST_BYTES)
            return (data or b"").decode("utf-8", "replace")
        client = HttpClient()
        try:
            answer = await client.request("GET", url)
        except HttpError as error:
            _log.info("[account=%s] the list of DHT proxies cannot be had: %s", self._account.id, error)
            return ""
        finally:
            await client.close()
        if answer.status != 200 or answer.json is None:
            return ""
        text = "\n".join(str(entry) for entry in answer.json) if isinstance(answer.json, list) else str(answer.json)
        await self._write("dhtproxylist", text.encode())
        return text

    async def _kept(self, key: str) -> str:
        path = self._account.cache_path / "dhtproxy"
        try:
            if self._account.clock.time() - path.stat().st_mtime > _CHOICE_AGE:
                return ""
            data = await in_thread(read_if_present, path, limits.PROXY_LIST_BYTES)
            entry = json.loads(data or b"{}").get(key)
        except (OSError, LocalError, ValueError, AttributeError):
            return ""
        return entry if isinstance(entry, str) else ""

    async def _keep(self, key: str, server: str) -> None:
        await self._write("dhtproxy", json.dumps({key: server}).encode())

    async def _write(self, name: str, data: bytes) -> None:
        try:
            await in_thread(write_atomically, self._account.cache_path / name, data)
        except LocalError as error:
            _log.warning("[account=%s] %s", self._account.id, error)
