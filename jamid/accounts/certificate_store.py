"""Certificates kept by id, in memory and in files that both generations read (protocol: identity, sections 5.1 and 10)."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path

from jamid.core import limits
from jamid.core.errors import LocalError, RemoteError
from jamid.core.events import Events
from jamid.core.files import read_if_present, write_atomically
from jamid.core.identifiers import InfoHash, LongId
from jamid.core.signals import CertificatePinned
from jamid.core.tasks import in_thread
from jamid.crypto.certificates import Certificate
from jamid.crypto.keys import PublicKey
from jamid.crypto.revocations import RevocationList

_log = logging.getLogger(__name__)


class CertificateStore:
    """The certificates of all accounts: found on the DHT, received in TLS, made here, or pinned by the user.

    13 keeps them in one directory for all accounts, 17 in one per account: both are read, both are written.
    """

    def __init__(self, directory: Path, events: Events) -> None:
        self._directory = directory
        self._events = events
        self._certificates: OrderedDict[str, Certificate] = OrderedDict()
        self._account_directories: dict[str, Path] = {}
        self._revocations: dict[str, tuple[RevocationList, ...]] = {}
        self._paths: dict[str, list[str]] = {}

    def add_account(self, account_id: str, directory: Path) -> None:
        """Reads and writes the certificates of an account below its own DIRECTORY too."""
        self._account_directories[account_id] = directory

    def remove_account(self, account_id: str) -> None:
        self._account_directories.pop(account_id, None)

    def get(self, certificate_id: str | InfoHash | LongId) -> Certificate | None:
        """The certificate with this short or long id, from memory."""
        key = certificate_id if isinstance(certificate_id, str) else certificate_id.hex()
        if (certificate := self._certificates.get(key)) is not None:
            self._certificates.move_to_end(key)
        return certificate

    async def find(self, certificate_id: str | InfoHash | LongId, account_id: str = "") -> Certificate | None:
        """The certificate with this id, from memory or the files of all accounts and of ACCOUNT_ID."""
        key = certificate_id if isinstance(certificate_id, str) else certificate_id.hex()
        if (certificate := self.get(key)) is not None:
            return certificate
        if len(key) not in (40, 64) or not set(key) <= set("0123456789abcdef"):
            return None
        directories = [self._directory]
        if account_id in self._account_directories:
            directories.append(self._account_directories[account_id])
        certificate = await in_thread(_read, [directory / key for directory in directories], key)
        if certificate is not None:
            self._remember(certificate)
        return certificate

    async def pin(self, certificate: Certificate, account_id: str = "", *, stored: bool = True) -> list[str]:
        """Keeps a chain, with STORED in files too; returns its ids, long before short, and publishes certificatePinned for new ones."""
        ids, new = self._remember(certificate)
        if stored and new:
            directories = [self._directory]
            if account_id in self._account_directories:
                directories.append(self._account_directories[account_id])
            try:
                await in_thread(_write, [directory / certificate.long_id.hex() for directory in directories], certificate.to_pem())
            except LocalError as error:
                _log.warning("a certificate is kept in memory only: %s", error)
        return ids

    def announce(self, certificate: Certificate) -> None:
        """Publishes certificatePinned for each id of a chain, as is done for the own ones at every start."""
        for member in certificate.chain():
            self._events.publish(CertificatePinned(member.long_id.hex()))
            self._events.publish(CertificatePinned(member.id.hex()))

    async def unpin(self, certificate_id: str) -> bool:
        """Forgets a certificate and its file; whether it was there."""
        certificate = await self.find(certificate_id)
        if certificate is None:
            return False
        for key in (certificate.long_id.hex(), certificate.id.hex()):
            self._certificates.pop(key, None)
        names = [self._directory / certificate.long_id.hex()]
        names += [directory / certificate.long_id.hex() for directory in self._account_directories.values()]
        await in_thread(_unlink, names)
        return True

    def ids(self) -> list[str]:
        """Every id known in memory."""
        return list(self._certificates)

    def pin_path(self, path: str, certificates: Iterable[Certificate]) -> list[str]:
        """Keeps the certificates of a directory in memory; returns their ids."""
        ids = [certificate_id for certificate in certificates for certificate_id in self._remember(certificate)[0]]
        if ids:
            self._paths[path] = ids
        return ids

    def unpin_path(self, path: str) -> int:
        """Forgets the certificates of a directory; returns how many."""
        ids = self._paths.pop(path, [])
        return sum(1 for certificate_id in ids if self._certificates.pop(certificate_id, None) is not None)

    def revocations(self, account_uri: str) -> tuple[RevocationList, ...]:
        """The revocation lists of an account of which none says all that another does, the one learnt last at the end."""
        return self._revocations.get(account_uri, ())

    def learn_revocations(self, account_key: PublicKey, revocation_list: RevocationList) -> bool:
        """Keeps a list that ACCOUNT_KEY signed if it names what was not known, beside what was; RemoteError when the signature is wrong."""
        if not revocation_list.is_signed_by(account_key):
            raise RemoteError(f"a revocation list is not signed by {account_key.id}")
        uri = account_key.id.hex()
        known = self.revocations(uri)
        if known and revocation_list.serials <= frozenset().union(*(one.serials for one in known)):
            return False
        if not known and len(self._revocations) >= limits.REVOCATION_LISTS:
            return False
        # Two devices may each have revoked another one at the same time.
        kept = [one for one in known if not one.serials <= revocation_list.serials]
        self._revocations[uri] = (*kept[1 - limits.REVOCATION_LISTS_PER_ACCOUNT :], revocation_list)
        return True

    async def store_revocations(self, directory: Path, account_uri: str) -> None:
        """Writes the lists of an account as `crls/<Jami id>/<number>` below DIRECTORY."""
        for known in self.revocations(account_uri):
            number = known.number.to_bytes(max(8, known.number.bit_length() // 8 + 1), "big", signed=True)[-8:].hex()
            await in_thread(write_atomically, directory / "crls" / account_uri / number, known.to_der())

    async def load_revocations(self, directory: Path, account_key: PublicKey) -> None:
        """Reads the lists of an account below DIRECTORY; damaged ones are skipped."""
        for data in await in_thread(_read_all, directory / "crls" / account_key.id.hex()):
            try:
                self.learn_revocations(account_key, RevocationList.from_der(data))
            except RemoteError as error:
                _log.warning("a stored revocation list of %s is ignored: %s", account_key.id, error)

    def _remember(self, certificate: Certificate) -> tuple[list[str], bool]:
        ids: list[str] = []
        new = False
        for member in certificate.chain():
            for key in (member.long_id.hex(), member.id.hex()):
                ids.append(key)
                known = self._certificates.get(key)
                if known is None or (known.issuer is None and member.issuer is not None):
                    new = True
                    self._certificates[key] = member
                    self._events.publish(CertificatePinned(key))
                else:
                    self._certificates.move_to_end(key)
        while len(self._certificates) > limits.CERTIFICATES_IN_MEMORY:
            self._certificates.popitem(last=False)
        return ids, new


def _read(paths: Iterable[Path], certificate_id: str) -> Certificate | None:
    for path in paths:
        try:
            data = read_if_present(path, limits.CERTIFICATE_CHAIN_BYTES)
            if data is None:
                continue
            certificate = Certificate.from_bytes(data)
            if certificate_id in (certificate.long_id.hex(), certificate.id.hex()):
                return certificate
            _log.warning("%s holds the certificate of %s; it is removed", path, certificate.long_id)
            path.unlink(missing_ok=True)
        except (LocalError, RemoteError, OSError) as error:
            _log.warning("the certificate in %s is not used: %s", path, error)
    return None


def _write(paths: Iterable[Path], data: bytes) -> None:
    for path in paths:
        if not path.exists():
            write_atomically(path, data)


def _unlink(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _read_all(directory: Path) -> list[bytes]:
    found = []
    try:
        for path in sorted(directory.iterdir())[:16]:
            data = read_if_present(path, limits.REVOCATION_LIST_BYTES)
            if data is not None:
                found.append(data)
    except (OSError, LocalError):
        return found
    return found
