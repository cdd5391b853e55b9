"""One ICE session over TCP: gathers candidates, drives the agent with sockets and timers, and yields the selected link."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from jamid.core.errors import LocalError
from jamid.core.tasks import Tasks
from jamid.net import candidates, ice_agent
from jamid.net.addresses import local_addresses
from jamid.net.candidates import Blob, Candidate, Credentials, Kind, TcpType
from jamid.net.generations import generation_of_software, keeps_spare_links
from jamid.net.ice_agent import IceTcpAgent
from jamid.net.links import EarlyBytes, LinkReceiver, TcpLink
from jamid.net.listener import Listener
from jamid.net.relay import RelayMemory
from jamid.net.relays import Relays
from jamid.net.stun import Address, Class, Message, Method, new_transaction
from jamid.net.turn import TurnServer

_log = logging.getLogger(__name__)

_CONNECT_SECONDS: Final = 15.0
_KEEP_ALIVE_SECONDS: Final = 20.0
_KEEP_ALIVE_SPREAD: Final = 4.0


def _nothing() -> Sequence[str]:
    return ()


def _no_mappings() -> Sequence[Address]:
    return ()


@dataclass(slots=True)
class IceSettings:
    """What a session may use besides the addresses of this machine."""

    turn: TurnServer | None = None
    public_addresses: Callable[[], Sequence[str]] = _nothing
    """the addresses others see us with, asked for at each gathering"""
    mapped_addresses: Callable[[], Sequence[Address]] = _no_mappings
    """external addresses that a router forwards to the listener"""
    relay_memory: RelayMemory = field(default_factory=RelayMemory)


class IceTcpSession:
    """The session of one offer and its answer."""

    def __init__(self, listener: Listener, settings: IceSettings, *, controlling: bool) -> None:
        self.credentials = Credentials.random()
        self._listener = listener
        self._settings = settings
        self._agent = IceTcpAgent(self.credentials, controlling)
        self._links: dict[TcpLink, int] = {}
        self._early: dict[TcpLink, EarlyBytes] = {}
        self._relays = Relays(self, self._relayed_link)
        self._receiver: LinkReceiver | None = None
        self._loop = asyncio.get_running_loop()
        self._tasks = Tasks("ice")
        self._selected: asyncio.Future[TcpLink] = self._loop.create_future()
        self._timer: asyncio.TimerHandle | None = None
        self._keeping_alive = False
        self._count = 0
        self._closed = False

    # -- setting up -----------------------------------------------------------------------------------------------------------

    async def gather(self) -> Blob:
        """Our side of the offer or answer; from now on the peer's connections are accepted."""
        self._listener.register(self.credentials.ufrag, self)
        local = local_addresses()
        if self._settings.turn is not None:
            await self._relays.open(self._settings.turn, self._settings.relay_memory, ipv6=any(":" in host for host in local))
        return Blob(self.credentials, tuple(self._candidates(local)))

    async def permit(self, hosts: Iterable[str]) -> None:
        """Lets peers at HOSTS reach our relayed address; do so before they are told of it."""
        await self._relays.permit(hosts)

    async def start(self, remote: Blob) -> None:
        """Starts the checks with the peer's side."""
        if self._closed:
            return
        await self._relays.permit(candidate.host for candidate in remote.candidates)
        self._agent.set_remote(remote, self._loop.time())
        self._run()

    async def established(self, timeout: float) -> TcpLink:
        """The selected link; raises LocalError when the checks find none within TIMEOUT seconds."""
        try:
            async with asyncio.timeout(timeout):
                return await asyncio.shield(self._selected)
        except TimeoutError:
            raise LocalError(f"no way to the device was found within {timeout:.0f} s") from None

    @property
    def peer_software(self) -> str:
        """What the peer's checks say it is, such as `pjnath-2.12.1`."""
        return self._agent.peer_software

    @property
    def uses_relay(self) -> bool:
        """Whether a relay of ours is among the candidates."""
        return bool(self._relays)

    @property
    def has_links(self) -> bool:
        """Whether any TCP connection of the session stands."""
        return bool(self._links)

    def hand_over(self, receiver: LinkReceiver) -> None:
        """From now on RECEIVER gets the TLS bytes of the selected link, those that are already here first."""
        link = self._selected.result()
        self._receiver = receiver
        early = self._early.pop(link, None)
        if early is not None and early.data:
            receiver.data_received(link, bytes(early.data))
        if link.closed:
            receiver.link_closed(link, None)

    def close_spares(self) -> None:
        """Gives back everything but the selected link, which TLS has proven, unless the peer cannot bear it."""
        self._listener.unregister(self.credentials.ufrag)
        self._early.clear()
        if not self._keeping_alive:
            self._keeping_alive = True
            self._keep_alive()
        if keeps_spare_links(generation_of_software(self.peer_software)):
            return
        selected = self._selected.result() if self._selected.done() and not self._selected.cancelled() else None
        for link in list(self._links):
            if link is not selected:
                link.close()
        if self._relays:
            self._tasks.spawn(self._relays.close(but=selected), "relay")

    async def close(self) -> None:
        """Ends the session with all its connections."""
        self._closed = True
        self._listener.unregister(self.credentials.ufrag)
        if self._timer is not None:
            self._timer.cancel()
        for link in list(self._links):
            link.close()
        await self._tasks.close()
        await self._relays.close()
        if not self._selected.done():
            self._selected.cancel()

    # -- the links' side ------------------------------------------------------------------------------------------------------

    def adopt(self, link: TcpLink, first: bytes) -> None:
        """Takes over a connection that the listener accepted for this session."""
        self._add(link, None)
        self.stun_received(link, first)

    def stun_received(self, link: TcpLink, message: bytes) -> None:
        number = self._links.get(link)
        if number is not None:
            self._agent.message_received(number, message, self._loop.time())
            self._run()

    def data_received(self, link: TcpLink, piece: bytes | memoryview) -> None:
        number = self._links.get(link)
        if number is None:
            return
        if self._receiver is not None and self._agent.selected == number:
            self._receiver.data_received(link, piece)
            return
        if not self._early.setdefault(link, EarlyBytes()).add(piece):
            link.abort()
            return
        if self._agent.selected is None and self._agent.data_received(number):
            self._run()

    def link_closed(self, link: TcpLink, error: Exception | None) -> None:
        number = self._links.pop(link, None)
        if number is None:
            return
        self._early.pop(link, None)
        self._agent.link_closed(number, self._loop.time())
        if self._agent.selected == number:
            if self._receiver is not None:
                self._receiver.link_closed(link, error)
        else:
            self._run()

    def writable_changed(self, link: TcpLink) -> None:
        if self._receiver is not None and self._agent.selected == self._links.get(link):
            self._receiver.writable_changed(link)

    # -- details --------------------------------------------------------------------------------------------------------------

    def _candidates(self, local: list[str]) -> list[Candidate]:
        found: list[Candidate] = []
        for version in (4, 6):
            port = self._listener.ports.get(version)
            addresses = [host for host in local if (":" in host) == (version == 6)] if port is not None else []
            for rank, host in enumerate(addresses[:8]):
                passive = candidates.make(Kind.HOST, host, port or 0, tcp_type=TcpType.PASSIVE, rank=2 * rank)
                active = candidates.make(Kind.HOST, host, candidates.ACTIVE_PORT, tcp_type=TcpType.ACTIVE, rank=2 * rank + 1)
                found += passive, active
        found += self._reflexive(local)
        for rank, address in enumerate(self._relays.addresses):
            found.append(candidates.make(Kind.RELAY, *address, tcp_type=TcpType.PASSIVE, rank=rank))
        return found

    def _reflexive(self, local: list[str]) -> Iterable[Candidate]:
        """Mapped ports, and the addresses from which we will knock, so that the peer opens its relay for them."""
        rank = 2
        for host, port in self._settings.mapped_addresses():
            yield candidates.make(Kind.SRFLX, host, port, base=local[0], tcp_type=TcpType.PASSIVE, rank=rank)
            rank += 1
        known = list(self._settings.public_addresses())
        known += [host for host in self._relays.mapped if host not in known and (":" not in host or host not in local)]
        for host in known[:4]:
            bases = [address for address in local if (":" in address) == (":" in host)]
            base = bases[0] if bases else host
            yield candidates.make(Kind.SRFLX, host, candidates.ACTIVE_PORT, base=base, tcp_type=TcpType.ACTIVE, rank=rank)
            rank += 1

    def _relayed_link(self, link: TcpLink) -> None:
        self._add(link, None)

    def _add(self, link: TcpLink, target: Candidate | None) -> None:
        self._count += 1
        link.receiver = self
        self._links[link] = self._count
        self._agent.link_opened(self._count, link.remote, self._loop.time(), target=target, relayed=link.relayed)
        self._run()

    async def _connect(self, target: Candidate) -> None:
        link = TcpLink(self)
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                await self._loop.create_connection(lambda: link, target.host, target.port)
        except (TimeoutError, OSError) as error:
            _log.debug("%s:%d: %s", target.host, target.port, error)
            self._agent.connect_failed(target, self._loop.time())
            self._run()
            return
        if self._closed or self._selected.done():
            link.close()
        else:
            self._add(link, target)

    def _run(self) -> None:
        """Carries out the agent's commands and sets the timer for its next deadline."""
        for command in self._agent.take():
            match command:
                case ice_agent.Connect(target):
                    self._tasks.spawn(self._connect(target), "connect")
                case ice_agent.Send(number, message):
                    link = self._link(number)
                    if link is not None:
                        link.send_stun(message)
                case ice_agent.Close(number):
                    link = self._link(number)
                    if link is not None:
                        link.abort()
                case ice_agent.Selected(number):
                    link = self._link(number)
                    if link is not None and not self._selected.done():
                        self._selected.set_result(link)
        if self._closed or self._keeping_alive:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self._agent.deadline
        if deadline is not None:
            self._timer = self._loop.call_at(deadline, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._agent.tick(self._loop.time())
        self._run()

    def _link(self, number: int) -> TcpLink | None:
        return next((link for link, known in self._links.items() if known == number), None)

    def _keep_alive(self) -> None:
        if not self._closed:
            self._timer = self._loop.call_later(_KEEP_ALIVE_SECONDS + random.random() * _KEEP_ALIVE_SPREAD, self._indicate)

    def _indicate(self) -> None:
        if self._selected.done() and not self._selected.cancelled() and not self._selected.result().closed:
            self._selected.result().send_stun(Message(Method.BINDING, Class.INDICATION, new_transaction()).encode())
            self._keep_alive()
