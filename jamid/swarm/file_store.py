"""Files on disk: hashing, linking, and downloads that grow beside their place until they are whole. Everything here blocks."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_BLOCK: Final = 1 << 20


def digest_of(path: Path) -> tuple[int, str]:
    """Size and SHA3-512 of a regular file; raises OSError."""
    if not path.is_file():
        raise FileNotFoundError(2, "it is no file", str(path))
    digest = hashlib.sha3_512()
    size = 0
    with path.open("rb", buffering=0) as file:
        buffer = bytearray(_BLOCK)
        view = memoryview(buffer)
        while count := file.readinto(buffer):
            digest.update(view[:count])
            size += count
    return size, digest.hexdigest()


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


class Incoming:
    """A download: what is there already counts, the rest is appended."""

    def __init__(self, path: Path, total: int) -> None:
        self._path = path
        self._partial = partial_path(path)
        self._total = total
        self._digest = hashlib.sha3_512()
        self.size = 0
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if path.is_file() and not self._partial.exists() and 0 < path.stat().st_size < total:
            # The older daemon lets downloads grow in their final place.
            os.rename(path, self._partial)
        self._file = self._partial.open("a+b", buffering=0)
        self._file.seek(0)
        while block := self._file.read(_BLOCK):
            self._digest.update(block)
            self.size += len(block)
        if self.size > total:
            self._file.truncate(0)
            self._digest = hashlib.sha3_512()
            self.size = 0

    def write(self, parts: Iterable[bytes]) -> None:
        """Appends PARTS; what exceeds the announced size is not written. Raises OSError."""
        for part in parts:
            data = memoryview(part)[: max(0, self._total - self.size)]
            self._digest.update(data)
            while data:
                written = self._file.write(data)
                self.size += written
                data = data[written:]

    def digest(self) -> str:
        return self._digest.hexdigest()

    def complete(self) -> Path:
        """Puts the whole file in its place; raises OSError."""
        self._file.close()
        os.replace(self._partial, self._path)
        return self._path

    def abandon(self) -> None:
        """Closes it; what came stays, to be resumed."""
        self._file.close()
        if not self.size:
            self._partial.unlink(missing_ok=True)

    def delete(self) -> None:
        """Closes and deletes it."""
        self._file.close()
        self._partial.unlink(missing_ok=True)
