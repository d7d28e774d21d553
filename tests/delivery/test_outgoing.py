"""What is sent while a broker refuses some of it: a model of a broker answers."""

import pytest

from edge_tdn.delivery.mqtt import Message
from tests.support.model_broker import TIMING, TOPICS, Host, ModelBroker

HOUR_S = 3600.0
DOOR, GATE = TOPICS.events("door"), TOPICS.events("gate")
STATUS, SNAPSHOT = TOPICS.status, TOPICS.snapshot("door")


def test_a_limit_that_was_lowered_stops_no_smaller_event() -> None:
    """Larger messages were acknowledged before, on another connection."""
    host = Host(ModelBroker(50_000))
    host.event("door", 20_000)
    host.run(max_connections=1)
    host.broker.limit = 6000
    host.event("door", 10_000)
    for _ in range(5):
        host.event("door", 100)
    host.run(max_connections=6)
    assert host.broker.events["door"] == [1, 3, 4, 5, 6, 7]
    assert host.outgoing.events.rejections["door"].startswith("too large for this broker or this line")


def test_a_rejection_for_its_size_concerns_one_event_whatever_was_accepted_before() -> None:
    host = Host(ModelBroker(50_000, rejects=True))
    host.event("door", 20_000)
    host.run(max_connections=1, for_s=1)
    host.broker.limit = 6000
    host.event("door", 10_000)
    host.retained(SNAPSHOT, 10_000)
    host.event("door", 100)
    host.run(max_connections=1)
    assert host.broker.events["door"] == [1, 3]
    assert sorted(host.outgoing.retained.denials) == [SNAPSHOT]


def test_of_two_forbidden_cameras_each_is_probed() -> None:
    host = Host(ModelBroker(10**6, forbidden=frozenset([DOOR, GATE])))
    host.retained(STATUS, 2000)
    host.event("door", 100)
    host.event("gate", 100)
    host.run(max_connections=100, for_s=24 * HOUR_S)
    host.broker.forbidden = frozenset([DOOR])
    host.run(max_connections=110, for_s=3 * HOUR_S)
    assert host.broker.events == {"door": [], "gate": [1]}


def test_lost_connections_do_not_put_a_probe_off() -> None:
    host = Host(ModelBroker(10**6, forbidden=frozenset([DOOR])))
    host.retained(STATUS, 2000)
    host.event("door", 100)
    host.run(max_connections=40, for_s=24 * HOUR_S)
    host.broker.forbidden = frozenset()
    host.broker.silent = frozenset([STATUS])  # so that something is in flight
    for _ in range(3):
        host.run(max_connections=80, for_s=0.5 * HOUR_S)
        host.lose_connection()
    host.run(max_connections=80)
    assert host.broker.events["door"] == [1]


def test_another_broker_gets_everything_at_once() -> None:
    host = Host(ModelBroker(1000, forbidden=frozenset([GATE, STATUS])))
    host.retained(STATUS, 900)
    host.retained(SNAPSHOT, 20_000)
    host.event("door", 2000)
    host.event("gate", 100)
    host.run(max_connections=100, for_s=24 * HOUR_S)
    host.broker = ModelBroker(10**6)
    host.outgoing.reconnecting(elsewhere=True)
    host.uplink.connection_lost()
    host.run(max_connections=host.connections + 1, for_s=0)
    assert host.broker.events == {"door": [1], "gate": [1]}
    assert {topic: len(host.broker.held[topic]) for topic in (STATUS, SNAPSHOT)} == {STATUS: 900, SNAPSHOT: 20_000}


def test_forbidden_discovery_costs_few_connections_and_is_sent_when_it_is_allowed() -> None:
    topics = {f"homeassistant/device/{number}/config" for number in range(60)}
    host = Host(ModelBroker(10**6, forbidden=frozenset(topics)))
    host.retained(STATUS, 20_000)  # larger, so that the size is not the reason
    for topic in sorted(topics):
        host.retained(topic, 3000)
    host.event("door", 100)
    host.run(max_connections=5)
    assert host.broker.events["door"] == [1]
    assert host.outgoing.retained.denials.keys() >= topics
    host.run(max_connections=5 + 7, for_s=HOUR_S)
    host.broker.forbidden = frozenset()
    host.run(max_connections=5 + 7, for_s=3 * HOUR_S)
    assert topics <= host.broker.held.keys()
    assert host.outgoing.retained.denials == {}


def test_a_suspect_that_is_never_answered_does_not_stop_the_others() -> None:
    host = Host(ModelBroker(10**6, silent=frozenset([SNAPSHOT])))
    host.retained(SNAPSHOT, 1000)
    host.run(max_connections=1, for_s=1)
    host.lose_connection()
    host.run(max_connections=2, for_s=1)
    assert host.in_flight.alone
    host.event("door", 100)
    host.run(max_connections=2, for_s=TIMING.answer_s + 5)
    assert host.broker.events["door"] == [1]
    assert host.outgoing.retained.denials == {SNAPSHOT: "not answered within 60 s"}


def test_a_batch_that_is_never_answered_does_not_stop_the_others() -> None:
    host = Host(ModelBroker(10**6, silent=frozenset([DOOR, STATUS])))
    host.retained(STATUS, 1000)
    host.run(max_connections=1, for_s=1)
    host.lose_connection()  # so that the status is a suspect
    host.event("door", 100)
    host.run(max_connections=2, for_s=1)
    host.event("gate", 100)
    host.run(max_connections=2, for_s=TIMING.answer_s + 5)
    assert host.broker.events["gate"] == [1]


def test_an_ending_that_the_broker_explains_makes_no_suspects() -> None:
    host = Host(ModelBroker(10**6, silent=frozenset([SNAPSHOT, DOOR])))
    host.retained(SNAPSHOT, 20_000)
    host.event("door", 100)
    for _ in range(5):
        host.run(max_connections=10, for_s=1)
        assert host.outgoing.disconnected(blame=False) == ""
        host.uplink.connection_lost()
    assert not host.outgoing.retained.has_suspects(probes=True)
    assert not host.outgoing.events.has_suspects(probes=True)
    host.broker.silent = frozenset()
    host.run(max_connections=10)
    assert host.broker.events["door"][-1:] == [1]
    assert len(host.broker.held[SNAPSHOT]) == 20_000


@pytest.mark.parametrize("suspect", [True, False])
def test_scores_are_not_sent_beside_a_suspect(suspect: bool) -> None:
    host = Host(ModelBroker(10**6, silent=frozenset([SNAPSHOT])))
    host.retained(SNAPSHOT, 1000)
    host.run(max_connections=1, for_s=1)
    if suspect:
        host.lose_connection()
        host.run(max_connections=2, for_s=1)
    host.outgoing.scores(Message("scores", b"1", qos=0))
    assert ("scores" in [message.topic for message in host.link.published]) is not suspect


def test_the_goodbye_waits_for_suspects_and_sends_no_probes() -> None:
    host = Host(ModelBroker(1000))
    host.retained(SNAPSHOT, 20_000)
    host.retained(STATUS, 100)
    host.run(max_connections=5, for_s=1)
    host.broker.silent = frozenset([STATUS])
    host.retained(STATUS, 200)
    host.run(max_connections=5, for_s=1)
    host.lose_connection()
    host.connect()
    host.step(probes=False)
    assert not host.outgoing.finished, "the status is a suspect, and not sent yet"
    host.broker.silent = frozenset()
    host.now_s += HOUR_S
    connections = host.connections
    while not host.outgoing.finished:
        host.step(probes=False)
    assert host.connections == connections, "the picture is left out, and due for a probe"
    assert host.broker.held[STATUS] == b"x" * 200
