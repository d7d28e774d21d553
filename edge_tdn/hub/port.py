"""The listening socket of an endpoint that the configuration gives an address and a port."""

import errno
import socket
from typing import Literal

from edge_tdn.config.tables import Config
from edge_tdn.errors import ConfigError


def open_port(config: Config, table: Literal["metrics", "web"]) -> socket.socket | None:
    """Return a listening socket at the address of a table; None if the port is in use.

    ConfigError: the address is not one of this host, or the port needs privileges.
    """
    found = config.metrics if table == "metrics" else config.web
    address, port = found.address, found.port
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
            fault = config.fault([table, "port"], port, f"{why}; allowed: a port above 1023")
        else:
            fault = config.fault([table, "address"], address, f"{why}; allowed: an address of this host")
        raise ConfigError(fault) from error
    return listening
