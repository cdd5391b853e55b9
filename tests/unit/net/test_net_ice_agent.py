from __future__ import annotations

from dataclasses import dataclass, field

from jamid.net import candidates, stun
from jamid.net.candidates import Blob, Candidate, Credentials, Kind, TcpType
from jamid.net.ice_agent import Close, Connect, IceTcpAgent, Selected, Send
from jamid.net.stun import Attribute, Class, Message, Method


def passive(host: str, kind: Kind = Kind.HOST, port: int = 5000) -> Candidate:
    return candidates.make(kind, host, port, tcp_type=TcpType.PASSIVE)


@dataclass
class World:
    """Two agents whose links are wires; link numbers are the same on both sides."""

    answerer: IceTcpAgent = field(default_factory=lambda: IceTcpAgent(Credentials.random(), controlling=True))
    requester: IceTcpAgent = field(default_factory=lambda: IceTcpAgent(Credentials.random(), controlling=False))
    refused: set[str] = field(default_factory=set)
    now: float = 0.0
    links: int = 0
    software: str = "jamid"
    connects: list[tuple[float, str]] = field(default_factory=list)

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now <= end:
            busy = True
            while busy:
                busy = self._turn(self.answerer, self.requester) | self._turn(self.requester, self.answerer)
            self.now += 0.01
            self.answerer.tick(self.now)
            self.requester.tick(self.now)

    def _turn(self, one: IceTcpAgent, other: IceTcpAgent) -> bool:
        commands = one.take()
        for command in commands:
            if isinstance(command, Connect):
                self.connects.append((self.now, command.target.host))
                if command.target.host in self.refused:
                    one.connect_failed(command.target, self.now)
                    continue
                self.links += 1
                one.link_opened(self.links, (command.target.host, 5000), self.now, target=command.target)
                other.link_opened(self.links, ("192.0.2.9", 40000 + self.links), self.now)
            elif isinstance(command, Send):
                other.message_received(command.link, command.message, self.now)
        return bool(commands)


def test_both_agree_on_a_link() -> None:
    world = World()
    world.answerer.set_remote(Blob(world.requester.local, (passive("10.0.0.1"),)), 0.0)
    world.requester.set_remote(Blob(world.answerer.local, (passive("10.0.0.2"),)), 0.0)
    world.run(1)
    assert world.answerer.selected is not None
    assert world.answerer.selected == world.requester.selected


def test_checks_before_the_answer_are_answered_and_checked_back() -> None:
    world = World()
    world.answerer.set_remote(Blob(world.requester.local, (passive("10.0.0.1"),)), 0.0)
    world.run(0.2)
    assert world.requester.selected == world.answerer.selected is not None


def test_a_relay_is_tried_again_until_its_permission_is_there() -> None:
    world = World(refused={"10.0.0.1"})
    world.answerer.set_remote(Blob(world.requester.local, (passive("10.0.0.1", Kind.RELAY),)), 0.0)
    world.run(2)
    assert len(world.connects) in (4, 5)
    assert world.answerer.selected is None
    world.refused.clear()
    world.run(2)
    assert world.answerer.selected is not None


def test_a_refused_host_is_not_tried_again() -> None:
    world = World(refused={"10.0.0.1"})
    world.answerer.set_remote(Blob(world.requester.local, (passive("10.0.0.1"),)), 0.0)
    world.run(3)
    assert [host for _, host in world.connects] == ["10.0.0.1"]


def test_direct_path_is_preferred_to_a_relayed_one() -> None:
    world = World()
    world.answerer.set_remote(Blob(world.requester.local, (passive("10.0.0.9", Kind.RELAY),)), 0.0)
    world.run(0.1)
    assert world.answerer.selected is None
    world.requester.set_remote(Blob(world.answerer.local, (passive("10.0.0.2"),)), world.now)
    world.run(0.5)
    assert world.answerer.selected == 2


def test_best_candidates_come_first_and_spaced() -> None:
    agent = IceTcpAgent(Credentials.random(), controlling=True)
    remote = (passive("10.0.0.9", Kind.RELAY), passive("10.0.0.1"), passive("10.0.0.1"), passive("fe80::1"), passive("2001:db8::1"))
    agent.set_remote(Blob(Credentials.random(), remote), 0.0)
    order: list[tuple[float, str]] = []
    now = 0.0
    while now < 1:
        order += [(now, command.target.host) for command in agent.take() if isinstance(command, Connect)]
        now = round(now + 0.01, 3)
        agent.tick(now)
    assert [host for _, host in order] == ["10.0.0.1", "2001:db8::1", "10.0.0.9"]
    assert order[1][0] - order[0][0] >= 0.05


def request(agent: IceTcpAgent, *attributes: tuple[int, stun.Value], pwd: str | None = None) -> bytes:
    username = Attribute.USERNAME, f"{agent.local.ufrag}:peer"
    message = Message(Method.BINDING, Class.REQUEST, stun.new_transaction(), (*attributes, username))
    return message.encode((pwd or agent.local.pwd).encode())


def sent(agent: IceTcpAgent) -> list[Message]:
    return [stun.parse(command.message) for command in agent.take() if isinstance(command, Send)]


def test_unauthenticated_check_is_refused_and_the_link_closed_in_the_end() -> None:
    agent = IceTcpAgent(Credentials.random(), controlling=False)
    agent.link_opened(1, ("192.0.2.1", 1), 0.0)
    agent.message_received(1, request(agent, (Attribute.USE_CANDIDATE, None), pwd="wrong"), 0.0)
    (refusal,) = sent(agent)
    assert refusal.error()[0] == 401
    assert agent.selected is None
    for _ in range(8):
        agent.message_received(1, request(agent, pwd="wrong"), 0.0)
    assert Close(1) in agent.take()


def test_a_peer_in_our_role_is_told_to_yield() -> None:
    agent = IceTcpAgent(Credentials.random(), controlling=False)
    agent.link_opened(1, ("192.0.2.1", 1), 0.0)
    agent.message_received(1, request(agent, (Attribute.ICE_CONTROLLED, 5)), 0.0)
    assert sent(agent)[0].error()[0] == 487


def test_nomination_selects_and_repeated_requests_are_answered_alike() -> None:
    agent = IceTcpAgent(Credentials.random(), controlling=False)
    agent.link_opened(1, ("192.0.2.1", 77), 0.0)
    data = request(agent, (Attribute.PRIORITY, 1), (Attribute.USE_CANDIDATE, None), (Attribute.ICE_CONTROLLING, 5))
    agent.message_received(1, data, 0.0)
    first = agent.take()
    assert Selected(1) in first
    agent.message_received(1, data, 0.1)
    assert agent.take() == first[:1]
    assert stun.parse(first[0].message).address(Attribute.XOR_MAPPED_ADDRESS) == ("192.0.2.1", 77)  # type: ignore[union-attr]


def test_reference_is_nominated_only_after_its_own_check() -> None:
    agent = IceTcpAgent(Credentials.random(), controlling=True)
    remote = Credentials.random()
    agent.set_remote(Blob(remote, (passive("10.0.0.1"),)), 0.0)
    agent.take()
    agent.link_opened(1, ("10.0.0.1", 5000), 0.0, target=passive("10.0.0.1"))
    (check,) = sent(agent)
    response = Message(Method.BINDING, Class.SUCCESS, check.transaction, ((Attribute.XOR_MAPPED_ADDRESS, ("10.0.0.5", 9)),))
    agent.message_received(1, response.encode(remote.pwd.encode()), 0.01)
    assert not sent(agent)
    agent.message_received(1, request_of(agent, remote), 0.02)
    nominations = [message for message in sent(agent) if message.has(Attribute.USE_CANDIDATE)]
    assert len(nominations) == 1


def request_of(agent: IceTcpAgent, remote: Credentials) -> bytes:
    attributes: tuple[tuple[int, stun.Value], ...] = (
        (Attribute.PRIORITY, 1),
        (Attribute.ICE_CONTROLLED, 7),
        (Attribute.SOFTWARE, "pjnath-2.12.1"),
        (Attribute.USERNAME, f"{agent.local.ufrag}:{remote.ufrag}"),
    )
    return Message(Method.BINDING, Class.REQUEST, stun.new_transaction(), attributes).encode(agent.local.pwd.encode())
