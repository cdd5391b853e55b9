"""What stands behind one D-Bus interface: plain objects ("parts") whose public methods bear the names of the contract."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from jamid.core.errors import LocalError

Handler = Callable[..., Any]


class Interface:
    """The implementations of one interface, gathered from its parts.

    A part is any object. Each of its public methods (no leading underscore) is the implementation of the method of that name: it takes
    the D-Bus arguments by position, may be sync or async, and returns plain Python (str, int, float, bool, bytes for `ay`, list, dict;
    a sequence of values when there are several results; anything when there is none). A method whose signature differs between the
    generations takes `*args` or optional trailing arguments and tells the forms apart by their number. Two parts never share a method.
    """

    def __init__(self, name: str, parts: Sequence[object] = ()) -> None:
        self.name = name
        """the short name: `CallManager`"""
        self.handlers: dict[str, Handler] = {}
        for part in parts:
            self.add(part)

    def add(self, part: object) -> None:
        """Takes the public methods of PART; raises LocalError when one is taken already."""
        for member in handlers_of(type(part)):
            if member in self.handlers:
                raise LocalError(f"{self.name}.{member} is implemented twice: by {type(part).__name__} too")
            self.handlers[member] = getattr(part, member)


def handlers_of(part: type) -> list[str]:
    """The names of the D-Bus methods that the class PART implements."""
    return [name for name, value in inspect.getmembers(part, inspect.isfunction) if not name.startswith("_")]
