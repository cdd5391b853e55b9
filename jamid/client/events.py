"""What the daemon tells, as typed events; each from the signal of whichever generation the daemon speaks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast

from jamid.client.connection import Connection
from jamid.client.messages import Message
from jamid.client.model import bare_id
from jamid.core.errors import LocalError

QUEUE_EVENTS = 10_000
"""Events a stream holds for a reader that does not read; more than that ends it, rather than the memory."""


@dataclass(frozen=True, slots=True)
class Event:
    """Anything the daemon tells."""


@dataclass(frozen=True, slots=True)
class AccountsChanged(Event):
    """The list of accounts or its order changed."""


@dataclass(frozen=True, slots=True)
class RegistrationChanged(Event):
    account: str
    state: str
    """`INITIALIZING`, `UNREGISTERED`, `TRYING`, `REGISTERED` or an error word"""
    code: int
    text: str


@dataclass(frozen=True, slots=True)
class AccountStatusChanged(Event):
    account: str
    details: Mapping[str, str]
    """the volatile details: `Account.registrationStatus`, `Account.deviceAnnounced` …"""


@dataclass(frozen=True, slots=True)
class NameFound(Event):
    account: str
    requested: str
    """what was asked for; "" from a daemon of 13"""
    status: int
    """0 found, 1 invalid, 2 not found, 3 error"""
    address: str
    name: str


@dataclass(frozen=True, slots=True)
class NameRegistered(Event):
    account: str
    status: int
    """0 registered; else why not"""
    name: str


@dataclass(frozen=True, slots=True)
class ContactAdded(Event):
    account: str
    uri: str
    confirmed: bool


@dataclass(frozen=True, slots=True)
class ContactRemoved(Event):
    account: str
    uri: str
    banned: bool


@dataclass(frozen=True, slots=True)
class RequestReceived(Event):
    """Somebody asks to be a contact."""

    account: str
    conversation: str
    sender: str


@dataclass(frozen=True, slots=True)
class ConversationReady(Event):
    account: str
    conversation: str


@dataclass(frozen=True, slots=True)
class ConversationRemoved(Event):
    account: str
    conversation: str


@dataclass(frozen=True, slots=True)
class MemberChanged(Event):
    account: str
    conversation: str
    member: str
    event: int
    """0 invited, 1 joined, 2 left, 3 banned, 4 unbanned"""


@dataclass(frozen=True, slots=True)
class MessageReceived(Event):
    """A new message, also one of our own."""

    account: str
    conversation: str
    message: Message


@dataclass(frozen=True, slots=True)
class MessageEdited(Event):
    """A message has another text, "" when it was deleted; a daemon of 13 tells it as `MessageReceived` of the edit."""

    account: str
    conversation: str
    message: Message


@dataclass(frozen=True, slots=True)
class ReactionAdded(Event):
    """Somebody reacted; a daemon of 13 tells it as `MessageReceived` of the reaction."""

    account: str
    conversation: str
    message: Message
    """the reaction; `reacts_to` says to what"""


@dataclass(frozen=True, slots=True)
class MessageStatusChanged(Event):
    account: str
    conversation: str
    peer: str
    message: str
    status: int
    """1 sending, 2 sent, 3 displayed, 4 failed"""


@dataclass(frozen=True, slots=True)
class MessagesLoaded(Event):
    request: int
    account: str
    conversation: str
    messages: Sequence[Message]
    """newest first"""


@dataclass(frozen=True, slots=True)
class MessagesFound(Event):
    request: int
    account: str
    conversation: str
    """"" with no messages is the end of the search"""
    messages: Sequence[Message]


@dataclass(frozen=True, slots=True)
class FileProgressed(Event):
    account: str
    conversation: str
    message: str
    file: str
    code: int
    """1 created, 5 ongoing, 6 finished, 7 and more: failed"""


@dataclass(frozen=True, slots=True)
class CallReceived(Event):
    account: str
    call: str
    peer: str
    media: Sequence[Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class CallStateChanged(Event):
    account: str
    call: str
    state: str
    """`INCOMING`, `CONNECTING`, `RINGING`, `CURRENT`, `HOLD`, `BUSY`, `FAILURE`, `HUNGUP`, `OVER`"""
    code: int


@dataclass(frozen=True, slots=True)
class MediaNegotiated(Event):
    call: str
    status: str
    media: Sequence[Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class RecordingFileChanged(Event):
    call: str
    path: str


@dataclass(frozen=True, slots=True)
class FileOpened(Event):
    """A media player knows what is in its file (17 only)."""

    path: str


@dataclass(frozen=True, slots=True)
class PresenceChanged(Event):
    account: str
    uri: str
    online: bool
    note: str


_MESSAGE = "(sssa{ss}aa{ss}aa{ss}a{si})"
_CONFIGURATION, _CALL, _PRESENCE, _VIDEO = "ConfigurationManager", "CallManager", "PresenceManager", "VideoManager"


@dataclass(frozen=True, slots=True)
class _Form:
    """One signal from which an event can be made."""

    interface: str
    member: str
    signature: str
    make: Callable[..., Event | None]
    """None for what is no such event"""


def _maps(messages: Sequence[Mapping[str, str]]) -> list[Message]:
    return [Message.from_map(message) for message in messages]


# Of several forms of an event the first one that the daemon declares is listened to: ours sends all of them.
_FORMS: Mapping[type[Event], tuple[_Form, ...]] = {
    AccountsChanged: (_Form(_CONFIGURATION, "accountsChanged", "", AccountsChanged),),
    RegistrationChanged: (_Form(_CONFIGURATION, "registrationStateChanged", "ssis", RegistrationChanged),),
    AccountStatusChanged: (_Form(_CONFIGURATION, "volatileAccountDetailsChanged", "sa{ss}", AccountStatusChanged),),
    NameFound: (
        _Form(_CONFIGURATION, "registeredNameFound", "ssiss", NameFound),
        _Form(_CONFIGURATION, "registeredNameFound", "siss", lambda account, *rest: NameFound(account, "", *rest)),
    ),
    NameRegistered: (_Form(_CONFIGURATION, "nameRegistrationEnded", "sis", NameRegistered),),
    ContactAdded: (_Form(_CONFIGURATION, "contactAdded", "ssb", ContactAdded),),
    ContactRemoved: (_Form(_CONFIGURATION, "contactRemoved", "ssb", ContactRemoved),),
    RequestReceived: (
        _Form(_CONFIGURATION, "conversationRequestReceived", "ssa{ss}", lambda a, c, m: RequestReceived(a, c, m.get("from", ""))),
    ),
    ConversationReady: (_Form(_CONFIGURATION, "conversationReady", "ss", ConversationReady),),
    ConversationRemoved: (_Form(_CONFIGURATION, "conversationRemoved", "ss", ConversationRemoved),),
    MemberChanged: (_Form(_CONFIGURATION, "conversationMemberEvent", "sssi", MemberChanged),),
    MessageReceived: (
        _Form(_CONFIGURATION, "swarmMessageReceived", f"ss{_MESSAGE}", lambda a, c, m: MessageReceived(a, c, Message.from_structure(m))),
        _Form(_CONFIGURATION, "messageReceived", "ssa{ss}", lambda a, c, m: MessageReceived(a, c, Message.from_map(m))),
    ),
    MessageEdited: (
        _Form(_CONFIGURATION, "swarmMessageUpdated", f"ss{_MESSAGE}",  # also sent for messages that got another place in the history
              lambda a, c, m: MessageEdited(a, c, Message.from_structure(m)) if m[5] else None),
    ),
    ReactionAdded: (_Form(_CONFIGURATION, "reactionAdded", "sssa{ss}", lambda a, c, _, m: ReactionAdded(a, c, Message.from_map(m))),),
    MessageStatusChanged: (_Form(_CONFIGURATION, "accountMessageStatusChanged", "ssssi", MessageStatusChanged),),
    MessagesLoaded: (
        _Form(_CONFIGURATION, "swarmLoaded", f"ussa{_MESSAGE}",
              lambda r, a, c, found: MessagesLoaded(r, a, c, [Message.from_structure(one) for one in found])),
        _Form(_CONFIGURATION, "conversationLoaded", "ussaa{ss}", lambda r, a, c, found: MessagesLoaded(r, a, c, _maps(found))),
    ),
    MessagesFound: (_Form(_CONFIGURATION, "messagesFound", "ussaa{ss}", lambda r, a, c, found: MessagesFound(r, a, c, _maps(found))),),
    FileProgressed: (_Form(_CONFIGURATION, "dataTransferEvent", "ssssi", FileProgressed),),
    CallReceived: (
        _Form(_CALL, "incomingCall", "sssaa{ss}", lambda a, call, peer, media: CallReceived(a, call, bare_id(peer), media)),
        _Form(_CALL, "incomingCallWithMedia", "sssaa{ss}", lambda a, call, peer, media: CallReceived(a, call, bare_id(peer), media)),
    ),
    CallStateChanged: (_Form(_CALL, "callStateChanged", "sssi", CallStateChanged),),
    MediaNegotiated: (_Form(_CALL, "mediaNegotiationStatus", "ssaa{ss}", MediaNegotiated),),
    RecordingFileChanged: (_Form(_CALL, "recordPlaybackFilepath", "ss", RecordingFileChanged),),
    FileOpened: (_Form(_VIDEO, "fileOpened", "sa{ss}", lambda path, _: FileOpened(path)),),
    PresenceChanged: (
        _Form(_PRESENCE, "newBuddyNotification", "ssis", lambda a, uri, status, note: PresenceChanged(a, bare_id(uri), status > 0, note)),
        _Form(_PRESENCE, "newBuddyNotification", "ssbs", lambda a, uri, online, note: PresenceChanged(a, bare_id(uri), online, note)),
    ),
}  # fmt: skip

E = TypeVar("E", bound=Event)


class EventStream(Generic[E]):
    """An async iterator over the events of some kinds; listens from `__aenter__` (or `open`) on, so nothing is missed in between."""

    def __init__(self, connection: Connection, kinds: Sequence[type[E]]) -> None:
        self._connection = connection
        self._kinds: Sequence[type[Event]] = kinds or tuple(_FORMS)
        self._wanted: dict[tuple[str, str, str], Callable[..., Event | None]] = {}
        self._queue: asyncio.Queue[E] = asyncio.Queue(QUEUE_EVENTS)
        self._overflown = False
        self._end: Callable[[], None] = lambda: None

    async def open(self) -> Self:
        """Starts to listen."""
        for kind in self._kinds:
            for form in _FORMS[kind]:
                if await self._connection.declares(form.interface, form.member, form.signature):
                    self._wanted[form.interface, form.member, form.signature] = form.make
                    if kind is not MessagesLoaded:  # its forms answer to different methods
                        break
        self._end = await self._connection.listen(self._on_signal)
        return self

    def close(self) -> None:
        """Ends listening; what arrived already can still be read."""
        self._end()
        self._end = lambda: None

    async def wait(self, matches: Callable[[E], object] = lambda _: True, seconds: float | None = None) -> E:
        """The next event that MATCHES; raises TimeoutError after SECONDS."""
        async with asyncio.timeout(seconds):
            async for event in self:
                if matches(event):
                    return event
        raise AssertionError("a stream of events has no end")

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> E:
        if self._overflown and self._queue.empty():
            raise LocalError(f"more than {QUEUE_EVENTS} events were not read in time; some are lost")
        return await self._queue.get()

    def _on_signal(self, interface: str, member: str, signature: str, arguments: list[Any]) -> None:
        make = self._wanted.get((interface, member, signature))
        if make is None:
            return
        event = make(*arguments)
        if event is None:
            return
        try:
            self._queue.put_nowait(cast(E, event))
        except asyncio.QueueFull:
            self._overflown = True
            self.close()
