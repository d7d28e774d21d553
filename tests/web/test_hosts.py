"""The names of the page, its origin, and the proxy."""

import pytest

from edge_tdn.config.web_table import WebConfig
from edge_tdn.web.hosts import allowed_hosts, is_trusted, own_origin

LOOPBACK = {"127.0.0.1:8765", "localhost:8765", "[::1]:8765"}


def test_this_host_has_its_loopback_names() -> None:
    assert allowed_hosts(WebConfig(port=8765)) == LOOPBACK


def test_names_without_a_port_have_two() -> None:
    """The port of the page, and none: behind a proxy a browser leaves out the default port."""
    web = WebConfig(port=8765, hosts=("Cams.lan", "cams:444"))
    assert allowed_hosts(web) == LOOPBACK | {"cams.lan", "cams.lan:8765", "cams:444"}


@pytest.mark.parametrize(("address", "name"), [("192.168.1.5", "192.168.1.5:8765"), ("fd00::5", "[fd00::5]:8765")])
def test_an_address_that_is_listened_on_is_a_name(address: str, name: str) -> None:
    assert allowed_hosts(WebConfig(port=8765, address=address, cert_file="c")) == LOOPBACK | {name}


def test_all_addresses_are_not_a_name() -> None:
    assert allowed_hosts(WebConfig(port=8765, address="0.0.0.0", cert_file="c")) == LOOPBACK


@pytest.mark.parametrize(("web", "other"), [(WebConfig(port=80), 443), (WebConfig(port=443, cert_file="c"), 80)])
def test_a_default_port_may_be_left_out(web: WebConfig, other: int) -> None:
    assert {"127.0.0.1", f"127.0.0.1:{web.port}", "[::1]"} <= allowed_hosts(web)
    assert "127.0.0.1" not in allowed_hosts(web.model_copy(update={"port": other}))


def test_an_origin_has_no_default_port() -> None:
    encrypted = WebConfig(port=443, cert_file="c")
    assert own_origin(encrypted, {"host": "Cams.lan:443"}) == "https://cams.lan"
    assert own_origin(encrypted, {"host": "cams.lan:80"}) == "https://cams.lan:80"
    assert own_origin(WebConfig(port=80), {"host": "127.0.0.1:80"}) == "http://127.0.0.1"


@pytest.mark.parametrize(
    ("peer", "is_allowed"),
    [
        ("192.168.1.5", True),
        ("::ffff:192.168.1.5", True),
        ("192.168.1.50", False),
        ("127.0.0.1", False),
        ("::1", False),
        ("", False),
        ("cams.lan", False),
    ],
)
def test_the_proxy_is_one_address(peer: str, is_allowed: bool) -> None:
    web = WebConfig(port=8765, hosts=("cams.lan",), trusted_proxy="192.168.1.5")
    assert is_trusted(web, peer) == is_allowed
    assert is_trusted(WebConfig(port=8765), peer)


def test_the_address_behind_a_proxy_is_that_of_the_proxy() -> None:
    assert WebConfig(port=8765, hosts=("cams.lan",), trusted_proxy="127.0.0.1").url == "https://cams.lan/"
    assert WebConfig(port=8765, hosts=("cams.lan",)).url == "http://127.0.0.1:8765/"
