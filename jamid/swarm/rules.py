"""Who may commit what: one table row per type of commit, for both generations and for what we accept (protocol: swarm, section 5)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from jamid.core import limits
from jamid.core.errors import LimitError, RemoteError
from jamid.core.identifiers import is_account_uri
from jamid.swarm.ancestry import Node
from jamid.swarm.certificates import CertificateFile, read_certificate_file
from jamid.swarm.commits import Commit, parse_commit
from jamid.swarm.merge import undone_changes
from jamid.swarm.objects import COMMIT, ObjectSource, Tree, changed_files, read_as
from jamid.swarm.rule_sets import OUR_RULES, RuleSet

ONE_TO_ONE: Final = 0
ADMIN_INVITES_ONLY: Final = 1
INVITES_ONLY: Final = 2
PUBLIC: Final = 3

_BACKDATING_TOLERANCE: Final = 86_400
"""Seconds a device's clock may be behind the start of its own certificate."""
_VOTE = re.compile(r"votes/(ban|unban)/(members|devices|admins|invited)/(\w+)/(\w+)")
_DEVICE = re.compile(r"devices/(\w+)\.crt")
_BANNED = re.compile(r"banned/(?:(?:members|devices|admins)/(\w+)\.crt|invited/(\w+))")


class RuleError(RemoteError):
    """A commit that breaks a rule; `verdict` is the text that clients of the real daemon know, the message says why."""

    def __init__(self, commit: Commit, verdict: str, reason: str) -> None:
        super().__init__(f"commit {commit.id[:12]} of device {commit.device[:12]} breaks a rule: {reason}")
        self.commit = commit
        self.verdict = verdict
        self.reason = reason


@dataclass(slots=True)
class Root:
    """What the first commit fixes for ever."""

    mode: int
    members: tuple[str, ...]
    """the creator and, in a conversation of two, the invited one"""


@dataclass(slots=True)
class _Case:
    """One commit under examination."""

    commit: Commit
    content: Mapping[str, Any]
    old: Tree | None
    new: Tree
    changed: set[str]
    author_file: str = field(init=False)

    def __post_init__(self) -> None:
        self.author_file = f"devices/{self.commit.device}.crt"


class Checker:
    """Judges the commits of one conversation, parents before children."""

    def __init__(self, objects: ObjectSource, conversation: str, rules: RuleSet = OUR_RULES, root: Root | None = None) -> None:
        self.objects = objects
        self.conversation = conversation
        self.rules = rules
        self.root = root
        self._last_tree: Tree | None = None
        self._nodes: dict[str, Node] = {}
        """what was met on the way to where merged branches parted"""
        self._steps = 0

    def check(self, commit: Commit) -> str:
        """The kind of COMMIT (its type, `member/<action>` or `merge`); raises RuleError when it breaks a rule, RemoteError when it is
        malformed."""
        try:
            return self._check(commit)
        except RuleError:
            raise
        except RemoteError as error:
            raise RuleError(commit, "Malformed commit", str(error)) from error

    def _check(self, commit: Commit) -> str:
        if self.rules.signatures and commit.signature is None:
            raise RuleError(commit, "Malformed commit", "it has no signature")
        new = self._tree(commit.tree)
        if len(commit.parents) > 1:
            return self._merge(commit, new)
        content = commit.json()
        if not commit.parents:
            self._initial(commit, content, new)
            return "initial"
        parent = self._commit(commit.parents[0])
        old = self._tree(parent.tree)
        changed = set() if parent.tree == commit.tree else set(changed_files(self.objects, parent.tree, commit.tree))
        case = _Case(commit, content, old, new, changed)
        kind = content.get("type", "")
        if not isinstance(kind, str):
            kind = ""
        if self.rules.types and not kind:
            raise RuleError(commit, "Malformed commit (empty type)", "its message has no type")
        action = kind
        if kind == "member":
            action = f"member/{content.get('action', '')}"
        elif self.rules.edit_key and kind not in ("vote", "application/update-profile") and content.get("edit"):
            action = "application/edited-message"
        verdict, rule = _TABLE.get(action, _TABLE["member/"] if kind == "member" else _OTHERS)
        if kind == "member" and self.rules.types and not is_account_uri(_text(content, "uri")) and not self._bans_device(content):
            raise RuleError(commit, "Invalid member URI", f"{_text(content, 'uri')[:80]!r} is no member")
        try:
            rule(self, case)
        except RuleError:
            raise
        except RemoteError as error:
            raise RuleError(commit, verdict, str(error)) from error
        self._identity(commit, old if action == "member/remove" else new)
        return action if kind == "member" else kind

    def _bans_device(self, content: Mapping[str, Any]) -> bool:
        return False if self.rules.name == "17" else content.get("action") in ("ban", "unban") and len(_text(content, "uri")) == 64

    # -- what a commit needs whatever its type --

    def _identity(self, commit: Commit, tree: Tree) -> None:
        """The author is a member at that commit, its certificates are valid and, where demanded, it signed (section 5.3)."""
        device = self._certificate(tree, f"devices/{commit.device}.crt")
        if device is None:
            raise RuleError(commit, "Invalid user", "the device's certificate is not in the conversation")
        uri = device.issuer_uid
        account = self._certificate(tree, f"members/{uri}.crt") or self._certificate(tree, f"admins/{uri}.crt")
        if account is None:
            raise RuleError(commit, "Invalid user", f"the author {uri or '(unknown)'} is not a member")
        if account.account_id != uri:
            raise RuleError(commit, "Invalid user", f"the certificate in the name of {uri} is another's")
        if not device.valid_until >= commit.time <= account.valid_until:
            raise RuleError(commit, "Invalid user", "a certificate had expired when it was made")
        if self.rules.bound_certificates:
            if device.device_id != commit.device:
                raise RuleError(commit, "Invalid user", "the certificate in the name of the device is another's")
            if not device.is_signed_by(account):
                raise RuleError(commit, "Invalid user", f"the device's certificate is not signed by {uri}")
            if commit.time < device.valid_from - _BACKDATING_TOLERANCE:
                raise RuleError(commit, "Invalid user", "it is dated before its device existed")
        if self.rules.signatures and not commit.is_signed_by(device.public_key):
            raise RuleError(commit, "Invalid user", "the signature is not the device's")

    def _merge(self, commit: Commit, new: Tree) -> str:
        if self.rules.merges:
            if len(commit.parents) != 2:
                raise RuleError(commit, "Malformed merge commit", f"it has {len(commit.parents)} parents")
            first, second = (self._commit(parent).tree for parent in commit.parents)
            own = changed_files(self.objects, first, commit.tree).keys() & changed_files(self.objects, second, commit.tree).keys()
            if own:
                raise RuleError(commit, "Malformed merge commit", f"it changes {sorted(own)[0]} by itself")
        if self.rules.merge_bases:
            mine, yours = commit.parents
            if undone := undone_changes(self.objects, self._node, lambda oid: self._commit(oid).tree, (mine, yours), commit.tree):
                raise RuleError(commit, "Malformed merge commit", f"it undoes what one of the branches did to {undone[0]}")
        self._identity(commit, new)
        return "merge"

    def _initial(self, commit: Commit, content: Mapping[str, Any], new: Tree) -> None:
        """The first commit: mode, the creator's files, and in a conversation of two the invitation."""
        if self.rules.bound_certificates and commit.id != self.conversation:
            raise RuleError(commit, "Malformed commit", "a second beginning, of another conversation")
        mode = content.get("mode")
        if not isinstance(mode, int) or isinstance(mode, bool) or mode not in self.rules.modes:
            raise RuleError(commit, "Malformed commit", f"unknown mode {str(mode)[:20]!r}")
        author_file = f"devices/{commit.device}.crt"
        uri = self._user(commit, new)
        needed = {f"admins/{uri}.crt", author_file}
        allowed = needed | {f"CRLs/{uri}"}
        invited = _text(content, "invited")
        if mode == ONE_TO_ONE:
            allowed.add(f"invited/{invited}")
        changed = set(changed_files(self.objects, None, commit.tree))
        if not needed <= changed <= allowed:
            raise RuleError(commit, "Malformed commit", f"unexpected files {sorted(changed ^ needed)[:3]} in the first commit")
        for path in needed:
            self._check_certificate_file(None, new, path, uri)
        if self.rules.bound_certificates:
            self._identity(commit, new)
        self.root = Root(mode, (uri, invited) if mode == ONE_TO_ONE and invited else (uri,))

    # -- the rules per type --

    def _rule_vote(self, case: _Case) -> None:
        if not case.changed:
            return
        votes = [path for path in case.changed if path.startswith("votes/")]
        if len(votes) != 1 or not case.changed <= {case.author_file, votes[0]}:
            raise RemoteError(f"unexpected files {sorted(case.changed)[:3]} in a vote")
        uri = self._user(case.commit, case.new)
        old = _old(case)
        if f"admins/{uri}.crt" not in old:
            raise RemoteError("a vote of somebody who is no administrator")
        if case.author_file in case.changed and case.author_file in old:
            raise RemoteError("a vote that changes the device's file")
        match = _VOTE.fullmatch(votes[0])
        if match is None or match[4] != uri:
            raise RemoteError(f"malformed vote {votes[0]!r}")
        if votes[0] in old or case.new.blob(votes[0]) != b"":
            raise RemoteError("a vote must be a new and empty file")
        action, kind, target = match[1], match[2], match[3]
        if kind == "devices":
            if target == case.commit.device or f"devices/{target}.crt" not in old:
                raise RemoteError("a vote about its own or an unknown device")
        elif target == uri:
            raise RemoteError("a vote about its author")
        elif action == "ban" and not any(path in old for path in (f"members/{target}.crt", f"admins/{target}.crt", f"invited/{target}")):
            raise RemoteError("a vote about somebody who is not in the conversation")

    def _rule_add(self, case: _Case) -> None:
        target = _text(case.content, "uri")
        uri = self._user(case.commit, case.new)
        invitation = f"invited/{target}"
        root = self._known_root()
        if root.mode == ONE_TO_ONE and target not in root.members:
            raise RemoteError("a third member in a conversation of two")
        if target == uri or invitation not in case.changed or not case.changed <= {case.author_file, invitation, f"CRLs/{uri}"}:
            raise RemoteError(f"unexpected files {sorted(case.changed)[:3]} in an invitation")
        if case.new.blob(invitation) != b"":
            raise RemoteError("the invitation is missing or not empty")
        if f"banned/members/{target}.crt" in _old(case):
            raise RemoteError("the invited one is banned")

    def _rule_join(self, case: _Case) -> None:
        target = _text(case.content, "uri")
        invitation, member = f"invited/{target}", f"members/{target}.crt"
        old = _old(case)
        if not case.changed <= {invitation, member, case.author_file}:
            raise RemoteError(f"unexpected files {sorted(case.changed)[:3]} in a join")
        if invitation not in old or invitation in case.new:
            raise RemoteError("a join that does not consume an invitation")
        if member in old or member not in case.new or case.author_file not in case.new:
            raise RemoteError("a join without the member's and the device's file")
        if self.rules.join_for_oneself:
            joined = self._certificate(case.new, member)
            device = self._certificate(case.new, case.author_file)
            if joined is None or device is None or not joined.account_id == device.issuer_uid == target:
                raise RemoteError("a join for somebody else")

    def _rule_remove(self, case: _Case) -> None:
        target = _text(case.content, "uri")
        old = _old(case)
        own = {case.author_file, f"admins/{target}.crt", f"members/{target}.crt", f"CRLs/{target}", f"invited/{target}"}
        for path in case.changed - own:
            match = _DEVICE.fullmatch(path)
            device = self._certificate(old, path) if match else None
            if match is None or device is None or target not in (match[1], device.issuer_uid):
                raise RemoteError(f"unexpected file {path!r} in a leave")

    def _rule_ban(self, case: _Case) -> None:
        target, action = _text(case.content, "uri"), _text(case.content, "action")
        old = _old(case)
        own = {case.author_file, f"admins/{target}.crt", f"members/{target}.crt", f"CRLs/{target}", f"invited/{target}"}
        voters: set[str] = set()
        moved = False
        for path in case.changed - own:
            if match := _VOTE.fullmatch(path):
                if match[1] != action or match[3] != target or path not in old or path in case.new:
                    raise RemoteError(f"{path!r} is no vote on this")
                voters.add(match[4])
            elif match := _DEVICE.fullmatch(path):
                device = self._certificate(old if action == "ban" else case.new, path)
                if (path in old) != (action == "ban") or device is None or target not in (match[1], device.issuer_uid):
                    raise RemoteError(f"unexpected device {path!r}")
            elif match := _BANNED.fullmatch(path):
                if target not in (match[1], match[2]):
                    raise RemoteError(f"{path!r} is not who it is about")
                moved = True
            else:
                raise RemoteError(f"unexpected file {path!r}")
        uri = self._user(case.commit, case.new)
        admins = {name.removesuffix(".crt") for name in old.names("admins")}
        if uri not in admins:
            raise RemoteError("resolved by somebody who is no administrator")
        if 2 * len(admins & voters) < len(admins):
            raise RemoteError(f"only {len(admins & voters)} of {len(admins)} administrators voted for it")
        if not moved:
            raise RemoteError("nothing moves to or from banned/")

    def _rule_unknown_action(self, case: _Case) -> None:
        raise RemoteError(f"unknown member action {_text(case.content, 'action')[:40]!r}")

    def _rule_profile(self, case: _Case) -> None:
        uri = self._user(case.commit, case.new)
        if f"admins/{uri}.crt" not in case.new:
            raise RemoteError("the profile is changed by somebody who is no administrator")
        allowed = {"profile.vcf", case.author_file} if self.rules.profile_with_device else {"profile.vcf"}
        if not case.changed <= allowed:
            raise RemoteError(f"unexpected files {sorted(case.changed - allowed)[:3]} in a profile update")

    def _rule_edit(self, case: _Case) -> None:
        if self.rules.bound_certificates:
            self._rule_others(case)
        uri = self._user(case.commit, case.new)
        target = _text(case.content, "edit")
        if not is_account_uri(target) or target not in self.objects:
            raise RemoteError("the edited commit is not known")
        edited = self._commit(target)
        device = self._certificate(self._tree(edited.tree), f"devices/{edited.device}.crt")
        if device is None or device.issuer_uid != uri:
            raise RemoteError("an edit of somebody else's message")
        content = edited.json()
        kind = content.get("type")
        if kind not in self.rules.editable or (kind == "application/data-transfer+json" and not content.get("tid")):
            raise RemoteError(f"a message of type {str(kind)[:40]!r} cannot be edited")

    def _rule_others(self, case: _Case) -> None:
        """Text, calls, files and every unknown type: no file changes but the author's own certificates."""
        if self.rules.device_in_tree and case.author_file not in case.new:
            raise RemoteError("the device's certificate is not in the conversation")
        if not case.changed:
            return
        old = _old(case)
        uri = self._user(case.commit, case.new)
        for path in case.changed:
            if path == case.author_file or (path in (f"admins/{uri}.crt", f"members/{uri}.crt") and path in old):
                self._check_certificate_file(old, case.new, path, uri)
            else:
                raise RemoteError(f"unexpected file {path!r}")

    # -- the parts of a conversation --

    def _check_certificate_file(self, old: Tree | None, new: Tree, path: str, uri: str) -> None:
        """A certificate may be added for oneself and renewed for the same key (section 5.4)."""
        after = self._certificate(new, path)
        if after is None:
            raise RemoteError(f"{path!r} is removed")
        is_device = path.startswith("devices/")
        before = self._certificate(old, path) if old is not None else None
        if before is not None:
            if after.account_id != before.account_id:
                raise RemoteError(f"{path!r} changes its key")
            if is_device and after.issuer_uid not in (before.issuer_uid, uri):
                raise RemoteError(f"{path!r} changes its account")
        elif is_device and after.issuer_uid not in ("", uri):
            raise RemoteError(f"{path!r} belongs to another account")
        elif not is_device and after.account_id != uri:
            raise RemoteError(f"{path!r} is another account's")

    def _user(self, commit: Commit, tree: Tree) -> str:
        device = self._certificate(tree, f"devices/{commit.device}.crt")
        if device is None:
            raise RemoteError("the device's certificate is not in the conversation")
        return device.issuer_uid

    def _certificate(self, tree: Tree, path: str) -> CertificateFile | None:
        return read_certificate_file(tree, path)

    def _commit(self, oid: str) -> Commit:
        return parse_commit(read_as(self.objects, oid, COMMIT), oid)

    def _node(self, oid: str) -> Node:
        known = self._nodes.get(oid)
        if known is None:
            commit = self._commit(oid)
            known = self._nodes[oid] = Node(commit.parents, commit.time)
        self._steps += 1
        if self._steps > limits.MERGE_STEPS:
            raise LimitError("merges of branches that parted too long ago")
        return known

    def _tree(self, oid: str) -> Tree:
        if self._last_tree is None or self._last_tree.oid != oid:
            self._last_tree = Tree(self.objects, oid)
        return self._last_tree

    def _known_root(self) -> Root:
        if self.root is None:
            self.root = read_root(self.objects, self.conversation)
        return self.root


def read_root(objects: ObjectSource, conversation: str) -> Root:
    """Mode and first members of a conversation that was checked before; raises RemoteError when its first commit is missing."""
    commit = parse_commit(read_as(objects, conversation, COMMIT), conversation)
    content = commit.json()
    device = read_certificate_file(Tree(objects, commit.tree), f"devices/{commit.device}.crt")
    mode, creator, invited = content.get("mode"), device.issuer_uid if device is not None else "", _text(content, "invited")
    if not isinstance(mode, int):
        raise RemoteError(f"conversation {conversation} has no mode")
    return Root(mode, (creator, invited) if mode == ONE_TO_ONE and invited else (creator,))


def _old(case: _Case) -> Tree:
    assert case.old is not None
    return case.old


def _text(content: Mapping[str, Any], key: str) -> str:
    value = content.get(key, "")
    return value if isinstance(value, str) else ""


_Rule = Callable[[Checker, _Case], None]

_TABLE: Final[Mapping[str, tuple[str, _Rule]]] = {
    "vote": ("Malformed vote", Checker._rule_vote),
    "member/add": ("Malformed add member commit", Checker._rule_add),
    "member/join": ("Malformed join member commit", Checker._rule_join),
    "member/remove": ("Malformed remove member commit", Checker._rule_remove),
    "member/ban": ("Malformed ban member commit", Checker._rule_ban),
    "member/unban": ("Malformed unban member commit", Checker._rule_ban),
    "member/": ("Malformed member commit", Checker._rule_unknown_action),
    "application/update-profile": ("Malformed profile updates commit", Checker._rule_profile),
    "application/edited-message": ("Malformed edit commit", Checker._rule_edit),
}
"""Type of a commit with one parent -> what clients are told when it breaks its rule, and the rule."""
_OTHERS: Final[tuple[str, _Rule]] = ("Malformed commit", Checker._rule_others)
