"""Command line, connection and exit codes of `jami`."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from jamid import __version__
from jamid.client.commands.output import Output
from jamid.client.commands.topics import add_options
from jamid.core.errors import JamidError, NotFoundError

if TYPE_CHECKING:
    from jamid.client.jami import Jami

OK, FAILED, USAGE, NO_DAEMON, NOT_FOUND, TIMED_OUT, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130

EPILOGUE = """\
A CONVERSATION is its id, its title, or a contact's Jami id or registered name. With several accounts say --account.
Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 no daemon, 4 not found, 5 timed out, 130 interrupted.
"""


@dataclass(slots=True)
class Context:
    """What every command gets."""

    jami: Jami
    arguments: argparse.Namespace
    output: Output

    async def account(self) -> str:
        """The id of the account that --account names, or of the only one."""
        wanted = self.arguments.account
        ids = await self.jami.accounts.ids()
        if wanted in ids:
            return str(wanted)
        if not wanted and len(ids) == 1:
            return ids[0]
        return (await self.jami.accounts.find(wanted)).id


Command = Callable[[Context], Awaitable[int | None]]


def main() -> NoReturn:
    """Runs `jami` and leaves with its exit code."""
    code = OK
    try:
        code = run(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def run(words: Sequence[str]) -> int:
    """The same, returning the exit code."""
    arguments = parser().parse_args(words)
    if not hasattr(arguments, "command"):
        parser().print_help()
        return USAGE
    if hasattr(arguments, "offline"):
        arguments.offline()
        return OK
    try:
        return asyncio.run(_run(arguments))
    except KeyboardInterrupt:
        return INTERRUPTED


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    from jamid.client.commands import accounts, calls, contacts, daemon, messages

    top = argparse.ArgumentParser(prog="jami", description="Drives a Jami daemon over D-Bus.", epilog=EPILOGUE,
                                  formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    top.add_argument("--version", action="version", version=f"jami {__version__}")
    add_options(top)
    top.set_defaults(account=os.environ.get("JAMI_ACCOUNT", ""), bus="session", json=False, timeout=60.0)
    topics = top.add_subparsers(metavar="TOPIC", title="topics")
    for module in (accounts, contacts, messages, calls, daemon):
        module.add_commands(topics)
    return top


async def _run(arguments: argparse.Namespace) -> int:
    from jamid.client.connection import NoDaemonError
    from jamid.client.jami import Jami

    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    command: Command = arguments.command
    try:
        async with await Jami.connect(arguments.bus) as jami:
            return await command(Context(jami, arguments, Output(arguments.json))) or OK
    except NoDaemonError as error:
        return _complain(error, NO_DAEMON)
    except NotFoundError as error:
        return _complain(error, NOT_FOUND)
    except TimeoutError:
        return _complain(f"no answer within {arguments.timeout:g} s (--timeout)", TIMED_OUT)
    except BrokenPipeError:
        return OK
    except (JamidError, OSError) as error:
        return _complain(error, FAILED)
    except asyncio.CancelledError:
        return INTERRUPTED


def _complain(what: object, code: int) -> int:
    print(f"jami: {what}", file=sys.stderr)
    return code
