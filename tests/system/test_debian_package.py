"""The Debian package: installed in a fresh Debian 12, served, upgraded, removed and purged (`make test-install`)."""

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.booted import Booted, skip_without
from tests.support.fresh_system import Sources, fresh_system, run_in

pytestmark = [pytest.mark.install, pytest.mark.timeout(3600)]  # builds among it
SITE = Path("etc/edge-tdn/site.toml")
SERVING = "1 of 1 cameras streaming; broker connected; 0 events wait"
APT = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-y")
STATE = "/var/lib/private/edge-tdn"
CACHE = "/var/cache/private/edge-tdn"


class Packages(NamedTuple):
    """A release candidate, and a version of one's own of the release, which ships another configuration."""

    first: Path
    later: Path


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Packages:
    skip_without(("mmdebstrap", "dpkg-deb", "lintian", "make", "git"), "test-install")
    sources = Sources(tmp_path_factory.mktemp("sources"))
    began = time.monotonic()
    first = sources.debian_package("0.1.0rc1")
    built_s = time.monotonic() - began
    with (sources.folder / "configs/demo.toml").open("a") as file:
        file.write("# shipped later\n")
    later = sources.debian_package("0.1.0", own="+site1")
    print(f"{first.name}: {first.stat().st_size / 1e6:.0f} MB, built in {built_s:.0f} s")
    return Packages(first, later)


@pytest.fixture(scope="module")
def root(packages: Packages, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Debian with a broker, in which the first package is installed: with apt, and without a compiler."""
    folder = tmp_path_factory.mktemp("fresh")
    root, share = folder / "root", folder / "packages"
    share.mkdir()
    for path in packages:
        shutil.copy(path, share)
    fresh_system(root, "systemd-sysv", "mosquitto", "mosquitto-clients")
    before = _used_mb(root)
    began = time.monotonic()
    run_in(root, *APT, "update")
    run_in(root, *APT, "install", "--no-install-recommends", f"/packages/{packages.first.name}")
    run_in(root, "apt-get", "clean")
    print(f"installed in {time.monotonic() - began:.0f} s: {_used_mb(root) - before:.0f} MB with what it depends on")
    yield root
    shutil.rmtree(root)


def test_lintian_finds_no_error(packages: Packages) -> None:
    command = ["lintian", "--allow-root", "--fail-on", "error", str(packages.first)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_same_sources_give_the_same_package(packages: Packages, tmp_path: Path) -> None:
    """Byte for byte, at another time and in another folder."""
    again = Sources(tmp_path).debian_package("0.1.0rc1")
    assert again.read_bytes() == packages.first.read_bytes()


def test_no_compiler_and_no_other_python_packages_are_needed(root: Path) -> None:
    listed = run_in(root, "dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n")
    installed = {line.split()[0] for line in listed.splitlines() if line.endswith(" installed")}
    assert "edge-tdn" in installed
    assert not [name for name in installed if name.endswith("-dev") or name in ("gcc", "make", "python3-numpy")]


def test_the_licence_of_the_video_of_the_demo_is_stated(root: Path) -> None:
    stated = (root / "usr/share/doc/edge-tdn/copyright").read_text()
    (video,) = re.findall(r"^(/usr/lib/.*): CC-BY-4\.0$", stated, re.M)
    assert (root / video[1:]).is_file()
    assert (root / video[1:]).with_name("LICENSE.people.CC-BY-4.0.txt").is_file()


def test_the_printed_command_adds_a_missing_package(root: Path) -> None:
    """Into an environment of the user's, from the wheel in the package; the next program is that environment's."""
    site = "/etc/edge-tdn/site.toml"
    plot = ("replay", "demo:", "--config", site, "--plot", "/root/plot.png")
    failed = run_in(root, "edge-tdn", *plot, status=78)
    (command,) = re.findall(r"^edge-tdn: --plot needs matplotlib, which is not installed: (.*)$", failed, re.M)
    run_in(root, "sh", "-c", command)
    run_in(root, "/root/edge-tdn-env/bin/edge-tdn", *plot)
    assert (root / "root/plot.png").read_bytes().startswith(b"\x89PNG")
    missing = run_in(root, "edge-tdn-export", "inspect", "motion", status=78)
    assert "needs the export extra" in missing
    assert "-py3-none-any.whl[export]'" in missing


def test_the_package_serves_is_upgraded_removed_and_purged(root: Path, packages: Packages) -> None:
    booted = Booted(root)
    try:
        _serves(booted)
        _is_upgraded(booted, packages.later)
        _is_removed(booted)
        _is_purged(booted)
    finally:
        booted.close()


def _serves(booted: Booted) -> None:
    """Assert that the demo clip is served as shipped, through Debian's GStreamer."""
    assert booted.show("edge-tdn", "UnitFileState") == "disabled"
    booted.run("systemctl", "enable", "--now", "edge-tdn")
    assert booted.run("mosquitto_sub", "-t", "edge-tdn/+/demo/events", "-C", "1", "-W", "60")
    booted.until(lambda: booted.show("edge-tdn", "StatusText") == SERVING, 60)
    assert booted.run("journalctl", "-q", "-u", "edge-tdn", "-p", "warning") == ""
    assert "GStreamer 1.22" in booted.run("edge-tdn", "doctor", "--config", f"/{SITE}", check=False)
    booted.run("edge-tdn", "status", "--config", f"/{SITE}")


def _is_upgraded(booted: Booted, package: Path) -> None:
    """Assert that a changed configuration stays, what runs is restarted, and what was stopped stays stopped."""
    file = booted.root / SITE
    changed = file.read_text().replace('name = "demo"', 'name = "barn"')
    file.write_text(changed)
    shutil.copy(file, booted.root / "etc/edge-tdn/yard.toml")
    booted.run("systemctl", "enable", "edge-tdn@yard")
    booted.run("systemctl", "restart", "edge-tdn")
    pid = booted.show("edge-tdn", "MainPID")
    confold = ("-o", "Dpkg::Options::=--force-confold")
    shutil.copy(package, booted.root / "later.deb")
    booted.run(*APT, *confold, "install", "--no-install-recommends", "/later.deb")
    assert booted.run("edge-tdn", "--version").strip().endswith("0.1.0")
    assert booted.show("edge-tdn", "MainPID") not in (pid, "0")
    assert booted.show("edge-tdn@yard", "ActiveState") == "inactive"
    assert file.read_text() == changed
    assert "# shipped later" in file.with_name("site.toml.dpkg-dist").read_text()
    booted.until(lambda: booted.show("edge-tdn", "StatusText") == SERVING, 60)
    assert booted.run("mosquitto_sub", "-t", "edge-tdn/+/barn/events", "-C", "1", "-W", "60")


def _is_removed(booted: Booted) -> None:
    """Assert that nothing runs or starts any more, and that configuration and events stay."""
    booted.run(*APT, "remove", "edge-tdn")
    assert booted.run("systemctl", "list-units", "--all", "--plain", "--no-legend", "edge-tdn*") == ""
    assert booted.run("find", "/etc/systemd/system", "/usr", "-name", "edge-tdn*") == ""
    assert "barn" in (booted.root / SITE).read_text()
    assert booted.run("find", STATE, "-name", "outbox.db")


def _is_purged(booted: Booted) -> None:
    """Assert that events, compiled models and the shipped configuration go, and a configuration of the user's stays."""
    booted.run(*APT, "purge", "edge-tdn")
    for path in (STATE, CACHE, "/var/lib/edge-tdn", "/var/cache/edge-tdn", f"/{SITE}"):
        assert booted.run("find", path, check=False) == "", path
    assert (booted.root / "etc/edge-tdn/yard.toml").is_file()


def _used_mb(root: Path) -> float:
    done = subprocess.run(["du", "-sxm", str(root)], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[0])
