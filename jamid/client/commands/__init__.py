"""The `jami` command: drives a daemon from a shell or a script."""

from __future__ import annotations

from jamid.client.commands.main import main

__all__ = ["main"]
