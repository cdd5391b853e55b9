"""Every cap on what a peer, a caller or a file can make us hold, by room, each with its reason.

Exceeding one is a `RemoteError` that ends the smallest thing it can: a packet, a channel, a fetch; never the daemon.
"""

from __future__ import annotations

from typing import Final

# -- files ----------------------------------------------------------------------------------------------------------------
STATE_FILE_BYTES: Final = 16 * 1024 * 1024
"""A configuration or state file; real ones are a few KiB."""

# -- crypto ---------------------------------------------------------------------------------------------------------------
CERTIFICATE_CHAIN_BYTES: Final = 64 * 1024
"""A packed chain; three RSA-4096 certificates are 5.7 KiB, a value on the DHT ends at 64 KiB."""
CERTIFICATE_CHAIN_LENGTH: Final = 8
"""Certificates in a chain; Jami's have three, managed accounts a few more."""
RSA_KEY_BITS_MIN: Final = 2048
"""Shorter keys are not accepted from anyone."""
RSA_KEY_BITS_MAX: Final = 8192
"""Longer keys only cost us time; Jami's have 4096 bits."""
INFLATED_ARCHIVE_BYTES: Final = 64 * 1024 * 1024
"""What an account archive may inflate to; a real one is 14 KiB plus contacts."""

# -- dht ----------------------------------------------------------------------------------------------------

# -- net ----------------------------------------------------------------------------------------------------

# -- sip ----------------------------------------------------------------------------------------------------

# -- media ----------------------------------------------------------------------------------------------------

# -- accounts ----------------------------------------------------------------------------------------------------

# -- swarm ----------------------------------------------------------------------------------------------------

# -- calls ----------------------------------------------------------------------------------------------------

# -- bus ----------------------------------------------------------------------------------------------------
