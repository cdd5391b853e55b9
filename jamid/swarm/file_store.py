"""Files on disk: hashing, linking, and downloads that grow beside their place until they are whole. Everything here blocks."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jamid.core.errors import LocalError
from jamid.swarm.store import Store

_BLOCK: Final = 1 << 20
_HASHED_AT_ONCE: Final = 4 << 20
"""So that a large file does not keep a thread to itself."""


@dataclass(frozen=True, slots=True)
class Digest:
    """What a file held when it was hashed."""

    size: int
    changed_ns: int
    """its time of change before it was read"""
    sha3: str


def digest_of(path: Path) -> Digest:
    """Hashes a regular file; raises OSError."""
    if not path.is_file():
        raise FileNotFoundError(2, "it is no file", str(path))
    digest = hashlib.sha3_512()
    size = 0
    with path.open("rb", buffering=0) as file:
        changed = os.fstat(file.fileno()).st_mtime_ns
        buffer = bytearray(_BLOCK)
        view = memoryview(buffer)
        while count := file.readinto(buffer):
            digest.update(view[:count])
            size += count
    return Digest(size, changed, digest.hexdigest())


def file_place(store: Store, conversation: str, file_id: str) -> Path:
    """Where the file of a conversation is kept unless somebody chose another place."""
    return store.conversation_data(conversation) / (local_name(file_id) or "invalid")


def local_name(file_id: str) -> str:
    """The name under which a file is kept: never a path, whatever the sender's name for it holds; "" for nothing usable."""
    name = file_id.replace("/", "_").replace("\\", "_").replace("\0", "_")
    return "" if name in ("", ".", "..") else name[:200]


def partial_path(path: Path) -> Path:
    """Where a download grows."""
    return path.with_name(f"{path.name}.tmp")


def link_file(source: Path, link: Path, *, symbolic: bool = False) -> None:
    """Makes LINK another name of SOURCE: a hard link when possible, else a symbolic one; raises OSError."""
    link.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if link.exists() or link.is_symlink():
        if link.exists() and os.path.samefile(link, source):
            return
        link.unlink()
    if not symbolic:
        try:
            os.link(source, link)
        except OSError:
            pass
        else:
            return
    os.symlink(source.resolve(), link)


class Outgoing:
    """A file on its way to a peer, in blocks."""

    def __init__(self, path: Path, start: int = 0, end: int = 0, *, expected: str = "") -> None:
        """The bytes from START to END (0: all); with EXPECTED, all and only to their end if that is their SHA3-512. Raises OSError."""
        self._path = path
        self._file = path.open("rb", buffering=0)
        stat = os.fstat(self._file.fileno())
        self._changed = stat.st_mtime_ns
        self._expected = expected
        self._digest = hashlib.sha3_512()
        self._size = stat.st_size
        self._left = (min(end, stat.st_size) if end > start else stat.st_size) - start
        self._file.seek(start)

    def read(self) -> bytes:
        """The next block, b"" at the end; raises OSError, and LocalError in place of the last block of a file that is not the expected."""
        data = self._file.read(max(0, min(_BLOCK, self._left)))
        self._left -= len(data)
        if self._expected:
            self._digest.update(data)
            if not self._left and self._digest.hexdigest() != self._expected:
                raise LocalError(f"{self._path} is not what was offered")
        return data

    def found(self) -> Digest | None:
        """What it was found to be, when it was to be checked and is read to its end."""
        return Digest(self._size, self._changed, self._expected) if self._expected and not self._left else None

    def close(self) -> None:
        self._file.close()


class Incoming:
    """A download: what is there already counts, the rest is appended.

    Hashing follows what is written, through the file, so that the network need not wait for it.
    """

    def __init__(self, path: Path, total: int, *, may_continue: bool = False) -> None:
        """MAY_CONTINUE: a shorter file at PATH itself is the beginning of this one; raises OSError."""
        self._path = path
        self._partial = partial_path(path)
        self._total = total
        self._digest = hashlib.sha3_512()
        self._hashed = 0
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if may_continue and path.is_file() and not self._partial.exists() and 0 < path.stat().st_size < total:
            # The older daemon lets downloads grow in their final place.
            os.rename(path, self._partial)
        self._file = self._partial.open("a+b", buffering=0)
        self.size = os.fstat(self._file.fileno()).st_size
        if self.size > total:
            self._file.truncate(0)
            self.size = 0

    def write(self, parts: Iterable[bytes]) -> None:
        """Appends PARTS; what exceeds the announced size is not written. Raises OSError."""
        for part in parts:
            data = memoryview(part)[: max(0, self._total - self.size)]
            while data:
                written = self._file.write(data)
                self.size += written
                data = data[written:]

    def hash_more(self, limit: int = _HASHED_AT_ONCE) -> None:
        """Hashes what is written and not yet hashed, LIMIT bytes at most. Raises OSError."""
        end = min(self.size, self._hashed + limit)
        while self._hashed < end and (block := os.pread(self._file.fileno(), min(_BLOCK, end - self._hashed), self._hashed)):
            self._digest.update(block)
            self._hashed += len(block)

    def digest(self) -> str:
        """Of everything. Raises OSError."""
        self.hash_more(self.size)
        return self._digest.hexdigest()

    def complete(self) -> Path:
        """Puts the whole file in its place; raises OSError."""
        self._file.close()
        os.replace(self._partial, self._path)
        return self._path

    def close(self) -> None:
        """What came stays, to be resumed. Nothing happens the second time."""
        if not self._file.closed:
            self._file.close()
            if not self.size:
                self._partial.unlink(missing_ok=True)

    def delete(self) -> None:
        """Closes and deletes it."""
        self._file.close()
        self._partial.unlink(missing_ok=True)
