"""`jami account …` and `jami name …`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jamid.client.commands.topics import topic
from jamid.core.errors import LocalError

if TYPE_CHECKING:
    from jamid.client.commands.main import Context


def add_commands(topics: Any) -> None:
    verb = topic(topics, "account", "accounts: list, add, show, change, export, remove")
    verb("list", show_all, "list the accounts")
    verb("add", add, "make a Jami account, or take one from an archive",
         __name=dict(default="", help="display name"),
         __password=dict(default="", help="password of the archive ('-': read it from stdin)"),
         __archive=dict(type=Path, default=None, metavar="FILE", help="take the account from this exported archive"),
         __bootstrap=dict(default="", metavar="HOST:PORT", help="DHT node to start from"),
         __turn=dict(default="", metavar="HOST", help="TURN server (user, password and realm: ring); 'none' for none"),
         __set=dict(action="append", default=[], metavar="KEY=VALUE", help="any account detail; may be repeated"),
         __wait=dict(action="store_true", help="wait until it can be found by others"))  # fmt: skip
    verb("show", show, "print all details of the account", __volatile=dict(action="store_true", help="those that are not stored"))
    verb("set", change, "set details", details=dict(nargs="+", metavar="KEY=VALUE"))
    verb("enable", enable, "bring the account online")
    verb("disable", disable, "take the account offline")
    verb("wait", wait, "wait until the account can be found by others")
    verb("export", export, "write the account's archive to a file", file=dict(type=Path), __password=dict(default="", help="its password"))
    verb("devices", devices, "list the account's devices")
    verb("remove", remove, "remove the account with its keys and messages", __yes=dict(action="store_true", help="do not ask"))
    name = topic(topics, "name", "registered names: look up, register")
    name("lookup", lookup, "print the Jami id of a name", name=dict())
    name("of", name_of, "print the registered name of a Jami id", uri=dict())
    name("register", register, "register a name for the account", name=dict(), __password=dict(default="", help="the account's password"))


async def show_all(context: Context) -> None:
    accounts = await context.jami.accounts.all()
    rows = [(one.id, one.name, one.registered_name, one.uri, "online" if one.announced else one.state.lower()) for one in accounts]
    context.output.rows(accounts, ("ID", "NAME", "REGISTERED", "ADDRESS", "STATE"), rows)


async def add(context: Context) -> None:
    arguments = context.arguments
    details = dict(_pair(word) for word in arguments.set)
    if arguments.bootstrap:
        details["Account.hostname"] = arguments.bootstrap
    if arguments.turn:
        on = arguments.turn != "none"
        details |= {"TURN.enable": "true" if on else "false", "TURN.server": arguments.turn if on else ""}
        details |= {"TURN.username": "ring", "TURN.password": "ring", "TURN.realm": "ring"}
    password = sys.stdin.readline().rstrip("\n") if arguments.password == "-" else arguments.password
    name = arguments.name or "jami"
    account_id = await context.jami.accounts.add(name, password=password, archive=arguments.archive, details=details)
    if arguments.wait:
        account = await context.jami.accounts.wait_ready(account_id, arguments.timeout)
        context.output.one(account, f"{account.id} {account.uri}")
    else:
        context.output.one({"id": account_id}, account_id)


async def show(context: Context) -> None:
    account = await context.jami.accounts.get(await context.account())
    context.output.details(account.volatile if context.arguments.volatile else account.details)


async def change(context: Context) -> None:
    await context.jami.accounts.change(await context.account(), dict(_pair(word) for word in context.arguments.details))


async def enable(context: Context) -> None:
    await context.jami.accounts.set_enabled(await context.account(), True)


async def disable(context: Context) -> None:
    await context.jami.accounts.set_enabled(await context.account(), False)


async def wait(context: Context) -> None:
    account = await context.jami.accounts.wait_ready(await context.account(), context.arguments.timeout)
    context.output.one(account, f"{account.id} {account.uri}")


async def export(context: Context) -> None:
    await context.jami.accounts.export(await context.account(), context.arguments.file, context.arguments.password)


async def devices(context: Context) -> None:
    known = await context.jami.accounts.devices(await context.account())
    context.output.rows([{"id": one, "name": name} for one, name in known.items()], ("DEVICE", "NAME"), known.items())


async def remove(context: Context) -> None:
    account = await context.jami.accounts.get(await context.account())
    if not context.arguments.yes:
        if not sys.stdin.isatty():
            raise LocalError("removing an account cannot be undone; say --yes")
        print(f"Remove {account.name} ({account.uri}) with its keys and messages? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise LocalError("not removed")
    await context.jami.accounts.remove(account.id)


async def lookup(context: Context) -> None:
    address = await context.jami.names.address(await context.account(), context.arguments.name, context.arguments.timeout)
    context.output.one({"name": context.arguments.name, "address": address}, address)


async def name_of(context: Context) -> None:
    name = await context.jami.names.name(await context.account(), context.arguments.uri, context.arguments.timeout)
    context.output.one({"name": name, "address": context.arguments.uri}, name)


async def register(context: Context) -> None:
    await context.jami.names.register(await context.account(), context.arguments.name, context.arguments.password)


def _pair(word: str) -> tuple[str, str]:
    key, equals, value = word.partition("=")
    if not equals:
        raise LocalError(f"details are KEY=VALUE, not {word!r}")
    return key, value
