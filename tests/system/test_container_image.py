"""The container image and compose.yaml: built and run with podman (`make test-install`)."""

import json
import time
from collections.abc import Iterator

import pytest

from tests.conftest import ROOT
from tests.support.booted import skip_without
from tests.support.fresh_system import AUTHORITIES, Sources, fresh_system
from tests.support.podman import Podman
from tests.support.waiting import eventually

pytestmark = [pytest.mark.install, pytest.mark.timeout(3600)]  # builds among it
DEBIAN = "docker.io/library/debian:12-slim"
BROKER = "docker.io/library/eclipse-mosquitto:2"
BROKER_FILE = f"""
FROM {DEBIAN}
RUN apt-get update && apt-get install -y --no-install-recommends mosquitto mosquitto-clients
CMD ["mosquitto", "-c", "/mosquitto/config/mosquitto.conf"]
"""
FOLDERS = ("/var/lib/edge-tdn", "/var/cache/edge-tdn")
BUILD = ("build", "--format", "docker", "--network", "host")
STOP_S = 10
SETTINGS = ("--change", f"ENV SSL_CERT_FILE={AUTHORITIES}", "--change", "ENV DPKG_DEB_COMPRESSOR_LEVEL=0")  # 6: minutes


@pytest.fixture(scope="module")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    """The image of edge-tdn, over a Debian and a broker that were made here: a registry may be out of reach."""
    skip_without(("mmdebstrap", "podman", "podman-compose", "git"), "test-install")
    folder = tmp_path_factory.mktemp("podman")
    podman = Podman(folder)
    try:
        archive = folder / "debian.tar"
        fresh_system(archive)
        podman.run("import", *SETTINGS, str(archive), DEBIAN)
        (folder / "Containerfile").write_text(BROKER_FILE)
        podman.run(*BUILD, "-t", BROKER, str(folder))
        sources = Sources(tmp_path_factory.mktemp("sources"))
        began = time.monotonic()
        podman.run(*BUILD, "-t", "edge-tdn", "-f", "packaging/Containerfile", str(sources.folder))
        size, base = (podman.inspect(name)["Size"] / 1e6 for name in ("edge-tdn", DEBIAN))
        print(f"built in {time.monotonic() - began:.0f} s: {size:.0f} MB, of which Debian {base:.0f} MB")
        yield podman
    finally:
        podman.close()


def test_the_image_has_a_user_and_no_build_tools(podman: Podman) -> None:
    configured = podman.inspect("edge-tdn")["Config"]
    assert configured["User"] == "10001"
    assert configured["Entrypoint"] == ["edge-tdn"]
    script = f"id -u; stat -c %u {' '.join(FOLDERS)}; command -v gcc cc make git; find / -xdev -name '*.deb'; true"
    listed = podman.run("run", "--rm", "--network", "none", "--entrypoint", "sh", "edge-tdn", "-c", script).stdout
    assert listed.split() == ["10001"] * 3


def test_the_demo_runs_without_a_configuration_and_without_a_network(podman: Podman) -> None:
    shown = podman.run("run", "--rm", "--network", "none", "edge-tdn", "demo", "--seconds", "11").stdout
    assert "actions recognised: right 1" in shown


def test_compose_serves_the_demo_clip(podman: Podman) -> None:
    """An event arrives, the health check succeeds, fails without a broker, and succeeds again; a stop is clean."""
    compose = ("-f", str(ROOT / "packaging/compose.yaml"), "-p", "edge-tdn-test")
    podman.run(*compose, "up", "--no-build", "-d", program="podman-compose")
    names = podman.run("ps", "--format", "{{.Names}}").stdout.split()
    (broker,) = [name for name in names if "mosquitto" in name]
    (host,) = [name for name in names if name != broker]
    event = ("exec", broker, "mosquitto_sub", "-t", "edge-tdn/camera-host/demo/events", "-C", "1", "-W", "120")
    assert json.loads(podman.run(*event).stdout)["type"] == "start"
    eventually(lambda: podman.is_healthy(host), describe=lambda: podman.run("logs", host).stderr[-2000:])
    script = "edge-tdn status --config /etc/edge-tdn/site.toml >/dev/null && times"
    times = podman.run("exec", host, "sh", "-c", script).stdout.splitlines()[1]
    print(f"processor time of a health check: {times}")

    podman.run("stop", "-t", "5", broker)
    assert not podman.is_healthy(host)
    podman.run("start", broker)
    eventually(lambda: podman.is_healthy(host))

    began = time.monotonic()
    podman.run("stop", "-t", str(2 * STOP_S), host)
    assert time.monotonic() - began < STOP_S
    assert podman.inspect(host)["State"]["ExitCode"] == 0
    availability = ("mosquitto_sub", "-t", "edge-tdn/camera-host/availability", "-C", "1", "-W", "10")
    assert podman.run("exec", broker, *availability).stdout == "stopped\n"
    podman.run(*compose, "down", "--volumes", program="podman-compose")
    assert podman.run("ps", "--all", "--quiet").stdout == ""
