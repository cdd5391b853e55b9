"""The `jami-dht` command as its user sees it: output, errors and exit status."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from jamid.core.identifiers import InfoHash
from jamid.dht.identities import load_identity
from jamid.dht.node import DhtNode
from jamid.dht.present import parse_key, value_line
from jamid.dht.secure import Dht
from jamid.dht.shell import Shell
from jamid.dht.values import Value, WireValue
from tests.support.dht.real import free_port, make_identity, our_node

ROOT = Path(__file__).parents[3]
DATA = ROOT / "tests" / "data" / "dht"


@pytest.fixture
async def node() -> AsyncIterator[DhtNode]:
    async with our_node() as node:
        yield node


async def run(node: DhtNode | None, *arguments: str, stdin: bytes = b"") -> tuple[int, str, str]:
    """Exit status, output and errors of one run."""
    network = ["-b", f"127.0.0.1:{node.port}", "-4"] if node is not None else []
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "jamid.dht.cli", *network, *arguments, cwd=ROOT,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(30):
        output, errors = await process.communicate(stdin)
    assert process.returncode is not None
    return process.returncode, output.decode(), errors.decode()


async def test_put_get_and_their_exit_status(node: DhtNode, tmp_path: Path) -> None:
    status, output, errors = await run(node, "put", "greeting", "hello there")
    assert (status, output) == (0, "")
    assert f"stored 11 bytes under {InfoHash.of('greeting')}" in errors
    assert await run(node, "-q", "get", "greeting") == (0, "hello there\n", "")
    status, output, _ = await run(node, "--json", "get", str(InfoHash.of("greeting")))
    assert status == 0
    assert json.loads(output)["text"] == "hello there"
    status, output, errors = await run(node, "-q", "get", "nothing here")
    assert (status, output) == (1, "")
    assert errors.startswith("jami-dht: nothing found under ")
    (tmp_path / "file").write_bytes(b"\x00\xff")
    assert (await run(node, "put", "binary", "--file", str(tmp_path / "file"), "--id", "2a"))[0] == 0
    assert (await run(node, "-q", "get", "binary", "WHERE id=42"))[1] == "00ff\n"
    assert (await run(node, "put", "piped", "--file", "-", stdin=b"from a pipe"))[0] == 0
    assert (await run(node, "-q", "get", "piped"))[1] == "from a pipe\n"


async def test_signed_and_encrypted_puts(node: DhtNode) -> None:
    identity = make_identity()
    reader = Dht(node, identity)
    await reader.publish_certificate()
    pair = str(DATA / "k2")
    assert (await run(node, "-i", pair, "put", "signed", "by me", "--sign"))[0] == 0
    assert (await run(node, "-i", pair, "put", "sealed", "for you", "--encrypt", identity.certificate.id.hex()))[0] == 0
    (signed,) = await reader.get(InfoHash.of("signed"))
    (sealed,) = await reader.get(InfoHash.of("sealed"))
    assert signed.owner == sealed.owner == load_identity(DATA / "k2", create=False).key.public
    assert (signed.data, sealed.data) == (b"by me", b"for you")
    status, _, errors = await run(node, "-q", "put", "x", "y", "--sign")
    assert (status, errors) == (1, "jami-dht: signing and encrypting need --identity FILE\n")
    await reader.close()


async def test_listen_info_and_ping(node: DhtNode) -> None:
    await node.put(InfoHash.of("heard"), WireValue(1, data=b"one", user_type="text/plain"))
    assert await run(node, "-q", "listen", "heard", "--count", "1") == (0, "one\n", "")
    status, output, _ = await run(node, "--json", "info")
    assert status == 0
    assert json.loads(output)["ipv4"]["good"] == 1
    status, output, _ = await run(node, "-q", "ping")
    assert status == 0
    assert output.startswith(f"127.0.0.1:{node.port} is {node.id}, ")


async def test_options_may_follow_the_command(node: DhtNode) -> None:
    host = f"127.0.0.1:{node.port}"
    assert (await run(None, "put", "late", "hello", "--bootstrap", host, "-4"))[0] == 0
    status, output, _ = await run(None, "get", "late", "-q", "--json", "-b", host)
    assert (status, json.loads(output)["text"]) == (0, "hello")


async def test_a_script_of_verbs_runs_to_its_end(node: DhtNode) -> None:
    status, output, _ = await run(node, "shell", stdin=b"p box hello\ng box\n")
    assert status == 0
    assert "Put: success" in output
    assert "hello" in output.partition("Get:")[0]


async def test_without_a_command_the_end_of_input_does_not_end_the_node() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "jamid.dht.cli", "-4", "-p", str(free_port()), cwd=ROOT,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    async with asyncio.timeout(20):
        assert b"node " in await process.stderr.readline()
        await asyncio.sleep(0.3)
        assert process.returncode is None
        process.terminate()
        assert await process.wait() == 0


async def test_plain_errors() -> None:
    status, _, errors = await run(None, "get", "x")
    assert (status, errors) == (
        1,
        "jami-dht: a one-shot command needs a network: give --bootstrap HOST:PORT (or --peer-discovery, or --proxy-client)\n",
    )
    status, _, errors = await run(None, "-q", "-b", "127.0.0.1:9", "-t", "0.5", "get", "x")
    assert status == 1
    assert errors == "jami-dht: no answer from 127.0.0.1:9 within 0.5 s; is it running, and is UDP let through?\n"
    assert (await run(None, "--no-such-option"))[0] == 2


async def test_the_prompt(node: DhtNode) -> None:
    lines: list[str] = []
    said = asyncio.Event()

    def write(line: str) -> None:
        lines.append(line)
        said.set()

    async def until(text: str) -> None:
        async with asyncio.timeout(5):
            while not any(text in line for line in lines):
                said.clear()
                await said.wait()

    async with our_node(f"127.0.0.1:{node.port}") as other:
        dht = Dht(other, make_identity())
        shell = Shell(other, dht, write)
        for line, expected in (
            ("l box", "Listen 1 at"),
            ("p box hello world", "Put: success"),
            ("g box", "hello world"),
            ("s box signed", "Put signed: success"),
            ("pp box stays", "Permanent put"),
            ("q box SELECT id,seq", "Query: done"),
            ("ll", "connected, 1 good"),
            ("lr", str(node.id)),
            ("ld", "bytes"),
            ("ls box", "synced"),
            ("la", "127.0.0.1"),
            ("cl 1", ""),
            ("cl 7", "there is no listen 7"),
            ("p", "something is missing"),
            ("g box WHERE colour=red", "there is no field 'colour'"),
            ("nonsense", "there is no verb"),
            ("help", "cpp KEY ID"),
        ):
            assert shell.line(line)
            await until(expected)
        assert not shell.line("x")
        await shell.close()
        await dht.close()


def test_keys_and_lines() -> None:
    assert parse_key("a" * 40) == InfoHash.from_hex("a" * 40)
    assert parse_key("g" * 40) == InfoHash.of("g" * 40)
    assert value_line(Value(data=b"two\nlines")) == "74776f0a6c696e6573"
    assert value_line(Value(data="für".encode())) == "für"


def test_a_new_identity_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jamid.dht.identities.make_identity", make_identity)
    made = load_identity(tmp_path / "me.pem")
    assert load_identity(tmp_path / "me.pem").certificate.id == made.certificate.id
    assert (tmp_path / "me.pem").stat().st_mode & 0o777 == 0o600
