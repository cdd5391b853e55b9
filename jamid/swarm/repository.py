"""A conversation's repository on disk: an ordinary git repository that the real daemon can use too (protocol: swarm, section 2).

Everything here blocks and is not for two threads at once: the conversation runs it in the executor, one call at a time.
"""

from __future__ import annotations

import os
import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

from jamid.core import limits
from jamid.core.errors import LocalError, NotFoundError, RemoteError
from jamid.core.files import remove_tree
from jamid.swarm import ancestry
from jamid.swarm.ancestry import Node
from jamid.swarm.commits import Commit, parse_commit
from jamid.swarm.objects import COMMIT, Entry, Tree, changed_files, read_as
from jamid.swarm.packs import PackedObject, objects_of, write_index, write_pack

MAIN: Final = "refs/heads/main"
_CACHED_COMMITS: Final = 256
_LIBRARY_CACHE_BYTES: Final = 1 << 20
_OBJECT_ID = re.compile(r"[0-9a-f]{40}")
_WORK_TREE = re.compile(
    r"(admins|members)/[0-9a-f]{40}\.crt|devices/[0-9a-f]{64}\.crt|invited/[0-9a-f]{40}|profile\.vcf|CRLs/[0-9a-f]{40}"
    r"|banned/((members|admins)/[0-9a-f]{40}\.crt|devices/[0-9a-f]{64}\.crt|invited/[0-9a-f]{40})"
    r"|votes/(ban|unban)/(members|admins|devices|invited)/[0-9a-f]{40,64}/[0-9a-f]{40}"
)


class Repository:
    """Objects and the one branch of a conversation."""

    def __init__(self, path: Path, repository: Any) -> None:
        self.path = path
        self._git = repository
        self._commits: OrderedDict[str, Commit] = OrderedDict()
        self._head: str | None = None
        self._deferring = False

    @classmethod
    def create(cls, path: Path) -> Self:
        """An empty repository at PATH; raises LocalError."""
        pygit2 = _library()
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            return cls(path, pygit2.init_repository(str(path), initial_head="main"))
        except (OSError, pygit2.GitError) as error:
            raise LocalError(f"cannot create the conversation {path}: {error}") from error

    @classmethod
    def open(cls, path: Path) -> Self:
        """The repository at PATH; raises NotFoundError when there is none that can be read."""
        pygit2 = _library()
        try:
            return cls(path, pygit2.Repository(str(path)))
        except (KeyError, ValueError, pygit2.GitError) as error:
            raise NotFoundError(f"there is no conversation repository at {path}: {error}") from error

    @staticmethod
    def exists(path: Path) -> bool:
        return (path / ".git" / "HEAD").is_file()

    @staticmethod
    def erase(path: Path) -> None:
        """Removes the repository; nothing happens when there is none."""
        if path.exists():
            # Renamed first: a half-deleted conversation must never be taken for a whole one.
            doomed = path.with_name(f".{path.name}.erased")
            remove_tree(doomed)
            try:
                path.rename(doomed)
            except OSError as error:
                raise LocalError(f"cannot remove {path}: {error.strerror}") from error
            remove_tree(doomed)

    # -- objects --

    def read(self, oid: str) -> tuple[int, bytes]:
        try:
            kind, data = self._git.odb.read(oid)
        except (KeyError, ValueError):
            raise RemoteError(f"there is no object {oid} in {self.path.name}") from None
        except Exception as error:
            raise RemoteError(f"object {oid} in {self.path} is damaged: {error}") from error
        return int(kind), bytes(data)

    def __contains__(self, oid: str) -> bool:
        # Ids come from peers and clients too: the library raises for those that are none.
        return _OBJECT_ID.fullmatch(oid) is not None and oid in self._git.odb

    def write(self, kind: int, data: bytes) -> str:
        try:
            return str(self._git.odb.write(kind, data))
        except Exception as error:
            raise LocalError(f"cannot write to {self.path}: {error}; free space or make it writable") from error

    def commit(self, oid: str) -> Commit:
        """The commit OID; raises RemoteError when there is none."""
        known = self._commits.get(oid)
        if known is None:
            known = parse_commit(read_as(self, oid, COMMIT), oid)
            self._commits[oid] = known
            if len(self._commits) > _CACHED_COMMITS:
                self._commits.popitem(last=False)
        return known

    def node(self, oid: str) -> Node:
        commit = self.commit(oid)
        return Node(commit.parents, commit.time)

    def tree_of(self, oid: str) -> str:
        return self.commit(oid).tree

    def tree(self, commit: str | None = None) -> Tree:
        """The files at COMMIT, by default at the head."""
        return Tree(self, self.tree_of(commit or self.require_head()))

    # -- the branch --

    def head(self) -> str | None:
        """The newest commit, None in an empty repository."""
        if self._head is None:
            try:
                self._head = str(self._git.references[MAIN].target)
            except KeyError:
                return None
        return self._head

    def require_head(self) -> str:
        head = self.head()
        if head is None:
            raise NotFoundError(f"the conversation {self.path.name} is empty")
        return head

    def set_head(self, oid: str) -> None:
        """Moves the branch to OID, and the work tree, which the real daemon reads, with it."""
        before = self.head()
        self._head = oid
        if not self._deferring:
            self._move(before)

    @contextmanager
    def one_move(self) -> Iterator[None]:
        """Within it the branch moves only for us; on disk it moves once, at the end: a file renamed per commit costs more than signing."""
        before = self.head()
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = False
            if self._head != before:
                self._move(before)

    def _move(self, before: str | None) -> None:
        head = self._head
        assert head is not None
        old_tree = self.tree_of(before) if before is not None else None
        new_tree = self.tree_of(head)
        # The branch last: when anything cannot be written it has not moved, and what was fetched is fetched and told again.
        self._head = None
        if old_tree != new_tree:
            self._materialise(old_tree, new_tree)
        self._write_reference(head)
        self._head = head

    def _write_reference(self, oid: str) -> None:
        """Points the branch to OID as git does, under its lock, by renaming; the library does the same but takes milliseconds."""
        reference = self.path / ".git" / MAIN
        lock = reference.with_name(f"{reference.name}.lock")
        try:
            reference.parent.mkdir(parents=True, exist_ok=True)
            # A lock that is there was left by a process that was killed: this daemon is the only one that writes here.
            with lock.open("wb") as file:
                file.write(f"{oid}\n".encode())
            os.replace(lock, reference)
        except OSError as error:
            raise LocalError(f"cannot write {reference}: {error.strerror}; free space or make it writable") from error

    def log(self, head: str | None = None) -> Iterator[str]:
        """Commit ids from HEAD (default: the newest) in linear order, newest first, read as they are asked for."""
        start = head or self.head()
        if start is not None:
            yield from ancestry.linear(start, self.node)

    def contains_in_history(self, oid: str) -> bool:
        """Whether OID is a commit of the branch, not only an object that somebody once sent."""
        head = self.head()
        if head is None or oid not in self:
            return False
        try:
            return ancestry.contains(head, oid, self.node)
        except RemoteError:
            return False

    # -- packs --

    def store(self, objects: Iterable[PackedObject], pack: bytes) -> None:
        """Keeps what was fetched: a small pack object by object, a large one as a pack file with its index."""
        if len(pack) < limits.PACK_LOOSE_BYTES:
            for item in objects:
                if item.oid not in self:
                    self.write(item.kind, item.data)
            return
        directory = self.path / ".git" / "objects" / "pack"
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LocalError(f"cannot write to {directory}: {error.strerror}; free space or make it writable") from error
        name = f"pack-{pack[-20:].hex()}"
        # The index comes last: git takes a pack without an index for one that is still being written.
        temporary = directory / f"{name}.incoming"
        try:
            for path, content in ((directory / f"{name}.pack", pack), (directory / f"{name}.idx", write_index(pack, objects))):
                temporary.write_bytes(content)
                os.replace(temporary, path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise LocalError(f"cannot write to {directory}: {error.strerror}; free space or make it writable") from error
        self.reopen()

    def pack(self, want: str, haves: Iterable[str]) -> Iterator[bytes]:
        """The pack that leads from HAVES (unknown ones do not count) to WANT, in pieces."""
        wanted = self.missing(want, haves)
        known_trees: set[str] = set()
        members = set(wanted)
        for oid in wanted:
            known_trees.update(self.tree_of(parent) for parent in self.commit(oid).parents if parent not in members)
        yield from write_pack(self, objects_of(self, ((oid, self.tree_of(oid)) for oid in wanted), known_trees))

    def missing(self, want: str, haves: Iterable[str]) -> list[str]:
        """Commits that lead from HAVES to WANT, oldest first."""
        known = [oid for oid in haves if oid in self]
        for oid in known:
            # The first known commit is nearly always the peer's head, and then it is all there is to know.
            return ancestry.new_commits(oid, want, self.node)
        return ancestry.new_commits(None, want, self.node)

    def reopen(self) -> None:
        """Reads the directory anew, to see packs that were put there by hand."""
        import pygit2

        self._git = pygit2.Repository(str(self.path))

    # -- the work tree --

    def _materialise(self, old: str | None, new: str) -> None:
        """Brings work tree and index to the tree NEW: plain writes of the known names only, no checkout, no filters."""
        import pygit2

        for path, (_, entry) in changed_files(self, old, new).items():
            self._write_file(path, entry)
        try:
            index = self._git.index
            index.read_tree(self._git[new])
            index.write()
        except (OSError, pygit2.GitError) as error:
            raise LocalError(f"cannot write the index of {self.path}: {error}") from error

    def _write_file(self, path: str, entry: Entry | None) -> None:
        if _WORK_TREE.fullmatch(path) is None:
            return
        target = self.path / path
        try:
            if entry is None:
                target.unlink(missing_ok=True)
                parent = target.parent
                while parent != self.path and not any(parent.iterdir()):
                    parent.rmdir()
                    parent = parent.parent
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                temporary = target.with_name(f".{target.name}.tmp")
                temporary.write_bytes(self.read(entry.oid)[1])
                os.replace(temporary, target)
        except OSError as error:
            raise LocalError(f"cannot write {target}: {error.strerror}") from error


def _library() -> Any:
    import pygit2

    # By itself it keeps up to 256 MiB of what was read; each commit is read once, and the few that matter we keep ourselves.
    pygit2.settings.cache_max_size(_LIBRARY_CACHE_BYTES)
    return pygit2
