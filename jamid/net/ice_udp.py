"""ICE over UDP for the media of a call: aioice, with what the reference insists on (protocol: connection, section 7; calls, section 6)."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import random
import socket
from collections.abc import Callable, Sequence
from typing import Any, Final

import aioice
from aioice import stun as aioice_stun

from jamid.core import limits
from jamid.net import candidates
from jamid.net.addresses import local_addresses
from jamid.net.candidates import Candidate, Credentials, Kind
from jamid.net.media_path import EXPEDITED, MediaPath, branch_off
from jamid.net.turn import TurnServer

logging.getLogger("aioice").setLevel(logging.WARNING)  # it tells each step of each check

_CONNECT_SECONDS: Final = 30.0
_CONSENT_CHECK_SECONDS: Final = 5.0
_CONSENT_SECONDS: Final = 30.0
"""After so long without an answer the peer is taken for gone (RFC 7675); a cut of 20 s is survived, as by real daemons."""

Receive = Callable[[bytes], None]


def _nothing() -> Sequence[str]:
    return ()


class MediaIce:
    """One session for all streams of a call: stream s from 0 has the components 2s+1 for RTP and 2s+2 for RTCP."""

    def __init__(
        self,
        components: int,
        *,
        controlling: bool,
        turn: TurnServer | None = None,
        public_addresses: Callable[[], Sequence[str]] = _nothing,
    ) -> None:
        credentials = Credentials.random()
        self.ufrag = credentials.ufrag
        self.pwd = credentials.pwd
        self.on_lost: Callable[[], None] | None = None
        """called when the peer has not answered for half a minute"""
        self._public_addresses = public_addresses
        self._local: list[Candidate] = []
        self._connected = False
        self._closed = False
        self._paths: list[MediaPath] = []
        self._watch: asyncio.Task[None] | None = None
        self._connection = _Connection(
            ice_controlling=controlling,
            components=components,
            turn_server=(turn.host, turn.port) if turn is not None else None,
            turn_username=turn.username if turn is not None else None,
            turn_password=turn.password if turn is not None else None,
            local_username=credentials.ufrag,
            local_password=credentials.pwd,
        )

    async def gather(self) -> None:
        """Binds sockets and finds our candidates; a relay that does not answer within 5 s is left out."""
        await self._connection.gather_candidates()
        local = list(self._connection.local_candidates)
        public = [host for host in self._public_addresses() if all(host != candidate.host for candidate in local)]
        ranks: dict[tuple[Kind, int, bool], int] = {}
        for found in local:
            kind = Kind(found.type)
            self._add(kind, found.host, found.port, found.component, ranks)
            if kind is Kind.HOST:
                for host in public:
                    if (":" in host) == (":" in found.host):
                        # Right where the router keeps port numbers; elsewhere it tells the peer's relay whom to let in.
                        self._add(Kind.SRFLX, host, found.port, found.component, ranks, base=found.host)

    def candidates(self, component: int) -> list[str]:
        """The values of `a=candidate` for COMPONENT, best first."""
        mine = [candidate for candidate in self._local if candidate.component == component]
        return [candidate.to_line() for candidate in sorted(mine, key=lambda candidate: -candidate.priority)]

    async def connect(self, ufrag: str, pwd: str, candidates: Sequence[str]) -> None:
        """Finds a path for every component that both sides have; raises ConnectionError when there is none within 30 s."""
        connection = self._connection
        connection.remote_username, connection.remote_password = ufrag, pwd
        for line in candidates[: limits.ICE_CANDIDATES * limits.MEDIA_COMPONENTS]:
            remote = _remote_candidate(line)
            if remote is not None:
                with contextlib.suppress(ValueError):
                    await connection.add_remote_candidate(remote)
        await connection.add_remote_candidate(None)
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                await connection.connect()
        except TimeoutError:
            raise ConnectionError(f"no path for the media was found within {_CONNECT_SECONDS:.0f} s") from None
        self._connected = True
        self._watch = asyncio.create_task(self._until_lost())

    def on_data(self, component: int, receive: Receive) -> None:
        """Hands the packets of COMPONENT to RECEIVE from now on."""
        self._connection.receivers[component] = receive

    def send(self, component: int, data: bytes) -> None:
        """Sends one packet; nothing before `connect` or after `close`."""
        if self._connected and not self._closed:
            self._connection.send_packet(component, data)

    def path(self, component: int) -> MediaPath | None:
        """A way of its own for the packets of COMPONENT, of which `on_data` hears nothing from now on; None over a relay."""
        branch = self._connection.branch_off(component) if self._connected else None
        if branch is None:
            return None
        path = MediaPath(*branch)
        self._paths.append(path)
        return path

    def pairs(self) -> list[tuple[int, str, str]]:
        """(component, local, remote) of each nominated pair, each address as `10.77.0.2:52402 [host]`."""
        return self._connection.nominated_pairs()

    async def close(self) -> None:
        """Gives sockets and relays back."""
        if self._closed:
            return
        self._closed = True
        for path in self._paths:
            path.stop()
        if self._watch is not None:
            self._watch.cancel()
        self._connection.receivers.clear()
        await self._connection.close()

    def _add(self, kind: Kind, host: str, port: int, component: int, ranks: dict[tuple[Kind, int, bool], int], *, base: str = "") -> None:
        key = kind, component, ":" in host
        rank = ranks.get(key, 0)
        ranks[key] = rank + 1
        self._local.append(candidates.make(kind, host, port, base=base, rank=rank, component=component))

    async def _until_lost(self) -> None:
        """aioice closes itself when consent has expired."""
        await self._connection.get_event()
        if not self._closed and self.on_lost is not None:
            self.on_lost()


class _Connection(aioice.Connection):
    """aioice's agent, handing packets on at once instead of queueing them."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.receivers: dict[int, Receive] = {}

    def data_received(self, data: bytes, component: int) -> None:
        receive = self.receivers.get(component)
        if receive is not None:
            receive(data)

    async def query_consent(self) -> None:
        """As in aioice, which counts the failures of all components together, so that calls of two end after a quarter of a minute."""
        loop = asyncio.get_running_loop()
        key = (self.remote_password or "").encode()
        answered = loop.time()
        while loop.time() - answered < _CONSENT_SECONDS:
            await asyncio.sleep(_CONSENT_CHECK_SECONDS * random.uniform(0.8, 1.2))
            for pair in self._nominated.values():
                with contextlib.suppress(aioice_stun.TransactionError):
                    request = self.build_request(pair, nominate=False)
                    await pair.protocol.request(request, pair.remote_addr, integrity_key=key, retransmissions=0)
                    answered = loop.time()
        self._query_consent_task = None
        await self.close()

    async def get_component_candidates(self, component: int, addresses: list[str], timeout: int = 5) -> list[aioice.Candidate]:
        found: list[aioice.Candidate] = await super().get_component_candidates(component, local_addresses(), timeout)
        for protocol in self._protocols:
            udp = protocol.transport.get_extra_info("socket")
            if udp is not None and udp.family == socket.AF_INET:
                with contextlib.suppress(OSError):
                    udp.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, EXPEDITED)
        return found

    def send_packet(self, component: int, data: bytes) -> None:
        """Sends without waiting; a full socket buffer loses the packet, as any router may."""
        pair = self._nominated.get(component)
        if pair is not None:
            with contextlib.suppress(OSError, aioice_stun.TransactionError):
                pair.protocol.transport.sendto(data, pair.remote_addr)

    def branch_off(self, component: int) -> tuple[socket.socket, Callable[[bytes], None]] | None:
        """A socket of its own for COMPONENT's path, and who takes what comes there without being media; None over a relay."""
        pair = self._nominated.get(component)
        transport = getattr(pair.protocol, "transport", None) if pair is not None else None
        udp = transport.get_extra_info("socket") if transport is not None else None
        if pair is None or udp is None or pair.local_candidate.type == "relay":
            return None
        own = branch_off(udp.fileno(), pair.remote_addr)
        if own is None:
            return None
        loop, protocol, address = asyncio.get_running_loop(), pair.protocol, pair.remote_addr

        def others(data: bytes) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(protocol.datagram_received, data, address)

        return own, others

    def nominated_pairs(self) -> list[tuple[int, str, str]]:
        return [
            (
                component,
                f"{pair.local_addr[0]}:{pair.local_addr[1]} [{pair.local_candidate.type}]",
                f"{pair.remote_addr[0]}:{pair.remote_addr[1]} [{pair.remote_candidate.type}]",
            )
            for component, pair in sorted(self._nominated.items())
        ]


def _remote_candidate(line: str) -> aioice.Candidate | None:
    """A candidate of the peer that UDP can reach, None for others: names, TCP, garbage."""
    words = line.split()
    try:
        if words[2].upper() != "UDP" or ipaddress.ip_address(words[4]).is_multicast:
            return None
        return aioice.Candidate.from_sdp(line)
    except (ValueError, IndexError):
        return None
