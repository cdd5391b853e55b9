"""What the two generations do differently in conversations (protocol: swarm, section 18).

What we write suits both; what depends on the peer is decided here.
"""

from __future__ import annotations

from collections.abc import Set
from typing import Any, Final

from jamid.core.generations import Generation
from jamid.swarm import message_maps

_FILE_CLOCK_EPOCH: Final = 6_437_664_000
"""Seconds from 1970 to the epoch (2174) of the clock by which 17 dates files on Linux; its times before that wrap around."""
_WRAP: Final = 1 << 64


def routes(generations: Set[Generation]) -> bool:
    """Whether `swarm://` channels are served and opened: 13.7 declines them."""
    return Generation.G17 in generations


def edition(body: str, target: str) -> dict[str, Any]:
    """An edit: the form of 13.7 is folded by both, that of 17 would be a new message to clients of 13.7."""
    return message_maps.edition(body, target)


def may_lose_notifications(*, routing: bool) -> bool:
    """Whether a device has to be asked for what it could not tell: 13.7 sends one of two notifications in a row; it knows no routing."""
    return not routing


def profile_channel(conversation: str, device: str, generation: Generation | None, digest: str, modified: int) -> str:
    """The channel on which DEVICE (ours) pushes its profile: 13.7 would take a query for a part of the name."""
    name = f"data-transfer://{conversation}/{device}/profile.vcf"
    return f"{name}?sha3={digest}&modified={to_file_clock(modified)}" if generation is Generation.G17 else name


def own_profile_channel(generation: Generation | None, digest: str, modified: int) -> str:
    """The channel on which another device of the account gets our profile."""
    name = "data-transfer://profile.vcf"
    return name if generation is Generation.G13 else f"{name}?sha3={digest}&modified={to_file_clock(modified)}"


def to_file_clock(seconds: int) -> int:
    """Unix seconds as 17 writes the time of a file."""
    return (seconds - _FILE_CLOCK_EPOCH) % _WRAP


def is_file_clock(text: str) -> bool:
    """Whether a `lastModified` was written by 17."""
    return _is_number(text) and int(text) >= _WRAP // 2


def unix_time(text: str) -> int:
    """A `lastModified` of either generation as unix seconds; 0 for what is none."""
    if not _is_number(text):
        return 0
    return int(text) - _WRAP + _FILE_CLOCK_EPOCH if is_file_clock(text) else int(text)


def last_modified(seconds: int, *, file_clock: bool) -> str:
    """A `lastModified` in the clock of its reader."""
    return str(to_file_clock(seconds) if file_clock else seconds)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 20
