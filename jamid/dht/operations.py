"""What the application asked for: gets and puts, over both address families (protocol: opendht, sections 12 and 13)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from jamid.core.identifiers import InfoHash
from jamid.dht.addresses import Family
from jamid.dht.query import Field, FieldValue, Query
from jamid.dht.values import WireValue

OnValues = Callable[[list[WireValue]], bool]
"""Gets new values; False ends the search."""
OnRows = Callable[[tuple[dict[Field, FieldValue], ...]], None]
OnDone = Callable[[bool], None]
"""Called once, with whether any node was reached."""


class GetOperation:
    """A get: each value is reported once; done when the search of every family is."""

    def __init__(self, key: InfoHash, query: Query | None, on_values: OnValues, on_done: OnDone, on_rows: OnRows | None = None) -> None:
        self.key = key
        self.query = query
        self.finished = False
        self._on_values = on_values
        self._on_rows = on_rows
        self._on_done = on_done
        self._seen: dict[int, list[WireValue]] = {}
        self._waiting: set[Family] = set()
        self._ok = False

    def wait_for(self, families: Iterable[Family]) -> None:
        """Names the searches that will report."""
        self._waiting |= set(families)

    def values(self, values: Iterable[WireValue]) -> None:
        """Reports those of VALUES that are new and match."""
        if self.finished:
            return
        fresh = []
        for value in values:
            if self.query is not None and not self.query.matches(value):
                continue
            known = self._seen.setdefault(value.id, [])
            if not any(one.seq == value.seq and one.same_content(value) for one in known):
                known.append(value)
                fresh.append(value)
        if fresh and not self._on_values(fresh):
            self.finish(True)

    def rows(self, rows: tuple[dict[Field, FieldValue], ...]) -> None:
        """Reports the rows of a query with a selection."""
        if not self.finished and self._on_rows is not None:
            self._on_rows(rows)

    def family_done(self, family: Family, ok: bool) -> None:
        """The search of FAMILY has ended."""
        self._ok |= ok
        self._waiting.discard(family)
        if not self._waiting:
            self.finish(self._ok)

    def finish(self, ok: bool) -> None:
        """Ends it, whatever is still missing."""
        if not self.finished:
            self.finished = True
            self._on_done(ok)


class PutOperation:
    """A value being announced; a permanent one stays until it is cancelled."""

    def __init__(
        self, key: InfoHash, value: WireValue, created: int | None, permanent: bool, on_done: OnDone, *, for_others: bool = False
    ) -> None:
        self.key = key
        self.value = value
        self.created = created
        """Unix seconds, None = now (and always for permanent puts)"""
        self.permanent = permanent
        self.for_others = for_others
        """somebody else's value, for nodes that lack it"""
        self._on_done: OnDone | None = on_done
        self._waiting: set[Family] = set()
        self._ok = False

    @property
    def reported(self) -> bool:
        return self._on_done is None

    def wait_for(self, families: Iterable[Family]) -> None:
        """Names the searches that will report."""
        self._waiting |= set(families)

    def family_done(self, family: Family, ok: bool) -> None:
        """The nodes of FAMILY have it (or cannot be reached). One family's success is enough, and not waited for any longer."""
        self._ok |= ok
        self._waiting.discard(family)
        if ok or not self._waiting:
            self.finish(self._ok)

    def finish(self, ok: bool) -> None:
        """Reports the outcome, once."""
        if self._on_done is not None:
            on_done, self._on_done = self._on_done, None
            on_done(ok)
