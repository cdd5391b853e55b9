"""Members of the contract that have no implementation: those that never will do anything, and those that later work must write.

A call that names an account nobody knows is answered with the neutral value whatever the member, as the real daemons do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from jamid.bus.contract import Member
from jamid.bus.signature import neutral
from jamid.core.errors import NotImplementedYetError

NOTHING: Final[Mapping[str, str]] = {
    "CallManager.switchSecondaryInput": "does nothing and answers false in 13.7.0; gone in 17",
    "CallManager.startSmartInfo": "does nothing in 13.7.0; gone in 17",
    "CallManager.stopSmartInfo": "does nothing in 13.7.0; gone in 17",
    "ConfigurationManager.getConversationConnectivity": "newer than 17.0.0; an empty list says that nothing is known",
    "ConfigurationManager.getConversationTrackedMembers": "newer than 17.0.0; an empty list says that nothing is known",
    "ConfigurationManager.createCollaborativeDocument": "newer than 17.0.0; an empty id says that none was made",
    **dict.fromkeys(
        (
            f"ConfigurationManager.{method}"
            for method in (
                "addCollaborativeAttachment",
                "applyCollaborativeUpdate",
                "closeCollaborativeDocument",
                "collaborativeAttachment",
                "collaborativeDocumentName",
                "collaborativeDocumentState",
                "collaborativeDocumentStateAt",
                "getCollaborativeDocumentHistory",
                "getCollaborativeDocuments",
                "openCollaborativeDocument",
                "removeCollaborativeDocument",
                "removeCollaborativeDocumentLocally",
                "setCollaborativeAwareness",
                "setCollaborativeDocumentName",
            )
        ),
        "newer than 17.0.0; what is answered for a document that the conversation does not have, and there are none",
    ),
}
"""members whose whole behaviour is the neutral answer, each with its reason"""

UNKNOWN: Final[Mapping[str, Any]] = {
    "ConfigurationManager.addDevice": -3,
    "ConfigurationManager.cancelDataTransfer": 3,
    "ConfigurationManager.fileTransferInfo": [3, "", 0, 0],
    "ConfigurationManager.getActiveCodecList": [27, 139, 12, 4, 86076, 69660, 69643, 536956963, 268521507, 86051, 65543, 65542],
    "ConfigurationManager.isAllModerators": True,
    "ConfigurationManager.isLocalModeratorsEnabled": True,
    "ConfigurationManager.validateCertificate": {"EXIST": "FAILED"},
    "ConfigurationManager.validateCertificatePath": {"EXIST": "FAILED"},
}
"""answers to unknown ids, as recorded, where they are not simply the neutral value of the type"""


class Neutral:
    """Answers for unknown ids, and for members without implementation."""

    def __init__(self, knows_account: Callable[[str], bool] = lambda account_id: False) -> None:
        self._knows_account = knows_account

    def answer(self, interface: str, form: Member) -> Any:
        """What FORM answers to an unknown id."""
        special = UNKNOWN.get(f"{interface}.{form.name}")
        if special is not None:
            return special
        values = [neutral(one) for one in form.out_types]
        return values[0] if len(values) == 1 else values

    def handler(self, interface: str, form: Member) -> Callable[..., Any]:
        """Stands in for the missing implementation of FORM: a neutral answer, or NotImplementedYetError where that would be a lie."""

        def handle(*arguments: Any) -> Any:
            if f"{interface}.{form.name}" not in NOTHING and not (names_account(form) and not self._knows_account(arguments[0])):
                raise NotImplementedYetError(f"{interface}.{form.name} is not implemented yet")
            return self.answer(interface, form)

        return handle


def names_account(form: Member) -> bool:
    """Whether the first argument of FORM is the local id of an account."""
    incoming = [argument for argument in form.arguments if not argument.outgoing]
    return bool(incoming) and incoming[0].type == "s" and incoming[0].name.lower() in ("accountid", "account")
