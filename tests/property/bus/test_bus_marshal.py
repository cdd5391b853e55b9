"""Our marshaller writes the bytes that both libraries write, and the framer reads them back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jamid.bus import library, marshal, wire
from jamid.bus.signature import split
from tests.private_bus import plain

INTEGERS = {"y": (0, 8), "n": (1, 16), "q": (0, 16), "i": (1, 32), "u": (0, 32), "x": (1, 64), "t": (0, 64)}
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


def types(depth: int = 3) -> st.SearchStrategy[str]:
    """Complete types of every shape our marshaller takes."""
    basic = st.sampled_from("sbynqiuxtd")
    if depth == 0:
        return basic
    inner = types(depth - 1)
    return st.one_of(
        basic,
        st.just("a{ss}"),
        inner.map(lambda one: f"a{one}"),
        st.tuples(st.sampled_from("siut"), inner).map(lambda pair: f"a{{{pair[0]}{pair[1]}}}"),
        st.lists(inner, min_size=1, max_size=4).map(lambda members: f"({''.join(members)})"),
    )


def values(complete_type: str) -> st.SearchStrategy[Any]:
    first = complete_type[0]
    if first in INTEGERS:
        signed, bits = INTEGERS[first]
        return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else st.integers(0, 2**bits - 1)
    if first == "s":
        return TEXT
    if first == "b":
        return st.booleans()
    if first == "d":
        return st.floats(allow_nan=False)
    if first == "(":
        return st.tuples(*(values(one) for one in split(complete_type[1:-1]))).map(list)
    if complete_type == "ay":
        return st.binary(max_size=20)
    if complete_type[1] == "{":
        key, value = split(complete_type[2:-1])
        return st.dictionaries(values(key), values(value), max_size=4)
    return st.lists(values(complete_type[1:]), max_size=4)


@st.composite
def bodies(draw: st.DrawFn) -> tuple[str, list[Any]]:
    members = draw(st.lists(types(), min_size=1, max_size=4))
    return "".join(members), [draw(values(one)) for one in members]


@settings(max_examples=500, deadline=None)
@given(body=bodies())
def test_same_bytes_as_both_libraries_and_back(body: tuple[str, list[Any]]) -> None:
    signature, content = body
    data = marshal.encode(signature, content)
    for name in ("dbus_fast", "dbus_next"):
        chosen = library.load(name)
        assert bytes(chosen.marshaller(signature, content).marshall()) == data
        head = wire.header(wire.Kind.SIGNAL, path="/a", interface="a.b", member="c", signature=signature)
        (message,) = wire.Framer(chosen).feed(head.message(1, data))
        assert plain(message.body) == plain(content)


@pytest.mark.parametrize(
    ("signature", "body"),
    [
        ("s", [5]),
        ("s", ["a\0"]),
        ("s", ["\ud800"]),
        ("a{ss}", [{"a": 1}]),
        ("a{ss}", [{"a\0": ""}]),
        ("u", [-1]),
        ("y", [256]),
        ("i", ["x"]),
        ("(ss)", [["a"]]),
        ("ss", ["a"]),
        ("v", [1]),
    ],
)
def test_what_does_not_fit_raises(signature: str, body: list[Any]) -> None:
    with pytest.raises(Exception, match=r".+"):
        marshal.encode(signature, body)


def test_keys_are_not_remembered_without_end() -> None:
    for number in range(3):
        marshal.encode("a{ss}", [{f"{number} {other}": "" for other in range(5000)}])
    assert len(marshal.key_cache) <= 4096
