"""The client's front door: one connection, and what a daemon has to offer by topic."""

from __future__ import annotations

from types import TracebackType
from typing import Any, TypeVar, overload

from jamid.client.accounts import Accounts
from jamid.client.calls import Calls
from jamid.client.connection import Connection
from jamid.client.contacts import Contacts
from jamid.client.conversations import Conversations
from jamid.client.events import Event, EventStream
from jamid.client.files import Files
from jamid.client.names import Names
from jamid.client.presence import Presence
from jamid.core.errors import NotFoundError
from jamid.core.identifiers import bare_uri, is_account_uri

E = TypeVar("E", bound=Event)
F = TypeVar("F", bound=Event)


class Jami:
    """A Jami daemon, ours or another one, over D-Bus."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.accounts = Accounts(connection)
        self.contacts = Contacts(connection)
        self.conversations = Conversations(connection)
        self.calls = Calls(connection)
        self.files = Files(connection)
        self.names = Names(connection)
        self.presence = Presence(connection)

    @classmethod
    async def connect(cls, bus: str = "session") -> Jami:
        """Connects to the daemon on BUS (`session`, `system` or an address); raises NoDaemonError."""
        return cls(await Connection.open(bus))

    async def close(self) -> None:
        await self.connection.close()

    async def __aenter__(self) -> Jami:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    @overload
    def events(self, kind: type[E], /) -> EventStream[E]: ...

    @overload
    def events(self, kind: type[E], other: type[F], /) -> EventStream[E | F]: ...

    @overload
    def events(self, *kinds: type[Event]) -> EventStream[Event]: ...

    def events(self, *kinds: type[Event]) -> EventStream[Any]:
        """A stream of the events of KINDS (all, without any): `async with jami.events(MessageReceived) as events: async for …`."""
        return EventStream(self.connection, kinds)

    async def call(self, interface: str, method: str, signature: str = "", *arguments: Any) -> Any:
        """Any method of the D-Bus API: `await jami.call("CallManager", "playDTMF", "s", "5")`."""
        return await self.connection.call(interface, method, signature, *arguments)

    async def peer(self, account: str, text: str) -> str:
        """The Jami id that TEXT means: itself, a `jami:` address, or a registered name, which is looked up."""
        uri = bare_uri(text)
        return uri if is_account_uri(uri) else await self.names.address(account, text)

    async def conversation(self, account: str, text: str) -> str:
        """The conversation that TEXT means: its id, its title, or a contact (Jami id or registered name); raises NotFoundError."""
        known = await self.conversations.ids(account)
        if text in known:
            return text
        contacts = {one.uri: one.conversation for one in await self.contacts.all(account)}
        uri = bare_uri(text)
        if not is_account_uri(uri):
            titled = [one for one in known if (await self.conversations.get(account, one)).title == text]
            if len(titled) == 1:
                return titled[0]
            uri = await self.names.address(account, text)
        if conversation := contacts.get(uri):
            return conversation
        raise NotFoundError(f"there is no conversation with {text!r}; `jami contact add {text}` asks for one")
