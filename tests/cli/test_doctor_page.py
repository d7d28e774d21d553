"""`edge-tdn check`, `doctor` and `status` about the page."""

import socket
from pathlib import Path

import pytest

from edge_tdn.__main__ import main
from edge_tdn.cli.doctor import broker as broker_examination
from edge_tdn.cli.doctor import host
from edge_tdn.cli.doctor.site import SiteExamination
from edge_tdn.cli.timing import DoctorTiming
from edge_tdn.config.load import load
from edge_tdn.config.tables import Config
from tests.support.broker import Mosquitto
from tests.support.command_line import Run, assert_refused, camera_site
from tests.support.ports import free_port
from tests.support.retained import RetainedStates, camera_status, daemon_status

FAULT = "port 8765 is in use by another program, so that no browser can open the page"


def site(folder: Path, port: int, more: str = "") -> Config:
    return load(camera_site(folder, f'host = "barn"\n[web]\nport = {port}\n{more}'))


def test_a_port_in_use_is_a_warning_that_names_the_remedy(tmp_path: Path) -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        (found,) = host.page(site(tmp_path, port), None)
        assert (found.mark, f"port {port} is in use" in found.message) == ("warning", True)
        assert "set web.port to another port" in found.remedy
        assert not list(host.page(site(tmp_path, port), 7)), "the daemon that runs here may be the one"
    (found,) = host.page(site(tmp_path, port), None)
    assert (found.mark, found.message) == ("ok", f"http://127.0.0.1:{port}/ can be served")
    assert not list(host.page(site(tmp_path, 0), None))


def test_an_address_of_another_host_is_a_failure(tmp_path: Path) -> None:
    more = 'address = "192.0.2.7"\ntrusted_proxy = "192.0.2.8"\nhosts = ["cameras.lan"]'
    (found,) = host.page(site(tmp_path, free_port(), more), None)
    assert (found.mark, found.exit_status) == ("failed", 78)


@pytest.mark.parametrize("fault", ["", FAULT])
def test_doctor_warns_of_a_daemon_that_cannot_serve_its_page(fault: str, broker: Mosquitto, tmp_path: Path) -> None:
    path = camera_site(tmp_path, f'host = "barn"\n[broker]\nurl = "{broker.url}"\n[web]\nport = 8765')
    states = RetainedStates(broker)
    states.leave("edge-tdn/barn", availability=b"online", status=daemon_status("a", page_fault=fault))
    states.close()
    timing = DoctorTiming(connect_s=60.0, login_s=60.0, answers_s=60.0, quiet_s=0.15)
    examined = SiteExamination(path, timing)
    list(examined.configuration())
    assert examined.config
    assert examined.access
    found = broker_examination.examine(examined.config, examined.access, None, timing)
    messages = [(one.mark, one.message) for one in found if one.what == "page"]
    assert messages == ([("warning", f"{fault}, according to the daemon")] if fault else [])


def test_status_shows_the_fault_and_is_not_well(
    broker: Mosquitto, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    states = RetainedStates(broker)
    states.leave("edge-tdn/barn", availability=b"online", status=daemon_status("a", page_fault=FAULT))
    states.leave("edge-tdn/barn/a", status=camera_status("a"))
    states.close()
    assert main(["status", "--broker", broker.url]) == 1
    assert f"page: {FAULT}" in " ".join(capsys.readouterr().out.split())


def test_the_plan_names_the_address_and_who_reaches_it(here: Run, tmp_path: Path) -> None:
    result = here("check", "--config", camera_site(tmp_path, "[web]\nport = 8765"))
    assert result.returncode == 0, result.stderr
    assert "http://127.0.0.1:8765/, from this host alone" in " ".join(result.stdout.split())
    proxied = '[web]\nport = 8765\naddress = "0.0.0.0"\ntrusted_proxy = "192.168.1.5"\nhosts = ["cameras.lan"]'
    result = here("check", "--config", camera_site(tmp_path, proxied))
    assert "through the proxy at 192.168.1.5 alone" in " ".join(result.stdout.split())


@pytest.mark.parametrize(
    ("keys", "parts"),
    [
        ('token_file = "gone"', ["web.token_file", "gone cannot be read: no such file"]),
        ('token_file = "short"', ["web.token_file", "its first line is not a token"]),
        ('cert_file = "short"', ["web.cert_file"]),
        ('address = "0.0.0.0"', ["sends pictures and the token in plain text"]),
    ],
)
def test_what_the_page_cannot_use_is_refused_by_check(keys: str, parts: list[str], here: Run, tmp_path: Path) -> None:
    (tmp_path / "short").write_text("short\n")
    (tmp_path / "short").chmod(0o600)
    assert_refused(here("check", "--config", camera_site(tmp_path, f"[web]\nport = 8765\n{keys}")), 78, *parts)
