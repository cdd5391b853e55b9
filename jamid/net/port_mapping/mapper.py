"""Keeps ports open at the router: asks by PCP, NAT-PMP and UPnP at once, takes what answers first, renews and gives back."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import random
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from jamid.core.errors import RemoteError
from jamid.core.tasks import Tasks, in_thread
from jamid.net.addresses import default_router
from jamid.net.port_mapping import natpmp
from jamid.net.port_mapping.natpmp import TCP, UDP
from jamid.net.stun import Address

if TYPE_CHECKING:
    from jamid.net.port_mapping import upnp

_log = logging.getLogger(__name__)

LIFETIME: Final = 7200
RENEW_AFTER: Final = 0.5
"""of the lifetime that the router gave"""
_PORTS: Final = {TCP: range(10000, 15000), UDP: range(20000, 25000)}
_NAMES: Final = {TCP: "TCP", UDP: "UDP"}
_ANSWER_SECONDS: Final = (0.25, 0.5, 1.0)
"""waits for an answer to each repetition; a router is next door"""
_SEARCH_SECONDS: Final = 3.0
_RETRY_SECONDS: Final = 600.0
_TRIES: Final = 4
_REMOVE_SECONDS: Final = 0.5
"""The daemon ends within a second; a mapping that stays behind expires by itself."""


@dataclass(frozen=True, slots=True)
class Mapping:
    """An open port."""

    protocol: int
    internal_port: int
    external: Address
    lifetime: int
    method: str
    """`PCP`, `NAT-PMP` or `UPnP`"""


class PortMapper:
    """One port of ours, kept open at the router of the default route for as long as this lives."""

    def __init__(self, protocol: int, port: int) -> None:
        self.mapping: Mapping | None = None
        self._protocol = protocol
        self._port = port
        self._wanted = port  # the same number outside keeps what others see of our own packets right
        self._nonce = secrets.token_bytes(natpmp.NONCE_LENGTH)
        self._gateway: upnp.Gateway | None = None
        self._tasks = Tasks(f"map port {port}")
        self._changed = asyncio.Event()

    def start(self) -> None:
        """Begins to ask; `mapping` is set when a router agrees."""
        self._tasks.spawn(self._keep(), "keep")

    @property
    def external(self) -> Address | None:
        """Where peers reach the port from outside, None while no router forwards it."""
        return self.mapping.external if self.mapping is not None else None

    def connectivity_changed(self) -> None:
        """There may be another router now."""
        self._changed.set()

    async def close(self) -> None:
        """Gives the mapping back."""
        await self._tasks.close()
        with contextlib.suppress(RemoteError, OSError, TimeoutError):
            async with asyncio.timeout(_REMOVE_SECONDS):
                await self._remove()

    async def _keep(self) -> None:
        while True:
            self._changed.clear()
            mapping = await self._map()
            if mapping is not None and (self.mapping is None or self.mapping.external != mapping.external):
                _log.info("%s port %d is reachable at %s:%d by %s", _NAMES[self._protocol], self._port, *mapping.external, mapping.method)
            self.mapping = mapping
            pause = mapping.lifetime * RENEW_AFTER if mapping is not None else _RETRY_SECONDS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(pause, 30.0)):
                    await self._changed.wait()
                self.mapping = None
                self._gateway = None

    async def _map(self) -> Mapping | None:
        """The first mapping that any of the protocols yields."""
        ways = [asyncio.create_task(self._by_router_port()), asyncio.create_task(self._by_upnp())]
        try:
            for way in asyncio.as_completed(ways):
                try:
                    mapping = await way
                except (RemoteError, OSError, TimeoutError) as error:
                    _log.debug("port mapping: %s", error)
                    continue
                if mapping is not None and mapping.external[1]:
                    return mapping
        finally:
            for task in ways:
                task.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        return None

    # -- PCP and NAT-PMP ------------------------------------------------------------------------------------------------------

    async def _by_router_port(self, lifetime: int = LIFETIME) -> Mapping | None:
        router = await in_thread(default_router)
        if router is None:
            return None
        endpoint = await _RouterEndpoint.open(router)
        try:
            request = natpmp.ask_pcp_mapping(
                self._protocol, self._port, self._wanted, lifetime, client=endpoint.local_host, nonce=self._nonce
            )
            answer = await endpoint.ask(request, lambda found: not isinstance(found, natpmp.Mapped) or found.nonce == self._nonce)
            if isinstance(answer, natpmp.Mapped):
                return self._mapping(answer, answer.host, "PCP")
            if not (isinstance(answer, natpmp.Declined) and answer.unsupported):
                return None
            address = await endpoint.ask(natpmp.ask_address(), lambda found: isinstance(found, natpmp.ExternalAddress | natpmp.Declined))
            request = natpmp.ask_mapping(self._protocol, self._port, self._wanted, lifetime)
            mapped = await endpoint.ask(request, self._is_answer)
            if isinstance(address, natpmp.ExternalAddress) and isinstance(mapped, natpmp.Mapped):
                return self._mapping(mapped, address.host, "NAT-PMP")
            return None
        finally:
            endpoint.close()

    def _is_answer(self, found: natpmp.Response) -> bool:
        return isinstance(found, natpmp.Declined) or (isinstance(found, natpmp.Mapped) and found.internal_port == self._port)

    def _mapping(self, answer: natpmp.Mapped, host: str, method: str) -> Mapping | None:
        if ipaddress.ip_address(host).is_unspecified:
            return None
        self._wanted = answer.external_port or self._wanted
        return Mapping(self._protocol, self._port, (host, answer.external_port), answer.lifetime, method)

    # -- UPnP -----------------------------------------------------------------------------------------------------------------

    async def _by_upnp(self) -> Mapping | None:
        from jamid.net.port_mapping import upnp  # brings an HTTP client and XML, which few daemons need

        if self._gateway is None:
            self._gateway = await _find_gateway()
        gateway = self._gateway
        if gateway is None:
            return None
        local = await in_thread(upnp.local_address_towards, gateway.control_url)
        lifetime = LIFETIME
        for _ in range(_TRIES):
            try:
                await in_thread(upnp.call, gateway, "AddPortMapping", self._arguments(local, lifetime))
                break
            except upnp.UpnpError as error:
                if error.code == upnp.PERMANENT_ONLY:
                    lifetime = 0
                elif error.code == upnp.CONFLICT:
                    self._wanted = random.choice(_PORTS[self._protocol])
                else:
                    raise
        else:
            return None
        reply = await in_thread(upnp.call, gateway, "GetExternalIPAddress", {})
        try:
            host = str(ipaddress.IPv4Address(reply.get("NewExternalIPAddress", "")))
        except ValueError:
            raise RemoteError("the router does not know its public address") from None
        return Mapping(self._protocol, self._port, (host, self._wanted), lifetime or LIFETIME, "UPnP")

    def _arguments(self, local: str, lifetime: int) -> dict[str, str]:
        return {
            "NewRemoteHost": "",
            "NewExternalPort": str(self._wanted),
            "NewProtocol": _NAMES[self._protocol],
            "NewInternalPort": str(self._port),
            "NewInternalClient": local,
            "NewEnabled": "1",
            "NewPortMappingDescription": f"JAMI-{_NAMES[self._protocol]}:{self._wanted}",
            "NewLeaseDuration": str(lifetime),
        }

    async def _remove(self) -> None:
        mapping, self.mapping = self.mapping, None
        if mapping is None:
            return
        if mapping.method != "UPnP":
            await self._by_router_port(lifetime=0)
        elif self._gateway is not None:
            from jamid.net.port_mapping import upnp

            names = {"NewRemoteHost": "", "NewExternalPort": str(mapping.external[1]), "NewProtocol": _NAMES[self._protocol]}
            await in_thread(upnp.call, self._gateway, "DeletePortMapping", names)


class _RouterEndpoint(asyncio.DatagramProtocol):
    """A UDP socket connected to the router: only its datagrams arrive."""

    def __init__(self) -> None:
        self._answers: asyncio.Queue[natpmp.Response] = asyncio.Queue(maxsize=16)
        self._transport: asyncio.DatagramTransport | None = None
        self.local_host = ""

    @classmethod
    async def open(cls, router: str) -> _RouterEndpoint:
        transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(cls, remote_addr=(router, natpmp.PORT))
        protocol._transport = transport
        protocol.local_host = transport.get_extra_info("sockname")[0]
        return protocol

    async def ask(self, request: bytes, fits: Callable[[natpmp.Response], bool]) -> natpmp.Response | None:
        """The first answer that FITS; None when the router is silent."""
        assert self._transport is not None
        for seconds in _ANSWER_SECONDS:
            self._transport.sendto(request)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    while not fits(answer := await self._answers.get()):
                        pass
                    return answer
        return None

    def datagram_received(self, data: bytes, address: object) -> None:
        with contextlib.suppress(RemoteError, asyncio.QueueFull):
            self._answers.put_nowait(natpmp.parse(data))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class _Search(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.found: asyncio.Queue[str] = asyncio.Queue(maxsize=8)

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        from jamid.net.port_mapping import upnp

        with contextlib.suppress(RemoteError, asyncio.QueueFull):
            self.found.put_nowait(upnp.parse_search_response(data, address[0]))


async def _find_gateway() -> upnp.Gateway | None:
    from jamid.net.port_mapping import upnp

    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(_Search, local_addr=("0.0.0.0", 0))
    try:
        for target in upnp.SEARCH_TARGETS:
            transport.sendto(upnp.search(target), upnp.SEARCH_ADDRESS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SEARCH_SECONDS):
                while True:
                    try:
                        return await in_thread(upnp.describe, await protocol.found.get())
                    except RemoteError as error:
                        _log.debug("UPnP device: %s", error)
    finally:
        transport.close()
    return None
