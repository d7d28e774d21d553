"""Printed commands: a real shell makes the same words of them."""

import json
import shlex
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from edge_tdn.shell import command, install, install_extra
from tests.conftest import ROOT

NAMES = (
    "plain",
    "two words",
    "Tür öffnen (50 %)",
    "it's",
    'a "quoted" name',
    "C:\\clips\\my run",
    "$HOME",
    "`id`",
    "~",
    "*",
    "a;b&c|d>e",
    "new\nline",
    "#comment",
    "",
)


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_a_shell_makes_the_same_words(shell: str) -> None:
    line = command("printf", "%s\\0", *NAMES, *(Path("runs", name) for name in NAMES))
    printed = subprocess.run([shell, "-c", line], capture_output=True, text=True, check=True).stdout
    assert printed.split("\0")[:-1] == [*NAMES, *(str(Path("runs", name)) for name in NAMES)]


def test_a_path_that_begins_with_a_dash_is_not_taken_for_an_option() -> None:
    assert command("edge-tdn", "check", "--config", Path("-a b.toml")).endswith("check --config './-a b.toml'")


def test_a_program_is_named_by_its_path_where_the_shell_would_not_find_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a checkout whose environment is not activated."""
    programs = tmp_path / "my env/bin"
    programs.mkdir(parents=True)
    (programs / "edge-tdn-export").write_text('#!/bin/sh\necho "$@"\n')
    (programs / "edge-tdn-export").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    line = command("edge-tdn-export", "inspect", "motion")
    assert subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True).stdout == "inspect motion\n"
    links = tmp_path / "links"  # as /usr/bin, and what pipx and uv make
    links.mkdir()
    (links / "edge-tdn-export").symlink_to(programs / "edge-tdn-export")
    for found in (programs, links):
        monkeypatch.setenv("PATH", f"{found}:/usr/bin:/bin")
        assert command("edge-tdn-export", "inspect") == "edge-tdn-export inspect"
    assert command("edge-tdn-missing", "x") == "edge-tdn-missing x"


def test_a_program_of_another_environment_is_not_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As beside the Debian package, whose edge-tdn-export has no PyTorch."""
    own, other = tmp_path / "own/edge-tdn-export", tmp_path / "other/edge-tdn-export"
    for program in (own, other):
        program.parent.mkdir()
        program.touch(0o755)
    monkeypatch.setattr(sys, "executable", str(own.with_name("python")))
    monkeypatch.setenv("PATH", f"{other.parent}:/usr/bin:/bin")
    assert command("edge-tdn-export", "inspect") == f"{own} inspect"


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ({"url": "file://{home}", "dir_info": {"editable": True}}, ["-c", "{pins}", "-e", "{home}[export]"]),
        ({"url": "file://{home}", "dir_info": {}}, ["-c", "{pins}", "{home}[export]"]),
        ({"url": "file://{home}/edge_tdn.whl", "archive_info": {}}, ["{home}/edge_tdn.whl[export]"]),
        ({"url": "file://{home}/gone.whl", "archive_info": {}}, ["edge-tdn[export]"]),
        ({"url": "https://example.org/edge_tdn.whl", "archive_info": {}}, ["edge-tdn[export]"]),
        (None, ["edge-tdn[export]"]),
    ],
    ids=["checkout", "make install", "wheel", "wheel that is gone", "download", "index"],
)
def test_an_extra_is_installed_from_where_the_project_came(
    origin: dict[str, object] | None, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the record that pip keeps of every installation (PEP 610)."""
    home = _installed(tmp_path, monkeypatch, "pip", origin)
    places = {"{home}": str(home), "{pins}": str(home / "constraints.txt")}
    words = [word.replace("{home}", places["{home}"]).replace("{pins}", places["{pins}"]) for word in expected]
    assert shlex.split(install_extra("export")) == [sys.executable, "-m", "pip", "install", *words]
    assert shlex.split(install("matplotlib")) == [sys.executable, "-m", "pip", "install", "matplotlib"]


@pytest.mark.parametrize(
    ("programs", "expected"),
    [
        (("uv",), "uv pip install --python {python} matplotlib"),
        ((), "{python} -m ensurepip && {python} -m pip install matplotlib"),
    ],
)
def test_an_environment_without_pip_is_extended_by_uv_or_gets_pip(
    programs: tuple[str, ...], expected: str, tmp_path: Path
) -> None:
    """As uv and pipx make them."""
    venv.create(tmp_path / "env")
    (tmp_path / "bin").mkdir()
    for name in programs:
        (tmp_path / "bin" / name).touch(0o755)
    python = tmp_path / "env/bin/python"
    script = "from edge_tdn.shell import install; print(install('matplotlib'))"
    environment = {"PATH": str(tmp_path / "bin"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([python, "-c", script], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == expected.replace("{python}", str(python))


def test_the_debian_package_is_extended_in_an_environment_of_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell expands ~, also where the wheel's name has to be quoted."""
    origin: dict[str, object] = {"url": "file://{home}/edge_tdn.whl", "archive_info": {}}
    home = _installed(tmp_path, monkeypatch, "dpkg", origin)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "edge-tdn-env/bin").mkdir(parents=True)
    pip = tmp_path / "edge-tdn-env/bin/pip"
    pip.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    pip.chmod(0o755)
    for line, words in (
        (install_extra("export"), [f"{home}/edge_tdn.whl[export]"]),
        (install("matplotlib"), [f"{home}/edge_tdn.whl", "matplotlib"]),
    ):
        assert line.startswith("python3 -m venv ~/edge-tdn-env && ")
        printed = subprocess.run(["sh", "-c", line.partition(" && ")[2]], capture_output=True, text=True, check=True)
        assert printed.stdout.splitlines() == ["install", *words]


def test_a_folder_of_root_needs_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after `sudo make install`."""
    monkeypatch.setattr(sysconfig, "get_path", lambda name: "/proc/sys")
    assert shlex.split(install("matplotlib")) == ["sudo", sys.executable, "-m", "pip", "install", "matplotlib"]


def _installed(folder: Path, monkeypatch: pytest.MonkeyPatch, installer: str, origin: dict[str, object] | None) -> Path:
    """Let the project be installed by `installer` from `origin`, in which {home} stands for the returned folder."""
    home = folder / "my projects/edge-tdn"
    home.mkdir(parents=True)
    (home / "constraints.txt").touch()
    (home / "edge_tdn.whl").touch()
    installed = folder / "site/edge_tdn-9.9.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: edge-tdn\nVersion: 9.9\n")
    (installed / "INSTALLER").write_text(f"{installer}\n")
    if origin:
        text = json.dumps(origin).replace("{home}", home.as_posix().replace(" ", "%20"))
        (installed / "direct_url.json").write_text(text)
    monkeypatch.syspath_prepend(folder / "site")
    return home
