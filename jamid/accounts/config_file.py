"""`config.yml` of a Jami account and the SIP accounts of `dring.yml`: the real daemon's YAML (protocol: identity, sections 5.2, 5.3)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from jamid.accounts.details import JAMI, PUSH_KEYS, SIP, AccountDetails, Detail, Kind
from jamid.core.errors import RemoteError

CONFIG_FILE: Final = "config.yml"
_PATH_KEYS: Final = frozenset({"TLS.certificateFile", "TLS.privateKeyFile", "TLS.certificateListFile"})
_NOT_DETAILS: Final = frozenset(
    {
        "type",
        "activeCodecs",
        "ringAccountReceipt",
        "ringAccountReceiptSignature",
        "Account.registeredName",
        "Account.archivePath",
        "credential",
        "id",
    }
)
_LISTS_AS_TEXT: Final = frozenset({"defaultModerators"})


@dataclass(slots=True)
class StoredConfig:
    """What `config.yml` holds."""

    details: AccountDetails
    receipt: str = ""
    receipt_signature: bytes = b""
    registered_name: str = ""
    archive_path: str = "archive.gz"
    active_codecs: tuple[int, ...] | None = None
    """codec ids in the user's order, None for the default choice"""
    credentials: list[dict[str, str]] = field(default_factory=list)
    """SIP: maps Account.username, Account.password, Account.realm"""
    unknown: dict[str, Any] = field(default_factory=dict)
    """keys of other versions, written back as they were"""


def parse_config(data: bytes, directory: Path) -> StoredConfig:
    """Reads config.yml of the account in DIRECTORY, to which its paths are relative; raises RemoteError when it is no YAML map."""
    node = load_yaml_map(data)
    config = StoredConfig(AccountDetails(JAMI))
    _read_details(node, config)
    for key in _PATH_KEYS:
        if path := config.details[key]:
            config.details.set(key, str(directory / path))
    config.receipt = _text(node.get("ringAccountReceipt"))
    try:
        config.receipt_signature = base64.b64decode(_text(node.get("ringAccountReceiptSignature")))
    except binascii.Error as error:
        raise RemoteError(f"ringAccountReceiptSignature is no base64: {error}") from None
    config.registered_name = _text(node.get("Account.registeredName"))
    config.archive_path = _text(node.get("Account.archivePath")) or "archive.gz"
    return config


def render_config(config: StoredConfig, directory: Path) -> bytes:
    """config.yml as both generations read it: differences from the defaults, codecs, receipt and TLS paths."""
    node = _write_details(config, directory)
    _put(node, "Account.registeredName", config.registered_name)
    if config.archive_path != "archive.gz":
        node["Account.archivePath"] = config.archive_path
    if config.receipt:
        node["ringAccountReceipt"] = Quoted(config.receipt)
        node["ringAccountReceiptSignature"] = Binary(config.receipt_signature)
    return render_yaml(node)


def parse_sip_account(node: Mapping[str, Any]) -> tuple[str, StoredConfig]:
    """One entry of `accounts` in dring.yml: its id and configuration; raises RemoteError when it has no id."""
    account_id = _text(node.get("id"))
    if not account_id:
        raise RemoteError("a SIP account in dring.yml has no id")
    config = StoredConfig(AccountDetails(SIP))
    _read_details(node, config)
    entries = node.get("credential")
    for entry in entries if isinstance(entries, Sequence) and not isinstance(entries, str) else ():
        if isinstance(entry, Mapping):
            config.credentials.append({key: _text(entry.get(key)) for key in ("Account.username", "Account.password", "Account.realm")})
    if config.credentials:
        config.details.set("Account.password", config.credentials[0]["Account.password"])
    return account_id, config


def render_sip_account(account_id: str, config: StoredConfig) -> dict[str, Any]:
    """The entry of a SIP account for `accounts` of dring.yml, complete as the real daemon writes it."""
    node: dict[str, Any] = {"id": account_id}
    node |= _write_details(config, None)
    node["credential"] = [dict(entry) for entry in config.credentials]
    return node


class Quoted(str):
    """Text that must be double-quoted: it is signed and must survive every reader."""


class Binary(bytes):
    """Bytes written as `!!binary "…"` on one line."""


def load_yaml_map(data: bytes) -> dict[str, Any]:
    """A YAML map with every scalar as text, however it is spelled; raises RemoteError for anything else."""
    from jamid.accounts import config_yaml  # PyYAML costs a daemon without accounts a mebibyte

    try:
        node = config_yaml.load(data)
    except (config_yaml.YAMLError, ValueError, RecursionError) as error:
        raise RemoteError(f"no YAML: {str(error)[:200]}") from None
    if node is None or node == "":
        return {}
    if not isinstance(node, dict) or not all(isinstance(key, str) for key in node):
        raise RemoteError("not a YAML map of names")
    return cast("dict[str, Any]", node)


def render_yaml(node: Mapping[str, Any]) -> bytes:
    """NODE as block-style YAML, keys in the order given, no line folded."""
    from jamid.accounts import config_yaml

    return config_yaml.render(dict(node)).encode()


def _read_details(node: Mapping[str, Any], config: StoredConfig) -> None:
    known = set(_NOT_DETAILS)
    for detail in config.details.table.values():
        for name in (detail.stored, detail.also_stored):
            value = _find(node, name) if name else None
            if value is not None:
                config.details.set(detail.key, _joined(value) if name in _LISTS_AS_TEXT else _text(value))
            if name:
                known.add(name.partition(".")[0] if name.startswith(("tls.", "srtp.")) else name)
    for key, name in PUSH_KEYS.items():
        known.add(name)
        if value := _text(node.get(name)):
            config.details.set(key, value)
    codecs = [part for part in _text(node.get("activeCodecs")).split("/") if part]
    if codecs and all(part.isascii() and part.isdigit() and len(part) < 11 for part in codecs):
        config.active_codecs = tuple(int(part) for part in codecs)
    config.unknown = {key: value for key, value in node.items() if key not in known}


def _write_details(config: StoredConfig, directory: Path | None) -> dict[str, Any]:
    node: dict[str, Any] = {}
    sip = config.details.type == SIP
    for detail in config.details.table.values():
        value = config.details[detail.key]
        if detail.key in _PATH_KEYS and directory is not None:
            value = _relative(value, directory)
        if not detail.stored or (value == detail.default and not detail.always and not sip):
            continue
        for name in (detail.stored, detail.also_stored):
            if name:
                _place(node, name, _scalar(detail, value))
    for key, name in PUSH_KEYS.items():
        _put(node, name, config.details.push.get(key, ""))
    if config.active_codecs is not None:
        node["activeCodecs"] = "/".join(map(str, config.active_codecs))
    node.setdefault("tls", {})
    return node | config.unknown


def _find(node: Mapping[str, Any], name: str) -> Any:
    if name in node:
        return node[name]
    outer, dot, inner = name.partition(".")
    nested = node.get(outer) if dot and outer in ("tls", "srtp") else None
    return nested.get(inner) if isinstance(nested, Mapping) else None


def _place(node: dict[str, Any], name: str, value: Any) -> None:
    outer, dot, inner = name.partition(".")
    if dot and outer in ("tls", "srtp"):
        node.setdefault(outer, {})[inner] = value
    else:
        node[name] = value


def _put(node: dict[str, Any], key: str, value: str) -> None:
    if value:
        node[key] = value


def _scalar(detail: Detail, value: str) -> str | bool | int:
    if detail.kind is Kind.BOOLEAN:
        return value == "true"
    return int(value) if detail.kind is Kind.NUMBER else value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _joined(value: Any) -> str:
    return "/".join(_text(part) for part in value) if isinstance(value, list) else _text(value)


def _relative(path: str, directory: Path) -> str:
    try:
        return str(Path(path).relative_to(directory)) if path else ""
    except ValueError:
        return path
