"""The listening socket of an endpoint."""

import socket

import pytest

from edge_tdn.config.tables import Config
from edge_tdn.errors import ConfigError
from edge_tdn.hub.port import open_port
from tests.support.ports import free_port


def config(**web: object) -> Config:
    return Config.model_validate({"web": web, "camera": [{"name": "door", "source": "demo:"}]})


def test_the_port_of_the_page_takes_connections_until_it_is_closed() -> None:
    port = free_port()
    listening = open_port(config(port=port), "web")
    assert listening
    with listening:
        socket.create_connection(("127.0.0.1", port)).close()
        assert open_port(config(port=port), "web") is None  # in use


def test_an_address_of_another_host_is_an_error_that_names_the_key() -> None:
    with pytest.raises(ConfigError, match=r"web\.address = '192\.0\.2\.1': .*allowed: an address of this host"):
        open_port(config(port=free_port(), address="192.0.2.1", cert_file="cert.pem"), "web")
