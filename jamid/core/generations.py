"""The two generations of Jami in use, and the switch that restricts a daemon to one of them (for tests)."""

from __future__ import annotations

import enum


class Generation(enum.IntEnum):
    """A generation of the Jami network; what differs lives in the `generations` module of each room."""

    G13 = 13
    """13.7.0 of 2023, as in Debian"""
    G17 = 17
    """17.0.0 of 2026"""


BOTH = frozenset({Generation.G13, Generation.G17})


def parse_generations(text: str) -> frozenset[Generation]:
    """`13`, `17` or `both` as a set; raises ValueError for anything else."""
    if text in ("", "both"):
        return BOTH
    if text in ("13", "17"):
        return frozenset({Generation(int(text))})
    raise ValueError(f"generations are 13, 17 or both, not {text!r}")
