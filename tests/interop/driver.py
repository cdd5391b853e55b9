"""Drives any Jami daemon over its D-Bus API and records every signal it sends.

    python -m tests.interop.driver LAB A B      befriends A and B in a running LAB, chats both ways, makes an audio call

In tests:

    a = await Driver.connect(lab.bus("a"), "a")
    account, jami_id = await a.add_account(f"{lab.address('d')}:4222", turn=lab.address("d"))
    reply = await a.configuration.getAccountDetails(account)          # each method of each interface, by its name
    await a.signal("registrationStateChanged", lambda account, state, *_: state == "REGISTERED", seconds=20)

A daemon that offers only the names of 17 (`newer`) is recorded under the names and forms of 13.7, so that tests need one spelling.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any

from dbus_next import Message, MessageType  # type: ignore[attr-defined]
from dbus_next.aio import MessageBus  # type: ignore[attr-defined]

NAME = "cx.ring.Ring"
INTERFACES = {
    "call": "CallManager",
    "configuration": "ConfigurationManager",
    "presence": "PresenceManager",
    "video": "VideoManager",
    "instance": "Instance",
    "plugin": "PluginManagerInterface",
}
AUDIO = {"MEDIA_TYPE": "MEDIA_TYPE_AUDIO", "ENABLED": "true", "MUTED": "false", "SOURCE": "", "LABEL": "audio_0"}
VIDEO = {"MEDIA_TYPE": "MEDIA_TYPE_VIDEO", "ENABLED": "true", "MUTED": "false", "SOURCE": "", "LABEL": "video_0"}


class DriverError(Exception):
    """The daemon answered with a D-Bus error."""


class Interface:
    """One interface of the daemon: `await interface.methodName(arguments)`. Overloads are told apart by the number of arguments."""

    def __init__(self, bus: MessageBus, name: str, node: Any) -> None:
        self._bus, self._name = bus, name
        interface = next(i for i in node.interfaces if i.name == f"{NAME}.{name}")
        self.methods: dict[str, dict[int, str]] = {}
        for method in interface.methods:
            self.methods.setdefault(method.name, {})[len(method.in_args)] = "".join(a.signature for a in method.in_args)
        self.signals = {signal.name for signal in interface.signals}

    def __getattr__(self, method: str) -> Callable[..., Awaitable[Any]]:
        async def call(*arguments: Any) -> Any:
            overloads = self.methods.get(method)
            if not overloads or len(arguments) not in overloads:
                raise DriverError(f"{self._name} has no method {method} with {len(arguments)} arguments")
            target = (NAME, f"/cx/ring/Ring/{self._name}", f"{NAME}.{self._name}", method)
            reply = await self._bus.call(Message(*target, signature=overloads[len(arguments)], body=list(arguments)))
            if reply.message_type is MessageType.ERROR:
                raise DriverError(f"{self._name}.{method}{arguments}: {reply.error_name} {reply.body}")
            return reply.body[0] if len(reply.body) == 1 else reply.body

        return call


class Driver:
    """A client of one daemon."""

    call: Interface
    configuration: Interface
    presence: Interface
    video: Interface
    instance: Interface
    plugin: Interface

    def __init__(self, bus: MessageBus, name: str, verbose: bool = False) -> None:
        self._bus, self.name, self.verbose = bus, name, verbose
        self.signals: list[tuple[float, str, list[Any]]] = []
        self.newer = False
        self._arrived = asyncio.Event()

    @classmethod
    async def connect(cls, address: str, name: str = "", verbose: bool = False) -> Driver:
        """Connects to the daemon on the bus at ADDRESS, and records its signals from now on."""
        self = cls(await MessageBus(bus_address=address).connect(), name, verbose)
        self._bus.add_message_handler(self._on_message)
        await self._ask_bus("AddMatch", "s", "type='signal'")
        for attribute, interface in INTERFACES.items():
            node = await self._bus.introspect(NAME, f"/cx/ring/Ring/{interface}")
            setattr(self, attribute, Interface(self._bus, interface, node))
        self.newer = "messageReceived" not in self.configuration.signals
        return self

    async def close(self) -> None:
        self._bus.disconnect()
        with contextlib.suppress(Exception):
            await self._bus.wait_for_disconnect()

    async def __aenter__(self) -> Driver:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def signal(self, member: str, matches: Callable[..., object] = lambda *_: True, seconds: float = 60, since: int = 0) -> list[Any]:
        """The arguments of the first signal MEMBER, recorded from number SINCE on or to come, that MATCHES; TimeoutError after SECONDS."""
        end = time.monotonic() + seconds
        seen = since
        while True:
            while seen < len(self.signals):
                _, name, body = self.signals[seen]
                seen += 1
                if name == member and matches(*body):
                    return body
            self._arrived.clear()
            try:
                await asyncio.wait_for(self._arrived.wait(), end - time.monotonic())
            except TimeoutError:
                last = ", ".join(name for _, name, _ in self.signals[-12:])
                raise TimeoutError(f"{self.name}: no {member} in {seconds:g} s; the last signals were {last or 'none'}") from None

    def received(self, member: str, since: int = 0) -> list[list[Any]]:
        """The arguments of every signal MEMBER so far."""
        return [body for _, name, body in self.signals[since:] if name == member]

    async def add_account(self, bootstrap: str, turn: str | None = None, **details: str) -> tuple[str, str]:
        """Adds a Jami account and waits until its device is announced on the DHT; (account id, Jami id)."""
        account = await self.configuration.addAccount({
            "Account.type": "RING", "Account.alias": self.name, "Account.displayName": self.name, "Account.hostname": bootstrap,
            "Account.upnpEnabled": "false", "TURN.enable": "true" if turn else "false", "TURN.server": turn or "",
            "TURN.username": "ring", "TURN.password": "ring", "TURN.realm": "ring", **details,
        })  # fmt: skip
        await self.announced(account)
        return account, (await self.configuration.getAccountDetails(account))["Account.username"]

    async def announced(self, account: str, seconds: float = 60, since: int = 0) -> None:
        """Waits until ACCOUNT's device can be found: trust requests sent earlier are seen only much later."""
        if not since and (await self.configuration.getVolatileAccountDetails(account)).get("Account.deviceAnnounced") == "true":
            return
        await self.signal(
            "volatileAccountDetailsChanged", lambda a, d: a == account and d.get("Account.deviceAnnounced") == "true", seconds, since
        )

    async def _ask_bus(self, member: str, signature: str, *body: Any) -> None:
        bus = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
        await self._bus.call(Message(*bus, member, signature=signature, body=list(body)))

    def _on_message(self, message: Message) -> None:
        if message.message_type is not MessageType.SIGNAL or not (message.interface or "").startswith(NAME):
            return
        member, body = _in_terms_of_13(message.member, message.body) if self.newer else (message.member, message.body)
        self.signals.append((time.monotonic(), member, body))
        self._arrived.set()
        if self.verbose:
            print(f"{time.monotonic():.3f} {self.name} <- {member} {str(body)[:240]}", flush=True)


def _in_terms_of_13(member: str, body: list[Any]) -> tuple[str, list[Any]]:
    if member == "swarmMessageReceived":
        account, conversation, (identifier, kind, parent, content, *_) = body
        return "messageReceived", [account, conversation, {**content, "id": identifier, "type": kind, "linearizedParent": parent}]
    if member == "incomingCall" and len(body) == 4:
        return "incomingCallWithMedia", body
    return member, body


async def befriend(a: Driver, account_a: str, id_a: str, b: Driver, account_b: str, id_b: str, seconds: float = 60) -> str:
    """A asks B to be a contact and B accepts; the id of their conversation, once both have it."""
    await a.configuration.sendTrustRequest(account_a, id_b, b"")
    await b.signal("incomingTrustRequest", lambda account, *_: account == account_b, seconds)
    # The real daemon loses an acceptance that comes before it has stored the request.
    await b.signal("conversationRequestReceived", lambda account, *_: account == account_b, seconds)
    await b.configuration.acceptTrustRequest(account_b, id_a)
    _, conversation = await b.signal("conversationReady", lambda account, _: account == account_b, seconds)
    await a.signal("conversationMemberEvent", lambda _, c, member, event: c == conversation and member == id_b and event == 1, seconds)
    return str(conversation)


async def chat(sender: Driver, account: str, receiver: Driver, conversation: str, text: str, seconds: float = 60) -> float:
    """SENDER writes TEXT; the seconds until RECEIVER has it."""
    since, start = len(receiver.signals), time.monotonic()
    await sender.configuration.sendMessage(account, conversation, text, "", 0)
    await receiver.signal("messageReceived", lambda _, c, m: c == conversation and m.get("body") == text, seconds, since)
    return time.monotonic() - start


async def audio_call(a: Driver, account_a: str, b: Driver, account_b: str, id_b: str, seconds: float = 3) -> float:
    """A calls B, B answers, they talk for SECONDS, A hangs up; the seconds from the call to CURRENT on A."""
    since_a, since_b, start = len(a.signals), len(b.signals), time.monotonic()
    call = await a.call.placeCallWithMedia(account_a, id_b, [AUDIO])
    _, incoming, _, media = await b.signal("incomingCallWithMedia", since=since_b)
    await b.call.acceptWithMedia(account_b, incoming, media)
    await a.signal("callStateChanged", lambda _, c, state, *__: c == call and state == "CURRENT", since=since_a)
    setup = time.monotonic() - start
    await a.signal("mediaNegotiationStatus", lambda c, status, *_: c == call and status == "NEGOTIATION_SUCCESS", since=since_a)
    await asyncio.sleep(seconds)
    await a.call.hangUp(account_a, call)
    await b.signal("callStateChanged", lambda _, c, state, *__: c == incoming and state == "OVER", since=since_b)
    return setup


async def main(lab_name: str, host_a: str, host_b: str) -> None:
    from tests.interop.lab import Lab

    lab = Lab(lab_name)
    a = await Driver.connect(lab.bus(host_a), host_a, verbose=True)
    b = await Driver.connect(lab.bus(host_b), host_b, verbose=True)
    bootstrap, turn = f"{lab.address('d')}:4222", lab.address("d")
    account_a, id_a = await a.add_account(bootstrap, turn)
    account_b, id_b = await b.add_account(bootstrap, turn)
    conversation = await befriend(a, account_a, id_a, b, account_b, id_b)
    print(f"ping arrived after {await chat(a, account_a, b, conversation, 'ping'):.3f} s")
    print(f"pong arrived after {await chat(b, account_b, a, conversation, 'pong'):.3f} s")
    print(f"call set up in {await audio_call(a, account_a, b, account_b, id_b):.3f} s")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
