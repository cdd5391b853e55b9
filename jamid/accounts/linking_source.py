"""The device that has the account lets another one in (protocol: identity, section 14, SOURCE)."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from jamid.accounts.archive import SCHEME_PASSWORD
from jamid.accounts.linking_states import CANCELED, LinkError, LinkState, Messages
from jamid.accounts.linking_wire import LinkAddress
from jamid.core.errors import JamidError
from jamid.core.signals import AddDeviceStateChanged
from jamid.core.tasks import in_thread

if TYPE_CHECKING:
    from jamid.accounts.jami import JamiAccount
    from jamid.net.channels import Channel

_log = logging.getLogger(__name__)
_TRIES = 3
_LINK_SECONDS = 300.0


class LinkSource:
    """One operation: from the address the user typed to the archive on the other device."""

    def __init__(self, account: JamiAccount, operation: int, address: LinkAddress) -> None:
        self._account = account
        self.operation = operation
        self._address = address
        self._confirmed = asyncio.Event()
        self._canceled = asyncio.Event()

    def confirm(self) -> None:
        """The user recognised the other device."""
        self._confirmed.set()

    def cancel(self) -> None:
        """The user gave up."""
        self._canceled.set()

    async def run(self) -> None:
        """The whole operation; its states are published, it never raises."""
        self._tell(LinkState.CONNECTING)
        working = asyncio.ensure_future(self._work())
        canceled = asyncio.ensure_future(self._canceled.wait())
        try:
            await asyncio.wait({working, canceled}, return_when=asyncio.FIRST_COMPLETED)
            error = await working if working.done() else CANCELED
        finally:
            for task in (working, canceled):
                task.cancel()
            await asyncio.gather(working, canceled, return_exceptions=True)
        self._tell(LinkState.DONE, error=error)

    async def _work(self) -> str:
        connections = self._account.connections
        if connections is None:
            return LinkError.NETWORK
        try:
            channel = await connections.open(self._address.device, self._address.channel)
        except (JamidError, OSError) as error:
            _log.info("[account=%s] the device to link cannot be reached: %s", self._account.id, error)
            return LinkError.NETWORK
        messages = Messages(channel)
        try:
            async with asyncio.timeout(_LINK_SECONDS):
                return await self._serve(channel, messages)
        except TimeoutError:
            await messages.send({"stateMsg": "TIMEOUT"})
            return LinkError.TIMEOUT
        except asyncio.CancelledError:
            if self._canceled.is_set():
                messages.send_last({"stateMsg": "CANCELED"})
            raise
        except (JamidError, OSError) as error:
            _log.warning("[account=%s] linking a device failed: %s", self._account.id, error)
            return LinkError.NETWORK
        finally:
            channel.close()

    async def _serve(self, channel: Channel, messages: Messages) -> str:
        self._tell(LinkState.AUTHENTICATING, peer_address=channel.connection.remote_endpoint)
        await self._confirmed.wait()
        has_password = self._account.details.flag("Account.archiveHasPassword")
        await messages.send({"authScheme": SCHEME_PASSWORD if has_password else ""})
        for tries_left in reversed(range(_TRIES)):
            payload = await messages.receive(lambda payload: "password" in payload or "stateMsg" in payload)
            if "stateMsg" in payload:
                return CANCELED if payload["stateMsg"] == "CANCELED" else LinkError.TIMEOUT
            try:
                archive, _ = await self._account.vault.current(payload["password"] if has_password else "")
            except JamidError:
                await messages.send({"canRetry": "true", "passwordCorrect": "false"} if tries_left else {"canRetry": "false"})
                continue
            text = await in_thread(archive.to_json)
            await messages.send({"accData": text.decode()})
            self._tell(LinkState.IN_PROGRESS)
            return ""
        return LinkError.AUTHENTICATION

    def _tell(self, state: LinkState, **detail: str) -> None:
        self._account.events.publish(AddDeviceStateChanged(self._account.id, self.operation, int(state), detail))
