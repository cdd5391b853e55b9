"""Registered names: look up, register."""

from __future__ import annotations

from collections.abc import Callable

from jamid.client.connection import Connection
from jamid.client.events import EventStream, NameFound, NameRegistered
from jamid.core.errors import LocalError, NotFoundError

_INTERFACE = "ConfigurationManager"
_FOUND = 0
_REASONS = {1: "that is no valid name", 2: "there is none", 3: "the name server does not answer"}
_REFUSED = "that is no valid name, or the password is wrong"  # 13.7 means the password by 1 and the name by 2, 17 the other way round
_REFUSALS = {
    1: _REFUSED, 2: _REFUSED, 3: "it is taken", 4: "the name server did not take it",
    5: "the request is incomplete", 6: "the signature is wrong", 7: "the server does not support it",
}  # fmt: skip


class Names:
    """The name server of each account."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def address(self, account: str, name: str, seconds: float = 30) -> str:
        """The Jami id behind a registered NAME; raises NotFoundError, LocalError, TimeoutError."""
        found = await self._ask("lookupName", account, name, seconds, lambda event: name in (event.requested, event.name))
        return found.address

    async def name(self, account: str, address: str, seconds: float = 30) -> str:
        """The registered name of a Jami id; raises NotFoundError, LocalError, TimeoutError."""
        found = await self._ask("lookupAddress", account, address, seconds, lambda event: address in (event.requested, event.address))
        return found.name

    async def register(self, account: str, name: str, password: str = "", seconds: float = 120) -> None:
        """Registers NAME for the account; raises LocalError with the reason."""
        async with EventStream[NameRegistered](self._connection, [NameRegistered]) as events:
            if await self._connection.declares(_INTERFACE, "registerName", "ssss"):
                started = await self._connection.call(_INTERFACE, "registerName", "ssss", account, name, "password", password)
            else:
                started = await self._connection.call(_INTERFACE, "registerName", "sss", account, password, name)
            if not started:
                raise LocalError(f"{name!r} cannot be registered for {account}")
            event = await events.wait(lambda event: event.account == account, seconds)
        if event.status:
            raise LocalError(f"{name!r} was not registered: {_REFUSALS.get(event.status, f'code {event.status}')}")

    async def _ask(self, method: str, account: str, what: str, seconds: float, matches: Callable[[NameFound], bool]) -> NameFound:
        async with EventStream[NameFound](self._connection, [NameFound]) as events:
            if not await self._connection.call(_INTERFACE, method, "sss", account, "", what):
                raise NotFoundError(f"there is no account {account}")
            event: NameFound = await events.wait(matches, seconds)
        if event.status != _FOUND:
            kind = NotFoundError if event.status in (1, 2) else LocalError
            raise kind(f"nothing found for {what!r}: {_REASONS.get(event.status, f'code {event.status}')}")
        return event
