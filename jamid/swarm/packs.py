"""Packs of git objects: read with caps, written, and indexed (git's pack format, version 2)."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from jamid.core import limits
from jamid.core.errors import LimitError, RemoteError
from jamid.swarm.objects import TREE, TYPE_NAMES, ObjectSource, object_id, parse_tree, read_as

_OFS_DELTA: Final = 6
_REF_DELTA: Final = 7
_LEVEL: Final = 1


@dataclass(frozen=True, slots=True)
class PackedObject:
    """An object of a pack, whole, and where it lies in it."""

    oid: str
    kind: int
    data: bytes
    offset: int
    crc: int


@dataclass(slots=True)
class _Raw:
    kind: int
    data: bytes
    offset: int
    crc: int
    base: int | str
    """offset or id of what a delta builds upon"""


def read_pack(pack: bytes, below: ObjectSource | None = None) -> list[PackedObject]:
    """All objects of PACK, deltas resolved (against objects of BELOW too); raises RemoteError, LimitError when it is too much."""
    if len(pack) > limits.PACK_BYTES:
        raise LimitError(f"a pack of {len(pack)} bytes is larger than {limits.PACK_BYTES}")
    if len(pack) < 32 or pack[:4] != b"PACK":
        raise RemoteError("what was fetched is not a pack")
    version, count = struct.unpack_from(">II", pack, 4)
    if version not in (2, 3):
        raise RemoteError(f"pack of version {version}")
    if count > limits.PACK_OBJECTS:
        raise LimitError(f"a pack claims {count} objects, more than {limits.PACK_OBJECTS}")
    if hashlib.sha1(memoryview(pack)[:-20], usedforsecurity=False).digest() != pack[-20:]:
        raise RemoteError("the pack's checksum is wrong")
    return _Resolver(_raw_objects(pack, count), below).resolve()


def _raw_objects(pack: bytes, count: int) -> list[_Raw]:
    raws: list[_Raw] = []
    position, end, inflated = 12, len(pack) - 20, 0
    view = memoryview(pack)
    for _ in range(count):
        start = position
        if position >= end:
            raise RemoteError("the pack is cut short")
        byte = pack[position]
        position += 1
        kind, size, shift = byte >> 4 & 7, byte & 15, 4
        while byte & 0x80:
            if position >= end or shift > 60:
                raise RemoteError("malformed object header in a pack")
            byte = pack[position]
            position += 1
            size |= (byte & 0x7F) << shift
            shift += 7
        if size > limits.PACK_OBJECT_BYTES:
            raise LimitError(f"an object of {size} bytes is larger than {limits.PACK_OBJECT_BYTES}")
        inflated += size
        if inflated > limits.PACK_INFLATED_BYTES:
            raise LimitError(f"a pack inflates to more than {limits.PACK_INFLATED_BYTES} bytes")
        base: int | str = 0
        if kind == _OFS_DELTA:
            distance, position = _read_distance(pack, position, end)
            base = start - distance
            if distance <= 0 or base < 12:
                raise RemoteError("a delta refers outside of its pack")
        elif kind == _REF_DELTA:
            base = pack[position : position + 20].hex()
            position += 20
        elif kind not in TYPE_NAMES:
            raise RemoteError(f"object of unknown type {kind} in a pack")
        data, used = _inflate(view[position:end], size)
        position += used
        raws.append(_Raw(kind, data, start, zlib.crc32(view[start:position]), base))
    if position != end:
        raise RemoteError("there is something behind the last object of the pack")
    return raws


def _read_distance(pack: bytes, position: int, end: int) -> tuple[int, int]:
    distance = -1
    for _ in range(10):
        if position >= end:
            break
        byte = pack[position]
        position += 1
        distance = (distance + 1) << 7 | byte & 0x7F
        if not byte & 0x80:
            return distance, position
    raise RemoteError("malformed delta header in a pack")


def _inflate(data: memoryview, size: int) -> tuple[bytes, int]:
    inflater = zlib.decompressobj()
    # Small objects need a small window of input: decompressing from all that follows would copy the rest of the pack each time.
    window = min(len(data), size + 1024)
    try:
        out = inflater.decompress(data[:window], size + 1)
        while not inflater.eof and window < len(data) and len(out) <= size:
            more = min(len(data), window * 2)
            out += inflater.decompress(inflater.unconsumed_tail + bytes(data[window:more]), size + 1 - len(out))
            window = more
        if not inflater.eof and len(out) == size:
            out += inflater.decompress(inflater.unconsumed_tail, 1)
    except zlib.error as error:
        raise RemoteError(f"damaged object in a pack: {error}") from None
    if len(out) != size or not inflater.eof:
        raise RemoteError("an object of a pack is not as long as it claims")
    return out, window - len(inflater.unused_data)


class _Resolver:
    """Turns deltas into whole objects, bases first, however they are ordered."""

    def __init__(self, raws: list[_Raw], below: ObjectSource | None) -> None:
        self._raws = raws
        self._below = below
        self._done: dict[int, tuple[int, bytes, str]] = {}
        self._offset_by_id: dict[str, int] = {}
        self._total = 0

    def resolve(self) -> list[PackedObject]:
        waiting = []
        for raw in self._raws:
            if raw.kind in TYPE_NAMES:
                self._finish(raw, raw.kind, raw.data)
            else:
                waiting.append(raw)
        # Each pass settles the deltas whose base is there: usually all in one, never more passes than a chain is long.
        for _ in range(limits.DELTA_DEPTH):
            if not waiting:
                break
            waiting = [raw for raw in waiting if not self._apply(raw)]
        if waiting:
            raise LimitError(f"deltas that refer to nothing, to each other, or in chains of more than {limits.DELTA_DEPTH}")
        return [PackedObject(oid, kind, data, raw.offset, raw.crc) for raw in self._raws for kind, data, oid in (self._done[raw.offset],)]

    def _apply(self, raw: _Raw) -> bool:
        if isinstance(raw.base, int):
            found = self._done.get(raw.base)
            base = found[:2] if found is not None else None
        elif raw.base in self._offset_by_id:
            base = self._done[self._offset_by_id[raw.base]][:2]
        else:
            base = self._below.read(raw.base) if self._below is not None and raw.base in self._below else None
        if base is None:
            return False
        self._finish(raw, base[0], apply_delta(base[1], raw.data))
        return True

    def _finish(self, raw: _Raw, kind: int, data: bytes) -> None:
        self._total += len(data)
        if self._total > limits.PACK_INFLATED_BYTES:
            raise LimitError(f"a pack inflates to more than {limits.PACK_INFLATED_BYTES} bytes")
        oid = object_id(kind, data)
        self._done[raw.offset] = (kind, data, oid)
        self._offset_by_id.setdefault(oid, raw.offset)


def apply_delta(base: bytes, delta: bytes) -> bytes:
    """BASE changed as DELTA says; raises RemoteError."""
    source, position = _read_size(delta, 0)
    target, position = _read_size(delta, position)
    if source != len(base):
        raise RemoteError("a delta does not fit its base")
    if target > limits.PACK_OBJECT_BYTES:
        raise LimitError(f"a delta makes {target} bytes, more than {limits.PACK_OBJECT_BYTES}")
    out = bytearray()
    try:
        while position < len(delta):
            code = delta[position]
            position += 1
            if code & 0x80:
                offset = size = 0
                for index in range(4):
                    if code >> index & 1:
                        offset |= delta[position] << 8 * index
                        position += 1
                for index in range(3):
                    if code >> 4 + index & 1:
                        size |= delta[position] << 8 * index
                        position += 1
                size = size or 0x10000
                if offset + size > len(base):
                    raise RemoteError("a delta copies from outside of its base")
                out += base[offset : offset + size]
            elif code:
                out += delta[position : position + code]
                position += code
            else:
                raise RemoteError("a delta with a reserved instruction")
            if len(out) > target:
                raise RemoteError("a delta makes more than it claims")
    except IndexError:
        raise RemoteError("a delta is cut short") from None
    if len(out) != target:
        raise RemoteError("a delta makes less than it claims")
    return bytes(out)


def _read_size(delta: bytes, position: int) -> tuple[int, int]:
    size = shift = 0
    while position < len(delta) and shift <= 60:
        byte = delta[position]
        position += 1
        size |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return size, position
        shift += 7
    raise RemoteError("a delta without sizes")


def write_pack(objects: ObjectSource, oids: list[str]) -> Iterator[bytes]:
    """The pack of OIDS in pieces, without deltas: messages are unlike each other and certificates are random."""
    digest = hashlib.sha1(usedforsecurity=False)
    piece = b"PACK" + struct.pack(">II", 2, len(oids))
    for oid in oids:
        kind, data = objects.read(oid)
        piece += _object_header(kind, len(data)) + zlib.compress(data, _LEVEL)
        if len(piece) > 32 * 1024:
            digest.update(piece)
            yield piece
            piece = b""
    digest.update(piece)
    yield piece + digest.digest()


def _object_header(kind: int, size: int) -> bytes:
    byte = kind << 4 | size & 15
    size >>= 4
    header = bytearray()
    while size:
        header.append(byte | 0x80)
        byte = size & 0x7F
        size >>= 7
    header.append(byte)
    return bytes(header)


def objects_of(objects: ObjectSource, commits: Iterable[tuple[str, str]], known_trees: Iterable[str]) -> list[str]:
    """Ids of everything that COMMITS (id, tree) need and that is not in KNOWN_TREES: commits, then trees and files."""
    seen: set[str] = set()
    for tree in known_trees:
        _collect(objects, tree, seen, None)
    oids: list[str] = []
    trees: list[str] = []
    for oid, tree in commits:
        oids.append(oid)
        _collect(objects, tree, seen, trees)
    return oids + trees


def _collect(objects: ObjectSource, tree: str, seen: set[str], into: list[str] | None) -> None:
    if tree in seen:
        return
    seen.add(tree)
    if into is not None:
        into.append(tree)
    for entry in parse_tree(read_as(objects, tree, TREE)).values():
        if entry.is_directory:
            _collect(objects, entry.oid, seen, into)
        elif entry.oid not in seen:
            seen.add(entry.oid)
            if into is not None:
                into.append(entry.oid)


def write_index(pack: bytes, objects: Iterable[PackedObject]) -> bytes:
    """The `.idx` file (version 2) that belongs to PACK."""
    ordered = sorted({item.oid: item for item in objects}.values(), key=lambda item: item.oid)
    fanout, count = [], 0
    for first in range(256):
        while count < len(ordered) and int(ordered[count].oid[:2], 16) <= first:
            count += 1
        fanout.append(count)
    out = b"".join(
        (
            b"\xfftOc" + struct.pack(">I", 2) + struct.pack(">256I", *fanout),
            b"".join(bytes.fromhex(item.oid) for item in ordered),
            struct.pack(f">{len(ordered)}I", *(item.crc for item in ordered)),
            struct.pack(f">{len(ordered)}I", *(item.offset for item in ordered)),
            pack[-20:],
        )
    )
    return out + hashlib.sha1(out, usedforsecurity=False).digest()


def read_bundle(bundle: bytes) -> tuple[dict[str, str], bytes]:
    """References and pack of a git bundle file, the form in which repositories travel outside of channels; raises RemoteError."""
    head, separator, pack = bundle.partition(b"\n\nPACK")
    lines = head.split(b"\n")
    if not separator or lines[0] not in (b"# v2 git bundle", b"# v3 git bundle"):
        raise RemoteError("not a git bundle")
    references = {}
    for line in lines[1:]:
        if line.startswith((b"-", b"@")):
            continue
        oid, _, name = line.partition(b" ")
        references[name.decode(errors="replace")] = oid.decode(errors="replace")
    return references, b"PACK" + pack
