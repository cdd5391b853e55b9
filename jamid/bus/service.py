"""The daemon on the bus: connection, name, dispatcher and signals under one roof."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from jamid.bus import contract
from jamid.bus.connection import Connection
from jamid.bus.dispatcher import Dispatcher
from jamid.bus.interface import Interface
from jamid.bus.neutral import Neutral
from jamid.bus.publisher import Publisher
from jamid.core.errors import LocalError
from jamid.core.events import Events

_log = logging.getLogger(__name__)


class BusService:
    """Serves INTERFACES on the bus at ADDRESS (`session`, `system` or a D-Bus address) and sends the events of EVENTS as signals.

    API_LEVEL is `13`, `17` or `both`: whose signals and introspection are offered; calls of both generations are always taken.
    KNOWS_ACCOUNT tells whether an account id exists; members without implementation answer neutrally for those that do not.
    """

    def __init__(
        self,
        address: str,
        interfaces: Sequence[Interface],
        events: Events,
        api_level: str = "both",
        *,
        knows_account: Callable[[str], bool] = lambda account_id: False,
        bus_name: str = contract.BUS_NAME,
    ) -> None:
        level = contract.API_LEVELS.get(api_level)
        if level is None:
            raise LocalError(f"the API level is 13, 17 or both, not {api_level!r}")
        contracts = contract.load()
        self._address = address
        self._events = events
        self._bus_name = bus_name
        self._publisher = Publisher(contracts, level)
        self._dispatcher = Dispatcher(contracts, interfaces, self._publisher, Neutral(knows_account), level)
        self._connection: Connection | None = None

    async def start(self) -> None:
        """Connects and becomes the owner of the name; raises NameTakenError or LocalError with one clear line."""
        connection = await Connection.open(self._address)
        connection.on_call = self._dispatcher.handle
        self._dispatcher.start(connection)
        self._publisher.start(connection, self._events)
        try:
            await connection.request_name(self._bus_name)
        except LocalError:
            self._publisher.stop()
            await connection.close()
            raise
        self._connection = connection
        _log.info("serving %s as %s with %s", self._bus_name, connection.unique_name, connection.library.name)

    async def stop(self) -> None:
        """Ends running calls, sends what is queued and leaves the bus."""
        await self._dispatcher.close()
        self._publisher.stop()
        if self._connection is not None:
            await self._connection.close()

    def missing(self) -> list[str]:
        """The methods of the contract that nobody implements, as `Interface.method`."""
        return self._dispatcher.missing()

    @property
    def closed(self) -> asyncio.Future[None]:
        """Done when the connection has ended, by `stop` or because the bus went away."""
        if self._connection is None:
            raise LocalError("the bus service has not been started")
        return self._connection.closed
