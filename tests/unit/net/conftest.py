"""What several tests of connections begin with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.net.world import MemoryDht, Pair, make_account


@pytest.fixture
async def dht() -> MemoryDht:
    return MemoryDht()


@pytest.fixture
async def pair(dht: MemoryDht, tmp_path: Path) -> AsyncIterator[Pair]:
    a, b = await make_account("a", dht, tmp_path), await make_account("b", dht, tmp_path)
    yield a, b
    await a.connections.close()
    await b.connections.close()
