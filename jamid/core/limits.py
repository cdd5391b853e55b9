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
REVOCATION_LIST_BYTES: Final = 256 * 1024
"""A revocation list; an entry is about 30 bytes."""
INFLATED_ARCHIVE_BYTES: Final = 64 * 1024 * 1024
"""What an account archive may inflate to; a real one is 14 KiB plus contacts."""

# -- dht ----------------------------------------------------------------------------------------------------

# -- net ----------------------------------------------------------------------------------------------------

# -- sip ----------------------------------------------------------------------------------------------------
SIP_HEAD_BYTES: Final = 32 * 1024
"""Start line and headers of one message; real ones are under 2 KiB."""
SIP_HEADERS: Final = 128
"""Header lines of one message; real ones have about 15."""
SIP_BODY_BYTES: Final = 256 * 1024
"""Body of one message; the reference never writes more than 8,000 bytes, a refused giant SDP still gets its 488."""
SIP_MESSAGE_BYTES_SENT: Final = 8000
"""What we write at most: the reference's packet limit, beyond which it drops the message."""
SIP_TRANSACTIONS_PER_EXCHANGE: Final = 512
"""Open server transactions of one peer; beyond it new requests are answered 503 without state."""
SIP_SESSIONS_PER_EXCHANGE: Final = 32
"""Dialogs of one peer device; a person holds one or two calls, a conference host a few."""
SDP_LINES: Final = 4096
"""Lines of one session description; 16 streams with 31 candidates each are about 700."""
SDP_MEDIA: Final = 16
"""Media lines we follow; the reference has 32 ICE components, two for each."""

# -- media ----------------------------------------------------------------------------------------------------

# -- accounts ----------------------------------------------------------------------------------------------------

# -- swarm ----------------------------------------------------------------------------------------------------

# -- calls ----------------------------------------------------------------------------------------------------
CALLS_RINGING_PER_PEER: Final = 4
"""Calls of one peer account that may ring at once; further ones are answered 486 and never shown."""
CALLS_RINGING: Final = 32
"""Calls of all peers that may ring at once, so that a flood cannot bury the user's client."""
CALL_MESSAGE_BYTES: Final = 64 * 1024
"""Body of one in-call message; vCards come in parts of 1,000 bytes, conference infos have a few KiB."""
CALL_MESSAGE_PARTS: Final = 32
"""Parts of one multipart message."""
CALL_MESSAGES_QUEUED: Final = 64
"""Texts kept for a call that nobody has answered yet."""

# -- bus ----------------------------------------------------------------------------------------------------
