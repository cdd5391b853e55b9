"""`jami contact …`, `jami conversation …` and `jami presence …`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from jamid.client.commands.output import clock
from jamid.client.commands.topics import topic
from jamid.client.events import ConversationReady, MemberChanged, PresenceChanged
from jamid.core.errors import NotFoundError

if TYPE_CHECKING:
    from jamid.client.commands.main import Context

_CONVERSATION = {"metavar": "CONVERSATION"}


def add_commands(topics: Any) -> None:
    verb = topic(topics, "contact", "contacts: list, add, accept, remove")
    verb("list", show_all, "list the contacts")
    verb("add", add, "ask somebody to be a contact", peer=dict(help="Jami id or registered name"),
         __wait=dict(action="store_true", help="wait until they accept"))  # fmt: skip
    verb("remove", remove, "forget a contact and the conversation", peer=dict(), __block=dict(action="store_true", help="for good"))
    verb("requests", requests, "list who asks")
    who = dict(help="Jami id, or the conversation's id or title")
    verb("accept", accept, "accept a request, which may be still to come, and wait for its conversation", who=who)
    verb("decline", decline, "decline a request", who=who)

    verb = topic(topics, "conversation", "conversations: list, create, invite, leave")
    verb("list", conversations, "list the conversations")
    verb("create", create, "make a group", __title=dict(default=""))
    verb("members", members, "list the members", conversation=_CONVERSATION)
    verb("invite", invite, "invite somebody", conversation=_CONVERSATION, peer=dict())
    verb("kick", kick, "remove a member", conversation=_CONVERSATION, peer=dict())
    verb("leave", leave, "leave a conversation and forget it", conversation=_CONVERSATION)

    verb = topic(topics, "presence", "presence: who is online")
    verb("show", presence, "print who is online now")
    verb("follow", follow, "print each change, for ever", peers=dict(nargs="*", metavar="PEER", help="default: all contacts"))


async def show_all(context: Context) -> None:
    account = await context.account()
    contacts = await context.jami.contacts.all(account)
    states = ["blocked" if one.banned else "" if one.confirmed else "asked" for one in contacts]
    rows = [(one.uri, state, one.conversation, clock(one.added)) for one, state in zip(contacts, states, strict=True)]
    context.output.rows(contacts, ("ADDRESS", "STATE", "CONVERSATION", "SINCE"), rows)


async def add(context: Context) -> None:
    account = await context.account()
    uri = await context.jami.peer(account, context.arguments.peer)
    async with context.jami.events(MemberChanged) as events:
        await context.jami.contacts.request(account, uri)
        if context.arguments.wait:
            context.output.progress(f"waiting until {uri} accepts")
            joined = await events.wait(lambda one: (one.account, one.member, one.event) == (account, uri, 1), context.arguments.timeout)
            context.output.one({"address": uri, "conversation": joined.conversation}, joined.conversation)


async def remove(context: Context) -> None:
    account = await context.account()
    await context.jami.contacts.remove(account, await context.jami.peer(account, context.arguments.peer), block=context.arguments.block)


async def requests(context: Context) -> None:
    found = await context.jami.contacts.requests(await context.account())
    rows = [(one.sender, one.conversation, clock(one.received), one.title) for one in found]
    context.output.rows(found, ("FROM", "CONVERSATION", "SINCE", "TITLE"), rows)


async def accept(context: Context) -> None:
    account = await context.account()
    conversation = await _requested(context, account, context.arguments.timeout)
    async with context.jami.events(ConversationReady) as events:
        await context.jami.contacts.accept(account, conversation)
        await events.wait(lambda one: (one.account, one.conversation) == (account, conversation), context.arguments.timeout)
    context.output.one({"conversation": conversation}, conversation)


async def decline(context: Context) -> None:
    account = await context.account()
    await context.jami.contacts.decline(account, await _requested(context, account, 0))


async def conversations(context: Context) -> None:
    found = await context.jami.conversations.all(await context.account())
    rows = [(one.id, one.kind, one.title, len(one.members), "syncing" if one.syncing else "") for one in found]
    context.output.rows(found, ("CONVERSATION", "KIND", "TITLE", "MEMBERS", ""), rows)


async def create(context: Context) -> None:
    conversation = await context.jami.conversations.create(await context.account(), context.arguments.title)
    context.output.one({"conversation": conversation}, conversation)


async def members(context: Context) -> None:
    account = await context.account()
    conversation = await context.jami.conversation(account, context.arguments.conversation)
    roles = (await context.jami.conversations.get(account, conversation)).members
    context.output.rows([{"address": uri, "role": role} for uri, role in roles.items()], ("ADDRESS", "ROLE"), roles.items())


async def invite(context: Context) -> None:
    account = await context.account()
    conversation = await context.jami.conversation(account, context.arguments.conversation)
    await context.jami.conversations.invite(account, conversation, await context.jami.peer(account, context.arguments.peer))


async def kick(context: Context) -> None:
    account = await context.account()
    conversation = await context.jami.conversation(account, context.arguments.conversation)
    await context.jami.conversations.remove_member(account, conversation, await context.jami.peer(account, context.arguments.peer))


async def leave(context: Context) -> None:
    account = await context.account()
    await context.jami.conversations.remove(account, await context.jami.conversation(account, context.arguments.conversation))


async def presence(context: Context) -> None:
    account = await context.account()
    contacts = [one.uri for one in await context.jami.contacts.all(account) if not one.banned]
    async with context.jami.events(PresenceChanged) as events:
        for uri in contacts:
            await context.jami.presence.subscribe(account, uri)
        online = await context.jami.presence.all(account)
        try:
            while True:
                change = await events.wait(lambda one: one.account == account, 0.2)
                online[change.uri] = change.online
        except TimeoutError:
            pass
    rows = [(uri, "online" if online.get(uri) else "offline") for uri in contacts]
    context.output.rows([{"address": uri, "online": state == "online"} for uri, state in rows], ("ADDRESS", "STATE"), rows)


async def follow(context: Context) -> None:
    account = await context.account()
    wanted = [await context.jami.peer(account, peer) for peer in context.arguments.peers]
    async with context.jami.events(PresenceChanged) as events:
        for uri in wanted or [one.uri for one in await context.jami.contacts.all(account) if not one.banned]:
            await context.jami.presence.subscribe(account, uri)
        known: dict[str, tuple[bool, str]] = {}
        async for change in events:
            told = change.online, change.note
            if change.account == account and (not wanted or change.uri in wanted) and known.get(change.uri) != told:
                known[change.uri] = told
                context.output.one(change, f"{change.uri} {'online' if change.online else 'offline'} {change.note}".rstrip())


async def _requested(context: Context, account: str, seconds: float) -> str:
    who = context.arguments.who
    end = asyncio.get_running_loop().time() + seconds
    while True:
        found = [one for one in await context.jami.contacts.requests(account) if who in (one.conversation, one.sender, one.title)]
        if found:
            return found[0].conversation
        if asyncio.get_running_loop().time() > end:
            raise NotFoundError(f"there is no request of {who}")
        context.output.progress(f"waiting for a request of {who}")
        await asyncio.sleep(0.2)
