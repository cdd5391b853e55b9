"""Certificates kept by id, in memory and in files that both generations read (protocol: identity, sections 5.1 and 10)."""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Iterable, Mapping
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
        self._revocations_read: set[tuple[str, str]] = set()
        """local account and Jami id of whose stored lists were looked for"""
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
        certificate = await in_thread(_read, [directory / key for directory in self._directories(account_id)], key)
        if certificate is not None:
            self._remember(certificate)
        return certificate

    async def pin(self, certificate: Certificate, account_id: str = "", *, stored: bool = True, proven: bool = False) -> list[str]:
        """Keeps a chain, with STORED in files too; returns its ids, long before short, and publishes certificatePinned for new ones.

        With PROVEN, by whoever has the device's key, it takes the place of one by another account, which anybody can make.
        """
        ids, new = self._remember(certificate, proven=proven)
        if stored and new:
            paths = [directory / certificate.long_id.hex() for directory in self._directories(account_id)]
            try:
                await in_thread(_write, paths, certificate.to_pem())
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

    async def store_revocations(self, account_id: str, account_uri: str) -> None:
        """Writes the lists of an account that ACCOUNT_ID knows as `crls/<Jami id>/<number>`, instead of what they supersede."""
        files: dict[str, bytes] = {}
        for known in self.revocations(account_uri):
            name, data = _file_name(known), known.to_der()
            # Two devices that each revoked another one at the same time gave their lists the same number.
            files[name if name not in files else f"{name}-{hashlib.sha1(data, usedforsecurity=False).hexdigest()[:8]}"] = data
        for directory in self._directories(account_id):
            await in_thread(_write_revocations, directory.parent / "crls" / account_uri, files)

    async def load_revocations(self, account_id: str, account_key: PublicKey) -> None:
        """Reads the stored lists of an account that ACCOUNT_ID meets, once; damaged and foreign ones are skipped."""
        uri = account_key.id.hex()
        if (account_id, uri) in self._revocations_read:
            return
        if len(self._revocations_read) >= limits.REVOCATION_LISTS:
            self._revocations_read.clear()
        self._revocations_read.add((account_id, uri))
        directories = [directory.parent / "crls" / uri for directory in self._directories(account_id)]
        for data in await in_thread(_read_revocations, directories):
            try:
                self.learn_revocations(account_key, RevocationList.from_der(data))
            except RemoteError as error:
                _log.warning("a stored revocation list of %s is ignored: %s", uri, error)

    def _directories(self, account_id: str) -> list[Path]:
        own = self._account_directories.get(account_id)
        return [self._directory] if own is None else [self._directory, own]

    def _remember(self, certificate: Certificate, *, proven: bool = False) -> tuple[list[str], bool]:
        ids: list[str] = []
        new = False
        for member in certificate.chain():
            for key in (member.long_id.hex(), member.id.hex()):
                ids.append(key)
                known = self._certificates.get(key)
                if known is None or _improves(known, member) or (proven and known.account_uri != member.account_uri):
                    new = True
                    self._certificates[key] = member
                    self._events.publish(CertificatePinned(key))
                else:
                    self._certificates.move_to_end(key)
        while len(self._certificates) > limits.CERTIFICATES_IN_MEMORY:
            self._certificates.popitem(last=False)
        return ids, new


def _improves(known: Certificate, other: Certificate) -> bool:
    """Whether OTHER, of the same key, takes the place of KNOWN: it tells its issuer, or has the same one and is valid for longer."""
    if known.issuer is None and other.issuer is not None:
        return True
    if other.account_uri != known.account_uri or other.chain_ends <= known.chain_ends:
        return False
    return all(member.issuer is None or member.is_signed_by(member.issuer) for member in other.chain())


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
        if read_if_present(path, limits.CERTIFICATE_CHAIN_BYTES) != data:
            write_atomically(path, data)


def _unlink(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _file_name(revocation_list: RevocationList) -> str:
    number = revocation_list.number
    return number.to_bytes(max(8, number.bit_length() // 8 + 1), "big", signed=True)[-8:].hex()


def _write_revocations(directory: Path, files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        if read_if_present(directory / name, limits.REVOCATION_LIST_BYTES) != data:
            write_atomically(directory / name, data)
    _unlink(path for path in directory.iterdir() if path.name not in files)


def _read_revocations(directories: Iterable[Path]) -> list[bytes]:
    found: dict[bytes, None] = {}
    for directory in directories:
        try:
            for path in sorted(directory.iterdir())[-limits.REVOCATION_LISTS_PER_ACCOUNT :]:
                if (data := read_if_present(path, limits.REVOCATION_LIST_BYTES)) is not None:
                    found[data] = None
        except (OSError, LocalError):
            continue
    return list(found)
