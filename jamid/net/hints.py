"""What a device turned out to be the last time: its generation and its addresses. Hints only, never needed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

from jamid.core import limits
from jamid.core.generations import Generation


@dataclass(slots=True)
class Hint:
    """What is known of one device."""

    generation: Generation | None = None
    hosts: dict[str, None] = field(default_factory=dict)
    """addresses it had in its offers, the newest last"""


class Hints:
    """A hint for each of the devices met last."""

    def __init__(self) -> None:
        self._hints: OrderedDict[str, Hint] = OrderedDict()

    def of(self, device_id: str) -> Hint:
        """What is known of the device; nothing, for an unknown one."""
        return self._hints.get(device_id) or Hint()

    def learn(self, device_id: str, *, generation: Generation | None = None, hosts: Iterable[str] = ()) -> None:
        """Remembers what the device showed."""
        hint = self._hints.setdefault(device_id, Hint())
        self._hints.move_to_end(device_id)
        if generation is not None:
            hint.generation = generation
        for host in hosts:
            hint.hosts.pop(host, None)
            hint.hosts[host] = None
        while len(hint.hosts) > limits.KNOWN_ADDRESSES_PER_DEVICE:
            del hint.hosts[next(iter(hint.hosts))]
        while len(self._hints) > limits.KNOWN_DEVICES:
            self._hints.popitem(last=False)
