"""`make files`: what `make install` and the Debian package install beside the Python packages."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.support.documents import PAGES

DOCUMENTS = "usr/share/doc/edge-tdn"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root folder of an installation. Manual pages and completion scripts are empty: they need its Python."""
    root = tmp_path_factory.mktemp("root")
    command = ["make", "-s", "-C", str(ROOT), "files", f"DESTDIR={root}", "PREFIX=/usr", "RUN=true"]
    subprocess.run(command, check=True, capture_output=True)
    return root


def test_every_example_is_installed(installed: Path) -> None:
    """The folders of configs/, for brokers, Home Assistant, notifications and monitoring."""
    expected = {path.relative_to(ROOT / "configs"): path.read_bytes() for path in (ROOT / "configs").glob("*/*.*")}
    folder = installed / DOCUMENTS / "examples"
    assert {path.relative_to(folder): path.read_bytes() for path in folder.glob("*/*.*")} == expected


def test_the_documents_name_installed_files(installed: Path) -> None:
    """As paths of the Debian package."""
    named = {name for page in PAGES for name in re.findall(rf"/({DOCUMENTS}/[\w./-]*\w)", page.text)}
    assert len(named) >= 3
    for name in named:
        assert (installed / name).exists(), name


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("0.2.0", "VERSION=0.2.0: allowed: 0.1.0~rc1, or 0.1.0~rc1+ and letters"),
        ("0.1.0~rc1+my site", "embedded spaces"),
    ],
)
def test_a_version_of_ones_own_follows_that_of_the_wheel(version: str, message: str, tmp_path: Path) -> None:
    """So that the next release replaces it."""
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist/edge_tdn-0.1.0rc1-py3-none-any.whl").touch()
    command = [str(ROOT / "packaging/deb.sh"), "amd64"]
    done = subprocess.run(command, cwd=tmp_path, env={**os.environ, "VERSION": version}, capture_output=True, text=True)
    assert done.returncode != 0
    assert message in done.stderr


def test_apt_takes_a_version_of_ones_own_for_newer() -> None:
    for older, newer in (("0.1.0", "0.1.0+site1"), ("0.1.0+site1", "0.1.0+site2"), ("0.1.0+site2", "0.1.1")):
        subprocess.run(["dpkg", "--compare-versions", older, "lt", newer], check=True)


def test_uninstall_removes_the_examples(installed: Path) -> None:
    command = ["make", "-s", "-C", str(ROOT), "uninstall", f"DESTDIR={installed}", "PREFIX=/usr"]
    subprocess.run(command, check=True, capture_output=True)
    assert not (installed / DOCUMENTS).exists()
