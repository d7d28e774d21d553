"""The table [web]: off by default, and nothing that would send the token in plain text to other hosts is accepted."""

from pathlib import Path

import pytest

from edge_tdn.config.load import load
from edge_tdn.config.web_table import WebConfig
from edge_tdn.service.config_changes import changes
from tests.support.command_line import camera_site
from tests.support.site import error_of

CAMERA = '[[camera]]\nname = "a"\nsource = "a.mp4"\n'


def web(folder: Path, *lines: str) -> WebConfig:
    text = "\n".join(("[web]", "port = 8765", *lines))
    return load(camera_site(folder, text)).web


def test_the_page_is_off_unless_a_port_is_set(tmp_path: Path) -> None:
    assert load(camera_site(tmp_path)).web.port == 0
    assert web(tmp_path).address == "127.0.0.1"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["port = 65536"], "site.toml:2: web.port = 65536: should be less than or equal to 65535"),
        (["prot = 8765"], "site.toml:2: web.prot: unknown key; did you mean 'port'?"),
        (["bind = '0.0.0.0'"], "web.bind: unknown key; did you mean 'address'?"),
        (["token = 'secret'"], "web.token: unknown key; did you mean 'token_file'?"),
        (["hosts = ['http://camera-host/']"], "'http://camera-host/' is not a name"),
        (["hosts = ['*']"], "'*' is not a name"),
        (["hosts = ['a', 7]"], "web.hosts[1] = 7"),
        (["trusted_proxy = 'proxy.lan'"], "'proxy.lan' is not an address"),
        (["trusted_proxy = '192.168.1.0/24'"], "allowed: one IP address"),
        (["trusted_proxy = '192.168.1.5'"], "trusted_proxy needs hosts"),
        (["key_file = 'key.pem'"], "key_file needs a cert_file"),
        (["address = '0.0.0.0'"], "sends pictures and the token in plain text; set cert_file"),
        (["address = '::'"], "in plain text"),
        (["address = '192.168.1.9'", "hosts = ['camera-host']"], "in plain text"),
        (["address = ''"], "web.address"),
    ],
)
def test_a_fault_names_key_value_and_what_is_allowed(lines: list[str], message: str, tmp_path: Path) -> None:
    text = "\n".join(("[web]", *lines)) + f"\n{CAMERA}"
    assert message in error_of(tmp_path, text)


def test_a_table_named_as_others_name_it_is_recognised(tmp_path: Path) -> None:
    assert "did you mean 'web'?" in error_of(tmp_path, f"[gui]\nport = 8765\n{CAMERA}")


@pytest.mark.parametrize("address", ["127.0.0.1", "127.3.2.1", "::1", "localhost"])
def test_an_address_of_this_host_alone_needs_no_certificate(address: str, tmp_path: Path) -> None:
    assert web(tmp_path, f"address = '{address}'").is_local


@pytest.mark.parametrize(
    "protection", ["cert_file = 'page.pem'", "trusted_proxy = '192.168.1.5'\nhosts = ['cameras.lan']"]
)
def test_another_address_needs_a_certificate_or_a_proxy(protection: str, tmp_path: Path) -> None:
    assert not web(tmp_path, "address = '0.0.0.0'", protection).is_local


@pytest.mark.parametrize(
    ("lines", "url"),
    [
        ([], "http://127.0.0.1:8765/"),
        (["address = '::1'"], "http://[::1]:8765/"),
        (["address = 'localhost'"], "http://localhost:8765/"),
        (["hosts = ['cameras.lan']"], "http://127.0.0.1:8765/"),
        (["address = '0.0.0.0'", "cert_file = 'a.pem'", "hosts = ['cameras.lan']"], "https://cameras.lan:8765/"),
        (["address = '0.0.0.0'", "cert_file = 'a.pem'", "hosts = ['cameras.lan:443']"], "https://cameras.lan:443/"),
    ],
)
def test_the_address_for_the_log_is_one_that_a_browser_opens(lines: list[str], url: str, tmp_path: Path) -> None:
    assert web(tmp_path, *lines).url == url


def test_a_changed_table_needs_a_restart_and_is_reported(tmp_path: Path) -> None:
    before = load(camera_site(tmp_path, "[web]\nport = 8765"))
    after = load(camera_site(tmp_path, "[web]\nport = 8766"))
    assert changes(before, after).later == ("web.port",)
