"""How a topic's commands are put on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

Verbs = Callable[..., argparse.ArgumentParser]


def topic(topics: Any, name: str, summary: str) -> Verbs:
    """Adds the topic NAME; returns a function that adds a verb with its command: `verb("list", command, "what it does")`."""
    verbs = topics.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".").add_subparsers(
        metavar="VERB", title="verbs", required=True
    )

    def verb(word: str, command: Any, summary: str, /, **arguments: dict[str, Any]) -> argparse.ArgumentParser:
        one: argparse.ArgumentParser = verbs.add_parser(word, help=summary, description=summary[0].upper() + summary[1:] + ".")
        for argument, settings in arguments.items():
            flag = argument.startswith("__")
            one.add_argument("--" + argument.strip("_").replace("_", "-") if flag else argument, **settings)
        one.set_defaults(command=command)
        return one

    return verb
