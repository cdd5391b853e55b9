"""Git objects as values: trees read and built, changed paths, over any store of objects (protocol: swarm, section 2)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from jamid.core import limits
from jamid.core.errors import LimitError, RemoteError

COMMIT: Final = 1
TREE: Final = 2
BLOB: Final = 3
TAG: Final = 4
TYPE_NAMES: Final = {COMMIT: b"commit", TREE: b"tree", BLOB: b"blob", TAG: b"tag"}

FILE_MODE: Final = 0o100644
DIRECTORY_MODE: Final = 0o40000
_FORBIDDEN_NAMES: Final = frozenset({b"", b".", b"..", b".git"})


class ObjectSource(Protocol):
    """Where objects come from; ids are 40 lower-case hex digits."""

    def read(self, oid: str) -> tuple[int, bytes]:
        """Type and content; raises RemoteError when there is no such object."""
        ...

    def __contains__(self, oid: str) -> bool: ...


class ObjectStore(ObjectSource, Protocol):
    """Where objects can also be put."""

    def write(self, kind: int, data: bytes) -> str:
        """Stores an object and returns its id."""
        ...


def object_id(kind: int, data: bytes) -> str:
    """The git id: SHA-1 over header and content."""
    return hashlib.sha1(b"%s %d\0" % (TYPE_NAMES[kind], len(data)) + data, usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in a tree."""

    mode: int
    oid: str

    @property
    def is_directory(self) -> bool:
        return self.mode == DIRECTORY_MODE


class Overlay:
    """Objects in memory in front of a store: what a peer sent stays here until it is found good."""

    def __init__(self, below: ObjectSource, objects: Mapping[str, tuple[int, bytes]] | None = None) -> None:
        self._below = below
        self.objects: dict[str, tuple[int, bytes]] = dict(objects or {})

    def read(self, oid: str) -> tuple[int, bytes]:
        found = self.objects.get(oid)
        return found if found is not None else self._below.read(oid)

    def write(self, kind: int, data: bytes) -> str:
        oid = object_id(kind, data)
        self.objects.setdefault(oid, (kind, data))
        return oid

    def __contains__(self, oid: str) -> bool:
        return oid in self.objects or oid in self._below


class MemoryStore(Overlay):
    """A store that is only memory, for tests and simulations."""

    def __init__(self) -> None:
        super().__init__(_Nothing())


class _Nothing:
    def read(self, oid: str) -> tuple[int, bytes]:
        raise RemoteError(f"there is no object {oid}")

    def __contains__(self, oid: str) -> bool:
        return False


def parse_tree(data: bytes) -> dict[str, Entry]:
    """The entries of a tree object; raises RemoteError unless they are plain files and directories with harmless UTF-8 names."""
    entries: dict[str, Entry] = {}
    position = 0
    while position < len(data):
        space = data.find(b" ", position, position + 8)
        end = data.find(b"\0", position, position + limits.TREE_NAME_BYTES + 9)
        if space < 0 or end < space or end + 21 > len(data):
            raise RemoteError("malformed tree object")
        mode, name = data[position:space], data[space + 1 : end]
        if mode not in (b"100644", b"40000", b"100755"):
            raise RemoteError(f"tree entry with mode {mode!r}")
        if name.lower() in _FORBIDDEN_NAMES or b"/" in name or b"\\" in name:
            raise RemoteError(f"tree entry named {name!r}")
        try:
            text = name.decode()
        except UnicodeDecodeError:
            raise RemoteError("tree entry whose name is not UTF-8") from None
        if text in entries:
            raise RemoteError(f"tree entry {text!r} occurs twice")
        entries[text] = Entry(int(mode, 8), data[end + 1 : end + 21].hex())
        if len(entries) > limits.TREE_ENTRIES:
            raise LimitError(f"a tree has more than {limits.TREE_ENTRIES} entries")
        position = end + 21
    return entries


def serialize_tree(entries: Mapping[str, Entry]) -> bytes:
    """The tree object of ENTRIES, in git's order (directories sort as if they ended in `/`)."""
    ordered = sorted(entries.items(), key=lambda item: item[0].encode() + (b"/" if item[1].is_directory else b""))
    return b"".join(b"%o %s\0" % (entry.mode, name.encode()) + bytes.fromhex(entry.oid) for name, entry in ordered)


class Tree:
    """Files of a commit by path."""

    def __init__(self, objects: ObjectSource, oid: str) -> None:
        self.objects = objects
        self.oid = oid
        self._directories: dict[str, dict[str, Entry]] = {}

    def entry(self, path: str) -> Entry | None:
        directory, _, name = path.rpartition("/")
        return self.directory(directory).get(name)

    def blob(self, path: str) -> bytes | None:
        """The content of the file at PATH, None when there is no such file."""
        entry = self.entry(path)
        return None if entry is None or entry.is_directory else read_as(self.objects, entry.oid, BLOB)

    def __contains__(self, path: str) -> bool:
        entry = self.entry(path)
        return entry is not None and not entry.is_directory

    def names(self, directory: str) -> list[str]:
        """The names of the files in DIRECTORY, none when it does not exist."""
        return [name for name, entry in self.directory(directory).items() if not entry.is_directory]

    def directory(self, path: str) -> dict[str, Entry]:
        """The entries of a directory, none when it does not exist; "" is the root."""
        known = self._directories.get(path)
        if known is not None:
            return known
        if path == "":
            entries = parse_tree(read_as(self.objects, self.oid, TREE))
        else:
            if path.count("/") > limits.TREE_DEPTH:
                raise LimitError(f"a tree is deeper than {limits.TREE_DEPTH}")
            entry = self.entry(path)
            entries = {} if entry is None or not entry.is_directory else parse_tree(read_as(self.objects, entry.oid, TREE))
        self._directories[path] = entries
        return entries

    def walk(self, directory: str = "") -> Iterator[tuple[str, Entry]]:
        """Every file below DIRECTORY with its path."""
        for name, entry in self.directory(directory).items():
            path = f"{directory}/{name}" if directory else name
            if entry.is_directory:
                yield from self.walk(path)
            else:
                yield path, entry


def read_as(objects: ObjectSource, oid: str, kind: int) -> bytes:
    """The content of the object OID; raises RemoteError when it is missing or of another type."""
    found, data = objects.read(oid)
    if found != kind:
        raise RemoteError(f"object {oid} is a {TYPE_NAMES.get(found, b'?').decode()}, not a {TYPE_NAMES[kind].decode()}")
    return data


def changed_files(objects: ObjectSource, old: str | None, new: str | None) -> dict[str, tuple[Entry | None, Entry | None]]:
    """Path -> (old, new) entry of every file that differs between two trees; renames are a removal and an addition."""
    changes: dict[str, tuple[Entry | None, Entry | None]] = {}
    _compare(objects, "", old, new, changes, 0)
    return changes


def _compare(
    objects: ObjectSource,
    prefix: str,
    old: str | None,
    new: str | None,
    changes: dict[str, tuple[Entry | None, Entry | None]],
    depth: int,
) -> None:
    if old == new:
        return
    if depth > limits.TREE_DEPTH:
        raise LimitError(f"a tree is deeper than {limits.TREE_DEPTH}")
    before = parse_tree(read_as(objects, old, TREE)) if old is not None else {}
    after = parse_tree(read_as(objects, new, TREE)) if new is not None else {}
    for name in before.keys() | after.keys():
        a, b = before.get(name), after.get(name)
        if a == b:
            continue
        path = prefix + name
        old_directory = a.oid if a is not None and a.is_directory else None
        new_directory = b.oid if b is not None and b.is_directory else None
        if old_directory is not None or new_directory is not None:
            _compare(objects, path + "/", old_directory, new_directory, changes, depth + 1)
        old_file = a if old_directory is None else None
        new_file = b if new_directory is None else None
        if old_file is not None or new_file is not None:
            changes[path] = (old_file, new_file)
        if len(changes) > limits.COMMIT_CHANGES:
            raise LimitError(f"a commit changes more than {limits.COMMIT_CHANGES} files")


def edit_tree(store: ObjectStore, tree: str | None, changes: Mapping[str, bytes | Entry | None]) -> str:
    """The id of TREE with CHANGES applied: content or entry for each path to write, None for each to remove."""
    entries = dict(parse_tree(read_as(store, tree, TREE))) if tree is not None else {}
    below: dict[str, dict[str, bytes | Entry | None]] = {}
    for path, content in changes.items():
        name, slash, rest = path.partition("/")
        if slash:
            below.setdefault(name, {})[rest] = content
        elif content is None:
            entries.pop(name, None)
        else:
            entries[name] = content if isinstance(content, Entry) else Entry(FILE_MODE, store.write(BLOB, content))
    for name, inner in below.items():
        current = entries.get(name)
        subtree = edit_tree(store, current.oid if current is not None and current.is_directory else None, inner)
        if subtree == EMPTY_TREE:
            entries.pop(name, None)
        else:
            entries[name] = Entry(DIRECTORY_MODE, subtree)
    return store.write(TREE, serialize_tree(entries))


EMPTY_TREE: Final = object_id(TREE, b"")
