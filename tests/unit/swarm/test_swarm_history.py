"""How far members are, over a loaded history."""

from __future__ import annotations

import random

from jamid.swarm.history import FETCHED, READ, SENDING, History, Shown


def body(number: int, author: str) -> dict[str, str]:
    return {"id": f"{number:040x}", "type": "text/plain", "author": author, "body": "", "timestamp": "1"}


def test_progress_raises_each_message_once_and_nothing_newer() -> None:
    chance = random.Random(5)
    for _ in range(30):
        history = History()
        history.progress = {"a": ("", ""), "b": ("", ""), "c": ("", "")}
        ids: list[str] = []
        expected: dict[str, int] = {}
        for number in range(40):
            message = body(number, chance.choice("ab"))
            ids.append(message["id"])
            history.add_new(message)
            expected[message["id"]] = READ if message["author"] == "b" else SENDING
            if chance.random() < 0.5:
                # Also of what is not here yet: that raises nothing.
                upto, status = chance.randrange(number + 3), chance.choice((FETCHED, READ))
                rose = {message.id for message in history.advance("b", f"{upto:040x}", status)}
                should = {each for each in ids[: upto + 1] if expected[each] < status} if upto <= number else set()
                assert rose == should
                expected.update(dict.fromkeys(should, status))
        assert {message.id: message.status["b"] for message in history} == expected


def test_what_a_member_writes_in_a_row_is_not_walked_through_with_each_message() -> None:
    history = History()
    history.progress = {"a": ("", ""), "b": ("", "")}
    for number in range(1000):
        history.add_new(body(number, "b"))
        history.advance("b", f"{number:040x}", READ)
    steps = 0

    class Counting(dict[str, int]):
        def get(self, *key: object) -> int:  # type: ignore[override]
            nonlocal steps
            steps += 1
            return READ

    for message in history:
        message.status = Counting()
    history.add_new(body(1000, "b"))
    history.advance("b", f"{1000:040x}", READ)
    assert steps < 10


def test_what_was_shown_stays_as_it_was() -> None:
    history = History()
    history.progress = {"a": ("", ""), "b": ("", "")}
    for number in range(3):
        history.add_new({**body(number, "a"), "body": f"text {number}"})
    shown = Shown(history)
    before = list(shown)
    history.add_new({**body(3, "a"), "body": "other", "edit": f"{1:040x}"})
    history.add_new({**body(4, "b"), "body": "!", "react-to": f"{1:040x}"})
    history.advance("b", f"{2:040x}", READ)
    assert list(shown) == before == shown[:] == [shown[0], shown[-2], shown[2]]
    assert [message.body["body"] for message in shown] == ["text 2", "text 1", "text 0"]
    now = Shown(history)[1]
    assert (now.body["body"], len(now.reactions), now.status["b"]) == ("other", 1, READ)
