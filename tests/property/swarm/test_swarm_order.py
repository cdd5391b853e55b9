"""The graph functions against the library that all other daemons use, over random histories with ties and wrong clocks."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jamid.swarm import ancestry
from jamid.swarm.ancestry import Node
from jamid.swarm.commits import build_commit, parse_commit
from jamid.swarm.objects import COMMIT, EMPTY_TREE, TREE, MemoryStore, object_id

DEVICE = "a" * 64

histories = st.lists(
    st.tuples(st.integers(0, 60), st.lists(st.integers(1, 6), min_size=1, max_size=2)), min_size=1, max_size=25
)  # fmt: skip


def build(steps: list[tuple[int, list[int]]]) -> tuple[MemoryStore, list[str]]:
    """Commits one after the other, each with parents some places back."""
    store = MemoryStore()
    store.write(TREE, b"")
    oids: list[str] = []
    for number, (time, backs) in enumerate(steps):
        parents = list(dict.fromkeys(oids[max(0, number - back)] for back in backs)) if number else []
        raw = build_commit(tree=EMPTY_TREE, parents=parents, name="n", device=DEVICE, time=time, message=str(number).encode())
        oids.append(store.write(COMMIT, raw))
    return store, oids


def lookup(store: MemoryStore) -> ancestry.Lookup:
    def find(oid: str) -> Node:
        commit = parse_commit(store.read(oid)[1], oid)
        return Node(commit.parents, commit.time)

    return find


def reachable(store: MemoryStore, oid: str) -> set[str]:
    found, waiting = set(), [oid]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found.add(current)
            waiting.extend(lookup(store)(current).parents)
    return found


@given(steps=histories)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_linear_order_is_that_of_libgit2(steps: list[tuple[int, list[int]]], tmp_path: Path) -> None:
    import pygit2

    store, oids = build(steps)
    repository = pygit2.init_repository(str(tmp_path / object_id(COMMIT, str(steps).encode())), bare=True)
    for kind, data in store.objects.values():
        repository.odb.write(kind, data)
    expected = [str(c.id) for c in repository.walk(oids[-1], pygit2.enums.SortMode.TOPOLOGICAL | pygit2.enums.SortMode.TIME)]
    assert list(ancestry.linear(oids[-1], lookup(store))) == expected


@given(steps=histories, first=st.integers(0, 24), second=st.integers(0, 24))
@settings(max_examples=200, deadline=None)
def test_what_is_new_is_exactly_what_we_cannot_reach(steps: list[tuple[int, list[int]]], first: int, second: int) -> None:
    store, oids = build(steps)
    ours, theirs = oids[first % len(oids)], oids[second % len(oids)]
    new = ancestry.new_commits(ours, theirs, lookup(store))
    missing = reachable(store, theirs) - reachable(store, ours)
    # With wrong clocks more may be looked at again, never less; and parents always come first.
    assert missing <= set(new) <= reachable(store, theirs)
    assert len(new) == len(set(new))
    for place, oid in enumerate(new):
        assert all(parent not in new[place:] for parent in lookup(store)(oid).parents)
    assert ancestry.contains(ours, theirs, lookup(store)) == (theirs in reachable(store, ours))


@given(steps=st.lists(st.lists(st.integers(1, 6), min_size=1, max_size=2), min_size=1, max_size=25), second=st.integers(0, 24))
@settings(max_examples=150, deadline=None)
def test_merge_bases_are_the_best_common_ancestors(steps: list[list[int]], second: int) -> None:
    store, oids = build([(number, backs) for number, backs in enumerate(steps)])
    ours, theirs = oids[-1], oids[second % len(oids)]
    common = reachable(store, ours) & reachable(store, theirs)
    best = {oid for oid in common if not any(other != oid and oid in reachable(store, other) for other in common)}
    assert set(ancestry.merge_bases(ours, theirs, lookup(store))) == best
