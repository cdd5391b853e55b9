"""Who is in a conversation and as what, read from its files (protocol: swarm, section 7.1)."""

from __future__ import annotations

from typing import Final

from jamid.core.identifiers import is_account_uri
from jamid.swarm.objects import Tree
from jamid.swarm.rules import ONE_TO_ONE, Root

ADMIN: Final = "admin"
MEMBER: Final = "member"
INVITED: Final = "invited"
BANNED: Final = "banned"
LEFT: Final = "left"

ROLE_NUMBERS: Final = {ADMIN: 0, MEMBER: 1, INVITED: 2, BANNED: 3, LEFT: 4}
"""As in the file `members` of 17."""

_PLACES: Final = (
    ("admins", ADMIN),
    ("members", MEMBER),
    ("invited", INVITED),
    ("banned/members", BANNED),
    ("banned/invited", BANNED),
    ("banned/admins", BANNED),
)


def read_members(tree: Tree, root: Root) -> dict[str, str]:
    """Jami id -> role, administrators first; where somebody stands twice the first place counts."""
    roles: dict[str, str] = {}
    for directory, role in _PLACES:
        for name in tree.names(directory):
            uri = name if directory.endswith("invited") else name.removesuffix(".crt")
            if is_account_uri(uri):
                roles.setdefault(uri, role)
    if root.mode == ONE_TO_ONE:
        for uri in root.members:
            roles.setdefault(uri, LEFT)
    return roles


def banned_devices(tree: Tree) -> set[str]:
    """Devices that were banned by themselves."""
    return {name.removesuffix(".crt") for name in tree.names("banned/devices")}
