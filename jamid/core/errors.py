"""The two roots of every error: somebody here asked wrongly, or a peer broke the protocol."""

from __future__ import annotations


class JamidError(Exception):
    """Anything this project raises on purpose."""


class LocalError(JamidError):
    """The caller asked wrongly or this machine cannot do it; the text says what, with which value, and what to do."""


class RemoteError(JamidError):
    """A peer broke the protocol; parsers of foreign bytes raise this and nothing else."""


class LimitError(RemoteError):
    """A peer asked for more than a named cap of `jamid.core.limits` allows."""


class NotFoundError(LocalError):
    """No such account, conversation, call or file."""


class NotImplementedYetError(LocalError):
    """A member of the contract that later work must still implement."""
