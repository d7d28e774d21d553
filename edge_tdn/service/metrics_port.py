"""The port of the metrics endpoint."""

import errno
import socket

from edge_tdn.config.tables import Config
from edge_tdn.errors import ConfigError

PORT_REMEDY = "`ss -ltnp` names that program: end it, or set metrics.port to another port and restart the service"


def open_port(config: Config) -> socket.socket | None:
    """Return a listening socket at the configured address; None if the port is in use.

    ConfigError: the address is not one of this host, or the port needs privileges.
    """
    address, port = config.metrics.address, config.metrics.port
    listening = None
    try:
        listening = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # else not for a minute after a restart
        listening.bind((address, port))
        listening.listen()
    except OSError as error:
        if listening:
            listening.close()
        if error.errno == errno.EADDRINUSE:
            return None
        why = error.strerror or error
        if isinstance(error, PermissionError):
            fault = config.fault(["metrics", "port"], port, f"{why}; allowed: a port above 1023")
        else:
            fault = config.fault(["metrics", "address"], address, f"{why}; allowed: an address of this host")
        raise ConfigError(fault) from error
    return listening


def in_use(config: Config) -> str:
    """Return the fault of a port that another program uses."""
    return f"port {config.metrics.port} is in use by another program, so that Prometheus cannot read this host"
