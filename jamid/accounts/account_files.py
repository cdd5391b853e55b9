"""The files of one Jami account, in the real daemon's layout (protocol: identity, section 5.1)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from jamid.accounts.config_file import CONFIG_FILE, StoredConfig, parse_config, render_config
from jamid.core import limits
from jamid.core.errors import LocalError, RemoteError
from jamid.core.files import read_if_present, set_aside, write_atomically
from jamid.core.paths import Paths
from jamid.crypto.certificates import Certificate
from jamid.crypto.identity import Identity
from jamid.crypto.keys import PrivateKey

_log = logging.getLogger(__name__)
T = TypeVar("T")

CERTIFICATE_FILE: Final = "ring_device.crt"
KEY_FILE: Final = "ring_device.key"


class AccountFiles:
    """Reads and writes below `<data>/<account>` and `<cache>/<account>`; every method blocks: call it off the event loop."""

    def __init__(self, paths: Paths, account_id: str) -> None:
        self.data = paths.account_data(account_id)
        self.cache = paths.account_cache(account_id)

    def create(self) -> None:
        """Makes the directories."""
        for directory in (self.data, self.cache):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def read_config(self) -> StoredConfig | None:
        """config.yml; None when there is none or it is broken, which sets it aside."""
        return self.load(self.data / CONFIG_FILE, lambda data: parse_config(data, self.data))

    def write_config(self, config: StoredConfig) -> None:
        write_atomically(self.data / CONFIG_FILE, render_config(config, self.data))

    def read_archive(self, name: str) -> bytes | None:
        """The archive file as it is; None when there is none."""
        return read_if_present(self.data / name, limits.ARCHIVE_FILE_BYTES)

    def write_archive(self, name: str, data: bytes) -> None:
        write_atomically(self.data / name, data)

    def read_identity(self, certificate_path: str, key_path: str, password: str) -> Identity:
        """The device's key and chain; raises LocalError or RemoteError when they are missing, damaged or no pair."""
        certificate_data = read_if_present(Path(certificate_path), limits.CERTIFICATE_CHAIN_BYTES)
        key_data = read_if_present(Path(key_path), limits.CERTIFICATE_CHAIN_BYTES)
        if certificate_data is None or key_data is None:
            raise LocalError(f"{certificate_path} or {key_path} is missing")
        certificate = Certificate.from_pem(certificate_data)
        key = PrivateKey.from_pem(key_data, password.encode() or None, trusted=True)
        if key.public != certificate.public_key:
            raise RemoteError(f"{key_path} is not the key of {certificate_path}")
        return Identity(key, certificate)

    def write_identity(self, identity: Identity) -> None:
        """Writes key and chain; the key first, so that a kill between the two leaves no certificate without its key."""
        write_atomically(self.data / KEY_FILE, identity.key.to_pem())
        write_atomically(self.data / CERTIFICATE_FILE, identity.certificate.to_pem())

    def load(self, path: Path, parse: Callable[[bytes], T]) -> T | None:
        """What PARSE makes of a state file; None without one; a broken one is set aside and the account goes on without it."""
        try:
            data = read_if_present(path, limits.STATE_FILE_BYTES)
            return None if data is None else parse(data)
        except RemoteError as error:
            set_aside(path, str(error))
        except LocalError as error:
            _log.error("%s", error)
        return None

    def remove(self) -> None:
        """Deletes everything of the account."""
        import shutil  # rarely needed, and it brings the compressors with it

        for directory in (self.data, self.cache):
            try:
                shutil.rmtree(directory)
            except FileNotFoundError:
                continue
            except OSError as error:
                _log.error("%s is not wholly removed: %s", directory, error)
