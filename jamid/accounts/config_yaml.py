"""YAML as configuration files need it: text only and no aliases when read, quoted and binary scalars when written."""

from __future__ import annotations

import base64
from typing import Any

import yaml
from yaml import YAMLError

from jamid.accounts.config_file import Binary, Quoted

__all__ = ["YAMLError", "load", "render"]


def load(data: bytes) -> Any:
    """Nested dict, list and text; raises YAMLError, ValueError or RecursionError."""
    return yaml.load(data, Loader=_Loader)


def render(node: dict[str, Any]) -> str:
    """NODE as block-style YAML, keys in the order given, no line folded."""
    return str(yaml.dump(node, Dumper=_Dumper, sort_keys=False, default_flow_style=False, width=2**31, allow_unicode=True))


class _Loader(yaml.BaseLoader):
    """BaseLoader without aliases, so that a small file cannot expand into a huge one."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise YAMLError("aliases are not accepted")
        return super().compose_node(parent, index)


class _Dumper(yaml.SafeDumper):
    """SafeDumper for the two kinds of scalars of ours, without anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Text with breaks or unprintable letters is double-quoted and escaped: no reader may fold or drop any of it."""
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if text.isprintable() else '"')


_Dumper.add_representer(str, _represent_text)
_Dumper.add_representer(Quoted, lambda dumper, value: dumper.represent_scalar("tag:yaml.org,2002:str", str(value), style='"'))
_Dumper.add_representer(
    Binary,
    lambda dumper, value: dumper.represent_scalar("tag:yaml.org,2002:binary", base64.b64encode(value).decode(), style='"'),
)
