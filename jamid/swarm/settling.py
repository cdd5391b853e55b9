"""How a channel that only carries something to its end is ended, so that the real daemon notices."""

from __future__ import annotations

import asyncio
from typing import Final

from jamid.core.generations import Generation
from jamid.swarm.seams import ByteChannel

SETTLE_SECONDS: Final = 1.0


async def let_settle(channel: ByteChannel, opened: float) -> None:
    """Waits until the peer has closed CHANNEL or it is SETTLE_SECONDS old: 13.7 misses the end of one that ends as soon as it begins."""
    if channel.peer.generation is Generation.G17:
        return
    left = opened + SETTLE_SECONDS - asyncio.get_running_loop().time()
    if left > 0:
        try:
            async with asyncio.timeout(left):
                await channel.read()
        except TimeoutError:
            return
