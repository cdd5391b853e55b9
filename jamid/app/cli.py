"""The `jamid` command: options, log, event loop, exit code."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

from jamid.app import logging as app_logging
from jamid.app import options as app_options
from jamid.core.errors import LocalError

OK, FAILED = 0, 1


def main() -> NoReturn:
    """Runs the daemon to its end and leaves the process: 0 when it was asked to stop, 1 when it could not start or lost its bus."""
    code = run(sys.argv[1:], os.environ)
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            pass
    # A key being made on a worker thread, or a name server's silence in the resolver, must not hold up the exit: all is saved.
    os._exit(code)


def run(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """The same, returning the exit code."""
    try:
        options = app_options.parse(arguments, environment)
    except app_options.PrintAndExit as request:
        print(request)
        return OK
    except LocalError as error:
        print(f"jamid: {error}", file=sys.stderr)
        return FAILED
    os.umask(0o077)
    print(f"{app_options.TITLE}\n", flush=True)
    app_logging.configure(options, environment)
    from jamid.app.daemon import serve  # imports every room: not for --help

    loop = _new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(serve(options, environment))
    except LocalError as error:
        print(f"jamid: {error}", file=sys.stderr)
        return FAILED


def _new_event_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
