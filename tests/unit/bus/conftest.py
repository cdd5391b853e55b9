from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.private_bus import PrivateBus


@pytest.fixture(scope="module")
def bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a private bus."""
    directory: Path = tmp_path_factory.mktemp("bus")
    with PrivateBus(directory) as private:
        yield private.address
