"""The daemon's status, and its one line for systemd."""

from types import SimpleNamespace
from typing import Any

import pytest

from edge_tdn.chosen_models import ChosenModels
from edge_tdn.inference.engine import Engine
from edge_tdn.inference.rebuilding_runtime import RebuildingRuntime
from edge_tdn.manifest import Model
from edge_tdn.networks import Network, OpenedNetworks
from edge_tdn.service.daemon_status import EndpointFaults, daemon_status, status_line
from edge_tdn.status_messages import ConfigStatus, Delivery, OutboxStatus
from tests.support.fakes import FakeRuntime

MOMENT = "2026-03-01T12:00:00.000Z"


@pytest.fixture
def running(motion: Model) -> Any:
    publisher = SimpleNamespace(
        session=3,
        connects=2,
        delivery=Delivery(state="connected", reason="", since=MOMENT),
        outbox_status=OutboxStatus(state="ok", reason="", waiting=5, dropped=0, lost=0),
    )
    runtimes = [RebuildingRuntime(FakeRuntime, 4) for _ in range(2)]
    engines = [Engine(runtime, motion.manifest.input) for runtime in runtimes]
    networks = [
        Network(motion, motion.ref(precision), runtime, engine, memory_mb)
        for precision, memory_mb, runtime, engine in zip(("fp32", "int8"), (25.04, 9.0), runtimes, engines, strict=True)
    ]
    cameras = [
        SimpleNamespace(
            name=name,
            status=lambda state=state: SimpleNamespace(state=state),
            zones=[SimpleNamespace(settings=SimpleNamespace(engine=engines[n])) for n in numbers],
        )
        for name, state, numbers in (("door", "streaming", (0,)), ("yard", "stalled", (0, 1)))
    ]
    return SimpleNamespace(
        shared=SimpleNamespace(publisher=publisher, boot="b007"),
        networks=OpenedNetworks(ChosenModels({}), {network.key: network for network in networks}),
        config=SimpleNamespace(host="here"),
        cameras=cameras,
    )


def test_the_status_names_host_model_and_cameras(running: Any, motion: Model) -> None:
    config = ConfigStatus(state="in_force", reason="", since=MOMENT)
    status = daemon_status(running, config, 1_772_366_400_000_000_000, EndpointFaults())
    assert (status.host, status.boot, status.started_at) == ("here", "b007", MOMENT)
    assert (status.model, status.device, status.cameras) == (motion.ref("fp32"), "fake", ["door", "yard"])
    assert (status.session, status.connects, status.config) == (3, 2, config)
    assert status.segment_s == pytest.approx(motion.manifest.input.segment_s, abs=1e-4)


def test_the_status_has_every_model_with_what_it_serves_and_what_it_takes(running: Any, motion: Model) -> None:
    running.networks.all[1].runtime.report("rebuilding", "device lost")
    config = ConfigStatus(state="in_force", reason="", since=MOMENT)
    first, second = daemon_status(running, config, 0, EndpointFaults()).models
    assert (first.model, first.device, first.zones, first.memory_mb) == (motion.ref("fp32"), "fake", 2, 25.0)
    assert (second.model, second.zones, second.memory_mb) == (motion.ref("int8"), 1, 9.0)
    assert (first.runtime.state, second.runtime.state) == ("ok", "rebuilding")


def test_the_line_for_systemd_mentions_a_refused_configuration(running: Any) -> None:
    in_force, refused = (ConfigStatus(state=state, reason="", since=MOMENT) for state in ("in_force", "refused"))  # type: ignore[arg-type]
    line = "1 of 2 cameras streaming; broker connected; 5 events wait"
    assert status_line(running, in_force, EndpointFaults()) == line
    assert status_line(running, refused, EndpointFaults()) == f"{line}; the new configuration was refused"


@pytest.mark.parametrize("number", [0, 1])
def test_the_line_for_systemd_and_the_status_name_what_failed(running: Any, number: int) -> None:
    """Whichever of the networks it is."""
    config = ConfigStatus(state="in_force", reason="", since=MOMENT)
    running.networks.all[number].runtime.report("rebuilding", "runtime failed: RuntimeError: no device")
    shown = status_line(running, config, EndpointFaults(metrics="port 9464 is in use"))
    assert shown.endswith("; 5 events wait; runtime failed: RuntimeError: no device; metrics: port 9464 is in use")
    status = daemon_status(running, config, 0, EndpointFaults()).runtime
    assert status
    assert (status.state, status.reason, status.rebuilds) == (
        "rebuilding",
        "runtime failed: RuntimeError: no device",
        1,
    )
