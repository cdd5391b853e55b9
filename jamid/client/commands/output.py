"""What commands print: aligned text for people, one JSON value per line for programs."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any


class Output:
    """Standard output in the chosen form; progress goes to standard error, and only to a terminal."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self._progress = False

    def one(self, value: Any, text: str) -> None:
        """One result: TEXT for people, VALUE for programs."""
        self._end_progress()
        print(json.dumps(_plain(value), ensure_ascii=False) if self.as_json else text, flush=True)

    def rows(self, values: Sequence[Any], columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """A table for people; VALUES, one JSON object per line, for programs."""
        if self.as_json:
            for value in values:
                self.one(value, "")
            return
        table = [list(columns), *([str(cell) for cell in row] for row in rows)]
        widths = [max(len(row[column]) for row in table) for column in range(len(columns))]
        for row in table if len(table) > 1 else []:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())

    def details(self, details: Mapping[str, str]) -> None:
        """A map: `KEY=VALUE` lines, or one JSON object."""
        self.one(details, "\n".join(f"{key}={value}" for key, value in sorted(details.items())))

    def progress(self, text: str) -> None:
        """How far long work is."""
        if sys.stderr.isatty():
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
            self._progress = True

    def note(self, text: str) -> None:
        """Something people may want to know, not part of the result."""
        self._end_progress()
        print(text, file=sys.stderr, flush=True)

    def _end_progress(self) -> None:
        if self._progress:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._progress = False


def clock(moment: datetime | None) -> str:
    """A time for people, in their own zone."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S") if moment else ""


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes | Path):
        return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return value
