"""D-Bus type signatures: split into complete types, and what to do with Python values of a type before they are marshalled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from jamid.core.errors import LocalError

Adapter = Callable[[Any], Any]

_BASIC = frozenset("ybnqiuxtdsogh")
_CLOSING = {"(": ")", "{": "}"}


@lru_cache(maxsize=1024)
def split(signature: str) -> tuple[str, ...]:
    """The complete types of SIGNATURE in order; raises LocalError when it is none."""
    types = []
    start = 0
    while start < len(signature):
        end = _end_of_type(signature, start, 0)
        types.append(signature[start:end])
        start = end
    return tuple(types)


def neutral(complete_type: str) -> Any:
    """What says "nothing" in COMPLETE_TYPE: the answer to every unknown id (protocol: dbus, section 3)."""
    first = complete_type[0]
    if first == "a":
        return b"" if complete_type == "ay" else {} if complete_type[1] == "{" else []
    if first == "(":
        return [neutral(inner) for inner in split(complete_type[1:-1])]
    if first in "sog":
        return ""
    return False if first == "b" else 0.0 if first == "d" else 0


@lru_cache(maxsize=256)
def adapter(complete_type: str) -> Adapter | None:
    """A function that gives a value the exact form the marshaller takes (list, dict, bytes), None when nothing needs doing."""
    first = complete_type[0]
    if first == "(":
        return _struct_adapter(complete_type)
    if complete_type == "ay":
        return bytes
    if complete_type == "a{ss}":
        return _plain_dict
    if complete_type == "aa{ss}":
        return _list_of_plain_dicts
    if first != "a":
        return None
    if complete_type[1] == "{":
        return _dict_adapter(complete_type)
    inner = adapter(complete_type[1:])
    if inner is None:
        return _plain_list
    return lambda values: [inner(value) for value in values]


def clean(value: Any) -> Any:
    """VALUE with every string made fit for D-Bus: no NUL (the bus would disconnect us), no lone surrogates."""
    if isinstance(value, str):
        if "\0" in value:
            value = value.replace("\0", "")
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, Mapping):
        return {clean(key): clean(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [clean(item) for item in value]
    return value


def _end_of_type(signature: str, start: int, depth: int) -> int:
    if start >= len(signature) or depth > 32:
        raise LocalError(f"{signature!r} is no D-Bus signature")
    first = signature[start]
    if first in _BASIC or first == "v":
        return start + 1
    if first == "a":
        return _end_of_type(signature, start + 1, depth + 1)
    closing = _CLOSING.get(first)
    if closing is None:
        raise LocalError(f"{signature!r} is no D-Bus signature")
    position = start + 1
    while position < len(signature) and signature[position] != closing:
        position = _end_of_type(signature, position, depth + 1)
    if position >= len(signature) or position == start + 1:
        raise LocalError(f"{signature!r} is no D-Bus signature")
    return position + 1


def _plain_list(values: Any) -> list[Any]:
    return values if type(values) is list else list(values)


def _plain_dict(values: Any) -> dict[Any, Any]:
    return values if type(values) is dict else dict(values)


def _list_of_plain_dicts(values: Any) -> list[dict[Any, Any]]:
    return [value if type(value) is dict else dict(value) for value in values]


def _struct_adapter(complete_type: str) -> Adapter:
    inner = [adapter(one) for one in split(complete_type[1:-1])]

    def adapt(values: Any) -> list[Any]:
        return [value if one is None else one(value) for one, value in zip(inner, values, strict=True)]

    return adapt


def _dict_adapter(complete_type: str) -> Adapter:
    _, value_type = split(complete_type[2:-1])
    inner = adapter(value_type)
    if inner is None:
        return _plain_dict
    return lambda values: {key: inner(value) for key, value in values.items()}
