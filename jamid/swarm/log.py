"""The linear order of a conversation, remembered as far as it was read, so that paging does not walk from the top each time."""

from __future__ import annotations

from collections.abc import Iterator

from jamid.core.errors import RemoteError
from jamid.swarm.repository import Repository


class LinearLog:
    """Commit ids, newest first, of one repository. Not for two threads at once."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._known: list[str] = []
        """as read, newest first"""
        self._fresh: list[str] = []
        """appended since, oldest first"""
        self._rest: Iterator[str] | None = None

    def __iter__(self) -> Iterator[str]:
        yield from reversed(self._fresh)
        yield from self._from(0)

    def appended(self, commit: str) -> None:
        """COMMIT became the head and its only parent was the head before."""
        if self._rest is not None:
            self._fresh.append(commit)

    def reset(self) -> None:
        """The history changed other than by one commit at the top."""
        self._known, self._fresh, self._rest = [], [], None

    def since(self, commit: str) -> Iterator[str]:
        """From COMMIT on, COMMIT included; "" is the newest. For a merge that was dropped from what it joined, for others nothing."""
        if commit in self._known:
            yield from self._from(self._known.index(commit))
            return
        started = not commit
        for oid in self:
            started = started or oid == commit
            if started:
                yield oid
        if not started and (joined := self._joined(commit)):
            yield from self.since(joined)

    def is_above(self, commit: str, other: str) -> bool:
        """Whether COMMIT comes before OTHER, newest first."""
        found = next((oid for oid in self if oid in (commit, other)), other)
        return found == commit and commit != other

    def _joined(self, commit: str) -> str:
        """The newest in the history that the dropped merge COMMIT joined on our side; "" when it is no such merge."""
        known = set(self)
        while commit not in known:
            try:
                parents = self._repository.commit(commit).parents
            except RemoteError:
                return ""
            if len(parents) < 2:
                return ""
            commit = parents[0]
        return commit

    def _from(self, position: int) -> Iterator[str]:
        while True:
            if position == len(self._known):
                if self._rest is None:
                    self._rest = self._repository.log()
                following = next(self._rest, None)
                if following is None:
                    return
                self._known.append(following)
            yield self._known[position]
            position += 1
