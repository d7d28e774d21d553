"""The status of the daemon, for its topic, the metrics and systemd."""

import time

from edge_tdn import __version__
from edge_tdn.messages import iso
from edge_tdn.service.running import Running
from edge_tdn.status_messages import ConfigStatus, DaemonStatus


def daemon_status(running: Running, config: ConfigStatus, started_ns: int, metrics_fault: str) -> DaemonStatus:
    """Return the daemon's status as it is now. `started_ns`: wall clock, nanoseconds since 1970 UTC."""
    publisher, network = running.shared.publisher, running.network
    return DaemonStatus(
        host=running.config.host,
        version=__version__,
        boot=running.shared.boot,
        started_at=iso(started_ns),
        at=iso(time.time_ns()),
        model=network.ref,
        device=network.runtime.device,
        cameras=[camera.name for camera in running.cameras],
        segment_s=round(network.model.manifest.input.segment_s, 4),
        session=publisher.session,
        delivery=publisher.delivery,
        outbox=publisher.outbox_status,
        config=config,
        connects=publisher.connects,
        runtime=network.runtime.status,
        metrics_fault=metrics_fault,
    )


def status_line(running: Running, config: ConfigStatus, metrics_fault: str) -> str:
    """Return the status in one line, for `systemctl status`."""
    publisher = running.shared.publisher
    runtime = running.network.runtime.status
    streaming = sum(camera.status().state == "streaming" for camera in running.cameras)
    return (
        f"{streaming} of {len(running.cameras)} cameras streaming; broker {publisher.delivery.state}; "
        f"{publisher.outbox_status.waiting} events wait"
        f"{'; the new configuration was refused' if config.state == 'refused' else ''}"
        f"{f'; {runtime.reason}' if runtime.reason else ''}"
        f"{f'; metrics: {metrics_fault}' if metrics_fault else ''}"
    )
