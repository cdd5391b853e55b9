#!/usr/bin/env python3
"""Runs a command, as from cron, and tells a contact when it fails, or always with --always; its output comes along.

    0 3 * * *  scripts/examples/cron_notifier.py CONTACT -- /usr/local/bin/backup --all

The command's exit code is passed on. Cron has no session bus in its environment: the usual address is tried.
"""

from __future__ import annotations

import argparse
import asyncio
import shlex
import socket
import subprocess
import sys
import time

from jamid.client import Jami
from jamid.core.errors import JamidError

MOST = 2000  # characters of output


async def tell(contact: str, account_name: str, text: str) -> None:
    async with await Jami.connect() as jami:
        account = (await jami.accounts.find(account_name)).id
        await jami.conversations.send_confirmed(account, await jami.conversation(account, contact), text)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--always", action="store_true", help="also when the command succeeds")
    parser.add_argument("--account", default="")
    parser.add_argument("contact", help="Jami id, registered name, or a conversation's id or title")
    parser.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    began = time.monotonic()
    done = subprocess.run(arguments.command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    if done.returncode or arguments.always:
        how = f"failed with {done.returncode}" if done.returncode else "succeeded"
        head = f"{socket.gethostname()}: {shlex.join(arguments.command)} {how} after {time.monotonic() - began:.0f} s"
        try:
            asyncio.run(tell(arguments.contact, arguments.account, f"{head}\n{done.stdout[-MOST:]}".strip()))
        except (JamidError, TimeoutError) as error:
            print(f"{head}\ncannot tell {arguments.contact}: {error}\n{done.stdout}", file=sys.stderr)  # cron sends this by mail
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
