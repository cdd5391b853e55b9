"""Replicas that write, part, meet and set their clocks in any order come to the same history: nothing lost, nothing doubled."""

from __future__ import annotations

import random
import secrets
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[2] / "unit" / "swarm"))
from swarm_world import identity

from jamid.swarm import authoring, message_maps
from jamid.swarm.authoring import Author
from jamid.swarm.log import LinearLog
from jamid.swarm.objects import Overlay
from jamid.swarm.packs import write_pack
from jamid.swarm.profile import write_profile
from jamid.swarm.receiving import integrate
from jamid.swarm.repository import Repository
from jamid.swarm.rule_sets import RULES_13, RULES_17
from jamid.swarm.rules import INVITES_ONLY, Checker

REPLICAS = 3


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0


class Replica:
    """One device with its repository."""

    def __init__(self, number: int, path: Path, clock: Clock) -> None:
        me = identity(number)
        self.clock_is_off = 0
        self.author = Author(me, me.account_uri, me.device_id, lambda: f"user {number}", lambda: clock.now + self.clock_is_off)
        self.repository = Repository.create(path / str(number))
        self.announced: list[str] = []

    def pull(self, other: Replica, conversation: str) -> None:
        if (sent := self.ask(other)) is not None:
            self.take(conversation, *sent)

    def ask(self, other: Replica) -> tuple[str, bytes] | None:
        """What OTHER sends to us: its head and the pack that leads there."""
        head = other.repository.require_head()
        if self.repository.contains_in_history(head):
            return None
        haves = [oid for _, oid in zip(range(19), self.repository.log(), strict=False)]
        return head, b"".join(other.repository.pack(head, haves))

    def take(self, conversation: str, head: str, pack: bytes, *, yielding: bool = False) -> bool:
        author = self.author if self.repository.head() is not None else None
        received = integrate(self.repository, conversation, pack, head, author, yielding=yielding)
        self.announced.extend(commit.id for commit in received.commits)
        return received.yielded


def begin(path: Path, clock: Clock, count: int = REPLICAS) -> tuple[list[Replica], str]:
    """A group that all have joined."""
    replicas = [Replica(number, path, clock) for number in range(1, count + 1)]
    first = replicas[0]
    conversation = authoring.create(first.repository, first.author, INVITES_ONLY).id
    for other in replicas[1:]:
        authoring.commit(first.repository, first.author, *authoring.invitation(other.author.uri))
        other.pull(first, conversation)
        authoring.commit(other.repository, other.author, *authoring.joining(other.author))
        first.pull(other, conversation)
    for other in replicas[1:]:
        other.pull(first, conversation)
    for replica in replicas:
        replica.announced.clear()
    return replicas, conversation


steps = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, REPLICAS - 1), st.just(0)),
        st.tuples(st.just("pull"), st.integers(0, REPLICAS - 1), st.integers(0, REPLICAS - 1)),
        st.tuples(st.just("profile"), st.just(0), st.just(0)),
        st.tuples(st.just("tick"), st.integers(0, 3), st.just(0)),
        st.tuples(st.just("jump"), st.integers(0, REPLICAS - 1), st.sampled_from((-3600, 3600, 86400, 0))),
        st.tuples(st.just("invite"), st.integers(0, REPLICAS - 1), st.integers(7, 8)),
    ),
    max_size=30,
)


@given(schedule=steps)
@settings(max_examples=10, deadline=None)
def test_replicas_converge_whatever_happens(schedule: list[tuple[str, int, int]]) -> None:
    with TemporaryDirectory() as directory:
        clock = Clock()
        replicas, conversation = begin(Path(directory), clock)
        written: set[str] = set()
        for number, (what, who, other) in enumerate(schedule):
            replica = replicas[who % REPLICAS]
            if what == "write":
                commit = authoring.commit(replica.repository, replica.author, message_maps.text(str(number)))
                written.add(commit.id)
            elif what == "profile":
                profile = write_profile({"title": str(number)})
                authoring.commit(replica.repository, replica.author, message_maps.update_profile(), {"profile.vcf": profile})
            elif what == "invite":
                uri = identity(other).account_uri
                if f"invited/{uri}" not in replica.repository.tree():
                    authoring.commit(replica.repository, replica.author, *authoring.invitation(uri))
            elif what == "jump":
                replica.clock_is_off = other
            elif what == "pull" and who != other:
                replica.pull(replicas[other], conversation)
            elif what == "tick":
                clock.now += who
        # All meet again, one after the other, until nothing moves.
        for _ in range(REPLICAS):
            for one in replicas:
                for another in replicas:
                    if one is not another:
                        one.pull(another, conversation)
        heads = {replica.repository.require_head() for replica in replicas}
        assert len(heads) == 1
        logs = [list(replica.repository.log()) for replica in replicas]
        assert logs[0] == logs[1] == logs[2]
        assert len(logs[0]) == len(set(logs[0]))
        assert written <= set(logs[0])
        for replica in replicas:
            assert len(replica.announced) == len(set(replica.announced))
            own = {oid for oid in written if replica.repository.commit(oid).device == replica.author.device}
            assert set(replica.announced) >= written - own
        # What came of it is accepted by the rules of both generations, and can be cloned.
        for rules in (RULES_13, RULES_17):
            checker = Checker(replicas[0].repository, conversation, rules)
            for oid in reversed(logs[0]):
                checker.check(replicas[0].repository.commit(oid))
        clone = Repository.create(Path(directory) / "clone")
        pack = b"".join(replicas[0].repository.pack(logs[0][0], ()))
        integrate(clone, conversation, pack, logs[0][0], None)
        assert list(clone.log()) == logs[0]


def test_two_that_join_at_the_same_moments_come_to_an_end(tmp_path: Path) -> None:
    (ours, real, _), conversation = begin(tmp_path, Clock())
    yields = 0
    for number in range(3):
        written = [authoring.commit(each.repository, each.author, message_maps.text(str(number))).id for each in (ours, real)]
        for _ in range(3):
            to_ours, to_real = ours.ask(real), real.ask(ours)
            yields += to_ours is not None and ours.take(conversation, *to_ours, yielding=True)
            if to_real is not None:
                real.take(conversation, *to_real)
        assert ours.repository.head() == real.repository.head()
        assert all(ours.repository.contains_in_history(oid) for oid in written)
    assert yields
    assert len(ours.announced) == len(set(ours.announced))


def test_many_that_join_at_the_same_moments_come_to_an_end(tmp_path: Path) -> None:
    """Three of ours among three that merge whatever they see, as real daemons do; all hear of everything at once, in waves."""
    replicas, conversation = begin(tmp_path, Clock(), 6)
    ours, real = replicas[:3], replicas[3:]
    for number in range(3):
        written = [authoring.commit(each.repository, each.author, message_maps.text(str(number))).id for each in replicas]
        order = random.Random(number)
        for _ in range(60):
            one, other = order.sample(replicas, 2)
            if (sent := one.ask(other)) is not None:
                one.take(conversation, *sent, yielding=one in ours)
        for each in replicas:
            assert all(each.repository.contains_in_history(oid) for oid in written)
    merges = [commit for each in replicas for commit in map(each.repository.commit, each.repository.log()) if len(commit.parents) > 1]
    made_by_ours = {commit.id for commit in merges if commit.device in {each.author.device for each in ours}}
    assert len(made_by_ours) <= 3 * 2 * 3, "joined what they had to join, and nobody's merges"
    for each in ours:
        each.pull(real[0], conversation)
        assert each.announced, "something was told"


def test_nothing_is_lost_with_a_merge_that_is_dropped(tmp_path: Path) -> None:
    (a, b, c), conversation = begin(tmp_path, Clock())
    for each in (a, b):
        authoring.commit(each.repository, each.author, message_maps.text(each.author.device))
    c.pull(a, conversation)
    c.pull(b, conversation)
    b.pull(a, conversation)
    dropped = b.repository.require_head()
    assert dropped != c.repository.head()
    written = authoring.commit(c.repository, c.author, message_maps.text("on another merge")).id
    before = LinearLog(b.repository)
    assert dropped in before
    b.pull(c, conversation)
    assert b.repository.head() == written, "a third merge was not needed"
    log = LinearLog(b.repository)
    assert dropped not in log
    assert set(before) - {dropped} <= set(log)
    assert next(log.since(dropped)) in b.repository.commit(dropped).parents, "a client may still ask for what came before it"
    refused = authoring.commit(a.repository, a.author, message_maps.text("not taken"))
    b.repository.write(*a.repository.read(refused.id))
    for stranger in (refused.id, b.repository.tree_of(written), "0" * 40):
        assert list(log.since(stranger)) == []


def test_of_two_merges_of_the_same_the_greater_stays(tmp_path: Path) -> None:
    (a, b, _), conversation = begin(tmp_path, Clock())
    for each in (a, b):
        authoring.commit(each.repository, each.author, message_maps.text(each.author.device))
    to_a, to_b = a.ask(b), b.ask(a)
    assert to_a is not None
    assert to_b is not None
    a.take(conversation, *to_a)
    b.take(conversation, *to_b)
    heads = {a.repository.require_head(), b.repository.require_head()}
    assert len(heads) == 2
    for one, other in ((a, b), (b, a)):
        if (sent := one.ask(other)) is not None:
            one.take(conversation, *sent, yielding=True)
    assert {a.repository.head(), b.repository.head()} == {max(heads)}


def test_a_large_pack_is_kept_as_a_pack_file(tmp_path: Path) -> None:
    clock = Clock()
    replicas, conversation = begin(tmp_path, clock)
    for _ in range(400):
        authoring.commit(replicas[0].repository, replicas[0].author, message_maps.text(secrets.token_hex(500)))
    replicas[1].pull(replicas[0], conversation)
    assert list(replicas[1].repository.log()) == list(replicas[0].repository.log())
    assert b"".join(write_pack(Overlay(replicas[1].repository), [conversation]))
    assert list((tmp_path / "2" / ".git" / "objects" / "pack").glob("*.idx"))
    assert Repository.open(tmp_path / "2").head() == replicas[0].repository.head()
