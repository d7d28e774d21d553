"""The port of the metrics endpoint."""

import socket

from edge_tdn.config.tables import Config
from edge_tdn.hub import port

PORT_REMEDY = "`ss -ltnp` names that program: end it, or set metrics.port to another port and restart the service"


def open_port(config: Config) -> socket.socket | None:
    """Return a listening socket at the configured address; None if the port is in use.

    ConfigError: the address is not one of this host, or the port needs privileges.
    """
    return port.open_port(config, "metrics")


def in_use(config: Config) -> str:
    """Return the fault of a port that another program uses."""
    return f"port {config.metrics.port} is in use by another program, so that Prometheus cannot read this host"
