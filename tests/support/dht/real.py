"""A real `dhtnode` 2.4.12 driven over its prompt, and our own nodes, all on the loopback interface."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from jamid.core.identifiers import InfoHash
from jamid.crypto.certificates import create_account_certificate, create_ca, create_device_certificate
from jamid.crypto.identity import Identity
from jamid.crypto.keys import PrivateKey
from jamid.dht.service import DhtNode, DhtSettings, Status


def free_port() -> int:
    """A UDP port that nobody uses now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class RealNode:
    """A running `dhtnode`."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process = process
        self.port = port
        self.host = f"127.0.0.1:{port}"
        self._output = ""
        self._changed = asyncio.Event()
        self._reader = asyncio.ensure_future(self._read())

    @classmethod
    async def start(cls, *arguments: str, bootstrap: str = "") -> RealNode:
        """Starts one; ARGUMENTS are dhtnode's."""
        port = free_port()
        more = ["-b", bootstrap] if bootstrap else []
        process = await asyncio.create_subprocess_exec(
            "dhtnode", "-p", str(port), *more, *arguments,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        node = cls(process, port)
        await node.expect(r"running on port \d+")
        return node

    @property
    def node_id(self) -> InfoHash:
        match = re.search(r"OpenDHT node ([0-9a-f]{40})", self._output)
        assert match is not None
        return InfoHash.from_hex(match[1])

    @property
    def key_id(self) -> InfoHash:
        """The short id of its identity (`-i`)."""
        match = re.search(r"Public key ID ([0-9a-f]{40})", self._output)
        assert match is not None
        return InfoHash.from_hex(match[1])

    async def command(self, text: str, expect: str, timeout: float = 15) -> str:
        """Types TEXT and waits for output that matches EXPECT; returns all that came meanwhile."""
        start = len(self._output)
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode() + b"\n")
        await self.process.stdin.drain()
        return await self.expect(expect, start=start, timeout=timeout)

    async def expect(self, pattern: str, *, start: int = 0, timeout: float = 15) -> str:
        """Waits for output after START that matches PATTERN."""
        try:
            async with asyncio.timeout(timeout):
                while re.search(pattern, self._output[start:]) is None:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"dhtnode did not say {pattern!r} but {self._output[start:]!r}") from None
        return self._output[start:]

    async def kill(self) -> None:
        """Ends it without a goodbye."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while chunk := await self.process.stdout.read(65536):
            self._output += chunk.decode(errors="replace")
            self._changed.set()


@asynccontextmanager
async def our_node(bootstrap: str = "", **settings: object) -> AsyncIterator[DhtNode]:
    """A node of ours on loopback, connected when there is a bootstrap host."""
    node = DhtNode(DhtSettings(host4="127.0.0.1", host6="", bootstrap=(bootstrap,) if bootstrap else (), **settings))  # type: ignore[arg-type]
    await node.start()
    try:
        if bootstrap:
            await connected(node)
        yield node
    finally:
        await node.stop()


async def connected(node: DhtNode, timeout: float = 15) -> None:
    """Waits until NODE is connected."""
    reached = asyncio.Event()
    stop = node.on_status(lambda status: reached.set() if status is Status.CONNECTED else None)
    async with asyncio.timeout(timeout):
        if node.status is not Status.CONNECTED:
            await reached.wait()
    stop()


def make_identity(bits: int = 2048) -> Identity:
    """A device with its chain; small keys, because they are made anew for each test run."""
    ca_key, account_key, device_key = (PrivateKey.generate(bits) for _ in range(3))
    ca = create_ca(ca_key)
    account = create_account_certificate(account_key, ca_key, ca)
    return Identity(device_key, create_device_certificate(device_key.public, account_key, account))
