"""One conversation of an account: its repository behind a lock, its members, what is loaded of it, and what it tells clients.

Git and RSA run in the executor, one call at a time per conversation; everything else is on the event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Concatenate, Final, ParamSpec, TypeVar

from jamid.core.clock import Clock
from jamid.core.errors import JamidError, LocalError, NotFoundError, RemoteError
from jamid.core.signals import OnConversationError
from jamid.core.tasks import Tasks, in_thread
from jamid.swarm import authoring, message_maps
from jamid.swarm.active_calls import ActiveCalls
from jamid.swarm.announcing import Announcer
from jamid.swarm.certificates import read_certificate_file
from jamid.swarm.commits import Commit
from jamid.swarm.history import History
from jamid.swarm.log import LinearLog
from jamid.swarm.members import ADMIN, BANNED, INVITED, LEFT, MEMBER, banned_devices, read_members
from jamid.swarm.objects import Entry
from jamid.swarm.profile import parse_profile
from jamid.swarm.receiving import Received, integrate
from jamid.swarm.records import ConversationInfo
from jamid.swarm.repository import Repository
from jamid.swarm.rules import ONE_TO_ONE, Root, RuleError, read_root
from jamid.swarm.seams import Home, Publish
from jamid.swarm.status import Statuses
from jamid.swarm.store import Store

_log = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

VALIDATION_ERROR: Final = 3
COMMIT_ERROR: Final = 5
_BATCH: Final = 12
"""Commits made in one go: 2 ms of signing each, so that the first is announced soon."""

Built = tuple[dict[str, object], dict[str, bytes | Entry | None]]
Build = Callable[[Repository], Built | None]


@dataclass(slots=True)
class Draft:
    """A commit to be made: what it holds is decided on the history it will continue; None means that it may not be made."""

    build: Build
    done: asyncio.Future[Commit | None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    quiet: bool = False
    """not announced to our own clients"""
    before: Callable[[Commit], None] | None = None
    """called with the commit before clients are told of it"""
    failure: str = ""
    """why it could not be made although it may be"""


@dataclass(slots=True)
class Facts:
    """What is known of the head."""

    root: Root
    roles: dict[str, str]
    infos: dict[str, str]
    banned_devices: set[str]
    head: str


@dataclass(slots=True)
class Batch:
    """Commits as clients are told of them, oldest first."""

    commits: list[Commit]
    bodies: list[dict[str, str]]
    facts: Facts | None = None
    """when anything in the files changed"""
    ahead: set[str] = field(default_factory=set)
    """commits that show that their authors have read further than was known"""


class Conversation:
    """A conversation whose repository is here, or is still to be cloned."""

    def __init__(
        self,
        info: ConversationInfo,
        home: Home,
        store: Store,
        publish: Publish,
        clock: Clock,
        tasks: Tasks,
        author: authoring.Author,
        calls: list[dict[str, str]],
    ) -> None:
        self.id = info.id
        self.info = info
        self.home = home
        self.store = store
        self.publish = publish
        self.clock = clock
        self.tasks = tasks
        self.author = author
        self.history = History()
        self.statuses = Statuses(self)
        self.active_calls = ActiveCalls(self, calls)
        self.announcer = Announcer(self)
        self.committed: Callable[[Conversation, list[Commit]], None] = lambda _conversation, _commits: None
        """told of our own commits, to notify the members"""
        self.facts: Facts | None = None
        self._repository: Repository | None = None
        self._linear: LinearLog | None = None
        self._lock = asyncio.Lock()
        self._outbox: list[Draft] = []
        self._draining = False
        self._owners: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"[account={self.home.id} conversation={self.id[:8]}]"

    # -- access to the repository --

    @property
    def is_here(self) -> bool:
        """Whether the repository exists, as opposed to being cloned."""
        return self._repository is not None or Repository.exists(self.store.repository(self.id))

    async def run(self, work: Callable[Concatenate[Repository, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Runs blocking WORK on the repository, alone; raises NotFoundError when it is not here."""
        async with self._lock:
            return await in_thread(self._with_repository, lambda repository: work(repository, *args, **kwargs))

    async def run_log(self, work: Callable[[Repository, LinearLog], R]) -> R:
        """As `run`, with the linear order."""
        return await self.run(lambda repository: work(repository, self._log_of(repository)))

    def _with_repository(self, work: Callable[[Repository], R]) -> R:
        if self._repository is None:
            self._repository = Repository.open(self.store.repository(self.id))
        return work(self._repository)

    def _log_of(self, repository: Repository) -> LinearLog:
        if self._linear is None:
            self._linear = LinearLog(repository)
        return self._linear

    async def load(self) -> Facts:
        """Reads members, mode and infos if that was not done yet; raises NotFoundError while it is being cloned."""
        if self.facts is None:
            self.facts = await self.run(self._read_facts)
            await self.statuses.load()
        return self.facts

    def _read_facts(self, repository: Repository) -> Facts:
        head = repository.require_head()
        tree = repository.tree(head)
        root = self.facts.root if self.facts is not None else read_root(repository, self.id)
        infos = parse_profile(tree.blob("profile.vcf") or b"")
        infos["mode"] = str(root.mode)
        return Facts(root, read_members(tree, root), infos, banned_devices(tree), head)

    async def forget(self) -> None:
        """Closes the repository, before it is erased."""
        async with self._lock:
            self._repository = self._linear = self.facts = None

    # -- questions --

    def role(self, uri: str) -> str:
        """The role of URI, "" when it has none or nothing is known yet."""
        return self.facts.roles.get(uri, "") if self.facts is not None else ""

    def serves(self, uri: str, device: str) -> bool:
        """Whether a device may fetch: our own, or of a member or of somebody invited, not banned."""
        if uri == self.home.uri:
            return True
        return self.role(uri) in (ADMIN, MEMBER, INVITED) and not (self.facts is not None and device in self.facts.banned_devices)

    def shuns(self, uri: str, device: str = "") -> bool:
        """Whether nothing of this conversation leads us to URI or its DEVICE: banned from it, or the blocked contact whose it is."""
        if uri == self.home.uri:
            return False
        if self.role(uri) == BANNED or (self.facts is not None and device in self.facts.banned_devices):
            return True
        return self.info.mode == ONE_TO_ONE and self.home.is_banned(uri)

    def everybody(self) -> list[str]:
        """Everyone but us who is not banned, also those who left."""
        roles = self.facts.roles if self.facts is not None else {}
        return [uri for uri in roles if uri != self.home.uri and not self.shuns(uri)]

    async def has_commit(self, commit: str) -> bool:
        """Whether COMMIT is part of the history; False while nothing is here."""
        try:
            return await self.run(Repository.contains_in_history, commit)
        except NotFoundError:
            return False

    # -- commits of our own --

    def post(self, build: Build, *, quiet: bool = False, before: Callable[[Commit], None] | None = None) -> asyncio.Future[Commit | None]:
        """Queues a commit; returns at once. The future has the commit, None when BUILD refused."""
        draft = Draft(build, quiet=quiet, before=before)
        self._outbox.append(draft)
        if not self._draining:
            self._draining = True
            self.tasks.spawn(self._drain(), f"commit {self.id[:8]}")
        return draft.done

    def post_content(self, content: dict[str, object]) -> asyncio.Future[Commit | None]:
        """Queues a commit that changes no file."""
        return self.post(lambda _repository: (content, {}))

    async def _drain(self) -> None:
        try:
            await self.load()
            while self._outbox:
                drafts, self._outbox = self._outbox[:_BATCH], self._outbox[_BATCH:]
                await self._commit(drafts)
        except JamidError as error:
            _log.warning("%r %s", self, error)
        finally:
            self._draining = False
            for draft in self._outbox:
                if not draft.done.done():
                    draft.done.set_result(None)
            self._outbox.clear()

    async def _commit(self, drafts: Sequence[Draft]) -> None:
        try:
            outcome, batch = await self.run(self._commit_here, drafts)
        except LocalError as error:
            _log.error("%r %d commits could not be made: %s", self, len(drafts), error)
            for draft in drafts:
                self.publish(OnConversationError(self.home.id, self.id, COMMIT_ERROR, str(error)))
                if not draft.done.done():
                    draft.done.set_result(None)
            return
        except BaseException:
            for draft in drafts:
                draft.done.set_result(None)
            raise
        self._take_facts(batch.facts)
        # In order: each is announced to our clients, then told to whoever waits for it.
        for draft, commit in zip(drafts, outcome, strict=True):
            if commit is not None and draft.before is not None:
                draft.before(commit)
            if commit is not None and not draft.quiet:
                for body in batch.bodies:
                    if body["id"] == commit.id:
                        self.announcer.own(commit, body)
            if draft.failure:
                self.publish(OnConversationError(self.home.id, self.id, COMMIT_ERROR, draft.failure))
            if not draft.done.done():
                draft.done.set_result(commit)
        if batch.commits:
            self.committed(self, batch.commits)

    def _commit_here(self, repository: Repository, drafts: Sequence[Draft]) -> tuple[list[Commit | None], Batch]:
        made: list[Commit | None] = []
        with repository.one_move():
            for draft in drafts:
                try:
                    built = draft.build(repository)
                    commit = authoring.commit(repository, self.author, *built) if built is not None else None
                except JamidError as error:
                    _log.warning("%r a commit could not be made: %s", self, error)
                    commit = None
                    draft.failure = str(error)
                made.append(commit)
        commits = [commit for commit in made if commit is not None]
        for commit in commits:
            self._log_of(repository).appended(commit.id)
        return made, self._describe(repository, commits, simple=True)

    # -- commits of others --

    async def integrate(
        self, pack: bytes, theirs: str, device: str, *, crossing: bool = False, yielding: bool = False
    ) -> tuple[list[Commit], bool]:
        """Takes what DEVICE sent into the history (CROSSING and YIELDING as in `receiving`) and tells clients.

        The new commits, oldest first, and whether the joining was left to the device.

        Clients are told when a commit breaks a rule; RemoteError when nothing else came: nothing has changed then.
        """
        try:
            received, batch = await self.run(self._integrate_here, pack, theirs, crossing, yielding)
        except RuleError as error:
            self._tell_refusal(error, device)
            raise
        except RemoteError as error:
            _log.warning("%r what device %s sent is left aside: %s", self, device[:16], error)
            self.publish(OnConversationError(self.home.id, self.id, VALIDATION_ERROR, "Malformed commit"))
            raise
        self._take_facts(batch.facts)
        self.announcer.received(batch)
        if received.refused is not None:
            self._tell_refusal(received.refused, device)
        return list(received.commits), received.yielded

    def _tell_refusal(self, error: RuleError, device: str) -> None:
        _log.warning("%r %s; it and what device %s sent on top of it is left aside", self, error, device[:16])
        self.publish(OnConversationError(self.home.id, self.id, VALIDATION_ERROR, error.verdict))

    def _integrate_here(self, repository: Repository, pack: bytes, theirs: str, crossing: bool, yielding: bool) -> tuple[Received, Batch]:
        before = repository.head()
        received = integrate(repository, self.id, pack, theirs, self.author, crossing=crossing, yielding=yielding)
        commits = list(received.commits)
        straight = not received.merged and all(
            commit.parents == (older,) for commit, older in zip(commits, [before, *(each.id for each in commits)], strict=False)
        )
        log = self._log_of(repository)
        if straight:
            for commit in commits:
                log.appended(commit.id)
        elif commits:
            log.reset()
        return received, self._describe(repository, commits, simple=straight)

    def _take_facts(self, facts: Facts | None) -> None:
        if facts is not None:
            self.facts = facts
            self.info.members = sorted(uri for uri, role in facts.roles.items() if role not in (BANNED, LEFT))

    # -- description --

    def _describe(self, repository: Repository, commits: list[Commit], *, simple: bool) -> Batch:
        batch = Batch([], [])
        if not commits:
            return batch
        older = {} if simple else _older(self._log_of(repository), {commit.id for commit in commits})
        for commit in commits:
            parent = commit.parents[0] if simple and commit.parents else older.get(commit.id, "")
            body = self.body_of(repository, commit, parent)
            if body is not None:
                batch.commits.append(commit)
                batch.bodies.append(body)
        batch.facts = self._read_facts(repository)
        if simple:
            batch.ahead.update(commit.id for commit in batch.commits)
        else:
            newest = {body["author"]: body["id"] for body in batch.bodies if body["type"] != message_maps.MERGE}
            log = self._log_of(repository)
            batch.ahead.update(commit for author, commit in newest.items() if log.is_above(commit, self.statuses.last_displayed(author)))
        return batch

    def body_of(self, repository: Repository, commit: Commit, linearized_parent: str) -> dict[str, str] | None:
        """The map of COMMIT, None when its author or message makes no sense. Blocking."""
        owner = self._owners.get(commit.device)
        if owner is None:
            owner = _owner(repository, commit)
            if not owner:
                return None
            self._owners[commit.device] = owner
        return message_maps.message_map(commit, owner, linearized_parent)


def _owner(repository: Repository, commit: Commit) -> str:
    """The account of the commit's device, also when that very commit removes its certificate."""
    for tree in (commit.id, *commit.parents[:1]):
        try:
            certificate = read_certificate_file(repository.tree(tree), f"devices/{commit.device}.crt")
        except RemoteError:
            continue
        if certificate is not None:
            return certificate.issuer_uid
    return ""


def _older(log: LinearLog, wanted: set[str]) -> dict[str, str]:
    """Commit -> the next older one in the linear order."""
    found: dict[str, str] = {}
    previous = ""
    for oid in log:
        if previous in wanted:
            found[previous] = oid
            if len(found) == len(wanted):
                return found
        previous = oid
    if previous in wanted:
        found[previous] = ""
    return found
