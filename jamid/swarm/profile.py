"""The conversation's profile.vcf: title, description, avatar, rendezvous (protocol: swarm, section 2.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from jamid.swarm.message_maps import clean_text

KEYS: Final = ("title", "description", "avatar", "rdvAccount", "rdvDevice")
_FROM_VCARD: Final = {"FN": "title", "DESCRIPTION": "description"}
_BY_PREFIX: Final = (("PHOTO", "avatar"), ("RDV_ACCOUNT", "rdvAccount"), ("RDV_DEVICE", "rdvDevice"))


def parse_profile(data: bytes) -> dict[str, str]:
    """The infos that DATA holds; unknown lines do not count, a CR at the end of a line is dropped."""
    infos: dict[str, str] = {}
    for line in data.decode(errors="replace").split("\n"):
        key, separator, value = line.rstrip("\r").partition(":")
        if not separator:
            continue
        name = _FROM_VCARD.get(key) or next((name for prefix, name in _BY_PREFIX if key.startswith(prefix)), None)
        if name is not None:
            infos[name] = clean_text(value)
    return infos


def write_profile(infos: Mapping[str, str]) -> bytes:
    """The vCard as the real daemon writes it."""
    lines = ["BEGIN:VCARD", "VERSION:2.1"]
    lines.append(f"FN:{_line(infos.get('title', ''))}")
    lines.append(f"DESCRIPTION:{_line(infos.get('description', ''))}")
    avatar = _line(infos.get("avatar", ""))
    lines.append(f"PHOTO;ENCODING=BASE64:{avatar}" if avatar else "PHOTO;ENCODING=BASE64")
    lines.append("")
    if infos.get("rdvAccount") or infos.get("rdvDevice"):
        lines.append(f"RDV_ACCOUNT:{_line(infos.get('rdvAccount', ''))}")
        lines.append(f"RDV_DEVICE:{_line(infos.get('rdvDevice', ''))}")
    else:
        lines.append("")
    return ("\n".join(lines) + "\nEND:VCARD").encode()


def _line(value: str) -> str:
    return clean_text(value).replace("\r", " ").replace("\n", " ")
