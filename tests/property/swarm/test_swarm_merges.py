"""Merges as libgit2 and we make them are accepted; one that takes back what a branch did is not, whatever came before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pygit2
from hypothesis import given, settings
from hypothesis import strategies as st

from jamid.swarm.ancestry import merge_bases
from jamid.swarm.commits import build_commit
from jamid.swarm.merge import MergeConflictError, Merger, undone_changes
from jamid.swarm.objects import COMMIT, Entry, Tree, changed_files, edit_tree
from jamid.swarm.repository import Repository

DEVICE = "a" * 64
PATHS = ("members/a", "banned/members/a", "invited/b", "votes/ban/members/a/c", "profile.vcf", "devices/d")
CONTENTS = (b"", b"one\n", b"two\n", b"three\n")

edits = st.tuples(
    st.just("edit"), st.integers(0, 30), st.dictionaries(st.sampled_from(PATHS), st.sampled_from((None, *CONTENTS)), max_size=2)
)
merges = st.tuples(st.sampled_from(("merge", "cross")), st.integers(0, 30), st.integers(0, 30))
histories = st.lists(st.one_of(edits, merges), min_size=4, max_size=16)
"""Edits of any commit, merges of any two, by one side or by both at once."""


class History:
    """Commits that continue or merge any earlier ones."""

    def __init__(self, path: Path) -> None:
        self.repository = Repository.create(path)
        self.git = pygit2.Repository(str(path))
        self.oids: list[str] = []
        self.commit((), edit_tree(self.repository, None, dict.fromkeys(PATHS[:1], b"one\n")))

    def commit(self, parents: tuple[str, ...], tree: str) -> None:
        number = len(self.oids)
        raw = build_commit(tree=tree, parents=parents, name="n", device=DEVICE, time=number, message=str(number).encode())
        self.oids.append(self.repository.write(COMMIT, raw))

    def at(self, place: int) -> str:
        """A commit, the newest ones above all."""
        return self.oids[-1 - place % min(len(self.oids), 5)]

    def undone(self, parents: tuple[str, str], tree: str) -> list[str]:
        return undone_changes(self.repository, self.repository.node, self.repository.tree_of, parents, tree)

    def files(self, commit: str) -> dict[str, Entry]:
        return dict(Tree(self.repository, self.repository.tree_of(commit)).walk())

    def play(self, steps: list[tuple[str, int, object]]) -> Iterator[tuple[tuple[str, str], str]]:
        """Makes the commits; the parents and the tree of each merge, before it is made."""
        for what, place, more in steps:
            ours = self.at(place)
            if what == "edit":
                assert isinstance(more, dict)
                wanted = {path: content for path, content in more.items() if content is not None or path in self.files(ours)}
                self.commit((ours,), edit_tree(self.repository, self.repository.tree_of(ours), wanted))
                continue
            assert isinstance(more, int)
            theirs = self.at(more)
            for parents in ((ours, theirs), (theirs, ours))[: 1 if what == "merge" else 2]:
                tree = self.merged(parents)
                if tree is not None:
                    yield parents, tree
                    self.commit(parents, tree)

    def merged(self, parents: tuple[str, str]) -> str | None:
        """The tree of their merge by libgit2, None for conflicts, texts merged line by line (which 17 refuses) and what is no merge."""
        if set(parents) & set(merge_bases(*parents, self.repository.node)):
            return None
        index = self.git.merge_commits(*parents)
        if index.conflicts is not None:
            return None
        tree = str(index.write_tree(self.git))
        first, second = (changed_files(self.repository, self.repository.tree_of(parent), tree).keys() for parent in parents)
        return None if first & second else tree


@contextmanager
def history() -> Iterator[History]:
    with TemporaryDirectory() as directory:
        yield History(Path(directory) / "r")


@given(steps=histories)
@settings(max_examples=60, deadline=None)
def test_honest_merges_are_accepted(steps: list[tuple[str, int, object]]) -> None:
    with history() as here:
        for parents, tree in here.play(steps):
            assert here.undone(parents, tree) == []
            merger = Merger(here.repository, here.repository.node, here.repository.tree_of)
            try:
                ours = merger.merge(*parents)
            except MergeConflictError:
                continue
            assert here.undone(parents, ours) == []


@given(steps=histories, picks=st.lists(st.booleans(), min_size=len(PATHS), max_size=len(PATHS)))
@settings(max_examples=60, deadline=None)
def test_a_merge_that_undoes_what_a_branch_did_is_found_out(steps: list[tuple[str, int, object]], picks: list[bool]) -> None:
    with history() as here:
        for parents, _ in here.play(steps):
            bases = merge_bases(*parents, here.repository.node)
            mine, yours, base = (here.files(commit) for commit in (*parents, bases[0]))
            picked = {path: (mine if pick else yours).get(path) for path, pick in zip(PATHS, picks, strict=True)}
            forged = edit_tree(here.repository, here.repository.tree_of(parents[0]), {p: e for p, e in picked.items() if e or p in mine})
            found = here.undone(parents, forged)
            undone = sorted(p for p in PATHS if mine.get(p) != yours.get(p) and picked[p] == base.get(p))
            if len(bases) == 1:
                assert found == undone
            else:
                assert set(found) <= {p for p in PATHS if any(picked[p] == here.files(each).get(p) for each in bases)}


def test_a_ban_is_not_undone_by_merging_an_older_branch() -> None:
    with history() as here:
        (root,) = here.oids
        certificate = here.files(root)["members/a"]
        here.commit(
            (root,), edit_tree(here.repository, here.repository.tree_of(root), {"members/a": None, "banned/members/a": certificate})
        )
        here.commit((root,), here.repository.tree_of(root))
        _, banned, older = here.oids
        for parents in ((banned, older), (older, banned)):
            assert here.undone(parents, here.repository.tree_of(root)) == ["banned/members/a", "members/a"]
            assert here.undone(parents, here.repository.tree_of(banned)) == []
            # Half a ban is as bad.
            half = edit_tree(here.repository, here.repository.tree_of(banned), {"members/a": certificate})
            assert here.undone(parents, half) == ["members/a"]


def test_what_crossing_merges_had_in_common_is_told_from_what_came_after() -> None:
    with history() as here:
        (root,) = here.oids
        member = here.files(root)["members/a"]
        tree_of = here.repository.tree_of
        here.commit((root,), edit_tree(here.repository, tree_of(root), {"members/a": None, "banned/members/a": member}))
        here.commit((root,), tree_of(root))
        _, banned, other = here.oids
        here.commit((banned, other), tree_of(banned))
        here.commit((other, banned), tree_of(banned))
        one, another = here.oids[-2:]
        here.commit((one,), tree_of(root))
        here.commit((another,), edit_tree(here.repository, tree_of(another), {"invited/b": b""}))
        unbanned, invited = here.oids[-2:]
        honest = edit_tree(here.repository, tree_of(root), {"invited/b": b""})
        assert here.undone((unbanned, invited), honest) == []
        assert here.undone((unbanned, invited), tree_of(invited)) == ["banned/members/a", "members/a"]
        assert here.undone((unbanned, invited), tree_of(unbanned)) == ["invited/b"]
