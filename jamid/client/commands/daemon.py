"""`jami daemon …`, `jami event …` and `jami completion`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from jamid.client.commands.topics import topic

if TYPE_CHECKING:
    from jamid.client.commands.main import Context


def add_commands(topics: Any) -> None:
    verb = topic(topics, "daemon", "the daemon: is it there")
    verb("ping", ping, "measure the time of one call")
    verb = topic(topics, "event", "everything the daemon tells")
    verb("follow", follow, "print each D-Bus signal, for ever")
    verb = topic(topics, "completion", "shell completion")
    verb("bash", None, "print the completion for bash: source <(jami completion bash)").set_defaults(offline=completion)


async def ping(context: Context) -> None:
    began = time.perf_counter()
    accounts = await context.jami.accounts.ids()
    milliseconds = (time.perf_counter() - began) * 1000
    context.output.one({"milliseconds": milliseconds, "accounts": len(accounts)}, f"{milliseconds:.1f} ms, {len(accounts)} accounts")


async def follow(context: Context) -> None:
    def show(interface: str, member: str, signature: str, arguments: list[Any]) -> None:
        value = {"time": time.time(), "interface": interface, "signal": member, "arguments": arguments}
        context.output.one(value, f"{time.strftime('%H:%M:%S')} {member} {' '.join(map(str, arguments))}")

    end = await context.jami.connection.listen(show)
    try:
        await context.jami.connection.wait_closed()
    finally:
        end()


def completion() -> None:
    from jamid.client.commands.completion import bash

    print(bash())
