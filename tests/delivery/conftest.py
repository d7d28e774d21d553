"""Publishers for the tests of delivery."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from edge_tdn.config.credentials import Access
from edge_tdn.config.tables import BrokerConfig, OutboxConfig
from edge_tdn.delivery.mqtt import Connection
from edge_tdn.delivery.outbox.outbox import Outbox
from edge_tdn.delivery.publisher import Publisher
from edge_tdn.delivery.timing import ConnectionTiming, PublisherTiming
from edge_tdn.delivery.topic_record import TopicRecord
from tests.support.broker import PATIENT
from tests.support.delivery import BASE, StartPublisher, raise_failure


@pytest.fixture
def start_publisher() -> Iterator[StartPublisher]:
    """start_publisher(config, ...) -> a started publisher, its outbox in memory; stopped when the test is over."""
    started: list[Publisher] = []

    def start(
        config: BrokerConfig,
        access: Access | None = None,
        outbox: Outbox | None = None,
        boot: str = "b007",
        client: str = "daemon",
        timing: PublisherTiming = PublisherTiming(goodbye_s=20),  # noqa: B008  (frozen; a busy broker answers late)
        connection_timing: ConnectionTiming = PATIENT,
        base: str = BASE,
        commanded: Callable[[str, bytes], None] = lambda topic, payload: None,
        record: TopicRecord | None = None,
    ) -> Publisher:
        def connect(will: Any, inbox: Any) -> Connection:
            return Connection(config, client, access, will, inbox, timing=connection_timing)

        outbox = outbox or Outbox(None, OutboxConfig())
        publisher = Publisher(base, boot, outbox, connect, raise_failure, commanded, timing=timing, record=record)
        publisher.start()
        started.append(publisher)
        return publisher

    yield start
    for publisher in started:
        publisher.stop()
