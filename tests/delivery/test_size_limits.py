"""Brokers that end the connection over messages that are too large, without a network: a model of one answers."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.model_broker import CAMERAS, TIMING, TOPICS, Host, ModelBroker

STATUS, SNAPSHOT = TOPICS.status, TOPICS.snapshot("door")
PROBES_PER_H = 3600 // TIMING.min_probe_s  # at most
SIZES = st.sampled_from([0, 10, 100, 500, 900, 1500, 3000, 4500, 15_000, 20_000])
STEPS = st.one_of(
    st.tuples(st.just("event"), st.sampled_from(CAMERAS), SIZES),
    st.tuples(st.just("retained"), st.sampled_from([STATUS, SNAPSHOT, "homeassistant/a", "homeassistant/b"]), SIZES),
    st.tuples(st.just("run"), st.just(""), st.just(0)),
)


def bound(host: Host, too_large: int) -> int:
    """Return how many connections are allowed. `too_large`: messages that do not fit."""
    return 6 + 5 * too_large + int(host.now_s / TIMING.min_probe_s)


@given(
    steps=st.lists(STEPS, max_size=25),
    limit=st.integers(300, 17_000),
    announces=st.booleans(),
    rejects=st.booleans(),
    loses_answers=st.booleans(),
    window=st.sampled_from([1, 2, 20]),
)
@example([("event", "door", 100), ("retained", SNAPSHOT, 15_000), ("event", "door", 100)], 6000, *[False] * 2, True, 20)
def test_everything_that_fits_arrives_in_order_within_few_connections(
    steps: list[tuple[str, str, int]], limit: int, announces: bool, rejects: bool, loses_answers: bool, window: int
) -> None:
    broker = ModelBroker(limit, announces, rejects, loses_answers)
    host = Host(broker, window)
    newest: dict[str, int] = {}
    too_large = 0
    for step, name, size in [*steps, ("run", "", 0)]:
        match step:
            case "event":
                before = len(host.expected[name])
                host.event(name, size)
                too_large += len(host.expected[name]) == before
            case "retained":
                host.retained(name, size)
                newest[name] = size
                too_large += len(name) + size > limit
            case _:
                host.run(max_connections=bound(host, too_large))
    host.run(bound(host, too_large) + 3 * PROBES_PER_H, for_s=3 * TIMING.max_probe_s)
    assert {camera: list(dict.fromkeys(seqs)) for camera, seqs in broker.events.items()} == host.expected
    for topic, size in newest.items():
        if len(topic) + size <= limit:
            assert len(broker.held[topic]) == size, topic
        else:
            assert topic in host.outgoing.retained.denials
    assert host.outbox.waiting - len(list(host.outgoing.events.acknowledgements)) == sum(
        host.seqs[camera] - len(host.expected[camera]) for camera in CAMERAS
    ), "what does not fit is kept"
    host.outbox.close()


def test_a_picture_that_ends_the_connection_costs_three_connections_and_later_ones_none() -> None:
    host = Host(ModelBroker(6000))
    for camera in CAMERAS:
        host.event(camera, 500)
        host.retained(TOPICS.camera_status(camera), 700)
    host.retained(TOPICS.snapshot("door"), 15_000)
    host.run(max_connections=4, for_s=5)
    assert host.connections == 4, "three ended over it: it was suspected, and sent alone twice"
    assert host.broker.events == host.expected
    reason = host.outgoing.retained.denials[TOPICS.snapshot("door")]
    assert reason.startswith("too large for this broker or this line, which failed at 15027 bytes; raise the broker's")
    assert reason.endswith("(15000 bytes)")
    assert "mosquitto: max_packet_size, message_size_limit" in reason
    assert host.status.current.state == "degraded"
    host.retained(TOPICS.snapshot("gate"), 15_100)
    host.retained(TOPICS.snapshot("door"), 16_000)
    host.event("door", 500)
    host.run(max_connections=4, for_s=5)
    host.retained(TOPICS.snapshot("door"), 4000)
    host.run(max_connections=4, for_s=5)
    assert len(host.broker.held[TOPICS.snapshot("door")]) == 4000
    assert list(host.outgoing.retained.denials) == [TOPICS.snapshot("gate")]


def test_a_limit_that_was_raised_is_found_by_a_probe() -> None:
    host = Host(ModelBroker(1000))
    host.event("door", 2000)
    host.event("door", 100)
    host.retained(STATUS, 500)
    host.retained(SNAPSHOT, 15_000)
    host.run(max_connections=8)
    assert host.broker.events["door"] == [2]
    host.run(max_connections=8 + 24 + 7, for_s=24 * 3600)  # the wait doubles from a minute to an hour
    host.broker.limit = 50_000
    host.run(max_connections=8 + 24 + 7, for_s=3 * 3600)
    assert host.broker.events["door"] == [2, 1], "late, but not lost"
    assert len(host.broker.held[SNAPSHOT]) == 15_000
    assert host.outgoing.retained.denials == {}


def test_a_restarted_broker_is_probed_soon() -> None:
    """A connection that ended with nothing in flight: the broker may have been restarted with another limit."""
    host = Host(ModelBroker(1000))
    host.retained(SNAPSHOT, 15_000)
    host.run(max_connections=4)
    host.run(max_connections=20, for_s=4 * 3600)
    host.broker.limit = 50_000
    host.lose_connection()
    host.run(max_connections=20, for_s=10)
    assert len(host.broker.held[SNAPSHOT]) == 15_000


@pytest.mark.parametrize("forbidden", [TOPICS.events("door"), SNAPSHOT, STATUS])
def test_a_forbidden_topic_is_not_taken_for_a_limit_for_long(forbidden: str) -> None:
    """Its first message is larger than all that the broker has acknowledged."""
    host = Host(ModelBroker(10**6, forbidden=frozenset([forbidden])))
    sizes = {SNAPSHOT: 16_000, STATUS: 12_000, f"{TOPICS.base}/discovery": 13_000}
    for topic, size in sizes.items():
        host.retained(topic, size)
    for camera in CAMERAS:
        host.event(camera, 11_000)
        host.event(camera, 14_000)
    host.run(max_connections=50, for_s=600)
    missing = sizes.keys() - host.broker.held.keys() - {forbidden}
    assert not missing
    refused = host.outgoing.retained.denials.keys() | map(TOPICS.events, host.outgoing.events.rejections)
    assert refused == {forbidden}
    assert host.broker.events == host.expected


def test_another_limit_in_connack_is_tried_at_once() -> None:
    host = Host(ModelBroker(1000, announces=True))
    host.event("door", 2000)
    host.retained(SNAPSHOT, 15_000)
    host.run(max_connections=1)
    assert sorted(host.outgoing.retained.denials) == [SNAPSHOT]
    assert list(host.outgoing.events.rejections) == ["door"]
    host.broker.limit = 50_000
    host.lose_connection()
    host.run(max_connections=2)
    assert host.broker.events == host.expected | {"door": [1]}
    assert len(host.broker.held[SNAPSHOT]) == 15_000
    assert host.outgoing.retained.denials == {}
    assert host.outgoing.events.rejections == {}
