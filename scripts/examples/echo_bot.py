#!/usr/bin/env python3
"""Echo bot: accepts whoever asks to be a contact and sends every text message back.

    scripts/examples/echo_bot.py [ACCOUNT]     Jami id, local id or name; not needed with one account
"""

from __future__ import annotations

import asyncio
import sys

from jamid.client import Jami, MessageReceived, RequestReceived
from jamid.client.messages import TEXT


async def main(account_name: str) -> None:
    async with await Jami.connect() as jami:
        account = await jami.accounts.find(account_name)
        print(f"I am {account.uri}; write to me")
        async with jami.events(RequestReceived, MessageReceived) as events:
            for request in await jami.contacts.requests(account.id):  # those who asked while we were away
                await jami.contacts.accept(account.id, request.conversation)
            async for event in events:
                if event.account != account.id:
                    continue
                if isinstance(event, RequestReceived):
                    print(f"{event.sender} is a new contact")
                    await jami.contacts.accept(account.id, event.conversation)
                elif event.message.type == TEXT and event.message.author != account.uri:
                    message = event.message
                    await jami.conversations.displayed(account.id, event.conversation, message.id)
                    await jami.conversations.send(account.id, event.conversation, message.body, reply_to=message.id)


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else ""))
    except KeyboardInterrupt:
        pass
