"""Our answers to a registrar's challenge are those of the real daemon."""

from __future__ import annotations

import json
import re
from pathlib import Path

from jamid.sip.digest import Credential, answer_challenge, credential_for, parse_challenge
from jamid.sip.messages import Request, Response, parse_message

FILE = Path(__file__).parents[2] / "data" / "calls" / "g13" / "sip" / "sip_accounts_udp.json"


def test_every_recorded_answer_is_ours() -> None:
    messages = [parse_message(entry["raw"].encode()) for entry in json.loads(FILE.read_text()) if "raw" in entry]
    challenges = {}
    checked = 0
    for message in messages:
        if isinstance(message, Response) and message.status in (401, 407):
            challenge = parse_challenge(message.headers.get("WWW-Authenticate") or message.headers.get("Proxy-Authenticate"))
            challenges[challenge.nonce] = challenge
        authorization = message.headers.get("Authorization") or message.headers.get("Proxy-Authorization")
        if not (isinstance(message, Request) and authorization):
            continue
        fields = {match[1]: match[2] or match[3] for match in re.finditer(r'(\w+)=(?:"([^"]*)"|([^,\s]+))', authorization)}
        credential = Credential(fields["username"], f"pw-{fields['username']}")
        challenge = challenges[fields["nonce"]]
        ours = answer_challenge(
            challenge, credential, message.method, fields["uri"], count=int(fields.get("nc", "1"), 16), cnonce=fields.get("cnonce", "")
        )
        assert f'response="{fields["response"]}"' in ours
        assert credential_for(challenge, [Credential("x", "y", "elsewhere"), credential]) is credential
        checked += 1
    assert checked > 3
