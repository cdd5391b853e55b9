"""The daemon's own settings: `dring.yml` in the real daemon's form, readable by it and it by us (protocol: identity 5.2, media 2.4).

Scalars are kept as the text they had in the file and get their type when asked for, as the real daemon does it: that way an account id
of digits, a host named `on` or a key we do not know survives any number of round trips.
"""

from __future__ import annotations

import asyncio
import copy
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from jamid.core import limits
from jamid.core.errors import LocalError
from jamid.core.files import read_if_present, set_aside, write_atomically
from jamid.core.tasks import in_thread

_log = logging.getLogger(__name__)

Scalar: TypeAlias = str | int | float | bool
Tree: TypeAlias = dict[str, Any]
"""nested dict and list of text"""

FILE_NAME: Final = "dring.yml"

DEFAULTS: Final[Mapping[str, Any]] = {
    "accounts": [],
    "preferences": {
        "historyLimit": "0",
        "ringingTimeout": "30",
        "historyMaxCalls": "20",
        "md5Hash": "false",
        "order": "",
        "portNum": "5060",
        "searchBarDisplay": "true",
        "zoneToneChoice": "North America",
    },
    "voipPreferences": {"playDtmf": "true", "playTones": "true", "pulseLength": "250"},
    "audio": {
        "alsa": {"cardIn": "0", "cardOut": "0", "cardRing": "0", "plugin": "default", "smplRate": "44100"},
        "alwaysRecording": "false",
        "audioApi": "pulseaudio",
        "captureMuted": "false",
        "playbackMuted": "false",
        "pulse": {"devicePlayback": "", "deviceRecord": "", "deviceRingtone": ""},
        "portaudio": {"devicePlayback": "", "deviceRecord": "", "deviceRingtone": ""},
        "recordPath": "",
        "volumeMic": "1",
        "volumeSpkr": "1",
        "audioProcessor": "webrtc",
        "automaticGainControl": "false",
        "voiceActivityDetection": "true",
        "noiseReduce": "auto",
        "echoCancel": "audioProcessor",
    },
    "video": {
        "recordPreview": "true",
        "recordQuality": "0",
        "decodingAccelerated": "true",
        "encodingAccelerated": "false",
        "conferenceResolution": "1280x720",
        "devices": [
            {"name": "desktop", "id": "desktop", "input": "desktop", "video_size": "0x0", "channel": "", "framerate": "30"},
        ],
    },
    "plugins": {"pluginsEnabled": "false", "installedPlugins": [], "loadedPlugins": []},
}
"""a new file, in the order in which the real daemon writes it"""

_TRUE = frozenset({"true", "yes", "on", "y"})
_FALSE = frozenset({"false", "no", "off", "n"})


class Settings:
    """The settings of one daemon. Values are named by dotted paths: `audio.alsa.cardIn`."""

    def __init__(self, path: Path, document: Tree | None = None) -> None:
        self.path = path
        self._document = _with_defaults(document or {}, DEFAULTS)
        self._changes = 0
        self._saved_changes = 0
        self._saving = asyncio.Lock()

    @classmethod
    def load(cls, path: Path) -> Settings:
        """Reads PATH; one that is broken is set aside and its backup read instead, parts that are broken get their defaults."""
        try:
            document = _read(path)
        except LocalError as error:
            set_aside(path, str(error))
            return cls(path, _read_backup(path))
        if document is not None:
            _keep_backup(path)
        return cls(path, document)

    # -- reading --

    def text(self, name: str) -> str:
        """The value of NAME as text."""
        value = self._find(name)
        return value if isinstance(value, str) else _default(name)

    def number(self, name: str) -> int:
        """The value of NAME as a whole number; its default when the file has none there."""
        try:
            return int(self.text(name))
        except ValueError:
            return int(_default(name) or 0)

    def real(self, name: str) -> float:
        """The value of NAME as a number; its default when the file has none there."""
        try:
            return float(self.text(name))
        except ValueError:
            return float(_default(name) or 0)

    def flag(self, name: str) -> bool:
        """The value of NAME as a flag; its default when the file has none there."""
        text = self.text(name).lower()
        return True if text in _TRUE else False if text in _FALSE else _default(name) == "true"

    def texts(self, name: str) -> list[str]:
        """The value of NAME as a list of text."""
        value = self._find(name)
        return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []

    def maps(self, name: str) -> list[Tree]:
        """A copy of the value of NAME as a list of maps, as for `accounts` (SIP accounts only) and `video.devices`."""
        value = self._find(name)
        return [copy.deepcopy(item) for item in value if isinstance(item, dict)] if isinstance(value, list) else []

    @property
    def order(self) -> list[str]:
        """The account ids in the user's order; ids that exist no longer may be among them."""
        return [account_id for account_id in self.text("preferences.order").split("/") if account_id]

    # -- changing --

    def set(self, name: str, value: Scalar | Sequence[Any] | Mapping[str, Any]) -> None:
        """Changes NAME in memory; `save` makes it last."""
        *parents, last = name.split(".")
        node = self._document
        for parent in parents:
            child = node.get(parent)
            if not isinstance(child, dict):
                child = node[parent] = {}
            node = child
        new = _as_text(value)
        if node.get(last) != new:
            node[last] = new
            self._changes += 1

    async def change(self, values: Mapping[str, Scalar | Sequence[Any] | Mapping[str, Any]]) -> None:
        """Changes VALUES and saves; when the file cannot be written nothing has changed and LocalError says why."""
        before = {name: copy.deepcopy(self._find(name)) for name in values}
        for name, value in values.items():
            self.set(name, value)
        try:
            await self.save()
        except LocalError:
            for name, value in before.items():
                if value is not None:
                    self.set(name, value)
            raise

    async def save(self) -> None:
        """Writes what has changed, off the event loop; raises LocalError when the file cannot be written (it stays whole)."""
        wanted = self._changes
        async with self._saving:
            if self._saved_changes >= wanted:
                return
            current = self._changes
            await in_thread(write_atomically, self.path, self.to_yaml())
            self._saved_changes = current

    def save_now(self) -> None:
        """As `save`, blocking: for the end of the process."""
        if self._saved_changes < self._changes or not self.path.exists():
            write_atomically(self.path, self.to_yaml())
            self._saved_changes = self._changes

    def to_yaml(self) -> bytes:
        """The whole file."""
        return dump_yaml(self._document)

    def _find(self, name: str) -> Any:
        node: Any = self._document
        for part in name.split("."):
            if not isinstance(node, dict):
                return None
            node = node.get(part)
        return node


def parse_yaml(data: bytes) -> Any:
    """A YAML document with every scalar as text; raises LocalError when it is none."""
    import yaml

    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        document = yaml.load(data, Loader=loader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise LocalError(f"no YAML: {' '.join(str(error).split())[:200]}") from error
    _count_nodes(document, limits.STATE_FILE_NODES)
    return document


def dump_yaml(document: Any) -> bytes:
    """DOCUMENT (nested dict, list, text) as YAML whose scalars are plain wherever the real daemon's reader takes them so."""
    import yaml

    class Dumper(getattr(yaml, "CDumper", yaml.Dumper)):  # type: ignore[misc]
        """Writes `true`, `30` and `2e5f` plain: all are text to us."""

        yaml_implicit_resolvers: Final[dict[str, Any]] = {}

        def ignore_aliases(self, data: Any) -> bool:
            return True

    def represent(dumper: Any, text: str) -> Any:
        style = '"' if text in ("", "~") or text.lower() == "null" or not text.isprintable() else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    Dumper.add_representer(str, represent)
    text = yaml.dump(document, Dumper=Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=1_000_000)
    return bytes(text.encode())


def _count_nodes(document: Any, budget: int) -> None:
    # Aliases make a small file describe a tree without end.
    pending = [document]
    while pending:
        node = pending.pop()
        budget -= 1
        if budget < 0:
            raise LocalError("it describes more nodes than any real file has")
        if isinstance(node, dict):
            pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)


def _read(path: Path) -> Tree | None:
    data = read_if_present(path, limits.STATE_FILE_BYTES)
    if data is None:
        return None
    document = parse_yaml(data)
    if not isinstance(document, dict):
        raise LocalError("it holds no map" if document else "it is empty")
    return document


def _read_backup(path: Path) -> Tree | None:
    for backup in (path.with_name(path.name + ".bak"), path.with_suffix(".bak")):
        try:
            document = _read(backup)
        except LocalError as error:
            _log.error("the backup %s is no use: %s", backup, error)
            continue
        if document is not None:
            _log.warning("going on with the settings of %s", backup)
            return document
    return None


def _keep_backup(path: Path) -> None:
    # Not a plain copy: SIP passwords are in it, so nobody else may read it.
    backup = path.with_name(path.name + ".bak")
    try:
        data = path.read_bytes()
        if read_if_present(backup, limits.STATE_FILE_BYTES) != data:
            write_atomically(backup, data)
    except (OSError, LocalError) as error:
        _log.warning("no backup of %s: %s", path, error)


def _with_defaults(document: Tree, defaults: Mapping[str, Any]) -> Tree:
    merged: Tree = {}
    for key, default in defaults.items():
        value = document.get(key)
        if isinstance(default, Mapping):
            if value is not None and value != "" and not isinstance(value, dict):
                _log.error("the setting %s is no map; its defaults are used", key)
            merged[key] = _with_defaults(value if isinstance(value, dict) else {}, default)
        elif value is None or not isinstance(value, type(default)):
            merged[key] = copy.deepcopy(default)
        else:
            merged[key] = value
    merged.update({key: value for key, value in document.items() if key not in merged})
    return merged


def _default(name: str) -> str:
    node: Any = DEFAULTS
    for part in name.split("."):
        node = node.get(part) if isinstance(node, Mapping) else None
    return node if isinstance(node, str) else ""


def _as_text(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.9g}"
    if isinstance(value, Mapping):
        return {str(key): _as_text(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_text(item) for item in value]
    return str(value)
