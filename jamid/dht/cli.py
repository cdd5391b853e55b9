"""The `jami-dht` command: a node, a bootstrap server, and one-shot get, put and listen."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jamid import __version__
from jamid.core import limits
from jamid.core.errors import LocalError, RemoteError
from jamid.core.identifiers import InfoHash, LongId
from jamid.core.tasks import in_thread
from jamid.crypto.identity import Identity
from jamid.dht.identities import load_identity
from jamid.dht.node import DhtNode, DhtSettings, node_id_of
from jamid.dht.present import info_text, node_info, parse_key, value_json, value_line
from jamid.dht.query import parse_query
from jamid.dht.sealing import new_value_id
from jamid.dht.secure import Dht
from jamid.dht.values import Value

if TYPE_CHECKING:
    from jamid.crypto.keys import PublicKey
    from jamid.dht.core import DhtCore
    from jamid.dht.nodes import RemoteNode

NOT_FOUND = 1
USAGE = 2
_TEXT = "text/plain"


class Session:
    """A running node with what the command line said."""

    def __init__(self, options: argparse.Namespace, node: DhtNode, dht: Dht, identity: Identity | None) -> None:
        self.options = options
        self.node = node
        self.dht = dht
        self.identity = identity
        self.stopping = asyncio.Event()


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(
        level=logging.DEBUG if options.verbose > 1 else logging.INFO if options.verbose else logging.ERROR,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    try:
        return asyncio.run(_run(options))
    except (LocalError, RemoteError) as error:
        print(f"jami-dht: {error}", file=sys.stderr)
        return NOT_FOUND
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="jami-dht",
        description="An OpenDHT node. Without a command it runs until it is ended, with a prompt when started from a terminal.",
        epilog="KEY is 40 hex digits or any text, which is hashed. Exit status: 0 done, 1 nothing found or stored, 2 wrong usage.",
    )
    _add_common(parser, lambda value: value)
    parser.add_argument("--version", action="version", version=f"jami-dht {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    def add_command(name: str, help: str) -> argparse.ArgumentParser:  # noqa: A002
        command = commands.add_parser(name, help=help)
        # The common options are understood behind the command too, where they override only when they are given.
        _add_common(command, lambda _value: argparse.SUPPRESS)
        return command

    add_command("node", help="run until ended, without a prompt")
    add_command("shell", help="run with a prompt (`help` there lists its verbs)")
    put = add_command("put", help="store a value")
    put.add_argument("key", metavar="KEY")
    put.add_argument("text", metavar="TEXT", nargs="?")
    put.add_argument("-F", "--file", type=Path, metavar="FILE", help="store the content of FILE (- = standard input)")
    put.add_argument("-s", "--sign", action="store_true", help="sign it with the identity")
    put.add_argument("-e", "--encrypt", metavar="TO", help="encrypt it to the owner of this key id (40 or 64 hex digits)")
    put.add_argument("--id", type=_value_id, default=0, metavar="HEX", help="value id (default: random)")
    put.add_argument("--type", type=int, default=0, metavar="N", help="value type (default: 0)")
    put.add_argument("--user-type", metavar="TEXT", help="its user type (default: text/plain for TEXT)")
    put.add_argument("--permanent", action="store_true", help="keep it alive until ended")
    get = add_command("get", help="print the values of a key, one a line")
    get.add_argument("key", metavar="KEY")
    get.add_argument("where", metavar="WHERE", nargs="*", help='condition, e.g. "WHERE id=5"')
    listen = add_command("listen", help="print values as they appear, until ended")
    listen.add_argument("key", metavar="KEY")
    listen.add_argument("--count", type=int, default=0, metavar="N", help="end after N values")
    add_command("info", help="join, and say what the network looks like from here")
    add_command("ping", help="say whether the bootstrap hosts answer, and how fast")
    return parser


def _add_common(parser: argparse.ArgumentParser, default: Callable[[Any], Any]) -> None:
    add = parser.add_argument
    add("-p", "--port", type=int, default=default(0), help="UDP port (default: any for one-shots, 4222 for a node)")
    add("-b", "--bootstrap", action="append", default=default([]), metavar="HOST[:PORT]", help="node to start from; may be repeated")
    add("-n", "--network", type=int, default=default(0), metavar="N", help="network id (default: 0, the public network)")
    add(
        "-i",
        "--identity",
        type=Path,
        default=default(None),
        metavar="FILE",
        help="key and certificate in PEM; made if the file does not exist",
    )
    add("-f", "--state", type=Path, default=default(None), metavar="FILE", help="remembers node id, nodes and values between runs")
    add("-D", "--peer-discovery", action="store_true", default=default(False), help="find nodes on the local network, and be found")
    add("-4", dest="only", action="store_const", const=4, default=default(None), help="IPv4 only")
    add("-6", dest="only", action="store_const", const=6, default=default(None), help="IPv6 only")
    add("-t", "--timeout", type=float, default=default(20.0), metavar="SECONDS", help="how long to wait for the network (default: 20)")
    add("-j", "--json", action="store_true", default=default(False), help="one JSON object a line")
    add("-q", "--quiet", action="store_true", default=default(False), help="no progress on standard error")
    add("-v", "--verbose", action="count", default=default(0), help="log to standard error; twice for every packet's fate")
    add("-U", "--no-rate-limit", action="store_true", default=default(False), help="answer any number of requests")
    add("--maintain-storage", action="store_true", default=default(False), help="hand stored values on to nodes that come closer to them")
    add("--proxy-server", type=int, default=default(None), metavar="PORT", help="serve the DHT over HTTP on this port")
    add("--proxy-certificate", type=Path, default=default(None), metavar="FILE", help="PEM chain; makes the proxy speak HTTPS")
    add("--proxy-key", type=Path, default=default(None), metavar="FILE", help="its private key")
    add("--proxy-client", default=default(None), metavar="HOST:PORT", help="use this proxy instead of UDP (put, get, listen)")


def _value_id(text: str) -> int:
    value_id = int(text, 16)
    if not 0 < value_id < 1 << 64:
        raise ValueError
    return value_id


async def _run(options: argparse.Namespace) -> int:
    identity = await in_thread(load_identity, options.identity) if options.identity is not None else None
    command = options.command or "serve"
    serving = command in ("serve", "node", "shell")
    if not serving and not options.bootstrap and not options.peer_discovery and not options.proxy_client:
        raise LocalError("a one-shot command needs a network: give --bootstrap HOST:PORT (or --peer-discovery, or --proxy-client)")
    if options.proxy_client and command in ("put", "get", "listen"):
        from jamid.dht.proxy_client import ProxyClient

        proxy = ProxyClient(options.proxy_client)
        await proxy.start()
        dht = Dht(proxy, identity)
        session = Session(options, DhtNode(), dht, identity)
        try:
            return await _ONE_SHOTS[command](session)
        finally:
            await dht.close()
            await proxy.stop()
    settings = DhtSettings(
        port=options.port or (4222 if serving else 0),
        host4="" if options.only == 6 else "0.0.0.0",
        host6="" if options.only == 4 else "::",
        bootstrap=tuple(options.bootstrap),
        network=options.network,
        node_id=node_id_of(identity.certificate.id) if identity is not None else None,
        state_file=options.state,
        peer_discovery=options.peer_discovery,
        is_bootstrap=serving,
        maintain_storage=options.maintain_storage,
        requests_per_second=0 if options.no_rate_limit else limits.DHT_REQUESTS_PER_SECOND,
    )
    node = DhtNode(settings)
    await node.start()
    dht = Dht(node, identity)
    session = Session(options, node, dht, identity)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, session.stopping.set)
    try:
        if serving:
            return await _serve(session, command)
        return await _one_shot(session, command)
    finally:
        await dht.close()
        await node.stop()


async def _serve(session: Session, command: str) -> int:
    options = session.options
    proxy = None
    if options.proxy_server:
        from jamid.dht.proxy_server import ProxyServer

        proxy = ProxyServer(session.node, port=options.proxy_server, certificate=options.proxy_certificate, key=options.proxy_key)
        await proxy.start()
    if session.identity is not None:
        session.dht.tasks.spawn(session.dht.publish_certificate(), "publish")
    _progress(session, f"node {session.node.id} on port {session.node.port}, network {options.network}")
    _notify_ready()
    try:
        if command != "node":
            from jamid.dht.shell import run_shell

            ended = await run_shell(session.node, session.dht, session.stopping)
            if ended or command == "shell" or (sys.stdin is not None and sys.stdin.isatty()):
                return 0
        await session.stopping.wait()
    finally:
        if proxy is not None:
            await proxy.stop()
    return 0


async def _one_shot(session: Session, command: str) -> int:
    if command != "ping":
        await _connect(session)
    stopped = asyncio.ensure_future(session.stopping.wait())
    work = asyncio.ensure_future(_ONE_SHOTS[command](session))
    done, _ = await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if work in done:
        return work.result()
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    return 0 if command == "listen" else 130


async def _connect(session: Session) -> None:
    from jamid.dht.core import Status

    hosts = ", ".join(session.options.bootstrap) or "the local network"
    _progress(session, f"connecting to {hosts} …")
    changed = asyncio.Event()
    session.node.on_status(lambda status: changed.set() if status is Status.CONNECTED else None)
    try:
        async with asyncio.timeout(session.options.timeout):
            while session.node.status is not Status.CONNECTED:
                await changed.wait()
    except TimeoutError:
        raise LocalError(f"no answer from {hosts} within {session.options.timeout:g} s; is it running, and is UDP let through?") from None


async def _put(session: Session) -> int:
    options = session.options
    data, is_text = await in_thread(_content, options.text, options.file)
    if (options.sign or options.encrypt) and session.identity is None:
        raise LocalError("signing and encrypting need --identity FILE")
    key = parse_key(options.key)
    user_type = options.user_type if options.user_type is not None else _TEXT if is_text else ""
    value = Value(id=options.id or new_value_id(), type=options.type, data=data, user_type=user_type)
    if options.encrypt:
        recipient = await _public_key(session, options.encrypt)
        ok = await session.dht.put_encrypted(key, recipient, value, permanent=options.permanent)
    elif options.sign:
        session.dht.tasks.spawn(session.dht.publish_certificate(), "publish")
        ok = await session.dht.put_signed(key, value, permanent=options.permanent)
    else:
        ok = await session.dht.put(key, value, permanent=options.permanent)
    if not ok:
        print("jami-dht: no node took the value", file=sys.stderr)
        return NOT_FOUND
    if options.json:
        print(json.dumps({"key": str(key), "id": str(value.id), "bytes": len(data), "stored": True}), flush=True)
    _progress(session, f"stored {len(data)} bytes under {key}")
    if options.permanent:
        _progress(session, "keeping it alive; end with Ctrl-C")
        await session.stopping.wait()
    return 0


async def _get(session: Session) -> int:
    key = parse_key(session.options.key)
    query = parse_query(" ".join(session.options.where)) if session.options.where else None
    values = await session.dht.get(key, query=query, timeout=session.options.timeout)
    for value in values:
        print(value_json(key, value) if session.options.json else value_line(value), flush=True)
    if not values:
        print(f"jami-dht: nothing found under {key}", file=sys.stderr)
    return 0 if values else NOT_FOUND


async def _listen(session: Session) -> int:
    options = session.options
    key = parse_key(options.key)
    enough = asyncio.Event()
    seen = 0

    def news(value: Value, expired: bool) -> None:
        nonlocal seen
        if options.count and seen >= options.count:
            return
        if options.json:
            print(value_json(key, value, expired), flush=True)
        elif expired:
            _progress(session, f"expired: {value_line(value)}")
        else:
            print(value_line(value), flush=True)
        seen += not expired
        if options.count and seen >= options.count:
            enough.set()

    listening = session.dht.listen(key, news)
    _progress(session, f"listening to {key}; end with Ctrl-C")
    try:
        await enough.wait()
    finally:
        listening.cancel()
    return 0


async def _info(session: Session) -> int:
    await session.node.get(session.node.id)
    info = node_info(session.node)
    if session.identity is not None:
        info["identity"] = {"short_id": str(session.identity.certificate.id), "long_id": str(session.identity.certificate.long_id)}
    print(json.dumps(info) if session.options.json else info_text(info))
    if session.identity is not None and not session.options.json:
        print(f"identity {session.identity.certificate.id}, long id {session.identity.certificate.long_id}")
    return 0


async def _ping(session: Session) -> int:
    await _connect(session)
    answers = []
    for node in session.node.core.good_nodes():
        milliseconds = await _round_trip(session.node.core, node)
        if milliseconds is not None:
            answers.append((node, milliseconds))
    for node, milliseconds in answers:
        if session.options.json:
            print(json.dumps({"id": str(node.id), "address": str(node.address), "milliseconds": round(milliseconds, 2)}))
        else:
            print(f"{node.address} is {node.id}, {milliseconds:.2f} ms")
    return 0 if answers else NOT_FOUND


async def _round_trip(core: DhtCore, node: RemoteNode) -> float | None:
    """Milliseconds until NODE answers a ping, None if it does not."""
    done: asyncio.Future[float | None] = asyncio.get_running_loop().create_future()
    started = time.monotonic()
    core.engine.ping(node, lambda _reply: done.set_result((time.monotonic() - started) * 1000), lambda: done.set_result(None))
    return await done


_ONE_SHOTS: dict[str, Callable[[Session], Awaitable[int]]] = {"put": _put, "get": _get, "listen": _listen, "info": _info, "ping": _ping}


def _content(text: str | None, file: Path | None) -> tuple[bytes, bool]:
    """What to store, and whether it is text."""
    if (text is None) == (file is None):
        raise LocalError("give either TEXT or --file FILE")
    if text is not None:
        return text.encode(), True
    assert file is not None
    try:
        return (sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()), False
    except OSError as error:
        raise LocalError(f"cannot read {file}: {error.strerror}") from None


async def _public_key(session: Session, text: str) -> PublicKey:
    try:
        key_id = LongId.from_hex(text.lower()) if len(text) == 64 else InfoHash.from_hex(text.lower())
    except RemoteError:
        raise LocalError(f"{text!r} is no key id: 40 or 64 hex digits") from None
    certificate = await session.dht.find_certificate(key_id)
    if certificate is None:
        raise LocalError(f"no certificate of {text} on the network; is its owner online?")
    return certificate.public_key


def _progress(session: Session, text: str) -> None:
    if not session.options.quiet:
        print(text, file=sys.stderr, flush=True)


def _notify_ready() -> None:
    """Tells systemd that the node runs."""
    import os
    import socket

    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect("\0" + address[1:] if address.startswith("@") else address)
            sock.send(b"READY=1")
        except OSError as error:
            logging.getLogger(__name__).warning("cannot tell systemd that the node is ready: %s", error)


if __name__ == "__main__":
    sys.exit(main())
