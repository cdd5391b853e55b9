"""`jami message …` and `jami file …`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jamid.client.commands.output import clock
from jamid.client.commands.topics import topic
from jamid.client.events import EventStream, FileProgressed, MessageEdited, MessageReceived, ReactionAdded
from jamid.client.files import Transfer
from jamid.client.messages import FILE, TEXT, Message
from jamid.core.errors import LocalError, NotFoundError

if TYPE_CHECKING:
    from jamid.client.commands.main import Context

Told = MessageReceived | MessageEdited | ReactionAdded

_CONVERSATION = {"metavar": "CONVERSATION"}


def add_commands(topics: Any) -> None:
    verb = topic(topics, "message", "messages: send, list, follow, search, export")
    verb("send", send, "send a message; its id is printed once it is stored", conversation=_CONVERSATION,
         text=dict(nargs="?", default="-", help="default: read from stdin"), __reply_to=dict(default="", metavar="MESSAGE"))  # fmt: skip
    verb("edit", edit, "replace the text of an own message", conversation=_CONVERSATION, message=dict(), text=dict(help="'' deletes it"))
    verb("react", react, "react to a message", conversation=_CONVERSATION, message=dict(), emoji=dict())
    verb("list", show_all, "print the newest messages, oldest first", conversation=_CONVERSATION,
         __count=dict(type=int, default=20, help="how many (default 20, 0 all)"))  # fmt: skip
    verb("follow", follow, "print new messages, for ever", conversation=dict(nargs="?", default="", help="default: all conversations"),
         __text=dict(action="store_true", help="only text messages of others"))  # fmt: skip
    verb("search", search, "find messages", text=dict(), __conversation=dict(default=""))
    verb("export", export, "write all messages as JSON lines, newest first", conversation=_CONVERSATION,
         file=dict(nargs="?", default="-", help="default: stdout"))  # fmt: skip

    verb = topic(topics, "file", "files: send, list, fetch")
    verb("send", send_file, "send a file", conversation=_CONVERSATION, file=dict(type=Path),
         __name=dict(default="", help="its name for others"),
         __wait=dict(action="store_true", help="wait until somebody has fetched it"))  # fmt: skip
    verb("list", files, "list the files of a conversation", conversation=_CONVERSATION)
    verb("get", fetch, "fetch a file to its end", conversation=_CONVERSATION, message=dict(help="the id of its message"),
         __to=dict(type=Path, default=None, metavar="PATH"))  # fmt: skip


async def send(context: Context) -> None:
    account, conversation = await _target(context)
    text = sys.stdin.read().rstrip("\n") if context.arguments.text == "-" else context.arguments.text
    if not text:
        raise LocalError("an empty message cannot be sent")
    timeout, reply_to = context.arguments.timeout, context.arguments.reply_to
    if reply_to:
        await _expect(context, account, conversation, reply_to)
    message = await context.jami.conversations.send_confirmed(account, conversation, text, reply_to=reply_to, seconds=timeout)
    context.output.one(message, message.id)


async def edit(context: Context) -> None:
    account, conversation = await _target(context)
    await context.jami.conversations.edit(account, conversation, context.arguments.message, context.arguments.text)


async def react(context: Context) -> None:
    account, conversation = await _target(context)
    await _expect(context, account, conversation, context.arguments.message)
    await context.jami.conversations.react(account, conversation, context.arguments.message, context.arguments.emoji)


async def show_all(context: Context) -> None:
    account, conversation = await _target(context)
    for message in reversed(await context.jami.conversations.load(account, conversation, context.arguments.count)):
        _print(context, message)


async def follow(context: Context) -> None:
    account = await context.account()
    wanted = await context.jami.conversation(account, context.arguments.conversation) if context.arguments.conversation else ""
    own = (await context.jami.accounts.get(account)).uri
    kinds: list[type[Told]] = [MessageReceived] if context.arguments.text else [MessageReceived, MessageEdited, ReactionAdded]
    async with EventStream[Told](context.jami.connection, kinds) as events:
        async for event in events:
            if event.account != account or wanted not in ("", event.conversation):
                continue
            if context.arguments.text and (event.message.type != TEXT or event.message.author == own):
                continue
            if context.output.as_json:
                context.output.one(event, "")
            else:
                _print(context, event.message, "" if wanted else event.conversation + " ")


async def search(context: Context) -> None:
    account = await context.account()
    given = context.arguments.conversation
    conversation = await context.jami.conversation(account, given) if given else ""
    for message in await context.jami.conversations.search(account, conversation, context.arguments.text, context.arguments.timeout):
        _print(context, message)


async def export(context: Context) -> None:
    import json

    account, conversation = await _target(context)
    target = sys.stdout if context.arguments.file == "-" else open(context.arguments.file, "w", encoding="utf-8")  # noqa: SIM115
    count = 0
    try:
        async for message in context.jami.conversations.history(account, conversation):
            changes = {"reactions": message.reactions, "editions": message.editions}
            content = {**message.fields, **{key: value for key, value in changes.items() if value}}
            target.write(json.dumps(content, ensure_ascii=False) + "\n")
            count += 1
            if count % 200 == 0:
                context.output.progress(f"{count} messages")
    finally:
        if target is not sys.stdout:
            target.close()
    context.output.progress("")
    if target is not sys.stdout:
        context.output.one({"messages": count, "file": context.arguments.file}, f"{count} messages")


async def send_file(context: Context) -> None:
    account, conversation = await _target(context)
    path: Path = context.arguments.file
    if not path.is_file():
        raise NotFoundError(f"{path} is no file")
    message = await context.jami.files.send(account, conversation, path, name=context.arguments.name, seconds=context.arguments.timeout)
    if context.arguments.wait:
        context.output.progress(f"{path.name}: waiting until somebody fetches it")
        async with context.jami.events(FileProgressed) as events:
            await events.wait(lambda one: one.account == account and one.message == message.id and one.code == 6, context.arguments.timeout)
    context.output.one(message, message.id)


async def files(context: Context) -> None:
    account, conversation = await _target(context)
    found = [one async for one in context.jami.conversations.history(account, conversation) if one.type == FILE]
    rows = [(one.id, one.fields.get("displayName", ""), one.fields.get("totalSize", ""), clock(one.time), one.author) for one in found]
    context.output.rows(found, ("MESSAGE", "NAME", "BYTES", "TIME", "FROM"), rows)


async def fetch(context: Context) -> None:
    account, conversation = await _target(context)
    wanted = context.arguments.message
    message = None
    async for one in context.jami.conversations.history(account, conversation):
        if one.id == wanted and one.type == FILE:
            message = one
            break
    if message is None:
        raise NotFoundError(f"{wanted} is no file's message in this conversation")
    name, total = message.fields.get("displayName", ""), message.fields.get("totalSize", "?")

    def progress(state: Transfer) -> None:
        context.output.progress(f"{name}: {state.done} of {state.total or total} bytes")

    target, timeout = context.arguments.to, context.arguments.timeout
    path = await context.jami.files.fetch_all(account, conversation, message.id, message.file_id, target, timeout, progress)
    context.output.one({"path": str(path)}, str(path))


def _print(context: Context, message: Message, before: str = "") -> None:
    context.output.one(message, f"{clock(message.time)} {before}{message.author[:8]}  {message.summary()}")


async def _target(context: Context) -> tuple[str, str]:
    account = await context.account()
    return account, await context.jami.conversation(account, context.arguments.conversation)


async def _expect(context: Context, account: str, conversation: str, message: str) -> None:
    """Raises NotFoundError when MESSAGE is not there: daemons say nothing of what they do with it then."""
    if not await context.jami.conversations.has(account, conversation, message):
        raise NotFoundError(f"there is no message {message} in this conversation")
