"""Two daemons with the same `host`."""

import re
import time
from pathlib import Path

import pytest

from edge_tdn.config.tables import BrokerConfig
from edge_tdn.delivery.publisher import Publisher
from edge_tdn.delivery.timing import ConnectionTiming
from edge_tdn.status_messages import ConfigStatus, DaemonStatus
from tests.support.broker import Mosquitto
from tests.support.delivery import BASE, MODEL, MOMENT, StartPublisher
from tests.support.waiting import eventually

REPORT = re.compile(rf":(\d+) another edge-tdn publishes below {BASE} \(boot '(\w+)'\): `host` must differ")


def test_both_daemons_report_the_other_and_do_not_fight(
    start_publisher: StartPublisher, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With one client id, each ends the other's connection.

    mosquitto 2.0 does not send the reason, other brokers do: see the case "taken over" of the refusals.
    """
    timing = ConnectionTiming(min_retry_s=0.25, max_retry_s=3600, backoff_reset_s=3600)  # each wait doubles
    pairs = []
    for protocol, client in (("5", "daemon"), ("3.1.1", "daemon"), ("5", "another")):
        folder = tmp_path / f"{protocol}-{client}"
        folder.mkdir()
        broker = Mosquitto(folder)
        config = BrokerConfig.model_validate({"url": broker.url, "protocol": protocol})
        one = start_publisher(config, boot="b001", connection_timing=timing)
        two = start_publisher(config, boot="b002", client=client, connection_timing=timing)
        pairs.append((broker, one, two))

    def reported() -> dict[int, set[str]]:
        """Publish the daemons' statuses; return the boots that were reported so far, by broker."""
        for _, one, two in pairs:
            one.daemon_status(daemon_status(one, "b001"))
            two.daemon_status(daemon_status(two, "b002"))
        time.sleep(0.2)
        found: dict[int, set[str]] = {}
        for port, boot in REPORT.findall(caplog.text):
            found.setdefault(int(port), set()).add(boot)
        return found

    try:
        everything = {broker.port: {"b001", "b002"} for broker, _, _ in pairs}
        eventually(lambda: reported() == everything, describe=lambda: caplog.text)
        for _, one, two in pairs:
            assert one.session + two.session <= 20  # each waits 0.25, 0.5, 1, 2, 4 s, and so on
    finally:
        for broker, one, two in pairs:
            one.stop()
            two.stop()
            broker.stop()


def daemon_status(publisher: Publisher, boot: str) -> DaemonStatus:
    return DaemonStatus(
        host="here",
        version="1",
        boot=boot,
        started_at=MOMENT,
        model=MODEL,
        device="CPU",
        cameras=["door"],
        session=publisher.session,
        delivery=publisher.delivery,
        outbox=publisher.outbox_status,
        config=ConfigStatus(state="in_force", reason="", since=MOMENT),
    )
