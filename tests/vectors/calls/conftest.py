"""The fixtures of `tests.support.calls.lab`."""

from tests.support.calls.lab import lab, settle

__all__ = ["lab", "settle"]
