"""Real repositories are accepted in full, the bad cases rejected with the right words; commits are rebuilt to the byte."""

from __future__ import annotations

import base64
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from swarm_bundles import CONVERSATIONS, DATA, commit, load, lookup, recorded

from jamid.core.errors import RemoteError
from jamid.crypto.keys import PrivateKey
from jamid.swarm.ancestry import linear, new_commits
from jamid.swarm.commits import build_commit, parse_message, sign_commit, write_message
from jamid.swarm.objects import COMMIT, changed_files, object_id
from jamid.swarm.rule_sets import OUR_RULES, RULES_13, RULES_17, RuleSet
from jamid.swarm.rules import Checker, RuleError

CASES = (("gen13/group_votes", "gen13/cases_group_votes"), ("gen13/one_to_one", "gen13/cases_one_to_one"), ("gen17/group", "gen17/cases"))


@pytest.mark.parametrize("name", CONVERSATIONS)
@pytest.mark.parametrize("rules", [RULES_13, RULES_17, OUR_RULES], ids=lambda rules: rules.name)
def test_real_conversations_are_accepted_in_full(name: str, rules: RuleSet) -> None:
    store, references = load(name)
    recording = recorded(f"{name}.commits")
    checker = Checker(store, recording["conversation"], rules)
    order = new_commits(None, references["refs/heads/main"], lookup(store))
    assert len(order) == len(recording["commits"])
    for oid in order:
        checker.check(commit(store, oid))
    assert checker.root is not None
    assert checker.root.mode == (0 if "one_to_one" in name else 2)


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_the_linear_order_is_that_of_the_real_daemon(name: str) -> None:
    store, references = load(name)
    assert list(linear(references["refs/heads/main"], lookup(store))) == [entry["id"] for entry in recorded(f"{name}.commits")["commits"]]


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_commits_are_read_and_rebuilt_to_the_byte(name: str) -> None:
    store, _ = load(name)
    generation = name.partition("/")[0]
    keys = {}
    for path in sorted((DATA / generation).glob("*_ring_device.key")):
        key = PrivateKey.from_pem(path.read_bytes())
        keys[key.public.long_id.hex()] = key
    signed_again = 0
    for entry in recorded(f"{name}.commits")["commits"]:
        parsed = commit(store, entry["id"])
        if "signed_payload_b64" in entry:
            assert parsed.signed == base64.b64decode(entry["signed_payload_b64"])
        assert (parsed.signature or b"").decode() == entry.get("signature_b64", entry.get("signature"))
        assert (parsed.device, parsed.time, list(parsed.parents)) == (entry["author_device"], entry["timestamp"], entry["parents"])
        unsigned = build_commit(
            tree=parsed.tree,
            parents=parsed.parents,
            name=parsed.author_name,
            device=parsed.device,
            time=parsed.time,
            message=parsed.message,
        )
        assert unsigned == parsed.signed
        if entry.get("json"):
            assert parse_message(parsed.message) == entry["json"]
            assert write_message(entry["json"]) == parsed.message
        if (key := keys.get(parsed.device)) is not None and parsed.is_signed_by(key.public):
            assert object_id(COMMIT, sign_commit(unsigned, key)) == parsed.id
            signed_again += 1
    assert signed_again > 5


def verdict(store: object, checker: Checker, base: str, tip: str) -> str:
    try:
        for oid in new_commits(base, tip, lookup(store)):
            checker.check(commit(store, oid))  # type: ignore[arg-type]
    except RuleError as error:
        return error.verdict
    except RemoteError as error:
        return f"malformed: {error}"
    return "accept"


def cases() -> list[tuple[str, str, str, str, str]]:
    found = []
    for base, name in CASES:
        for case, entry in recorded(name)["cases"].items():
            found.append((base, name, case, entry.get("old", ""), entry.get("real17") or entry["head"]))
    return found


@pytest.mark.parametrize(("base", "name", "case", "old", "new"), cases(), ids=lambda value: value if "/" not in value else "")
def test_hand_made_commits_get_the_verdict_of_both_generations(base: str, name: str, case: str, old: str, new: str) -> None:
    store, references = load(base)
    main = references["refs/heads/main"]
    load(name, store)
    tip = recorded(name)["cases"][case]["tip"]
    conversation = recorded(f"{base}.commits")["conversation"]
    if old:
        assert (verdict(store, Checker(store, conversation, RULES_13), main, tip) == "accept") == (old == "accept")
    found = verdict(store, Checker(store, conversation, RULES_17), main, tip)
    binary = "binary" in case
    if new.startswith("error 3: ") and not binary:
        assert found == new.removeprefix("error 3: ")
    else:
        # Binary files are a hole of 17 that we do not copy.
        assert (found == "accept") == (new == "accept" and not binary)
    assert (verdict(store, Checker(store, conversation, OUR_RULES), main, tip) == "accept") == (found == "accept")


def test_the_changed_files_are_those_recorded() -> None:
    store, _ = load("gen13/group_votes")
    for entry in recorded("gen13/group_votes.commits")["commits"]:
        parsed = commit(store, entry["id"])
        before = commit(store, parsed.parents[0]).tree if parsed.parents else None
        changes = changed_files(store, before, parsed.tree)
        recorded_changes = entry["changed_vs_first_parent"]
        paths = {line.split("\t")[-1].split(" ")[-1] if isinstance(line, str) else line[-1] for line in recorded_changes}
        assert set(changes) == paths
