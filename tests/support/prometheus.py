"""Debian's Prometheus: its checks of rules, and a server that scrapes a daemon.

The programs are those of the package `prometheus`, or those in the folder $EDGE_TDN_PROMETHEUS.
"""

import json
import os
import re
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from tests.conftest import ROOT
from tests.support.ports import free_port
from tests.support.waiting import eventually

SETTINGS = ROOT / "configs/prometheus"
RULES = SETTINGS / "edge-tdn.rules.yml"
DASHBOARD: dict[str, Any] = json.loads((ROOT / "configs/grafana/edge-tdn.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
VARIABLES = {"$__rate_interval": "1m", "$instance": ".*", "$camera": ".*"}


def expressions() -> list[str]:
    """Return the queries of all panels, with values for Grafana's variables."""
    queries = [target["expr"] for panel in PANELS for target in panel["targets"]]
    for name, value in VARIABLES.items():
        queries = [query.replace(name, value) for query in queries]
    return queries


def used_metrics() -> set[str]:
    """Return the names of the metrics in the alerts and in the dashboard."""
    text = " ".join([RULES.read_text(), *expressions()])
    return set(re.findall(r"\b(?:edge_tdn|process)_\w+|\bup\b(?=\{)", text))


def missing_metrics(scraped: str) -> set[str]:
    """Return the names that the alerts and the dashboard use, and that a scrape does not have; Prometheus adds `up`."""
    return used_metrics() - set(re.findall(r"^(\w+)(?:\{| )", scraped, re.M)) - {"up"}


def program(name: str) -> str:
    """Return the path of `prometheus` or `promtool`; skip the test where it is missing."""
    found = shutil.which(name, path=f"{os.environ.get('EDGE_TDN_PROMETHEUS', '')}:{os.environ['PATH']}")
    if found is None:
        pytest.skip(f"no {name}: install Debian's package prometheus, or set EDGE_TDN_PROMETHEUS to its folder")
    return found


def promtool(*arguments: str | Path, text: str = "") -> subprocess.CompletedProcess[str]:
    """Run promtool with `text` as its input."""
    command = [program("promtool"), *map(str, arguments)]
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=120)


class PrometheusServer:
    """A Prometheus with the shipped alerts, which scrapes the metrics of a daemon at `port` every second."""

    def __init__(self, folder: Path, port: int) -> None:
        settings = (SETTINGS / "prometheus.yml").read_text()
        for shipped, own in (
            ("scrape_interval: 15s", "scrape_interval: 1s"),
            ('["barn.lan:9464", "mill.lan:9464"]', f'["127.0.0.1:{port}"]'),
            ("edge-tdn.rules.yml", str(SETTINGS / "edge-tdn.rules.yml")),
        ):
            assert shipped in settings
            settings = settings.replace(shipped, own)
        path = folder / "prometheus.yml"
        path.write_text("global: {evaluation_interval: 1s}\n" + settings)
        self.url = f"http://127.0.0.1:{free_port()}"
        self._log = (folder / "prometheus.log").open("w+")
        self.process = subprocess.Popen(
            [
                program("prometheus"),
                f"--config.file={path}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={self.url.removeprefix('http://')}",
            ],
            stderr=self._log,
        )

    def __enter__(self) -> Self:
        eventually(self._is_ready, describe=self.log)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.process.terminate()
        self.process.wait(60)
        self._log.close()

    def _is_ready(self) -> bool:
        with suppress(URLError, ConnectionError), urlopen(f"{self.url}/-/ready", timeout=10) as answer:
            return bool(answer.status == 200)
        return False

    def log(self) -> str:
        self._log.seek(0)
        return self._log.read()

    def get(self, path: str, **parameters: str) -> Any:
        """Return the data of an answer of the API, such as `query`."""
        with urlopen(f"{self.url}/api/v1/{path}?{urlencode(parameters)}", timeout=60) as answer:
            content = json.load(answer)
        assert content["status"] == "success", content
        return content["data"]

    def query(self, expression: str) -> list[Any]:
        """Return the samples that an expression gives now."""
        return list(self.get("query", query=expression)["result"])
