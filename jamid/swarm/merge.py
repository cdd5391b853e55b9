"""Three-way merge of whole files: equal on every device, and within the rule that a merge changes nothing by itself (section 6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from jamid.core.errors import RemoteError
from jamid.swarm.ancestry import Lookup, merge_bases
from jamid.swarm.objects import Entry, ObjectSource, ObjectStore, Tree, changed_files, edit_tree

_PROFILE: Final = "profile.vcf"
_RECURSION: Final = 2
"""Levels of criss-cross merges that are looked through, as in the real daemon."""

_Files = dict[str, Entry]


class MergeConflictError(RemoteError):
    """Two branches that changed the same file in ways that no rule settles."""


def merge_message(theirs: str) -> bytes:
    return f"Merge commit '{theirs}'".encode()


def undone_changes(
    objects: ObjectSource, lookup: Lookup, tree_of: Callable[[str], str], parents: tuple[str, str], merged: str
) -> list[str]:
    """Files of the tree MERGED that a merge of PARENTS takes from the side that left them alone, undoing what the other did to them.

    Each file must be as one parent has it. What both changed is not judged here, nor what the bases of crossing merges leave open.
    """
    mine, yours = (tree_of(parent) for parent in parents)
    apart = changed_files(objects, mine, yours)
    if not apart:
        return []
    bases = merge_bases(*parents, lookup)
    trees = [Tree(objects, tree_of(base)) for base in bases]
    older = [Tree(objects, tree_of(base)) for base in merge_bases(bases[0], bases[1], lookup)] if len(bases) == 2 else []
    result = Tree(objects, merged)
    return sorted(path for path in apart if _began_with(trees, older, path) == {result.entry(path)})


def _began_with(bases: list[Tree], older: list[Tree], path: str) -> set[Entry | None]:
    """What two branches may have had at PATH when they parted at BASES, which parted at OLDER themselves."""
    entries = {base.entry(path) for base in bases} or {None}
    before = {tree.entry(path) for tree in older}
    # Of two bases that disagree the one that changed it last counts.
    return entries - before if len(entries) == 2 and len(before) == 1 else entries


class Merger:
    """Merges heads of one conversation; TREE_OF tells the tree of a commit."""

    def __init__(self, store: ObjectStore, lookup: Lookup, tree_of: Callable[[str], str]) -> None:
        self._store = store
        self._lookup = lookup
        self._tree_of = tree_of

    def merge(self, ours: str, theirs: str) -> str:
        """The tree of the merge of two heads.

        Of two changed profiles that of the head with the greater id wins; any other conflict raises MergeConflictError.
        """
        mine = self._files(ours)
        merged = self._merge(ours, theirs, 0)
        changes: dict[str, bytes | Entry | None] = {
            path: merged.get(path) for path in mine.keys() | merged.keys() if mine.get(path) != merged.get(path)
        }
        tree = self._tree_of(ours)
        return edit_tree(self._store, tree, changes) if changes else tree

    def _merge(self, ours: str, theirs: str, depth: int) -> _Files:
        base = self._base(ours, theirs, depth)
        mine, yours = self._files(ours), self._files(theirs)
        merged: _Files = {}
        for path in mine.keys() | yours.keys():
            origin, left, right = base.get(path), mine.get(path), yours.get(path)
            if left == right or right == origin:
                chosen = left
            elif left == origin:
                chosen = right
            elif depth or (path == _PROFILE and origin is not None and left is not None and right is not None):
                chosen = left if ours > theirs else right
            else:
                raise MergeConflictError(f"both branches changed {path}")
            if chosen is not None:
                merged[path] = chosen
        return merged

    def _base(self, ours: str, theirs: str, depth: int) -> _Files:
        bases = merge_bases(ours, theirs, self._lookup)
        if not bases:
            raise MergeConflictError("the histories have no common commit")
        if len(bases) == 1 or depth >= _RECURSION:
            return self._files(bases[0])
        return self._merge(bases[0], bases[1], depth + 1)

    def _files(self, commit: str) -> _Files:
        return dict(Tree(self._store, self._tree_of(commit)).walk())
