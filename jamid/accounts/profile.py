"""The profile of an account, a vCard in the places where both generations look for it (protocol: identity, section 17)."""

from __future__ import annotations

import base64
import binascii
import logging
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jamid.accounts.events import ProfileChanged
from jamid.accounts.vcards import Profile
from jamid.core import limits
from jamid.core.errors import LocalError
from jamid.core.files import read_if_present, write_atomically
from jamid.core.signals import AccountDetailsChanged, ProfileReceived
from jamid.core.tasks import in_thread

if TYPE_CHECKING:
    from jamid.accounts.jami import JamiAccount

_log = logging.getLogger(__name__)
AVATAR_PATH: Final = 0
AVATAR_BASE64: Final = 1
AVATAR_REMOVED: Final = 2
_OLDEST: Final = 1


class OwnProfile:
    """Display name and picture of the account."""

    def __init__(self, account: JamiAccount) -> None:
        self._account = account

    @property
    def path(self) -> Path:
        """`profile.vcf`, which older clients write themselves."""
        return self._account.data_path / "profile.vcf"

    def path_of(self, uri: str) -> Path:
        """Where the profile of URI (also the own one) is kept."""
        return self._account.data_path / "profiles" / f"{base64.b64encode(uri.encode()).decode()}.vcf"

    async def read(self) -> bytes:
        """The vCard as stored, empty when there is none."""
        try:
            return await in_thread(read_if_present, self.path, limits.PROFILE_BYTES) or b""
        except LocalError as error:
            _log.warning("[account=%s] %s", self._account.id, error)
            return b""

    async def update(self, name: str, avatar: str, file_type: str, how: int) -> None:
        """What updateProfile does: a new name and, from a file or base64, a new picture; a bad picture changes the name all the same."""
        profile = replace(Profile.from_vcard(await self.read()), name=name)
        try:
            if how == AVATAR_REMOVED:
                profile = replace(profile, photo="")
            elif how == AVATAR_BASE64:
                base64.b64decode(avatar, validate=True)
                profile = replace(profile, photo=avatar, photo_type=file_type or "PNG")
            elif avatar:
                data = await in_thread(read_if_present, Path(avatar.removeprefix("file://")), limits.PROFILE_BYTES)
                if data:
                    profile = replace(profile, photo=base64.b64encode(data).decode(), photo_type=file_type or "PNG")
        except (LocalError, binascii.Error) as error:
            _log.warning("[account=%s] the picture is not used: %s", self._account.id, error)
        await self._write(profile)
        account = self._account
        if account.details.set("Account.displayName", name):
            await account.save()
        account.events.publish(AccountDetailsChanged(account.id, account.told_details()))
        account.events.publish(ProfileReceived(account.id, account.uri, str(self.path)))

    async def rename(self, name: str) -> None:
        """The display name changed in the details: the vCard follows."""
        await self._write(replace(Profile.from_vcard(await self.read()), name=name))

    async def set_if_absent(self, name: str, photo: str) -> None:
        """The first profile, at creation: older than any that another device of the account has."""
        if name or photo:
            await self._write(Profile(name, photo), modified=_OLDEST)

    async def receive(self, vcard: bytes, modified: int) -> None:
        """The profile as another device of the account has it since MODIFIED (unix seconds, 0 for unknown); an older one is left."""
        own = self.path_of(self._account.uri)
        if modified and own.exists() and modified <= math.ceil(own.stat().st_mtime):
            return
        await in_thread(_write_linked, own, self.path, vcard, modified)
        self._account.events.publish(ProfileReceived(self._account.id, self._account.uri, str(self.path)))

    async def _write(self, profile: Profile, modified: int = 0) -> None:
        if not self._account.uri:
            return
        await in_thread(_write_linked, self.path_of(self._account.uri), self.path, profile.to_vcard(), modified)
        self._account.events.publish(ProfileChanged(self._account.id))


def _write_linked(real: Path, link: Path, data: bytes, modified: int) -> None:
    write_atomically(real, data)
    if modified:
        os.utime(real, (modified, modified))
    target = os.path.relpath(real, link.parent)
    if link.is_symlink() and os.readlink(link) == target:
        return
    temporary = link.with_name(f".{link.name}.link")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    os.replace(temporary, link)
