"""Events behave like frozen dataclasses although they share their methods."""

from __future__ import annotations

import dataclasses

import pytest

from jamid.core import signals
from jamid.core.signals import AccountsChanged, CallStateChanged, Signal, TransferFailed, TransferSucceeded


def test_made_by_position_and_by_name() -> None:
    event = CallStateChanged("a", "c", "CURRENT", 0)
    assert event == CallStateChanged("a", "c", code=0, state="CURRENT")
    assert event.values() == ["a", "c", "CURRENT", 0]
    assert repr(event) == "CallStateChanged(account_id='a', call_id='c', state='CURRENT', code=0)"
    assert dataclasses.replace(event, code=5).code == 5
    assert [field.name for field in dataclasses.fields(event)] == ["account_id", "call_id", "state", "code"]
    match event:
        case CallStateChanged(account, call):
            assert (account, call) == ("a", "c")
        case _:
            pytest.fail("an event can be matched by position")


@pytest.mark.parametrize(
    ("positional", "named"),
    [
        (("a", "c", "s"), {}),
        (("a", "c", "s", 1, 2), {}),
        (("a", "c", "s"), {"cod": 1}),
        (("a", "c", "s"), {"state": "t"}),
        (("a", "c", "s", 1), {"code": 1}),
    ],
)
def test_wrong_arguments_are_refused(positional: tuple[object, ...], named: dict[str, object]) -> None:
    with pytest.raises(TypeError, match="CallStateChanged takes exactly account_id, call_id, state, code"):
        CallStateChanged(*positional, **named)  # type: ignore[arg-type]


def test_frozen_and_without_a_dictionary() -> None:
    event = CallStateChanged("a", "c", "CURRENT", 0)
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'code'"):
        event.code = 1  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot delete field 'code'"):
        del event.code
    assert not hasattr(event, "__dict__")


def test_equal_only_to_the_same_kind() -> None:
    assert TransferFailed() == TransferFailed()
    assert TransferFailed() != TransferSucceeded()
    assert len({AccountsChanged(), AccountsChanged(), TransferFailed()}) == 2
    assert TransferFailed() != "TransferFailed()"


def test_every_event_is_a_documented_signal() -> None:
    events = [value for name in signals.__all__ if isinstance(value := getattr(signals, name), type) and issubclass(value, Signal)]
    assert len(events) > 80
    for event in events:
        assert event.__doc__
        assert dataclasses.is_dataclass(event)
