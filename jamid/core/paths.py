"""Where the daemon keeps its files: the real daemon's layout below the XDG directories (protocol: identity, section 5.1)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Paths:
    """The directories of one daemon."""

    config: Path
    """`$XDG_CONFIG_HOME/jami`: dring.yml"""
    data: Path
    """`$XDG_DATA_HOME/jami`: a directory per account"""
    cache: Path
    """`$XDG_CACHE_HOME/jami`: what can be rebuilt"""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Paths:
        """The directories that ENVIRONMENT (default: the process's) names."""
        env = os.environ if environment is None else environment
        home = Path(env.get("HOME") or Path.home())

        def base(variable: str, default: str) -> Path:
            value = env.get(variable, "")
            return (Path(value) if value.startswith("/") else home / default) / "jami"

        return cls(base("XDG_CONFIG_HOME", ".config"), base("XDG_DATA_HOME", ".local/share"), base("XDG_CACHE_HOME", ".cache"))

    def account_data(self, account_id: str) -> Path:
        return self.data / account_id

    def account_cache(self, account_id: str) -> Path:
        """What can be rebuilt of an account; where the real daemon keeps it (beside `jami` when XDG_CACHE_HOME is set) once it did."""
        real = self.cache.parent / account_id
        return real if real.is_dir() else self.cache / account_id
