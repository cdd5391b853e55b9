"""Members of the contract that have no implementation: those that never will do anything, and those that later work must write.

A call that names an account nobody knows is answered with the neutral value whatever the member, as the real daemons do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jamid.bus.contract import Member
from jamid.bus.signature import neutral
from jamid.core.errors import NotImplementedYetError

NOTHING: dict[str, dict[str, str]] = {
    "CallManager": {
        "switchSecondaryInput": "does nothing and answers false in 13.7.0; gone in 17",
        "startSmartInfo": "does nothing in 13.7.0; gone in 17",
        "stopSmartInfo": "does nothing in 13.7.0; gone in 17",
    },
    "PresenceManager": {
        "answerServerRequest": "does nothing in either generation",
    },
}
"""members whose whole behaviour is the neutral answer, each with its reason"""


class Neutral:
    """Answers for members without implementation."""

    def __init__(self, knows_account: Callable[[str], bool] = lambda account_id: False) -> None:
        self._knows_account = knows_account

    def handler(self, interface: str, form: Member) -> Callable[..., Any]:
        """A handler for FORM: the neutral value, or NotImplementedYetError for an account that exists or a member without account."""
        values = [neutral(one) for one in form.out_types]
        answer = values[0] if len(values) == 1 else values

        def handle(*arguments: Any) -> Any:
            if form.name in NOTHING.get(interface, {}):
                return answer
            if names_account(form) and not self._knows_account(arguments[0]):
                return answer
            raise NotImplementedYetError(f"{interface}.{form.name} is not implemented yet")

        return handle


def names_account(form: Member) -> bool:
    """Whether the first argument of FORM is the local id of an account."""
    incoming = [argument for argument in form.arguments if not argument.outgoing]
    return bool(incoming) and incoming[0].type == "s" and incoming[0].name.lower() in ("accountid", "account")
