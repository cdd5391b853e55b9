"""What the C library keeps of memory that is free: little, although many threads come and go."""

from __future__ import annotations

import functools
from typing import Any, Final

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
"""of mallopt(3)"""
_ARENAS: Final = 2
_KEPT_BYTES: Final = 256 * 1024


def keep_little() -> None:
    """Lets threads share arenas, and large blocks go back to the system when they are freed. To be called before threads allocate.

    By itself glibc gives each thread an arena of its own, and takes ever larger blocks from the heap once one of their size was freed:
    each ringtone's decoder and each file's hash would leave megabytes behind in another place.
    """
    library = _library()
    if library is not None:
        library.mallopt(_M_ARENA_MAX, _ARENAS)
        library.mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
        library.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


def give_back() -> None:
    """Returns the pages that are free within the heap to the system. Takes milliseconds: to be called on a worker thread."""
    library = _library()
    if library is not None:
        library.malloc_trim(0)


@functools.cache
def _library() -> Any:
    """The C library, None when it is another than glibc."""
    import ctypes  # not at start: it costs memory that a daemon without account does not need

    try:
        library = ctypes.CDLL(None)
        library.mallopt, library.malloc_trim  # noqa: B018 - looks them up
    except (OSError, AttributeError):
        return None
    return library
