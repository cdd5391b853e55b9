"""What a fetch brought: read with caps, judged commit by commit, then joined with our history or left aside (sections 5 and 6).

The real daemons refuse all of a fetch that holds one bad commit. We refuse that commit and all that builds on it, and keep the rest: who
leaves while others write may merge once more afterwards, and without this the leaving itself would never be known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from jamid.core import limits
from jamid.core.errors import RemoteError
from jamid.swarm import ancestry, authoring
from jamid.swarm.ancestry import Node
from jamid.swarm.commits import Commit, parse_commit
from jamid.swarm.objects import BLOB, COMMIT, Overlay, Tree, changed_files, read_as
from jamid.swarm.packs import objects_of, read_pack
from jamid.swarm.repository import Repository
from jamid.swarm.rules import Checker, RuleError


@dataclass(frozen=True, slots=True)
class Received:
    """The outcome of a good fetch."""

    commits: tuple[Commit, ...]
    """what is new, oldest first, merges of our own included"""
    merged: bool
    """whether we had to make merges"""
    refused: RuleError | None = None
    """why the first of those commits was refused that were left aside"""
    yielded: bool = False
    """whether the joining is left to the peer"""


def integrate(
    repository: Repository,
    conversation: str,
    pack: bytes,
    theirs: str,
    author: authoring.Author | None,
    progress: Callable[[int, int], None] | None = None,
    *,
    crossing: bool = False,
    yielding: bool = False,
) -> Received:
    """Takes the branch THEIRS out of PACK into the conversation.

    Raises RemoteError when nothing in it can be kept; the repository is then as before. AUTHOR None means a clone: there is nothing to
    merge with, and it is good as a whole or not at all. PROGRESS is told how many of how many commits are checked. CROSSING
    asks for a commit beside those of a new device (see `crossing`). YIELDING leaves the joining to the peer if it has nothing but merges.

    No merge is made where one side has nothing but merges: they are dropped, for merges of merges may never come to an end.
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
        return Received((), merged=False)
    new = [commit(oid) for oid in ancestry.new_commits(ours, theirs, lookup)]
    good, refused = _judge(Checker(overlay, conversation), overlay, new, commit, progress)
    crossing = crossing and _needs_crossing(overlay, good, commit)
    if refused is None:
        repository.store(objects, pack)
        if ours is not None and author is not None and not crossing and (mine := ancestry.new_commits(theirs, ours, lookup)):
            we_only_join = _only_join(map(commit, mine))
            # Where nobody has anything new the greater id wins everywhere.
            if yielding and _only_join(good) and not (we_only_join and theirs > ours):
                return Received((), merged=False, yielded=True)
            if we_only_join and authoring.merged_tree(repository, theirs) == repository.tree_of(theirs):
                repository.set_head(theirs)
        tips = [theirs]
    else:
        if author is None or not good:
            raise refused
        kept = {each.id for each in good}
        known_trees = {commit(parent).tree for each in good for parent in each.parents if parent not in kept}
        for oid in objects_of(overlay, ((each.id, each.tree) for each in good), known_trees):
            repository.write(*overlay.read(oid))
        inner = {parent for each in good for parent in each.parents}
        tips = [each.id for each in good if each.id not in inner]
    beside = []
    if crossing and author is not None:
        beside = [authoring.beside(repository, author, max(each.time for each in good))]
    merges = [merge for tip in tips if (merge := _join(repository, author, tip)) is not None]
    return Received((*good, *beside, *merges), bool(merges), refused)


def _judge(
    checker: Checker,
    overlay: Overlay,
    new: list[Commit],
    commit: Callable[[str], Commit],
    progress: Callable[[int, int], None] | None,
) -> tuple[list[Commit], RuleError | None]:
    """Those of NEW (oldest first) that keep the rules and build on such alone, and why the first of the others does not."""
    good: list[Commit] = []
    bad: set[str] = set()
    refused: RuleError | None = None
    for count, candidate in enumerate(new):
        try:
            if not bad.isdisjoint(candidate.parents):
                bad.add(candidate.id)
                continue
            checker.check(candidate)
            _check_complete(overlay, candidate, commit)
        except RuleError as error:
            refused = refused or error
            bad.add(candidate.id)
            continue
        good.append(candidate)
        if progress is not None and count % 1024 == 1023:
            progress(count + 1, len(new))
    return good, refused


def _join(repository: Repository, author: authoring.Author | None, tip: str) -> Commit | None:
    """Moves our head on to TIP, by a merge of our own where it has to be."""
    ours = repository.head()
    if ours is None or ancestry.contains(tip, ours, repository.node):
        repository.set_head(tip)
        return None
    if author is None:
        raise RemoteError("what was fetched does not continue the conversation")
    return authoring.merge(repository, author, tip)


def _only_join(commits: Iterable[Commit]) -> bool:
    """Whether nobody would miss anything if COMMITS were not there: merges, except those that a crossing needs."""
    return all(len(each.parents) > 1 and not authoring.is_beside(each) for each in commits)


def _needs_crossing(overlay: Overlay, commits: Sequence[Commit], commit: Callable[[str], Commit]) -> bool:
    """Whether COMMITS bring a new device, and nobody made a commit beside its own yet."""
    return not any(map(authoring.is_beside, commits)) and any(_is_newcomers(overlay, each, commit) for each in commits)


def _is_newcomers(overlay: Overlay, candidate: Commit, commit: Callable[[str], Commit]) -> bool:
    """Whether the commit brings its own device into the conversation."""
    path = f"devices/{candidate.device}.crt"
    return path in Tree(overlay, candidate.tree) and any(path not in Tree(overlay, commit(oid).tree) for oid in candidate.parents[:1])


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
