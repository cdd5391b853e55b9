"""What every signal shares, and the structure that newer message signals carry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TypeVar, dataclass_transform

C = TypeVar("C")


@dataclass_transform(frozen_default=True, eq_default=True)
def event(cls: type[C]) -> type[C]:
    """A frozen, slotted dataclass that compares and prints as its base class `Signal` does.

    Generating these methods anew for each of ninety classes would triple the time that importing them takes.
    """
    return dataclass(frozen=True, slots=True, eq=False, repr=False)(cls)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Signal:
    """An event that leaves over D-Bus: the class name is the signal's name, the fields are its arguments in order.

    Where the generations disagree the class has the newer, richer form; `jamid.bus.generations` derives the older one.
    """

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, field.name) == getattr(other, field.name) for field in fields(self))

    def __hash__(self) -> int:
        return hash((type(self), *(repr(getattr(self, field.name)) for field in fields(self))))

    def __repr__(self) -> str:
        values = ", ".join(f"{field.name}={getattr(self, field.name)!r}" for field in fields(self))
        return f"{type(self).__name__}({values})"


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
