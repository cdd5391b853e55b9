"""What accounts of both types have in common: id, details, state, and the signals that follow from a change of state."""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Mapping

from jamid.accounts.config_file import StoredConfig
from jamid.accounts.details import AccountDetails
from jamid.core.events import Events
from jamid.core.signals import RegistrationStateChanged, VolatileAccountDetailsChanged


class State(enum.StrEnum):
    """Registration states as they are called on D-Bus (protocol: identity, section 7)."""

    UNREGISTERED = "UNREGISTERED"
    TRYING = "TRYING"
    REGISTERED = "REGISTERED"
    ERROR_GENERIC = "ERROR_GENERIC"
    ERROR_AUTH = "ERROR_AUTH"
    ERROR_NETWORK = "ERROR_NETWORK"
    ERROR_HOST = "ERROR_HOST"
    ERROR_SERVICE_UNAVAILABLE = "ERROR_SERVICE_UNAVAILABLE"
    ERROR_NEED_MIGRATION = "ERROR_NEED_MIGRATION"
    INITIALIZING = "INITIALIZING"


class Account(ABC):
    """One account: its configuration and where it stands."""

    def __init__(self, account_id: str, config: StoredConfig, events: Events) -> None:
        self.id = account_id
        self.config = config
        self.events = events
        self.state = State.UNREGISTERED
        self.state_code = 0
        self.state_text = ""
        self.active = True
        """switched off until the next start by setAccountActive; not saved"""

    @property
    def details(self) -> AccountDetails:
        """The configuration, by D-Bus key."""
        return self.config.details

    @property
    def type(self) -> str:
        """RING or SIP."""
        return self.details.type

    @property
    def enabled(self) -> bool:
        """Whether the account should be registered: enabled by its configuration and not switched off for now."""
        return self.active and self.details.flag("Account.enable")

    @property
    def display_name(self) -> str:
        return self.details["Account.displayName"]

    def told_details(self) -> dict[str, str]:
        """What getAccountDetails answers."""
        return self.details.as_given()

    def volatile_details(self) -> dict[str, str]:
        """What getVolatileAccountDetails answers."""
        return {
            "Account.active": "true" if self.active else "false",
            "Account.registrationStatus": self.state.value,
            "IM.offCall": "true",
            "Transport.statusCode": "100",
            "Transport.statusDescription": "",
        }

    def set_state(self, state: State, code: int = 0, text: str = "") -> None:
        """Enters STATE and publishes the pair of signals that a change brings; nothing when nothing changes."""
        if (state, code, text) == (self.state, self.state_code, self.state_text):
            return
        self.state, self.state_code, self.state_text = state, code, text
        self.events.publish(RegistrationStateChanged(self.id, state.value, code, text))
        self.publish_volatile()

    def publish_volatile(self) -> None:
        """Publishes volatileAccountDetailsChanged with a snapshot of now."""
        self.events.publish(VolatileAccountDetailsChanged(self.id, self.volatile_details()))

    @abstractmethod
    async def register(self) -> None:
        """Goes online, if enabled; returns when registering has begun."""

    @abstractmethod
    async def unregister(self) -> None:
        """Goes offline."""

    @abstractmethod
    async def save(self) -> None:
        """Writes the configuration."""

    @abstractmethod
    async def close(self) -> None:
        """Ends everything the account does, without a signal."""

    async def apply_details(self, values: Mapping[str, str]) -> bool:
        """Takes over details and saves them; whether anything changed."""
        if not self.details.update(values):
            return False
        await self.save()
        return True
