"""Queries: which values of a key, and which of their fields (protocol: opendht, section 12)."""

from __future__ import annotations

import enum
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from jamid.core import limits
from jamid.core.errors import LocalError, RemoteError
from jamid.core.identifiers import InfoHash
from jamid.dht.packing import array_header, as_text, as_uint, pack_bin, pack_str, pack_uint
from jamid.dht.values import WireValue


class Field(enum.IntEnum):
    """What a query can select and filter on."""

    ID = 1
    TYPE = 2
    OWNER = 3
    SEQ = 4
    USER_TYPE = 5


_BITS = {Field.ID: 64, Field.TYPE: 16, Field.SEQ: 16}
_NAMES = {
    "id": Field.ID,
    "value_type": Field.TYPE,
    "owner_pk": Field.OWNER,
    "seq": Field.SEQ,
    "user_type": Field.USER_TYPE,
}

FieldValue = int | bytes | str
"""Numbers for id, type and seq, a short key id for the owner, text for the user type."""


@dataclass(frozen=True, slots=True)
class Query:
    """Filters that must all match, and the fields wanted (none = whole values). `str()` is a query's text form."""

    select: tuple[Field, ...] = ()
    where: tuple[tuple[Field, FieldValue], ...] = ()

    def matches(self, value: WireValue) -> bool:
        """Whether VALUE passes every filter."""
        return all(field_of(value, field) == wanted for field, wanted in self.where)

    def pack(self) -> bytes:
        """The map `{s, w}`."""
        parts = [b"\x82\xa1s", array_header(len(self.select)), bytes(self.select), b"\xa1w", array_header(len(self.where))]
        for field, wanted in self.where:
            parts.append(b"\x82\xa1f" + bytes((field,)) + b"\xa1v")
            if isinstance(wanted, int):
                parts.append(pack_uint(wanted))
            else:
                parts.append(pack_bin(wanted.encode("utf-8", "surrogateescape") if isinstance(wanted, str) else wanted))
        return b"".join(parts)

    def __str__(self) -> str:
        by_number = {number: name for name, number in _NAMES.items()}
        text = "SELECT " + (",".join(by_number[field] for field in self.select) or "*")
        if self.where:
            text += " WHERE " + ",".join(
                f"{by_number[field]}={wanted.hex() if isinstance(wanted, bytes) else wanted}" for field, wanted in self.where
            )
        return text


IDS_AND_SEQUENCES = Query(select=(Field.ID, Field.SEQ))
"""What a permanent put asks a node for before it announces again."""


def by_id(value_id: int) -> Query:
    """The value with this id."""
    return Query(where=((Field.ID, value_id),))


def read_query(raw: object) -> Query:
    """A query from its unpacked map; raises RemoteError."""
    if not isinstance(raw, dict):
        raise RemoteError("a query is a map")
    select, where = raw.get("s", []), raw.get("w", [])
    if not isinstance(select, list) or not isinstance(where, list):
        raise RemoteError("a query's parts are arrays")
    if len(select) > limits.DHT_QUERY_FILTERS or len(where) > limits.DHT_QUERY_FILTERS:
        raise RemoteError("a query with too many parts")
    return Query(tuple(_read_field(number) for number in select), tuple(_read_filter(one) for one in where))


def parse_query(text: str) -> Query:
    """A query from `[SELECT a,b] [WHERE a=1,b=2]`; raises LocalError."""
    match = re.fullmatch(r"\s*(?:select\s+(?P<select>\S+))?\s*(?:where\s+(?P<where>.+))?\s*", text, re.IGNORECASE)
    if match is None:
        raise LocalError(f"not a query: {text!r}; write [SELECT field,…] [WHERE field=value,…]")
    select = match["select"] or "*"
    fields = () if select == "*" else tuple(_field_named(name) for name in select.split(","))
    where = tuple(_parse_filter(one) for one in match["where"].split(",")) if match["where"] else ()
    return Query(fields, where)


def field_of(value: WireValue, field: Field) -> FieldValue:
    """FIELD of VALUE, in the form that filters compare."""
    if field is Field.ID:
        return value.id
    if field is Field.TYPE:
        return value.type
    if field is Field.SEQ:
        return value.seq
    if field is Field.USER_TYPE:
        return value.user_type
    return hashlib.sha1(value.owner, usedforsecurity=False).digest() if value.owner else bytes(20)


def pack_fields(values: Iterable[WireValue], select: tuple[Field, ...]) -> bytes:
    """The map `{f, v}`: the selected fields of each value, flat, in ascending order of field."""
    fields = sorted(set(select))
    entries: list[bytes] = []
    for value in values:
        for field in fields:
            if field is Field.OWNER:  # the real node sends 20 zero bytes or the whole key here, which no reader of it understands
                entries.append(pack_bin(value.owner or bytes(20)))
            elif field is Field.USER_TYPE:
                entries.append(pack_str(value.user_type))
            else:
                number = field_of(value, field)
                assert isinstance(number, int)
                entries.append(pack_uint(number))
    head = b"\x82\xa1f" + array_header(len(fields)) + bytes(fields) + b"\xa1v" + array_header(len(entries))
    return head + b"".join(entries)


def read_fields(raw: object) -> tuple[dict[Field, FieldValue], ...]:
    """The rows of an unpacked `{f, v}` map; raises RemoteError."""
    if not isinstance(raw, dict) or not isinstance(raw.get("f"), list) or not isinstance(raw.get("v"), list):
        raise RemoteError("fields are a map with f and v")
    fields = [_read_field(number) for number in raw["f"]]
    flat = raw["v"]
    if not fields or len(fields) > limits.DHT_QUERY_FILTERS or len(flat) % len(fields) or len(flat) > 8 * limits.DHT_VALUES_PER_KEY:
        raise RemoteError("fields and their values do not fit together")
    width = len(fields)
    return tuple(
        {field: _read_field_value(field, flat[start + offset]) for offset, field in enumerate(fields)}
        for start in range(0, len(flat), width)
    )


def _read_field(number: object) -> Field:
    if type(number) is not int or not 1 <= number <= 5:
        raise RemoteError("a query for an unknown field")
    return Field(number)


def _read_field_value(field: Field, raw: object) -> FieldValue:
    if field in _BITS:
        return as_uint(raw, _BITS[field], field.name)
    if field is Field.USER_TYPE:
        return as_text(raw, limits.DHT_TEXT_BYTES, "a user type")
    if type(raw) is not bytes:
        raise RemoteError("an owner is not bin")
    return raw


def _read_filter(raw: object) -> tuple[Field, FieldValue]:
    if not isinstance(raw, dict) or "f" not in raw or "v" not in raw:
        raise RemoteError("a filter is a map with f and v")
    field = _read_field(raw["f"])
    return field, _read_field_value(field, raw["v"])


def _field_named(name: str) -> Field:
    field = _NAMES.get(name.strip().lower())
    if field is None:
        raise LocalError(f"there is no field {name.strip()!r}; there are {', '.join(_NAMES)}")
    return field


def _parse_filter(text: str) -> tuple[Field, FieldValue]:
    name, equals, wanted = text.partition("=")
    field = _field_named(name)
    if not equals:
        raise LocalError(f"a filter is field=value, not {text!r}")
    wanted = wanted.strip().strip('"')
    try:
        if field in _BITS:
            return field, as_uint(int(wanted), _BITS[field], name)
        return field, bytes(InfoHash.from_hex(wanted)) if field is Field.OWNER else wanted
    except (ValueError, RemoteError):
        raise LocalError(f"{wanted!r} is not a value of {name.strip()}") from None
