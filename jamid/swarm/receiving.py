"""What a fetch brought: read with caps, judged as a whole, then joined with our history or left aside (sections 5 and 6)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jamid.core import limits
from jamid.core.errors import RemoteError
from jamid.swarm import ancestry, authoring
from jamid.swarm.ancestry import Node
from jamid.swarm.commits import Commit, parse_commit
from jamid.swarm.objects import BLOB, COMMIT, Overlay, changed_files, read_as
from jamid.swarm.packs import read_pack
from jamid.swarm.repository import Repository
from jamid.swarm.rules import Checker, RuleError


@dataclass(frozen=True, slots=True)
class Received:
    """The outcome of a good fetch."""

    commits: tuple[Commit, ...]
    """what is new, oldest first, a merge of our own included"""
    merged: Commit | None
    """the merge we had to make"""
    head: str


def integrate(
    repository: Repository,
    conversation: str,
    pack: bytes,
    theirs: str,
    author: authoring.Author | None,
    progress: Callable[[int, int], None] | None = None,
) -> Received:
    """Takes the branch THEIRS out of PACK into the conversation.

    Raises RemoteError when anything in it is malformed or breaks a rule; the repository is then as before. AUTHOR None means a clone:
    there is nothing to merge with. PROGRESS is told how many of how many commits are checked.
    """
    objects = read_pack(pack, repository) if pack else []
    overlay = Overlay(repository, {item.oid: (item.kind, item.data) for item in objects})
    commits: dict[str, Commit] = {}

    def commit(oid: str) -> Commit:
        known = commits.get(oid)
        if known is None:
            known = commits[oid] = parse_commit(read_as(overlay, oid, COMMIT), oid)
        return known

    def lookup(oid: str) -> Node:
        found = commit(oid)
        return Node(found.parents, found.time)

    ours = repository.head()
    if theirs in repository and ours is not None and ancestry.contains(ours, theirs, repository.node):
        return Received((), None, ours)
    new = [commit(oid) for oid in ancestry.new_commits(ours, theirs, lookup)]
    checker = Checker(overlay, conversation)
    for count, candidate in enumerate(new):
        checker.check(candidate)
        _check_complete(overlay, candidate, commit)
        if progress is not None and count % 1024 == 1023:
            progress(count + 1, len(new))
    repository.store(objects, pack)
    if ours is None or ancestry.contains(theirs, ours, repository.node):
        repository.set_head(theirs)
        return Received(tuple(new), None, theirs)
    if author is None:
        raise RemoteError("what was fetched does not continue the conversation")
    merged = authoring.merge(repository, author, theirs)
    return Received((*new, merged), merged, merged.id)


def _check_complete(overlay: Overlay, candidate: Commit, commit: Callable[[str], Commit]) -> None:
    """Every file of a commit must be there, or the branch could never be shown or served again."""
    before = commit(candidate.parents[0]).tree if candidate.parents else None
    if before == candidate.tree:
        return
    for path, (_, entry) in changed_files(overlay, before, candidate.tree).items():
        if entry is None:
            continue
        if entry.oid not in overlay:
            raise RuleError(candidate, "Malformed commit", f"the content of {path!r} is missing")
        if len(read_as(overlay, entry.oid, BLOB)) > limits.MEMBER_PROFILE_BYTES:
            raise RuleError(candidate, "Malformed commit", f"{path!r} is too large")
