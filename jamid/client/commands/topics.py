"""How a topic's commands are put on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any


def add_options(parser: argparse.ArgumentParser) -> None:
    """What every command takes, before the topic or after the verb; the top parser sets the defaults."""
    group = parser.add_argument_group("everywhere", argument_default=argparse.SUPPRESS)
    group.add_argument("--account", "-a", metavar="ACCOUNT", help="local id, Jami id or name (default: JAMI_ACCOUNT, or the only one)")
    group.add_argument("--bus", metavar="BUS", help="session (default), system, or an address")
    group.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="one JSON value per line")
    group.add_argument("--timeout", type=float, metavar="SECONDS", help="how long to wait for an answer (default 60)")


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
        add_options(one)
        one.set_defaults(command=command)
        return one

    return verb
