"""A client library over D-Bus and the jami command.

    from jamid.client import Jami, MessageReceived

    async with await Jami.connect() as jami:
        account = (await jami.accounts.all())[0]
        await jami.conversations.send(account.id, conversation_id, "hello")
        async with jami.events(MessageReceived) as events:
            async for event in events:
                print(event.message.author, event.message.body)

It drives any Jami daemon: this one, Debian's 13.7 and 17.
"""

from __future__ import annotations

from jamid.client.accounts import Account, Accounts
from jamid.client.calls import Call, Calls
from jamid.client.connection import CallFailedError, NoDaemonError
from jamid.client.contacts import Contact, Contacts
from jamid.client.conversations import Conversation, Conversations, Message
from jamid.client.events import (
    AccountsChanged,
    AccountStatusChanged,
    CallReceived,
    CallStateChanged,
    ContactAdded,
    ContactRemoved,
    ConversationReady,
    ConversationRemoved,
    Event,
    EventStream,
    FileOpened,
    FileProgressed,
    MediaNegotiated,
    MemberChanged,
    MessageEdited,
    MessageReceived,
    MessagesFound,
    MessagesLoaded,
    MessageStatusChanged,
    NameFound,
    NameRegistered,
    PresenceChanged,
    ReactionAdded,
    RecordingFileChanged,
    RegistrationChanged,
    RequestReceived,
)
from jamid.client.files import Files, FileState
from jamid.client.jami import Jami

__all__ = [
    "Account",
    "AccountStatusChanged",
    "Accounts",
    "AccountsChanged",
    "Call",
    "CallFailedError",
    "CallReceived",
    "CallStateChanged",
    "Calls",
    "Contact",
    "ContactAdded",
    "ContactRemoved",
    "Contacts",
    "Conversation",
    "ConversationReady",
    "ConversationRemoved",
    "Conversations",
    "Event",
    "EventStream",
    "FileOpened",
    "FileProgressed",
    "FileState",
    "Files",
    "Jami",
    "MediaNegotiated",
    "MemberChanged",
    "Message",
    "MessageEdited",
    "MessageReceived",
    "MessageStatusChanged",
    "MessagesFound",
    "MessagesLoaded",
    "NameFound",
    "NameRegistered",
    "NoDaemonError",
    "PresenceChanged",
    "ReactionAdded",
    "RecordingFileChanged",
    "RegistrationChanged",
    "RequestReceived",
]
