"""Who is online."""

from __future__ import annotations

from jamid.client.connection import Connection
from jamid.client.model import bare_id

_INTERFACE = "PresenceManager"


class Presence:
    """The presence of contacts; changes come as `PresenceChanged`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def subscribe(self, account: str, uri: str, on: bool = True) -> None:
        """Follows URI's presence, or no longer."""
        await self._connection.call(_INTERFACE, "subscribeBuddy", "ssb", account, uri, on)

    async def all(self, account: str) -> dict[str, bool]:
        """Jami id to whether they are online, of all who are followed."""
        subscriptions = await self._connection.call(_INTERFACE, "getSubscriptions", "s", account)
        return {bare_id(one.get("Buddy", "")): one.get("Status", "") == "Online" for one in subscriptions}
