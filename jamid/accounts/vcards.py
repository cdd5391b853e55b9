"""vCards: the profile of an account, in its own file, in trust requests and in transfers (protocol: identity, section 17)."""

from __future__ import annotations

from dataclasses import dataclass

_PHOTO = "PHOTO"


@dataclass(frozen=True, slots=True)
class Profile:
    """What a vCard says of a person, as far as Jami uses it."""

    name: str = ""
    photo: str = ""
    """base64 of the picture"""
    photo_type: str = "PNG"

    @classmethod
    def from_vcard(cls, data: bytes) -> Profile:
        """Reads a vCard of any version leniently; what it lacks is empty."""
        name = photo = ""
        photo_type = "PNG"
        for line in _unfolded(data.decode("utf-8", "replace")):
            head, colon, value = line.partition(":")
            field, *parameters = head.split(";")
            if not colon:
                continue
            if field.upper() == "FN":
                name = value.strip()
            elif field.upper() == _PHOTO:
                photo = value.strip()
                photo_type = next((part[5:] for part in parameters if part.upper().startswith("TYPE=")), "PNG")
        return cls(name.replace("\0", ""), photo, photo_type)

    def to_vcard(self) -> bytes:
        """The vCard as newer versions write it: LF, keys in order, a final LF."""
        lines = ["BEGIN:VCARD", f"FN:{' '.join(self.name.split())}"]
        if self.photo:
            lines.append(f"{_PHOTO};ENCODING=BASE64;TYPE={self.photo_type or 'PNG'}:{''.join(self.photo.split())}")
        lines += ["VERSION:2.1", "END:VCARD", ""]
        return "\n".join(lines).encode()


def _unfolded(text: str) -> list[str]:
    lines: list[str] = []
    for line in text.replace("\r", "").split("\n"):
        if line[:1] in (" ", "\t") and lines:
            lines[-1] += line[1:]
        else:
            lines.append(line)
    return lines
