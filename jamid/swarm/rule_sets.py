"""What the two generations, and we, demand of commits beyond the rules common to all (protocol: swarm, section 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class RuleSet:
    """What one generation demands beyond the rules common to all."""

    name: str
    modes: range
    signatures: bool
    """every commit must carry a good signature"""
    types: bool
    """every commit with one parent must have a non-empty type, every member commit a well-formed uri"""
    join_for_oneself: bool
    """the member file of a join must be the author's own"""
    edit_key: bool
    """a commit of any type with an `edit` key is judged as an edit"""
    editable: frozenset[str]
    profile_with_device: bool
    """a profile update may bring the author's device file"""
    device_in_tree: bool
    """even a commit that changes nothing needs the device file"""
    merges: bool
    """merges have two parents and no change of their own"""
    merge_bases: bool
    """merges undo nothing that one side alone changed since the two parted"""
    bound_certificates: bool
    """the device file must bear its name, be signed by the account's certificate and not be younger than the commit"""


RULES_13: Final = RuleSet(
    name="13.7",
    modes=range(4),
    signatures=False,
    types=False,
    join_for_oneself=False,
    edit_key=False,
    editable=frozenset({"text/plain"}),
    profile_with_device=False,
    device_in_tree=True,
    merges=False,
    merge_bases=False,
    bound_certificates=False,
)
RULES_17: Final = RuleSet(
    name="17",
    modes=range(5),
    signatures=True,
    types=True,
    join_for_oneself=True,
    edit_key=True,
    editable=frozenset({"text/plain", "application/collab-doc+json", "application/data-transfer+json"}),
    profile_with_device=True,
    device_in_tree=False,
    merges=True,
    merge_bases=False,
    bound_certificates=False,
)
OUR_RULES: Final = RuleSet(
    name="ours",
    modes=range(4),
    signatures=True,
    types=True,
    join_for_oneself=True,
    edit_key=True,
    editable=RULES_17.editable,
    profile_with_device=True,
    device_in_tree=False,
    merges=True,
    merge_bases=True,
    bound_certificates=True,
)
"""What we accept: the rules of 17, that the certificates in the tree belong together, and that a merge is one."""
