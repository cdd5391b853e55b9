"""Registered names in an SQLite file: permanent, one name per address and one address per name."""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path

from jamid.core.errors import LocalError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS names (
    name TEXT PRIMARY KEY,
    address TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    public_key TEXT NOT NULL,
    signature TEXT NOT NULL,
    registered INTEGER NOT NULL
) WITHOUT ROWID
"""
_COLUMNS = "name, address, owner, public_key, signature, registered"


@dataclass(frozen=True, slots=True)
class Record:
    """A registered name."""

    name: str
    address: str
    """40 hex digits"""
    owner: str
    """the owner's Ethereum address, 40 hex digits"""
    public_key: str
    """base64 of a PEM public key"""
    signature: str
    """base64 of the signature over the name"""
    registered: int
    """seconds since 1970"""


class NameTaken(LocalError):  # noqa: N818 - an outcome rather than an error
    """The name is somebody's, or the address has another name."""


class NameStore:
    """The names of one server; safe to use from several threads. What `register` confirmed survives a crash."""

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=FULL")
            self._database.execute(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise LocalError(f"cannot open the names in {path}: {error}") from error
        self._lock = threading.Lock()

    def by_name(self, name: str) -> Record | None:
        """The record of NAME."""
        return self._one("name", name)

    def by_address(self, address: str) -> Record | None:
        """The record of ADDRESS."""
        return self._one("address", address)

    def register(self, record: Record) -> bool:
        """Keeps RECORD for good; False when the very same is there already. Raises NameTaken."""
        with self._lock:
            try:
                self._database.execute(
                    f"INSERT INTO names ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)",
                    (record.name, record.address, record.owner, record.public_key, record.signature, record.registered),
                )
            except sqlite3.IntegrityError:
                known = self._select("name", record.name)
                if known is not None and known.address == record.address:
                    return False
                raise NameTaken(f"{record.name} is taken, or {record.address} has a name") from None
            except sqlite3.Error as error:
                raise LocalError(f"cannot keep the name {record.name}: {error}") from error
        return True

    def count(self) -> int:
        """How many names there are."""
        with self._lock:
            return int(self._database.execute("SELECT COUNT(*) FROM names").fetchone()[0])

    def close(self) -> None:
        with self._lock:
            self._database.close()

    def _one(self, column: str, value: str) -> Record | None:
        with self._lock:
            return self._select(column, value)

    def _select(self, column: str, value: str) -> Record | None:
        try:
            row = self._database.execute(f"SELECT {_COLUMNS} FROM names WHERE {column} = ?", (value,)).fetchone()
        except sqlite3.Error as error:
            raise LocalError(f"cannot read the names: {error}") from error
        return None if row is None else Record(*row)
