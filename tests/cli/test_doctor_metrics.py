"""`edge-tdn doctor` about the port of the metrics, before the daemon starts and while it runs."""

import socket
from pathlib import Path

import pytest

from edge_tdn.cli.doctor import broker as broker_examination
from edge_tdn.cli.doctor import host
from edge_tdn.cli.doctor.site import SiteExamination
from edge_tdn.cli.timing import DoctorTiming
from edge_tdn.config.load import load
from edge_tdn.config.tables import Config
from edge_tdn.service.metrics import Metrics
from edge_tdn.status_messages import DaemonStatus
from tests.support.broker import Mosquitto
from tests.support.command_line import camera_site
from tests.support.ports import free_port
from tests.support.retained import RetainedStates, daemon_status


def site(folder: Path, port: int, address: str = "127.0.0.1") -> Config:
    return load(camera_site(folder, f'host = "barn"\n[metrics]\nport = {port}\naddress = "{address}"'))


def test_a_metrics_port_in_use_is_a_warning_that_names_the_remedy(tmp_path: Path) -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        (found,) = host.metrics(site(tmp_path, port), None)
        assert (found.mark, f"port {port} is in use" in found.message) == ("warning", True)
        assert "set metrics.port to another port" in found.remedy
        assert not list(host.metrics(site(tmp_path, port), 7)), "the daemon that runs here may be the one"
    (found,) = host.metrics(site(tmp_path, port), None)
    assert (found.mark, found.message) == ("ok", f"http://127.0.0.1:{port}/metrics can be served")
    assert not list(host.metrics(site(tmp_path, 0), None))


def test_a_daemon_that_serves_there_is_not_taken_for_another_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one without an outbox, whose process id is not known. A proxy for the web is not asked."""
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    config = site(tmp_path, free_port())
    metrics = Metrics(config, list, lambda: DaemonStatus.model_validate_json(daemon_status("a")))
    metrics.start()
    (found,) = host.metrics(config, None)
    metrics.close()
    assert (found.mark, found.message) == ("ok", f"{config.metrics.url} is served by a daemon of edge-tdn")


def test_an_address_of_another_host_is_a_failure(tmp_path: Path) -> None:
    (found,) = host.metrics(site(tmp_path, free_port(), "192.0.2.7"), None)
    assert (found.mark, found.exit_status) == ("failed", 78)


@pytest.mark.parametrize("fault", ["", "port 9464 is in use"])
def test_a_daemon_that_cannot_serve_its_metrics_is_a_warning(fault: str, broker: Mosquitto, tmp_path: Path) -> None:
    path = camera_site(tmp_path, f'host = "barn"\n[broker]\nurl = "{broker.url}"\n[metrics]\nport = 9464')
    states = RetainedStates(broker)
    states.leave("edge-tdn/barn", availability=b"online", status=daemon_status("a", metrics_fault=fault))
    states.close()
    timing = DoctorTiming(connect_s=60.0, login_s=60.0, answers_s=60.0, quiet_s=0.15)
    examined = SiteExamination(path, timing)
    list(examined.configuration())
    assert examined.config
    assert examined.access
    found = broker_examination.examine(examined.config, examined.access, None, timing)
    messages = [(one.mark, one.message) for one in found if one.what == "metrics"]
    assert messages == ([("warning", f"{fault}, according to the daemon")] if fault else [])
