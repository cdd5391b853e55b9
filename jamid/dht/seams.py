"""What the secure layer needs of whatever carries values: a UDP node or a proxy."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from jamid.core.identifiers import InfoHash
from jamid.dht.core import Status
from jamid.dht.query import Query
from jamid.dht.values import WireValue

OnWireValues = Callable[[list[WireValue]], bool]
"""Gets new values; False ends the search."""
OnWireNews = Callable[[list[WireValue], bool], None]
"""Gets values, and whether they expired."""


class GetResult(NamedTuple):
    """What a get brought."""

    ok: bool
    """whether any node was reached"""
    values: list[WireValue]


class ValueNetwork(Protocol):
    """Get, put and listen for values as they travel."""

    @property
    def status(self) -> Status: ...

    def on_status(self, callback: Callable[[Status], None]) -> Callable[[], None]: ...

    async def get(self, key: InfoHash, query: Query | None = None, *, on_values: OnWireValues | None = None) -> GetResult: ...

    async def put(self, key: InfoHash, value: WireValue, *, permanent: bool = False, created: int | None = None) -> bool: ...

    def cancel_put(self, key: InfoHash, value_id: int) -> None: ...

    def announced(self, key: InfoHash, value_id: int) -> WireValue | None: ...

    def listen(self, key: InfoHash, on_news: OnWireNews, query: Query | None = None) -> Callable[[], None]: ...
