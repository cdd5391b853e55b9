"""The prompt of `jami-dht`: dhtnode's verbs on a running node."""

from __future__ import annotations

import asyncio
import logging
import os
import stat
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from jamid.core.errors import LocalError, RemoteError
from jamid.core.identifiers import InfoHash, LongId
from jamid.core.tasks import Tasks, in_thread
from jamid.dht.addresses import Family
from jamid.dht.listening import Listening
from jamid.dht.node import DhtNode
from jamid.dht.present import info_text, node_info, parse_key, value_description
from jamid.dht.query import Field, FieldValue, parse_query
from jamid.dht.secure import Dht
from jamid.dht.values import Value

_TEXT: Final = "text/plain"
_PATIENCE: Final = 15.0
"""Seconds that the last verbs of a script get."""
_HELP: Final = """\
g KEY [WHERE …]           get                    p KEY TEXT        put
q KEY SELECT … [WHERE …]  get fields             pp KEY TEXT       permanent put
l KEY [WHERE …]           listen                 cpp KEY ID        cancel a permanent put
cl NUMBER                 cancel a listen        s KEY TEXT        signed put
e KEY TO TEXT             encrypted put (TO = 40 or 64 hex digits)
ll  node info      lr  routing table      ld [KEY]  storage      ls [KEY]  searches      la  own addresses
b HOST:PORT  bootstrap      cc  connectivity changed      log  logging on and off      x  quit"""


class Shell:
    """Reads verbs and prints what they bring; slow ones go on while the next is typed."""

    def __init__(self, node: DhtNode, dht: Dht, write: Callable[[str], None] = print) -> None:
        self._node = node
        self._dht = dht
        self._write = write
        self._tasks = Tasks("shell")
        self._running: set[asyncio.Task[None]] = set()
        self._listenings: dict[int, Listening] = {}
        self._number = 0
        self._verbs: dict[str, Callable[[list[str]], Awaitable[None]]] = {
            "g": self._get, "q": self._query, "l": self._listen, "cl": self._cancel_listen, "p": self._put, "pp": self._permanent,
            "cpp": self._cancel_put, "s": self._signed, "e": self._encrypted, "ll": self._info, "lr": self._routing, "ld": self._storage,
            "ls": self._searches, "la": self._addresses, "b": self._bootstrap, "cc": self._connectivity, "log": self._log,
            "h": self._help, "help": self._help,
        }  # fmt: skip

    def line(self, text: str) -> bool:
        """Starts what one line asks for; False when it asks to quit."""
        words = text.split()
        if not words:
            return True
        if words[0] in ("x", "exit", "quit"):
            return False
        verb = self._verbs.get(words[0])
        if verb is None:
            self._write(f"there is no verb {words[0]!r}; `help` lists them")
        else:
            task = self._tasks.spawn(self._guarded(verb, words[1:]), words[0])
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return True

    async def finish(self, seconds: float) -> None:
        """Lets verbs under way come to their end."""
        if self._running:
            await asyncio.wait(self._running, timeout=seconds)

    async def close(self) -> None:
        await self._tasks.close()

    async def _guarded(self, verb: Callable[[list[str]], Awaitable[None]], words: list[str]) -> None:
        try:
            await verb(words)
        except (LocalError, RemoteError) as error:
            self._write(str(error))
        except (IndexError, ValueError):
            self._write("something is missing there; `help` shows how it goes")

    # -- values

    async def _get(self, words: list[str]) -> None:
        key = parse_key(words[0])
        query = parse_query(" ".join(words[1:])) if len(words) > 1 else None
        started = time.monotonic()
        values = await self._dht.get(key, query=query, on_value=lambda value: self._write(value_description(value)) or True)
        self._write(f"Get: {len(values)} values, took {_milliseconds(started)}")

    async def _query(self, words: list[str]) -> None:
        started = time.monotonic()
        query = parse_query(" ".join(words[1:]))

        def show(rows: tuple[dict[Field, FieldValue], ...]) -> None:
            for row in rows:
                self._write(", ".join(f"{name.name.lower()} {value!r}" for name, value in row.items()))

        result = await self._node.get(parse_key(words[0]), query, on_rows=show)
        self._write(f"Query: {'done' if result.ok else 'failed'}, took {_milliseconds(started)}")

    async def _listen(self, words: list[str]) -> None:
        key = parse_key(words[0])
        query = parse_query(" ".join(words[1:])) if len(words) > 1 else None
        self._number += 1
        number = self._number

        def news(value: Value, expired: bool) -> None:
            self._write(f"Listen {number}: {'expired ' if expired else ''}{value_description(value)}")

        self._listenings[number] = self._dht.listen(key, news, query=query)
        self._write(f"Listen {number} at {key}; `cl {number}` ends it")

    async def _cancel_listen(self, words: list[str]) -> None:
        listening = self._listenings.pop(int(words[-1]), None)
        if listening is None:
            raise LocalError(f"there is no listen {words[-1]}")
        listening.cancel()

    async def _put(self, words: list[str]) -> None:
        await self._report("Put", self._dht.put(parse_key(words[0]), _value(words[1:])))

    async def _permanent(self, words: list[str]) -> None:
        from jamid.dht.sealing import new_value_id

        value_id = new_value_id()
        value = Value(id=value_id, data=" ".join(words[1:]).encode(), user_type=_TEXT)
        await self._report(f"Permanent put {value_id:x}", self._dht.put(parse_key(words[0]), value, permanent=True))

    async def _cancel_put(self, words: list[str]) -> None:
        self._dht.cancel_put(parse_key(words[0]), int(words[1], 16))

    async def _signed(self, words: list[str]) -> None:
        await self._report("Put signed", self._dht.put_signed(parse_key(words[0]), _value(words[1:])))

    async def _encrypted(self, words: list[str]) -> None:
        to = LongId.from_hex(words[1]) if len(words[1]) == 64 else InfoHash.from_hex(words[1])
        certificate = await self._dht.find_certificate(to)
        if certificate is None:
            raise LocalError(f"no certificate of {to} on the network")
        await self._report("Put encrypted", self._dht.put_encrypted(parse_key(words[0]), certificate.public_key, _value(words[2:])))

    async def _report(self, what: str, put: Awaitable[bool]) -> None:
        started = time.monotonic()
        ok = await put
        self._write(f"{what}: {'success' if ok else 'failure'}, took {_milliseconds(started)}")

    # -- the node

    async def _info(self, _words: list[str]) -> None:
        self._write(info_text(node_info(self._node)))

    async def _routing(self, _words: list[str]) -> None:
        core = self._node.core
        now = core.timers.now()
        for family in core.settings.families:
            for bucket in core.tables[family].buckets:
                self._write(f"{family.name} bucket of {bucket.depth} bits")
                for node in bucket.nodes:
                    state = "good" if node.is_good(now) else "expired" if node.expired else "dubious"
                    self._write(f"  {node.id} {node.address} {state}")

    async def _storage(self, words: list[str]) -> None:
        wanted = parse_key(words[0]) if words else None
        now = self._node.core.timers.now()
        for key, stored in self._node.core.storage.items():
            if wanted in (None, key):
                left = "ours" if stored.expires == float("inf") else f"{stored.expires - now:.0f} s left"
                self._write(f"{key} {stored.value.id:x} type {stored.value.type}, {stored.value.size} bytes, {left}")

    async def _searches(self, words: list[str]) -> None:
        wanted = parse_key(words[0]) if words else None
        core = self._node.core
        now = core.timers.now()
        for family in Family:
            for key, search in core.searches.get(family, {}).items():
                if wanted not in (None, key):
                    continue
                self._write(f"{family.name} {key} {'synced' if search.is_synced(now) else 'expired' if search.expired else 'searching'}")
                for one in search.nodes:
                    self._write(f"  {one.node.id} {one.node.address} {'bad' if one.bad else 'synced' if one.synced(now) else '-'}")

    async def _addresses(self, _words: list[str]) -> None:
        self._write("\n".join(self._node.own_addresses()) or "nobody has told us yet")

    async def _bootstrap(self, words: list[str]) -> None:
        self._node.bootstrap([words[0]])

    async def _connectivity(self, _words: list[str]) -> None:
        self._node.connectivity_changed()

    async def _log(self, _words: list[str]) -> None:
        logger = logging.getLogger("jamid.dht")
        logger.setLevel(logging.NOTSET if logger.level == logging.DEBUG else logging.DEBUG)
        self._write(f"logging is {'on' if logger.level == logging.DEBUG else 'off'}")

    async def _help(self, _words: list[str]) -> None:
        self._write(_HELP)


async def run_shell(node: DhtNode, dht: Dht, stopping: asyncio.Event) -> bool:
    """Reads verbs from standard input until `x` or STOPPING (True) or until there are no more (False)."""
    shell = Shell(node, dht)
    prompt = ">> " if sys.stdin is not None and sys.stdin.isatty() else ""
    stopped = asyncio.ensure_future(stopping.wait())
    lines = _lines()
    try:
        while True:
            if prompt:
                print(prompt, end="", flush=True)
            line = asyncio.ensure_future(anext(lines, None))
            await asyncio.wait({line, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not line.done():
                line.cancel()
                return True
            text = line.result()
            if text is None or not shell.line(text):
                await shell.finish(_PATIENCE)
                return text is not None
            # A script expects one verb's outcome before the next; somebody who types does not want to wait.
            await (asyncio.sleep(0.01) if prompt else shell.finish(_PATIENCE))
    finally:
        stopped.cancel()
        await shell.close()


async def _lines() -> AsyncIterator[str]:
    """The lines of standard input, whatever it is."""
    mode = os.fstat(sys.stdin.fileno()).st_mode if sys.stdin is not None and not sys.stdin.closed else 0
    if stat.S_ISREG(mode):
        for line in (await in_thread(sys.stdin.read)).splitlines():
            yield line
    elif stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or (stat.S_ISCHR(mode) and sys.stdin.isatty()):
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        try:
            while data := await reader.readline():
                yield data.decode(errors="replace")
        finally:
            transport.close()


def _value(words: list[str]) -> Value:
    return Value(data=" ".join(words).encode(), user_type=_TEXT)


def _milliseconds(started: float) -> str:
    return f"{(time.monotonic() - started) * 1000:.1f} ms"
