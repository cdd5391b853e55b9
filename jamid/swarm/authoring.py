"""Commits of our own: who we are in a conversation, and the content and file changes of every kind of commit (sections 4 and 7)."""

from __future__ import annotations

import time as system_time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from jamid.core.errors import LocalError, RemoteError
from jamid.crypto.identity import Identity
from jamid.swarm.certificates import read_certificate_file
from jamid.swarm.commits import Commit, build_commit, parse_commit, sign_commit, write_message
from jamid.swarm.merge import Merger, merge_message
from jamid.swarm.objects import COMMIT, Entry, Tree, edit_tree
from jamid.swarm.repository import Repository
from jamid.swarm.rules import ONE_TO_ONE

Changes = dict[str, bytes | Entry | None]
_MEMBER_KINDS: Final = ("members", "admins", "invited")


@dataclass(frozen=True, slots=True)
class Author:
    """Who commits: a device of an account."""

    identity: Identity
    uri: str
    device: str
    name: Callable[[], str]
    """the display name of the moment"""
    now: Callable[[], float] = system_time.time

    @property
    def device_file(self) -> str:
        return f"devices/{self.device}.crt"

    def device_pem(self) -> bytes:
        return self.identity.certificate.to_pem(chain=False)

    def account_pem(self) -> bytes:
        account = self.identity.certificate.issuer
        if account is None:
            raise LocalError("the device certificate has no account: log in again")
        return account.to_pem()


def create(repository: Repository, author: Author, mode: int, invited: str = "") -> Commit:
    """The first commit of a conversation; the id of the commit is that of the conversation."""
    content: dict[str, Any] = {"mode": mode, "type": "initial"}
    changes: Changes = {f"admins/{author.uri}.crt": author.account_pem(), author.device_file: author.device_pem()}
    if mode == ONE_TO_ONE:
        content["invited"] = invited
        if invited != author.uri:
            changes[f"invited/{invited}"] = b""
    return _write(repository, author, edit_tree(repository, None, changes), (), write_message(content))


def commit(repository: Repository, author: Author, content: Mapping[str, Any], changes: Mapping[str, bytes | Entry | None] = {}) -> Commit:
    """Appends a commit with CONTENT and CHANGES; our device's certificate is added or renewed along with it."""
    head = repository.require_head()
    tree = repository.tree(head)
    wanted: Changes = {**_own_files(tree, author), **changes}
    oid = edit_tree(repository, tree.oid, wanted) if wanted else tree.oid
    return _write(repository, author, oid, (head,), write_message(content))


def beside(repository: Repository, author: Author, after: int) -> Commit:
    """A commit dated later than AFTER that changes nothing and that no client shows: our head merged with its own parent."""
    ours = repository.require_head()
    dated = replace(author, now=lambda: max(author.now(), after + 1))
    return _write(repository, dated, repository.tree_of(ours), (ours, *repository.commit(ours).parents[:1]), merge_message(ours))


def is_beside(commit: Commit) -> bool:
    """Whether somebody of ours made COMMIT with `beside`: real merges name their second parent."""
    return len(commit.parents) == 2 and commit.message == merge_message(commit.parents[0])


def merge(repository: Repository, author: Author, theirs: str) -> Commit:
    """Joins THEIRS with our head; raises RemoteError when they conflict."""
    ours = repository.require_head()
    if author.device_file not in repository.tree(ours):
        raise RemoteError("our device has no certificate in the conversation yet and so cannot merge")
    return _write(repository, author, merged_tree(repository, theirs), (ours, theirs), merge_message(theirs))


def merged_tree(repository: Repository, theirs: str) -> str:
    """The tree of a merge of our head with THEIRS; raises RemoteError when they conflict."""
    return Merger(repository, repository.node, repository.tree_of).merge(repository.require_head(), theirs)


def _write(repository: Repository, author: Author, tree: str, parents: tuple[str, ...], message: bytes) -> Commit:
    # Peers refuse what is dated before its device existed, as all is for whose clock was set back.
    time = int(max(author.now(), author.identity.certificate.not_before.timestamp()))
    unsigned = build_commit(tree=tree, parents=parents, name=author.name(), device=author.device, time=time, message=message)
    raw = sign_commit(unsigned, author.identity.key)
    oid = repository.write(COMMIT, raw)
    repository.set_head(oid)
    return parse_commit(raw, oid)


def _own_files(tree: Tree, author: Author) -> Changes:
    """Our certificates as far as they are missing, or expired where we have newer ones."""
    changes: Changes = {}
    now = author.now()
    known = read_certificate_file(tree, author.device_file)
    if known is None or (known.valid_until < now and author.identity.certificate.not_after.timestamp() > now):
        changes[author.device_file] = author.device_pem()
    account = author.identity.certificate.issuer
    for directory in ("members", "admins"):
        path = f"{directory}/{author.uri}.crt"
        known = read_certificate_file(tree, path)
        if known is not None and account is not None and known.valid_until < now < account.not_after.timestamp():
            changes[path] = author.account_pem()
    return changes


# -- membership: content and changes of each action -------------------------------------------------------------------------


def invitation(uri: str) -> tuple[dict[str, Any], Changes]:
    return {"action": "add", "type": "member", "uri": uri}, {f"invited/{uri}": b""}


def joining(author: Author) -> tuple[dict[str, Any], Changes]:
    changes: Changes = {f"invited/{author.uri}": None, f"members/{author.uri}.crt": author.account_pem()}
    return {"action": "join", "type": "member", "uri": author.uri}, changes


def leaving(tree: Tree, author: Author) -> tuple[dict[str, Any], Changes]:
    """Our member file and those of all our devices go."""
    changes: Changes = {}
    for path in (f"members/{author.uri}.crt", f"admins/{author.uri}.crt", f"invited/{author.uri}"):
        if path in tree:
            changes[path] = None
    for name in tree.names("devices"):
        certificate = read_certificate_file(tree, f"devices/{name}")
        if certificate is not None and certificate.issuer_uid == author.uri:
            changes[f"devices/{name}"] = None
    return {"action": "remove", "type": "member", "uri": author.uri}, changes


def vote(author: Author, action: str, kind: str, target: str) -> tuple[dict[str, Any], Changes]:
    return {"type": "vote", "uri": target}, {f"votes/{action}/{kind}/{target}/{author.uri}": b""}


def resolution(tree: Tree, action: str, kind: str, target: str) -> tuple[dict[str, Any], Changes] | None:
    """The ban or its end when enough administrators voted, None otherwise."""
    votes = tree.names(f"votes/{action}/{kind}/{target}")
    admins = {name.removesuffix(".crt") for name in tree.names("admins")}
    if not admins or 2 * len(admins.intersection(votes)) < len(admins):
        return None
    changes: Changes = {f"votes/{action}/{kind}/{target}/{voter}": None for voter in votes}
    name = target if kind == "invited" else f"{target}.crt"
    place, banned = f"{kind}/{name}", f"banned/{kind}/{name}"
    source, destination = (place, banned) if action == "ban" else (banned, place)
    entry = tree.entry(source)
    if entry is None:
        return None
    changes[source] = None
    changes[destination] = entry
    return {"action": action, "type": "member", "uri": target}, changes


def kind_of(tree: Tree, uri: str, *, banned: bool = False) -> str | None:
    """Under which directory URI stands: members, admins, invited or devices; None when nowhere."""
    prefix = "banned/" if banned else ""
    for kind in (*_MEMBER_KINDS, "devices"):
        if f"{prefix}{kind}/{uri}" + ("" if kind == "invited" else ".crt") in tree:
            return kind
    return None
