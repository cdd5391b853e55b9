"""What every room is shown of an account."""

from __future__ import annotations

from jamid.accounts.jami import JamiAccount


class AccountView:
    """The names of a Jami account; each room's view adds what that room needs besides."""

    def __init__(self, account: JamiAccount) -> None:
        self._account = account

    @property
    def id(self) -> str:
        return self._account.id

    @property
    def uri(self) -> str:
        return self._account.uri

    @property
    def device_id(self) -> str:
        return self._account.device_id
