"""What every signal shares, and the structure that newer message signals carry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Signal:
    """An event that leaves over D-Bus: the class name is the signal's name, the fields are its arguments in order.

    Where the generations disagree the class has the newer, richer form; `jamid.bus.generations` derives the older one.
    """


@dataclass(frozen=True, slots=True)
class SwarmMessage:
    """A message as clients of 17 get it: D-Bus `(sssa{ss}aa{ss}aa{ss}a{si})` (protocol: dbus, section 7.8)."""

    id: str
    type: str
    linearized_parent: str
    body: Mapping[str, str]
    reactions: Sequence[Mapping[str, str]]
    editions: Sequence[Mapping[str, str]]
    status: Mapping[str, int]
