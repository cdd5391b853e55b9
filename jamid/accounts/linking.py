"""Linking a device peer to peer, as newer versions do (protocol: identity, section 14)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jamid.core.errors import LocalError

if TYPE_CHECKING:
    from jamid.accounts.jami import JamiAccount


async def import_from_device(account: JamiAccount) -> None:
    """Becomes a device of the account that another device sends."""
    raise LocalError("linking with another device is not supported yet")
