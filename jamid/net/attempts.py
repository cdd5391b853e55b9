"""Connections that are wanted: who waits for which device, the attempts under way, and when a failed one is repeated."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from jamid.core import limits
from jamid.core.errors import LocalError
from jamid.core.identifiers import LongId
from jamid.crypto.certificates import Certificate
from jamid.net.backoff import Backoff
from jamid.net.connection import Connection
from jamid.net.negotiation import Requester

if TYPE_CHECKING:
    from jamid.net.connections import Connections

_log = logging.getLogger(__name__)

_CERTIFICATE_SECONDS: Final = 10.0
_CERTIFICATE_PAUSES: Final = (0.5, 1.0, 2.0, 2.0, 0.0)
_CALLS: Final = ("audioCall", "videoCall")
"""kinds of wishes that never wait for a pause to end: a person makes them, one at a time"""


@dataclass(slots=True)
class _Wish:
    """What is under way with one device."""

    waiting: list[asyncio.Future[Connection]] = field(default_factory=list)
    """who wants the next connection that comes up, whichever side opened it"""
    attempts: int = 0
    """of ours, under way"""
    certificate: Certificate | None = None
    kind: str = ""
    pause: asyncio.TimerHandle | None = None
    """until an attempt is made for those who wait"""


class Attempts:
    """The attempts of one account device. At most one goes on with a device at a time, unless another connection is asked for."""

    def __init__(self, connections: Connections, requester: Requester) -> None:
        self._connections = connections
        self._requester = requester
        self._wishes: dict[str, _Wish] = {}
        self._backoff = Backoff()
        self._loop = asyncio.get_running_loop()

    async def connect(self, device_id: str, certificate: Certificate | None, kind: str, *, another: bool) -> Connection:
        """The next connection that comes up with the device; starts an attempt unless one is under way or has just failed.

        ANOTHER: also when one is under way.
        """
        wish = self._wishes.setdefault(device_id, _Wish())
        future: asyncio.Future[Connection] = self._loop.create_future()
        wish.waiting.append(future)
        wish.certificate, wish.kind = certificate or wish.certificate, kind
        if not wish.attempts or (another and wish.attempts < limits.ATTEMPTS_PER_DEVICE):
            left = 0.0 if kind in _CALLS else self._backoff.left(device_id, self._loop.time())
            if not left:
                self._begin(device_id)
            elif wish.pause is None:
                _log.debug("device %s is tried again in %.0f s", device_id, left)
                wish.pause = self._loop.call_later(left, self._begin, device_id)
        try:
            return await future
        finally:
            if future in wish.waiting:
                wish.waiting.remove(future)
            self._tidy(device_id)

    def under_way(self) -> Iterator[str]:
        """The devices that an attempt goes on with."""
        return (device_id for device_id, wish in self._wishes.items() if wish.attempts)

    def why_not(self, device_id: str) -> str:
        """Why the last attempt failed and when the next one is due, "" when none failed."""
        left = self._backoff.left(device_id, self._loop.time())
        return f": {self._backoff.reason(device_id)}; tried again in {left:.0f} s" if left else ""

    def established(self, connection: Connection) -> None:
        """A connection stands: whoever waits takes it, and the device is worth asking at once when it ends."""
        device_id = connection.peer.device_id
        self._backoff.forget(device_id)
        wish = self._wishes.get(device_id)
        if wish is not None:
            waiting, wish.waiting = wish.waiting, []
            for future in waiting:
                if not future.done():
                    future.set_result(connection)
            self._tidy(device_id)

    def ask_as_well(self, device: Certificate) -> None:
        """Starts an attempt with a device whose own one does not come up, although nobody waits; not when one is under way."""
        device_id = device.long_id.hex()
        wish = self._wishes.setdefault(device_id, _Wish())
        if not wish.attempts:
            wish.certificate = device
            self._begin(device_id)

    def forgive(self, device_id: str) -> None:
        """The device is there: the next wish for it is tried at once."""
        self._backoff.forget(device_id)

    def wake(self, device_id: str | None = None) -> None:
        """The device, or with a new network every one, may be reached now: who waits for the end of a pause waits no longer."""
        self._backoff.forget(device_id)
        for each in list(self._wishes) if device_id is None else [device_id]:
            wish = self._wishes.get(each)
            if wish is not None and wish.pause is not None:
                self._begin(each)

    def close(self, reason: str) -> None:
        """Fails whoever waits."""
        for device_id, wish in list(self._wishes.items()):
            self._fail(wish, reason)
            self._tidy(device_id)

    # -- details --------------------------------------------------------------------------------------------------------------

    def _begin(self, device_id: str) -> None:
        wish = self._wishes[device_id]
        if wish.pause is not None:
            wish.pause.cancel()
            wish.pause = None
        wish.attempts += 1
        self._connections.tasks.spawn(self._attempt(device_id, wish, wish.certificate, wish.kind), f"connect {device_id[:8]}")

    async def _attempt(self, device_id: str, wish: _Wish, certificate: Certificate | None, kind: str) -> None:
        reason = ""
        try:
            if certificate is None:
                certificate = await self._certificate(device_id)
            await self._requester.connect(certificate, kind)
        except (LocalError, OSError) as error:
            reason = str(error) or type(error).__name__
            _log.info("no connection with %s: %s", device_id, reason)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            _log.warning("no connection with %s: %s", device_id, reason)
        finally:
            wish.attempts -= 1
            if reason and not wish.attempts:
                if not self._connections.connected(device_id):
                    self._backoff.failed(device_id, reason, self._loop.time())
                self._fail(wish, reason)
            self._tidy(device_id)

    async def _certificate(self, device_id: str) -> Certificate:
        try:
            async with asyncio.timeout(_CERTIFICATE_SECONDS):
                for pause in _CERTIFICATE_PAUSES:
                    certificate = await self._connections.policy.certificate(LongId.from_hex(device_id))
                    if certificate is not None:
                        return certificate
                    await asyncio.sleep(pause)
        except TimeoutError:
            pass
        raise LocalError(f"the certificate of device {device_id} is neither known nor on the DHT")

    def _tidy(self, device_id: str) -> None:
        wish = self._wishes.get(device_id)
        if wish is None or wish.waiting:
            return
        if wish.pause is not None:
            wish.pause.cancel()
            wish.pause = None
        if not wish.attempts:
            del self._wishes[device_id]

    @staticmethod
    def _fail(wish: _Wish, reason: str) -> None:
        waiting, wish.waiting = wish.waiting, []
        for future in waiting:
            if not future.done():
                future.set_exception(ConnectionError(reason))
