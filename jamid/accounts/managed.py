"""Accounts of a management server (JAMS): the server keeps the account key and certifies devices (protocol: identity, section 16)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jamid.core.errors import LocalError

if TYPE_CHECKING:
    from jamid.accounts.jami import JamiAccount
    from jamid.accounts.origin import Origin


async def create_managed(account: JamiAccount, origin: Origin) -> None:
    """Makes this installation a device of an account that lives at a server."""
    raise LocalError("accounts of management servers are not supported yet")
