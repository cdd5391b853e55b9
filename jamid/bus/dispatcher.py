"""Calls become method calls: looked up in the contract, handled by an interface's part, answered with a value or a short error."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from jamid.bus import errors, introspection, wire
from jamid.bus.contract import ROOT_PATH, InterfaceContract, Member
from jamid.bus.interface import Interface
from jamid.bus.neutral import NOTHING, Neutral
from jamid.bus.publisher import Call, Publisher, current_call
from jamid.bus.signature import adapter
from jamid.bus.wire import Kind, Message
from jamid.core import limits
from jamid.core.errors import LocalError, NotFoundError

_log = logging.getLogger(__name__)

_PEER = "org.freedesktop.DBus.Peer"
_INTROSPECTABLE = "org.freedesktop.DBus.Introspectable"
_PROPERTIES = "org.freedesktop.DBus.Properties"


class Replies(Protocol):
    """What the dispatcher needs of a connection."""

    library: Any

    def send(self, head: wire.Header, body: bytes = b"") -> int: ...


class Dispatcher:
    """Answers every call that arrives at the daemon's objects."""

    def __init__(
        self,
        contracts: Mapping[str, InterfaceContract],
        interfaces: Iterable[Interface],
        publisher: Publisher,
        neutral_answers: Neutral,
        level: frozenset[str],
    ) -> None:
        self._contracts = {contract.path: contract for contract in contracts.values()}
        self._interfaces = {interface.name: interface for interface in interfaces}
        self._publisher = publisher
        self._neutral = neutral_answers
        self._documents = introspection.Documents(contracts, level)
        self._tasks: set[asyncio.Task[None]] = set()
        self._replies: Replies | None = None
        _check_names(contracts, self._interfaces)

    def start(self, replies: Replies) -> None:
        """Sends replies over REPLIES from now on."""
        self._replies = replies

    def missing(self) -> list[str]:
        """The methods of the contract that nobody implements and that are not meant to do nothing."""
        return sorted(
            name
            for contract in self._contracts.values()
            for method in contract.methods
            if (name := f"{contract.name}.{method}") not in NOTHING
            and ((interface := self._interfaces.get(contract.name)) is None or method not in interface.handlers)
        )

    async def close(self) -> None:
        """Cancels the calls that still run; their callers get an error from the bus when we leave it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._replies = None

    def handle(self, message: Message) -> bool:
        """Answers MESSAGE now or later; True when its handler goes on in a task."""
        contract = self._contracts.get(message.path)
        if message.interface in (_PEER, _INTROSPECTABLE, _PROPERTIES):
            self._standard(message, contract)
            return False
        if contract is None:
            if message.path in self._documents and not message.interface:
                self._standard(message, contract)
            elif message.path in self._documents:
                self._fail(message, errors.UNKNOWN_METHOD, f"No interface {message.interface} at {message.path}.")
            else:
                self._fail(message, errors.UNKNOWN_OBJECT, f"No object {message.path}; the objects are below {ROOT_PATH}.")
            return False
        if message.member not in contract.methods or message.interface not in ("", contract.full_name):
            if not message.interface and message.member in _STANDARD_MEMBERS:
                self._standard(message, contract)
            else:
                self._fail(message, errors.UNKNOWN_METHOD, f"Unknown method {message.member} or interface {message.interface or 'none'}.")
            return False
        form = contract.find_method(message.member, message.signature)
        if form is None:
            expected = "' or '".join(one.in_signature for one in contract.methods[message.member])
            self._fail(
                message,
                errors.INVALID_ARGS,
                f"Invalid arguments '{message.signature}' to call {contract.full_name}.{message.member}(), expecting '{expected}'.",
            )
            return False
        return self._invoke(message, contract, form)

    def _invoke(self, message: Message, contract: InterfaceContract, form: Member) -> bool:
        arguments = message.body[: len(form.in_types)]
        interface = self._interfaces.get(contract.name)
        handler = interface.handlers.get(message.member) if interface is not None else None
        if handler is None:
            handler = self._neutral.handler(contract.name, form)
        call = Call(message.sender)
        token = current_call.set(call)
        try:
            result = handler(*arguments)
            if inspect.isawaitable(result):
                if len(self._tasks) >= limits.BUS_CALLS_IN_FLIGHT:
                    if inspect.iscoroutine(result):
                        result.close()
                    self._fail(message, errors.LIMITS_EXCEEDED, f"{limits.BUS_CALLS_IN_FLIGHT} calls are in progress; try again later.")
                    return False
                task = asyncio.get_running_loop().create_task(
                    self._finish(message, contract, form, call, result), name=f"bus/{message.member}"
                )
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
                return True
            self._reply(message, form, result)
        except Exception as error:
            self._reply_error(message, contract, form, error)
        finally:
            current_call.reset(token)
        self._replied(call)
        return False

    async def _finish(self, message: Message, contract: InterfaceContract, form: Member, call: Call, result: Awaitable[Any]) -> None:
        try:
            self._reply(message, form, await result)
        except Exception as error:
            self._reply_error(message, contract, form, error)
        finally:
            self._replied(call)

    def _replied(self, call: Call) -> None:
        call.replied = True
        self._publisher.release()

    def _reply(self, message: Message, form: Member, result: Any) -> None:
        if not message.wants_reply or self._replies is None:
            return
        types = form.out_types
        if not types:
            values = []
        elif len(types) == 1:
            values = [result]
        else:
            values = list(result)
            if len(values) != len(types):
                raise LocalError(f"{message.member} answered {len(values)} values instead of {len(types)}")
        adapted = [value if (adapt := adapter(one)) is None else adapt(value) for one, value in zip(types, values, strict=True)]
        body = wire.encode_body(self._replies.library, form.out_signature, adapted)
        self._send(message, form.out_signature, body)

    def _reply_error(self, message: Message, contract: InterfaceContract, form: Member, error: Exception) -> None:
        if isinstance(error, NotFoundError):
            # Unknown ids are never D-Bus errors.
            _log.debug("%s: %s", message.member, error)
            self._reply(message, form, self._neutral.answer(contract.name, form))
            return
        self._fail(message, *errors.error_of(error, message.member))

    def _send(self, message: Message, signature: str, body: bytes) -> None:
        if self._replies is not None:
            head = wire.header(Kind.RETURN, reply_serial=message.serial, destination=message.sender, signature=signature)
            self._replies.send(head, body)

    def _fail(self, message: Message, name: str, text: str) -> None:
        if not message.wants_reply or self._replies is None:
            return
        head = wire.header(Kind.ERROR, error_name=name, reply_serial=message.serial, destination=message.sender, signature="s")
        self._replies.send(head, wire.encode_body(self._replies.library, "s", [text]))

    # -- the standard interfaces --

    def _standard(self, message: Message, contract: InterfaceContract | None) -> None:
        member = message.member
        signature = _STANDARD_MEMBERS.get(member)
        if signature is None or message.interface not in ("", signature[0]):
            self._fail(message, errors.UNKNOWN_METHOD, f"Unknown method {member} or interface {message.interface}.")
        elif member == "Ping":
            self._answer(message, "", [])
        elif member == "GetMachineId":
            self._answer(message, "s", [_machine_id()])
        elif message.path not in self._documents:
            self._fail(message, errors.UNKNOWN_OBJECT, f"No object {message.path}; the objects are below {ROOT_PATH}.")
        elif message.signature != signature[1]:
            self._fail(message, errors.INVALID_ARGS, f"{member} takes '{signature[1]}', not '{message.signature}'.")
        elif member == "Introspect":
            self._answer(message, "s", [self._documents[message.path]])
        elif member == "GetAll":
            known = (_PEER, _INTROSPECTABLE, _PROPERTIES, "", *((contract.full_name,) if contract else ()))
            if message.body[0] in known:
                self._answer(message, "a{sv}", [{}])
            else:
                self._fail(message, errors.UNKNOWN_INTERFACE, f"No interface {message.body[0]} at {message.path}.")
        else:
            self._fail(message, errors.UNKNOWN_PROPERTY, f"{message.path} has no property {message.body[1]}.")

    def _answer(self, message: Message, signature: str, values: list[Any]) -> None:
        if message.wants_reply and self._replies is not None:
            self._send(message, signature, wire.encode_body(self._replies.library, signature, values))


_STANDARD_MEMBERS = {
    "Ping": (_PEER, ""),
    "GetMachineId": (_PEER, ""),
    "Introspect": (_INTROSPECTABLE, ""),
    "Get": (_PROPERTIES, "ss"),
    "GetAll": (_PROPERTIES, "s"),
    "Set": (_PROPERTIES, "ssv"),
}


def _check_names(contracts: Mapping[str, InterfaceContract], interfaces: Mapping[str, Interface]) -> None:
    for name, interface in interfaces.items():
        if name not in contracts:
            raise LocalError(f"the contract knows no interface {name}")
        strangers = interface.handlers.keys() - contracts[name].methods.keys()
        if strangers:
            raise LocalError(f"not in the contract of {name}: {', '.join(sorted(strangers))}; private methods begin with an underscore")


def _machine_id() -> str:
    for path in (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id")):
        try:
            return path.read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            continue
    return ""
