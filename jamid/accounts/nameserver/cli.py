"""The command `jami-nameserver`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import ssl
import sys
from collections.abc import Sequence
from pathlib import Path

from jamid import __version__
from jamid.core.errors import LocalError


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves names until it is told to stop; the exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.DEBUG if options.debug else logging.INFO, format="%(levelname).1s %(name)s %(message)s")
    try:
        asyncio.run(_serve(options))
    except LocalError as error:
        print(f"jami-nameserver: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="jami-nameserver", description="A name server for a private Jami network.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, default=3000, help="TCP port (default 3000)")
    parser.add_argument("--database", type=Path, default=_default_database(), help="the SQLite file (default %(default)s)")
    parser.add_argument("--certificate", type=Path, help="PEM certificate chain, to serve HTTPS directly")
    parser.add_argument("--key", type=Path, help="PEM private key of the certificate")
    parser.add_argument("--registrations-per-minute", type=int, default=30, help="per client address (default 30)")
    parser.add_argument("-d", "--debug", action="store_true", help="log more")
    parser.add_argument("--version", action="version", version=f"jami-nameserver {__version__}")
    return parser


def _default_database() -> Path:
    state = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    data = os.environ.get("XDG_DATA_HOME", "")
    base = Path(state) if state else (Path(data) if data.startswith("/") else Path.home() / ".local/share") / "jami-nameserver"
    return base / "names.sqlite"


async def _serve(options: argparse.Namespace) -> None:
    from aiohttp import web

    from jamid.accounts.nameserver.server import make_application
    from jamid.accounts.nameserver.store import NameStore

    store = NameStore(options.database)
    try:
        application = make_application(store, registrations_per_minute=options.registrations_per_minute)
        runner = web.AppRunner(application, access_log=None, keepalive_timeout=15)
        await runner.setup()
        try:
            await web.TCPSite(runner, options.host, options.port, ssl_context=_tls(options)).start()
        except OSError as error:
            raise LocalError(f"cannot listen on {options.host}:{options.port}: {error.strerror}") from error
        logging.getLogger(__name__).info("serving %d names on %s:%d", store.count(), options.host, options.port)
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(NotImplementedError):
                asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await stop.wait()
        await runner.cleanup()
    finally:
        store.close()


def _tls(options: argparse.Namespace) -> ssl.SSLContext | None:
    if options.certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(options.certificate, options.key)
    except (OSError, ssl.SSLError) as error:
        raise LocalError(f"cannot use {options.certificate}: {error}") from error
    return context


if __name__ == "__main__":
    sys.exit(main())
