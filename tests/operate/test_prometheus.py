"""The shipped alerts and the dashboard, with Debian's own Prometheus and the metrics of a running daemon."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.conftest import ROOT
from tests.support.broker import Mosquitto
from tests.support.daemon import DaemonProcess
from tests.support.ports import free_port
from tests.support.prometheus import (
    DASHBOARD,
    PANELS,
    RULES,
    SETTINGS,
    PrometheusServer,
    expressions,
    missing_metrics,
    promtool,
    used_metrics,
)
from tests.support.site import write_site
from tests.support.waiting import eventually

pytestmark = pytest.mark.prometheus

UNIT_TESTS = ROOT / "tests/operate/alerts.test.yml"
COLUMNS = 24  # of Grafana's grid


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The metrics port of a daemon that serves a camera with a zone, and has delivered events."""
    folder = tmp_path_factory.mktemp("site")
    broker, port = Mosquitto(folder), free_port()
    camera = 'name = "demo"\nsource = "demo:"\nloop = true\n[[camera.zone]]\nname = "all"'
    config = write_site(folder, broker.url, camera, extra=f"[metrics]\nport = {port}")
    with DaemonProcess(config) as daemon:
        daemon.wait_for_log("event=start")
        yield port
    broker.stop()


def scraped(port: int) -> str:
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        return str(answer.read().decode())


def test_promtool_accepts_the_rules_and_the_scrape_configuration() -> None:
    for arguments in (("check", "rules", RULES), ("check", "config", SETTINGS / "prometheus.yml")):
        result = promtool(*arguments)
        assert result.returncode == 0, result.stderr
        assert f"{len(alerts())} rules found" in result.stdout


def alerts() -> list[str]:
    return re.findall(r"- alert: (\w+)", RULES.read_text())


def test_each_alert_fires_for_its_fault_and_not_without_it() -> None:
    result = promtool("test", "rules", UNIT_TESTS)
    assert result.returncode == 0, result.stdout + result.stderr
    fires = set(re.findall(r"alertname: (\w+)\n\s+exp_alerts:\n\s+- exp_labels", UNIT_TESTS.read_text()))
    assert fires == set(alerts())


def test_an_alert_with_a_wrong_threshold_fails_its_test(tmp_path: Path) -> None:
    """promtool does compare: the unit tests fail for rules that never fire."""
    (tmp_path / "rules.yml").write_text(RULES.read_text().replace("> 1000", "> 100000"))
    tests = UNIT_TESTS.read_text().replace("../../configs/prometheus/edge-tdn.rules.yml", "rules.yml")
    (tmp_path / "tests.yml").write_text(tests)
    result = promtool("test", "rules", tmp_path / "tests.yml")
    assert result.returncode != 0
    assert "EdgeTdnEventsWaiting" in result.stdout + result.stderr


def test_every_metric_of_the_alerts_and_of_the_dashboard_is_in_a_real_scrape(port: int) -> None:
    used = used_metrics()
    assert len(used) > 15
    assert missing_metrics(scraped(port)) == set()
    assert missing_metrics("up 1") == used - {"up"}
    states = set(re.findall(r'state="(\w+)"', scraped(port)))
    named = re.findall(r'state=~?"([\w|]+)"', RULES.read_text() + " ".join(expressions()))
    assert {state for group in named for state in group.split("|")} <= states


def test_the_scrape_is_well_formed(port: int) -> None:
    """promtool's linter accepts names, types and help of our metrics. Findings about others are exit status 3."""
    result = promtool("check", "metrics", text=scraped(port))
    ours = [line for line in (result.stdout + result.stderr).splitlines() if line.startswith("edge_tdn")]
    assert not ours
    assert result.returncode in (0, 3), result.stderr


def test_every_query_of_the_dashboard_gives_data_of_a_running_daemon(port: int, tmp_path: Path) -> None:
    """Prometheus scrapes the daemon with the shipped settings; no alert fires, and all are loaded."""
    with PrometheusServer(tmp_path, port) as server:
        eventually(lambda: server.query('up{job="edge-tdn"} == 1'), describe=server.log)
        for expression in expressions():
            eventually(_gives(server, expression), describe=lambda one=expression: one)
        rules = server.get("rules")["groups"][0]["rules"]
        assert {rule["name"] for rule in rules} == set(alerts())
        eventually(lambda: all(rule["health"] == "ok" for rule in server.get("rules")["groups"][0]["rules"]))
        assert not [alert for alert in server.get("alerts")["alerts"] if alert["state"] == "firing"]


def _gives(server: PrometheusServer, expression: str) -> Callable[[], bool]:
    return lambda: bool(server.query(expression))


def test_the_dashboard_is_laid_out_for_grafana() -> None:
    """Each panel has its own id and place, and every variable that a query uses is defined."""
    assert DASHBOARD["schemaVersion"] >= 36
    assert (DASHBOARD["uid"], DASHBOARD["title"]) == ("edge-tdn", "edge-tdn")
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    cells = set[tuple[int, int]]()
    for panel in PANELS:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= COLUMNS
        covered = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not covered & cells, panel["title"]
        cells |= covered
        assert panel["title"]
        assert panel["type"] in ("stat", "table", "state-timeline", "timeseries")
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    defined = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD))) - {"__rate_interval", "__all"}
    assert used == defined


def test_the_panels_of_zones_name_each_and_explain_why_they_are_empty() -> None:
    """A daemon whose cameras have no zones has no such metrics."""
    panels = [panel for panel in PANELS if "edge_tdn_zone_" in json.dumps(panel["targets"])]
    assert [panel["title"] for panel in panels] == ["Zones: clips", "Zones: shed segments"]
    for panel in panels:
        (target,) = panel["targets"]
        assert target["legendFormat"] == "{{instance}} {{camera}}/{{zone}}"
        assert "edge_tdn_camera_" not in target["expr"]
        assert panel["fieldConfig"]["defaults"]["noValue"] == "no camera has zones"
