"""What conversations need of the rooms beside them; `jamid.app` gives the real ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from pathlib import Path
from typing import Any, Protocol

from jamid.core.generations import Generation
from jamid.crypto.certificates import Certificate
from jamid.crypto.identity import Identity


class PeerDevice(Protocol):
    """The device at the other end of a channel, as TLS proved it (`jamid.net.channels.Peer`)."""

    @property
    def device_id(self) -> str: ...
    @property
    def account_uri(self) -> str: ...
    @property
    def generation(self) -> Generation | None: ...


class ByteChannel(Protocol):
    """A named stream between two devices (`jamid.net.channels.Channel`)."""

    @property
    def name(self) -> str: ...
    @property
    def peer(self) -> PeerDevice: ...
    @property
    def closed(self) -> bool: ...
    async def read(self, limit: int = 65536) -> bytes:
        """The next bytes, b"" at the end."""
        ...

    async def write(self, data: bytes) -> None:
        """Waits under back-pressure; raises ConnectionError when closed."""
        ...

    def write_nowait(self, data: bytes) -> None: ...
    def close(self) -> None: ...


class ChannelHandler(Protocol):
    """Who serves the channels of one scheme that peers open."""

    def accepts(self, peer: Any, name: str) -> bool: ...
    def opened(self, channel: Any) -> None: ...


class Links(Protocol):
    """The connections of one account's device to others."""

    async def open(self, device: Any, name: str, *, timeout: float = 30, only_existing: bool = False) -> ByteChannel:
        """A new channel to DEVICE (certificate or id); raises ConnectionError or LocalError."""
        ...

    def handle(self, scheme: str, handler: ChannelHandler) -> None: ...
    def connected(self, device_id: str) -> bool: ...
    def connected_devices(self) -> list[str]: ...
    def devices_of(self, account_uri: str) -> list[str]:
        """Connected devices of an account."""
        ...


class Home(Protocol):
    """The account whose conversations these are."""

    @property
    def id(self) -> str: ...
    @property
    def uri(self) -> str: ...
    @property
    def device_id(self) -> str: ...
    @property
    def identity(self) -> Identity: ...
    @property
    def display_name(self) -> str: ...
    @property
    def data_path(self) -> Path: ...
    @property
    def cache_path(self) -> Path: ...
    @property
    def links(self) -> Links | None:
        """None while the account is offline."""
        ...

    @property
    def generations(self) -> Set[Generation]:
        """Those of whose peers are spoken to."""
        ...

    def flag(self, detail: str) -> bool:
        """A detail of the account that is true or false."""
        ...

    def now_ms(self) -> int:
        """Milliseconds since 1970."""
        ...

    # -- peers --

    async def devices_of(self, uri: str) -> list[Certificate]:
        """The devices of an account, as its announcements tell now."""
        ...

    async def certificate_of(self, device_id: str) -> Certificate | None: ...

    def is_contact(self, uri: str) -> bool: ...
    def is_banned(self, uri: str) -> bool: ...
    def contact_conversation(self, uri: str) -> str:
        """The id of the conversation with a contact, "" without one."""
        ...

    async def set_contact_conversation(self, uri: str, conversation: str) -> None: ...
    async def contact_accepted(self, uri: str, conversation: str) -> None:
        """The trust request of URI was accepted through its conversation."""
        ...

    async def contact_declined(self, uri: str, conversation: str) -> None:
        """The trust request of URI was declined through its conversation."""
        ...

    async def contact_declined_elsewhere(self, uri: str, conversation: str, declined: int) -> None:
        """Another device of ours declined the trust request of URI, at DECLINED (milliseconds since 1970)."""
        ...

    # -- messages outside git --

    async def send(self, uri: str, mime: str, text: str, *, only_connected: bool = False) -> int:
        """Sends to every device of an account, retried until one has it unless ONLY_CONNECTED; the token, 0 when it cannot be sent."""
        ...

    async def send_to_device(self, device: Certificate, mime: str, text: str, *, only_connected: bool = False) -> bool:
        """Sends to one device once, over whatever channel its generation uses; whether it took it."""
        ...

    async def leave_on_dht(self, device: Certificate, mime: str, text: str) -> None:
        """Leaves a message where a device of the older generation finds it."""
        ...

    # -- own devices --

    async def sync(self, parts: Mapping[str, Mapping[str, Any]]) -> None:
        """Tells our other devices; PARTS has some of conversations, requests, preferences, status."""
        ...

    def profile_path(self, uri: str) -> Path:
        """Where the vCard of URI (or our own) is kept."""
        ...

    async def own_profile_received(self, vcard: bytes, modified: int) -> None:
        """Another own device has our vCard so since MODIFIED, in unix seconds, 0 when it did not tell."""
        ...


Publish = Callable[[object], None]
