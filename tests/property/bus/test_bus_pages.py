"""A page put together message by message has the bytes that the library writes for it as one value."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jamid.bus import generations, library, pages, wire
from jamid.bus.pages import Page
from jamid.core.signals import SwarmLoaded, SwarmMessage

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
MAPS = st.dictionaries(TEXT, TEXT, max_size=3)
MESSAGES = st.builds(
    SwarmMessage,
    TEXT,
    TEXT,
    TEXT,
    MAPS,
    st.lists(MAPS, max_size=2).map(tuple),
    st.lists(MAPS, max_size=2),
    st.dictionaries(TEXT, st.integers(0, 3), max_size=2),
)


@pytest.mark.parametrize("name", ["dbus_fast", "dbus_next"])
@settings(max_examples=60, deadline=None)
@given(messages=st.lists(MESSAGES, max_size=12), account=TEXT, small=st.booleans())
def test_both_forms_of_a_page(name: str, messages: list[SwarmMessage], account: str, small: bool) -> None:
    chosen = library.load(name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "_PIECE", 64 if small else pages._PIECE)
        page = Page(chosen, SwarmLoaded(7, account, "c", messages))
        for structure, more in ((generations.MESSAGE, []), (generations.MESSAGE_WITH_PLUGIN_DATA, [{}])):
            body = page.body(f"ussa{structure}")
            written = b"".join(body)
            shown = [[*map(_plain, generations.message(message)), *more] for message in messages]
            assert written == wire.encode_body(chosen, f"ussa{structure}", [7, account, "c", shown])
            assert len(body) == len(written)
            assert b"".join(body) == written, "it can be made once only"


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
