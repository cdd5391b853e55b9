"""Who a device is: its key and the chain of certificates that ties it to an account."""

from __future__ import annotations

import functools

from jamid.crypto.certificates import Certificate
from jamid.crypto.keys import PrivateKey


class Identity:
    """A device's private key with its certificate chain (device, account, CA)."""

    def __init__(self, key: PrivateKey, certificate: Certificate) -> None:
        self.key = key
        self.certificate = certificate

    @functools.cached_property
    def device_id(self) -> str:
        """The device id as users see it: 64 hex digits, the long id of the device key."""
        return self.certificate.long_id.hex()

    @functools.cached_property
    def short_device_id(self) -> str:
        """The legacy device id: 40 hex digits, the short id of the device key."""
        return self.certificate.id.hex()

    @functools.cached_property
    def account_uri(self) -> str:
        """The Jami id: 40 hex digits, the short id of the account key; "" when the chain has no account."""
        return self.certificate.account_uri

    def __repr__(self) -> str:
        return f"Identity(device={self.device_id[:16]}…, account={self.account_uri})"
