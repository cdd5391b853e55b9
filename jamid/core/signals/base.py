"""What every signal shares, and the structure that newer message signals carry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import FrozenInstanceError, dataclass
from typing import Any, ClassVar, NoReturn, TypeVar, dataclass_transform

C = TypeVar("C")
_set = object.__setattr__


@dataclass_transform(frozen_default=True, eq_default=True)
def event(cls: type[C]) -> type[C]:
    """A slotted dataclass that is made, compared, printed and kept from changing by the methods of its base class `Signal`.

    `dataclass` itself would compile seven methods for each of ninety classes: 1 MB and 30 ms in every daemon.
    """
    return dataclass(init=False, slots=True, eq=False, repr=False)(cls)


@event
class Signal:
    """An event that leaves over D-Bus: the class name is the signal's name, the fields are its arguments in order.

    Where the generations disagree the class has the newer, richer form; `jamid.bus.generations` derives the older one.
    """

    __match_args__: ClassVar[tuple[str, ...]]

    def __init__(self, *values: Any, **named: Any) -> None:
        names = self.__match_args__
        if named:
            values += tuple(named.pop(name) for name in names[len(values) :] if name in named)
        if named or len(values) != len(names):
            raise TypeError(f"{type(self).__name__} takes exactly {', '.join(names) or 'nothing'}")
        for name, value in zip(names, values, strict=True):
            _set(self, name, value)

    def values(self) -> list[Any]:
        """The fields in order: the signal's arguments."""
        return [getattr(self, name) for name in self.__match_args__]

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    def __eq__(self, other: object) -> bool:
        return self.values() == other.values() if isinstance(other, Signal) and type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        return hash((type(self), repr(self.values())))

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in zip(self.__match_args__, self.values(), strict=True))
        return f"{type(self).__name__}({given})"


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
