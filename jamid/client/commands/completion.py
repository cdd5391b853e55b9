"""The completion script for bash, made from the command line's own definition."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

_SCRIPT = """\
# Completion of the jami command for bash.
_jami() {{
  local words=() word skip=
  for word in "${{COMP_WORDS[@]:1:$((COMP_CWORD - 1))}}"; do
    if [ -n "$skip" ]; then skip=; continue; fi
    case $word in
      {valued}) skip=1 ;;
      -*) ;;
      *) words+=("$word") ;;
    esac
  done
  case "${{words[*]:0:2}}" in
{cases}
  esac
  local current=${{COMP_WORDS[COMP_CWORD]}}
  if [ -n "$skip" ]; then COMPREPLY=($(compgen -f -- "$current"))
  elif [ "${{#words[@]}}" -ge 2 ] && [ "${{current#-}}" = "$current" ]; then COMPREPLY=($(compgen -f -- "$current"))
  else COMPREPLY=($(compgen -W "$choices" -- "$current"))
  fi
}}
complete -F _jami jami"""


def bash() -> str:
    """The script."""
    from jamid.client.commands.main import parser

    top = parser()
    cases, valued = [], set(_flags(top, with_value=True))
    topics = _subcommands(top)
    for topic, topic_parser in topics.items():
        verbs = _subcommands(topic_parser)
        for verb, verb_parser in verbs.items():
            valued |= set(_flags(verb_parser, with_value=True))
            cases.append(f'    "{topic} {verb}") local choices="{" ".join(_flags(verb_parser))}" ;;')
        cases.append(f'    "{topic}"*) local choices="{" ".join(verbs)}" ;;')
    cases.append(f'    *) local choices="{" ".join([*topics, *_flags(top)])}" ;;')
    return _SCRIPT.format(valued=" | ".join(sorted(valued)), cases="\n".join(cases))


def _subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _flags(parser: argparse.ArgumentParser, with_value: bool = False) -> Iterator[str]:
    for action in parser._actions:
        if not with_value or (action.option_strings and action.nargs != 0):
            yield from action.option_strings
