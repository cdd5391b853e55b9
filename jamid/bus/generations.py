"""Which D-Bus signals an event becomes: its newest form, and the older or newer forms other clients wait for.

QtDBus drops a signal whose signature is not the one it knows, so where the generations disagree each form is sent (protocol: dbus,
section 4). `--api-level` restricts this to the forms of one generation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from jamid.core import signals
from jamid.core.identifiers import is_account_uri

MESSAGE = "(sssa{ss}aa{ss}aa{ss}a{si})"
MESSAGE_WITH_PLUGIN_DATA = "(sssa{ss}aa{ss}aa{ss}a{si}a{ss})"
"""what the Qt client of 2026 expects over D-Bus, although no daemon sends it"""


@dataclass(frozen=True, slots=True)
class Form:
    """One way to send an event."""

    member: str
    signature: str
    arguments: Callable[[Any], list[Any]] = lambda event: event.values()
    """of `swarmLoaded` see `pages`"""


def member_name(event_type: type[signals.Signal]) -> str:
    """The D-Bus name of an event: its class name with a small first letter."""
    name = event_type.__name__
    return name if name == "SmartInfo" else name[0].lower() + name[1:]


def special_forms(event_type: type[signals.Signal]) -> tuple[Form, ...]:
    """Every form of an event whose signal differs between generations; empty for the others, which have exactly one."""
    return _SPECIAL.get(event_type, ())


def _found_name(event: signals.RegisteredNameFound) -> list[Any]:
    # Clients of 13.7.0 know an unanswered look-up only by what they asked for, which 17 moved into an argument of its own.
    address, name = event.address, event.name
    if not address and not name:
        if is_account_uri(event.requested_name):
            address = event.requested_name
        else:
            name = event.requested_name
    return [event.account_id, event.status, address, name]


def message(message: signals.SwarmMessage) -> list[Any]:
    """The members of a structure of the type `MESSAGE`."""
    return [
        message.id,
        message.type,
        message.linearized_parent,
        message.body,
        message.reactions,
        message.editions,
        message.status,
    ]


def _one_message(event: signals.SwarmMessageReceived | signals.SwarmMessageUpdated) -> list[Any]:
    return [event.account_id, event.conversation_id, message(event.message)]


def _one_message_with_plugin_data(event: signals.SwarmMessageReceived | signals.SwarmMessageUpdated) -> list[Any]:
    return [event.account_id, event.conversation_id, [*message(event.message), {}]]


def _call(event: signals.IncomingCallWithMedia) -> list[Any]:
    return [event.account_id, event.call_id, event.peer, event.media]


_SPECIAL: dict[type[signals.Signal], tuple[Form, ...]] = {
    signals.IncomingCallWithMedia: (
        Form("incomingCallWithMedia", "sssaa{ss}", _call),
        Form("incomingCall", "sssaa{ss}", _call),
    ),
    signals.ConferenceCreated: (
        Form("conferenceCreated", "sss", lambda event: [event.account_id, event.conversation_id, event.conference_id]),
        Form("conferenceCreated", "ss", lambda event: [event.account_id, event.conference_id]),
    ),
    signals.RegisteredNameFound: (
        Form(
            "registeredNameFound",
            "ssiss",
            lambda event: [event.account_id, event.requested_name, event.status, event.address, event.name],
        ),
        Form("registeredNameFound", "siss", _found_name),
    ),
    signals.NewBuddyNotification: (
        Form("newBuddyNotification", "ssis", lambda event: [event.account_id, event.uri, int(event.status), event.line_status]),
        Form("newBuddyNotification", "ssbs", lambda event: [event.account_id, event.uri, event.status > 0, event.line_status]),
    ),
    signals.SwarmLoaded: (
        Form("swarmLoaded", f"ussa{MESSAGE}"),
        Form("swarmLoaded", f"ussa{MESSAGE_WITH_PLUGIN_DATA}"),
    ),
    signals.SwarmMessageReceived: (
        Form("swarmMessageReceived", f"ss{MESSAGE}", _one_message),
        Form("swarmMessageReceived", f"ss{MESSAGE_WITH_PLUGIN_DATA}", _one_message_with_plugin_data),
    ),
    signals.SwarmMessageUpdated: (
        Form("swarmMessageUpdated", f"ss{MESSAGE}", _one_message),
        Form("swarmMessageUpdated", f"ss{MESSAGE_WITH_PLUGIN_DATA}", _one_message_with_plugin_data),
    ),
}


def event_types() -> Iterator[type[signals.Signal]]:
    """Every event that leaves over D-Bus."""
    for name in signals.__all__:
        value = getattr(signals, name)
        if isinstance(value, type) and issubclass(value, signals.Signal) and value is not signals.Signal:
            yield value
