"""State files that survive a kill at any instant: written beside, synced, renamed; a broken one is set aside."""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import time
from pathlib import Path

from jamid.core.errors import LocalError

_log = logging.getLogger(__name__)


def write_atomically(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replaces PATH by DATA or leaves it whole; raises LocalError when the disk is full, read-only or not ours.

    Blocks for the time of an fsync: call it off the event loop for anything but small files at rare moments.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)
        _sync_directory(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise LocalError(f"cannot write {path}: {error.strerror}; free space or make it writable, the old file is untouched") from error


def read_if_present(path: Path, limit: int) -> bytes | None:
    """The bytes of the regular file PATH, None when there is none; raises LocalError when it is something else, larger than LIMIT or
    unreadable. Never waits for a writer at a pipe."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise LocalError(f"{path} is no file; it is not read")
            with open(descriptor, "rb", closefd=False) as file:
                data = file.read(limit + 1)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LocalError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > limit:
        raise LocalError(f"{path} is larger than {limit} bytes; it is not read")
    return data


def set_aside(path: Path, reason: str) -> Path | None:
    """Renames a broken file to `NAME.broken-TIME` and logs why; None when it could not be moved."""
    kept = path.with_name(f"{path.name}.broken-{int(time.time())}")
    try:
        path.rename(kept)
    except OSError as error:
        _log.error("%s is broken (%s) and cannot be set aside: %s", path, reason, error.strerror)
        return None
    _log.error("%s is broken (%s); kept as %s, going on without it", path, reason, kept.name)
    return kept


def remove_tree(directory: Path) -> None:
    """Deletes DIRECTORY and all in it as far as possible; one that is not there is fine. Blocks."""
    import shutil  # rarely needed, and it brings the compressors with it

    shutil.rmtree(directory, ignore_errors=True)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
