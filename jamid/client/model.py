"""What the daemon's string maps mean: numbers, flags, ids."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from jamid.core.identifiers import bare_uri


def flag(details: Mapping[str, str], key: str) -> bool:
    """The D-Bus API writes booleans as `true` and `false`; what is absent is false."""
    return details.get(key, "") == "true"


def number(details: Mapping[str, str], key: str) -> int:
    """A decimal number of a map; 0 where it is absent or none."""
    try:
        return int(details.get(key) or 0)
    except ValueError:
        return 0


def moment(seconds: int) -> datetime | None:
    """A time from seconds since 1970; None for 0, which stands for unknown."""
    return datetime.fromtimestamp(seconds, UTC) if seconds else None


def bare_id(uri: str) -> str:
    """The Jami id in URI, which may have a scheme and a host (`ring:…`, `…@ring.dht`)."""
    return bare_uri(uri)


def absolute(path: Path) -> str:
    """PATH as the daemon, which has another working directory, must be given it."""
    return os.path.abspath(path)


def is_there(path: str) -> bool:
    return os.path.exists(path)


def text_flag(value: bool) -> str:
    return "true" if value else "false"
