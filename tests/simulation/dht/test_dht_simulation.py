"""Networks of our nodes under a virtual clock: look-ups, loss, churn, NAT, listening, permanence; every run is its seed."""

from __future__ import annotations

import statistics

import pytest

from jamid.core.identifiers import InfoHash
from jamid.dht.addresses import Family
from jamid.dht.core import Status
from jamid.dht.values import WireValue
from tests.simulation.dht.simulator import Link, SimNode, World


def network(count: int, seed: int = 1, link: Link | None = None, settle: float = 60, **settings: object) -> tuple[World, list[SimNode]]:
    world = World(seed, link)
    nodes = world.grow(count, **settings)
    world.run(settle)
    return world, nodes


def key(world: World) -> InfoHash:
    return InfoHash(world.rng.randbytes(20))


def test_values_are_stored_on_the_closest_nodes_and_found_from_anywhere() -> None:
    world, nodes = network(100)
    holders = []
    for number in range(1, 31):
        at = key(world)
        assert world.put(world.rng.choice(nodes), at, WireValue(number, data=b"x"))
        assert [value.id for value in world.get(world.rng.choice(nodes), at)] == [number]
        holders.append(sum(at in node.core.storage for node in world.closest(at)))
    assert statistics.mean(holders) > 7


def test_hops_grow_slowly() -> None:
    hops = {}
    for count in (30, 120):
        world, nodes = network(count)
        found = []
        for _ in range(25):
            node, at = world.rng.choice(nodes), key(world)
            world.get(node, at)
            found.append(world.search(node, at).hops)
        hops[count] = statistics.mean(found)
    assert hops[30] <= 1.5
    assert hops[120] <= 3
    assert hops[120] - hops[30] < 2


def test_look_ups_succeed_when_a_fifth_of_the_packets_is_lost() -> None:
    world, nodes = network(60, link=Link(loss=0.2))
    found = 0
    for number in range(1, 31):
        at = key(world)
        world.put(world.rng.choice(nodes), at, WireValue(number, data=b"x"))
        found += bool(world.get(world.rng.choice(nodes), at))
    assert found == 30


def test_fragmented_values_survive_some_loss() -> None:
    world, nodes = network(20, link=Link(loss=0.01))
    payload = world.rng.randbytes(20_000)
    at = key(world)
    assert world.put(nodes[3], at, WireValue(1, data=payload))
    assert [value.data for value in world.get(nodes[9], at)] == [payload]


def test_permanent_values_survive_while_half_the_nodes_are_replaced_every_ten_minutes() -> None:
    world, nodes = network(60, maintain_storage=True)
    owners = nodes[:10]
    keys = [key(world) for _ in range(40)]
    for number, at in enumerate(keys, 1):
        assert world.put(owners[number % 10], at, WireValue(number, data=b"x"), permanent=True)
    others = nodes[10:]
    for _ in range(60):
        world.run(30)
        victim = others.pop(world.rng.randrange(len(others)))
        world.kill(victim)
        others.append(world.add(bootstrap=world.rng.choice(owners), maintain_storage=True))
    assert world.time > 1800
    found = sum(bool(world.get(world.rng.choice(others[:20]), at)) for at in keys)
    assert found == len(keys)


def test_values_of_others_outlive_their_putter_within_their_lifetime() -> None:
    """Half the nodes vanish at once, the putter with them: eight copies are enough."""
    world, nodes = network(80)
    keys = [key(world) for _ in range(40)]
    for number, at in enumerate(keys, 1):
        assert world.put(nodes[number % 40], at, WireValue(number, type=4, data=b"x"))
    for node in nodes[:40]:
        world.kill(node)
    world.run(60)
    left = [at for at in keys if any(at in node.core.storage for node in nodes[40:])]
    assert len(left) >= 38, "all eight holders of a value are gone with a chance of 1/256"
    assert all(world.get(nodes[40 + number], at) for number, at in enumerate(left))


def test_listeners_hear_of_every_value_and_of_its_end() -> None:
    world, nodes = network(40)
    at = key(world)
    news: list[tuple[int, bool]] = []
    nodes[1].core.listen(at, None, lambda values, expired: news.extend((value.id, expired) for value in values))
    world.run(5)
    for number in range(1, 11):
        assert world.put(nodes[number + 5], at, WireValue(number, type=5, data=b"x"))
    world.run(5)
    assert sorted(news) == [(number, False) for number in range(1, 11)]
    world.run(90)
    assert sorted(number for number, expired in news if expired) == list(range(1, 11))
    assert len(news) == 20


def test_listening_goes_on_for_hours_while_tokens_change() -> None:
    world, nodes = network(20)
    at = key(world)
    news: list[int] = []
    nodes[0].core.listen(at, None, lambda values, expired: None if expired else news.extend(value.id for value in values))
    for hour in range(1, 4):
        world.run(3600)
        assert world.put(nodes[hour], at, WireValue(hour, data=b"x"))
        world.run(5)
        assert news == list(range(1, hour + 1))
    assert all(node.core.storage.listeners <= 2 for node in nodes)


def test_listening_goes_on_when_the_storers_are_replaced() -> None:
    world, nodes = network(40)
    at = key(world)
    news: list[int] = []
    listener = nodes[0]
    listener.core.listen(at, None, lambda values, expired: None if expired else news.extend(value.id for value in values))
    world.run(5)
    for round_number in range(1, 4):
        for node in world.closest(at, 4):
            if node is not listener:
                world.kill(node)
        world.run(45)
        putter = next(node for node in world.nodes.values() if node is not listener)
        assert world.put(putter, at, WireValue(round_number, data=b"x"))
        world.run(5)
        assert news == list(range(1, round_number + 1))


def test_a_permanent_value_stays_for_hours_and_goes_after_its_owner() -> None:
    world, nodes = network(20)
    at = key(world)
    assert world.put(nodes[0], at, WireValue(1, data=b"x"), permanent=True)
    world.run(2 * 3600)
    holders = [node for node in nodes[1:] if at in node.core.storage]
    assert len(holders) >= 7
    world.kill(nodes[0])
    world.run(700)
    assert not any(at in node.core.storage for node in nodes[1:])


def test_nodes_behind_nat_use_the_network() -> None:
    world, nodes = network(20)
    hidden = [world.add(bootstrap=nodes[number], nat=True) for number in range(5)]
    world.run(60)
    at = key(world)
    assert all(node.core.status is Status.CONNECTED for node in hidden)
    assert world.put(hidden[0], at, WireValue(1, data=b"x"))
    assert world.get(hidden[4], at) != []
    news: list[int] = []
    hidden[1].core.listen(at, None, lambda values, _expired: news.extend(value.id for value in values))
    world.run(30)
    assert world.put(nodes[3], at, WireValue(2, data=b"y"))
    world.run(5)
    assert sorted(news) == [1, 2]


def test_a_put_does_not_wait_for_nodes_that_never_answer() -> None:
    """A third of the closest nodes are behind NATs; the value is where it belongs all the same a little later."""
    taken = []
    for seed in range(6):
        world = World(seed)
        nodes = world.grow(40)
        for _ in range(13):
            world.add(bootstrap=world.rng.choice(nodes), nat=True)
        world.run(120)
        at, start = key(world), world.time
        assert world.put(nodes[-1], at, WireValue(1, data=b"x"))
        taken.append(world.time - start)
        assert sum(at in node.core.storage for node in world.nodes.values()) >= 5, "half of eight, and the putter"
        world.run(3)
        assert sum(at in node.core.storage for node in world.nodes.values()) == 9
    assert max(taken) < 0.55, "0.35 s is how long a first answer is waited for"


def test_a_put_without_any_node_fails() -> None:
    world = World(1)
    node = world.add()
    assert not world.put(node, key(world), WireValue(1, data=b"x"))


def test_idle_nodes_stay_connected_without_a_break() -> None:
    world, nodes = network(3)
    changes: list[Status] = []
    nodes[1].core.on_status = changes.append
    sent = world.packets
    world.run(3 * 3600)
    assert changes == []
    assert nodes[1].core.status is Status.CONNECTED
    assert (world.packets - sent) / 3 / (3 * 60) < 10, "packets a minute and node"


def test_a_lost_network_is_found_again() -> None:
    world, nodes = network(10)
    node = nodes[5]
    at = key(world)
    news: list[int] = []
    node.core.listen(at, None, lambda values, _expired: news.extend(value.id for value in values))
    world.run(10)
    world.link.loss = 1.0
    world.run(1200)
    assert node.core.status is not Status.CONNECTED
    world.link.loss = 0.0
    world.run(1500)
    assert node.core.status is Status.CONNECTED
    assert world.put(nodes[7], at, WireValue(1, data=b"x"))
    world.run(30)
    assert news == [1]


def test_a_changed_address_is_made_known() -> None:
    world, nodes = network(15)
    node = nodes[4]
    at = key(world)
    news: list[int] = []
    node.core.listen(at, None, lambda values, _expired: news.extend(value.id for value in values))
    world.run(5)
    moved = node.address._replace(host="10.200.0.1")
    world.move(node, moved)
    node.upkeep.connectivity_changed()
    world.run(60)
    assert world.put(nodes[9], at, WireValue(1, data=b"x"))
    world.run(5)
    assert news == [1]


def test_the_same_seed_gives_the_same_history() -> None:
    histories = []
    for _ in range(2):
        world, _nodes = network(25, seed=42, link=Link(loss=0.1))
        histories.append((world.packets, world.lost, [len(node.core.tables[Family.V4]) for node in world.nodes.values()]))
    assert histories[0] == histories[1]


def test_a_clock_that_jumps_an_hour_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a put's creation time is wall-clock time; all else runs on the monotonic clock."""
    world, nodes = network(10)
    at = key(world)
    assert world.put(nodes[0], at, WireValue(1, data=b"x"), permanent=True)
    offset = 3600.0
    monkeypatch.setattr(world, "wall", lambda: 1_700_000_000.0 + world.time + offset)
    world.run(1300)
    assert world.get(nodes[5], at) != []
    offset = -3600.0
    world.run(1300)
    assert world.get(nodes[6], at) != []


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_thousand_nodes() -> None:
    world, nodes = network(1000)
    hops = []
    for number in range(1, 51):
        node, at = world.rng.choice(nodes), key(world)
        assert world.put(node, at, WireValue(number, data=b"x"))
        assert world.get(world.rng.choice(nodes), at) != []
        hops.append(world.search(node, at).hops)
    assert statistics.mean(hops) < 4
