"""The status of the daemon, for its topic, the metrics and systemd."""

import time
from dataclasses import dataclass

from edge_tdn import __version__
from edge_tdn.messages import iso
from edge_tdn.networks import Network
from edge_tdn.service.running import Running
from edge_tdn.status_messages import ConfigStatus, DaemonStatus, ModelStatus, RuntimeStatus


@dataclass(frozen=True)
class EndpointFaults:
    """Why the endpoints of the daemon are not served; empty: they are, or are off."""

    metrics: str = ""
    page: str = ""


def daemon_status(running: Running, config: ConfigStatus, started_ns: int, faults: EndpointFaults) -> DaemonStatus:
    """Return the daemon's status as it is now. `started_ns`: wall clock, nanoseconds since 1970 UTC."""
    publisher, first = running.shared.publisher, running.networks.first
    return DaemonStatus(
        host=running.config.host,
        version=__version__,
        boot=running.shared.boot,
        started_at=iso(started_ns),
        at=iso(time.time_ns()),
        model=first.ref,
        device=first.runtime.device,
        models=tuple(_model_status(running, network) for network in running.networks.all),
        cameras=[camera.name for camera in running.cameras],
        segment_s=round(first.model.manifest.input.segment_s, 4),
        session=publisher.session,
        delivery=publisher.delivery,
        outbox=publisher.outbox_status,
        config=config,
        connects=publisher.connects,
        runtime=_worst(running),
        metrics_fault=faults.metrics,
        page_fault=faults.page,
    )


def status_line(running: Running, config: ConfigStatus, faults: EndpointFaults) -> str:
    """Return the status in one line, for `systemctl status`."""
    publisher = running.shared.publisher
    runtime = _worst(running)
    streaming = sum(camera.status().state == "streaming" for camera in running.cameras)
    return (
        f"{streaming} of {len(running.cameras)} cameras streaming; broker {publisher.delivery.state}; "
        f"{publisher.outbox_status.waiting} events wait"
        f"{'; the new configuration was refused' if config.state == 'refused' else ''}"
        f"{f'; {runtime.reason}' if runtime.reason else ''}"
        f"{f'; metrics: {faults.metrics}' if faults.metrics else ''}"
        f"{f'; page: {faults.page}' if faults.page else ''}"
    )


def _model_status(running: Running, network: Network) -> ModelStatus:
    zones = [zone for camera in running.cameras for zone in camera.zones if zone.settings.engine is network.engine]
    return ModelStatus(
        model=network.ref,
        device=network.runtime.device,
        zones=len(zones),
        memory_mb=round(network.memory_mb, 1),
        runtime=network.runtime.status,
    )


def _worst(running: Running) -> RuntimeStatus:
    """Return the status of a network that does not compute; or if all do, of the first. `rebuilds` is that of all."""
    statuses = [network.runtime.status for network in running.networks.all]
    worst = next((status for status in statuses if status.state != "ok"), statuses[0])
    return worst.model_copy(update={"rebuilds": sum(status.rebuilds for status in statuses)})
