"""The recorded conversations of both generations, as stores of objects."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jamid.swarm.ancestry import Node
from jamid.swarm.commits import Commit, parse_commit
from jamid.swarm.objects import COMMIT, MemoryStore, read_as
from jamid.swarm.packs import read_bundle, read_pack

DATA = Path(__file__).parents[2] / "data" / "swarm"
CONVERSATIONS = ("gen13/one_to_one", "gen13/group_merges", "gen13/group_votes", "gen17/one_to_one", "gen17/group")


def load(name: str, into: MemoryStore | None = None) -> tuple[MemoryStore, dict[str, str]]:
    store = into if into is not None else MemoryStore()
    references, pack = read_bundle((DATA / f"{name}.bundle").read_bytes())
    for item in read_pack(pack, store):
        store.objects[item.oid] = (item.kind, item.data)
    return store, references


def recorded(name: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((DATA / f"{name}.json").read_text())
    return result


def commit(store: MemoryStore, oid: str) -> Commit:
    return parse_commit(read_as(store, oid, COMMIT), oid)


def lookup(store: MemoryStore) -> Any:
    def find(oid: str) -> Node:
        found = commit(store, oid)
        return Node(found.parents, found.time)

    return find
