"""A real MQTT 5 broker (rumqttd, from the package iotcore) for the demo, which needs no other. Loopback only."""

import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from edge_tdn.errors import BrokerError

SETTINGS = """
id = 0
[router]
id = 0
max_connections = 100
max_outgoing_packet_count = 200
max_segment_size = 1048576
max_segment_count = 10
[v5.1]
name = "edge-tdn-demo"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1
[v5.1.connections]
connection_timeout_ms = 60000
max_payload_size = 1048576
max_inflight_count = 100
"""


@contextmanager
def embedded_broker() -> Iterator[str]:
    """Run a broker in a child process, and yield its mqtt:// URL. Raises BrokerError if it cannot run."""
    try:
        from iotcore import Broker
    except ImportError as error:
        raise BrokerError(
            f"no embedded broker on this machine ({error}); name one with --broker mqtt://HOST"
        ) from error
    with _reserved_port() as port, tempfile.NamedTemporaryFile("w", suffix=".toml") as settings:
        settings.write(SETTINGS.format(port=port))
        settings.flush()
        try:
            broker = Broker(config_path=settings.name).start()
        except (OSError, RuntimeError) as error:
            raise BrokerError(f"the embedded broker does not start: {error}; name one with --broker") from error
        try:
            yield f"mqtt://127.0.0.1:{port}"
        finally:
            broker.stop()


@contextmanager
def _reserved_port() -> Iterator[int]:
    """Yield a free port, which no connection of another program is given before the broker listens there."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # so that the broker may bind it as well
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]
