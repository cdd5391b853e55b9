"""JSON of others, so that whatever it holds can be written to files and buses again."""

from __future__ import annotations

import json
from typing import Any

from jamid.core.errors import RemoteError


def read_json(data: bytes | str) -> Any:
    """Parses JSON; raises RemoteError. Halves of surrogate pairs, which are no text, become question marks."""
    try:
        tree = json.loads(data)
        if (b"\\ud" in data.lower()) if isinstance(data, bytes) else ("\\ud" in data.lower()):
            tree = json.loads(json.dumps(tree, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        raise RemoteError(f"not JSON: {str(error)[:200]}") from None
    return tree
