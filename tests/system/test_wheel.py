"""The wheel alone: installed into an empty environment, outside the checkout, it demonstrates and serves."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from edge_tdn.status_messages import PUBLISHED
from tests.conftest import ROOT
from tests.support.waiting import PROGRAM_S

INSTALL = ROOT / "docs/install.md"
INSIDE = (
    *(f"edge_tdn/schemas/{name}.json" for name in PUBLISHED),
    "edge_tdn/demo/demo.toml",
    "edge_tdn/demo/people.mp4",
    "edge_tdn/demo/README.md",
    "edge_tdn/models/motion/manifest.json",
    "edge_tdn/pages/reference.toml",
    *(f"edge_tdn/pages/{page.name}" for page in (ROOT / "docs").glob("*.md")),
    "edge_tdn/models/motion/fp32/head.bin",
    "edge_tdn/py.typed",
    "edge_tdn/web/static/index.html",
    "edge_tdn/web/static/vendor/uPlot.iife.min.js",
    "edge_tdn_export/network/tdn.py",
    "edge_tdn_export/parity/parity.html.j2",
    "edge_tdn_training/loop/trainer.py",
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    _build("--wheel", out, ROOT)
    (path,) = out.glob("*.whl")
    return path


def _build(kind: str, out: Path, sources: Path) -> None:
    command = [sys.executable, "-m", "build", kind, "--outdir", str(out), str(sources)]
    subprocess.run(command, check=True, capture_output=True)


def test_model_configuration_schemas_and_licence_are_inside(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    for name in INSIDE:
        assert name in names
    for licence in (
        "LICENSE",
        "edge_tdn/demo/LICENSE.people.CC-BY-4.0.txt",
        "edge_tdn/web/static/vendor/LICENSE.uplot.txt",
    ):
        assert any(name.endswith(f"licenses/{licence}") for name in names)
    assert not [
        name for name in names if name.startswith(("tests/", "docs/", "configs/")) or name.endswith("/README.png")
    ]


def test_the_source_distribution_gives_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    """Byte for byte; the source distribution has everything that a build needs."""
    _build("--sdist", tmp_path, ROOT)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(tmp_path, filter="data")
    (sources,) = (path for path in tmp_path.iterdir() if path.is_dir())
    _build("--wheel", tmp_path / "again", sources)
    assert (tmp_path / "again" / wheel.name).read_bytes() == wheel.read_bytes()


@pytest.mark.parametrize("shell", ["sh", "bash", "zsh"])
def test_the_documented_form_names_the_wheel_and_an_extra_in_every_shell(
    shell: str, wheel: Path, tmp_path: Path
) -> None:
    """A shell takes the brackets of an unquoted *.whl[export] for a pattern."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / wheel.name).touch()
    forms = {*re.findall(r' install (?:\S+ )*("[^"]+whl[^"]*")', INSTALL.read_text())}
    assert len(forms) == 2  # with and without an extra
    for form in forms:
        printed = subprocess.run([shell, "-c", f"printf '%s' {form}"], cwd=tmp_path, capture_output=True, text=True)
        assert printed.stdout == f"dist/{wheel.name}{'[export]' if 'export' in form else ''}"


def test_pip_accepts_the_wheel_with_an_extra(wheel: Path) -> None:
    """Every extra of pyproject.toml exists in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("METADATA"))
        extras = re.findall(r"^Provides-Extra: (.+)$", archive.read(name).decode(), re.M)
    assert {"export", "gstreamer", "web"} <= {*extras}
    for extra in extras:
        words = ["install", "--dry-run", "--ignore-installed", "--no-deps", f"{wheel}[{extra}]"]
        done = subprocess.run([sys.executable, "-m", "pip", *words], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "does not provide the extra" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("program", ["pipx", "uv"])
def test_pipx_and_uv_install_the_programs(program: str, wheel: Path, tmp_path: Path) -> None:
    """The command for the exporter's packages is one that can extend the environment that they make."""
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "tools")], check=True)
    tools = tmp_path / "tools/bin"
    pinned = str(ROOT / "constraints.txt")
    subprocess.run([tools / "pip", "install", "--quiet", "-c", pinned, program], check=True, timeout=PROGRAM_S)
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        "HOME": str(tmp_path),
        "PIPX_HOME": str(tmp_path / "pipx"),
        "PIPX_BIN_DIR": str(tmp_path / "bin"),
        "UV_TOOL_DIR": str(tmp_path / "uv"),
        "UV_TOOL_BIN_DIR": str(tmp_path / "bin"),
        "PATH": f"{tmp_path}/bin:{tools}:{os.environ['PATH']}",
    }

    def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(words, capture_output=True, text=True, env=environment, timeout=PROGRAM_S, cwd=tmp_path)

    words = (
        ("pipx", "install", f"--pip-args=-c {pinned}") if program == "pipx" else ("uv", "tool", "install", "-c", pinned)
    )
    installed = run(*words, wheel)
    assert installed.returncode == 0, installed.stderr
    assert run("edge-tdn", "--version").stdout.startswith("edge-tdn ")
    missing = run("edge-tdn-export", "inspect", "motion")
    assert missing.returncode == 78
    command = missing.stderr.partition("installed): ")[2].strip()
    assert f"'{wheel}[export]'" in command
    extended = run(
        "sh", "-c", command.replace("[export]", "").replace(" install ", " install --no-deps --force-reinstall ")
    )
    assert extended.returncode == 0, extended.stderr


@pytest.mark.slow
def test_an_empty_environment_demonstrates_and_serves(wheel: Path, tmp_path: Path) -> None:
    """Without the extra `gstreamer`: the pictures come through OpenCV. No torch is pulled in."""
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "env")], check=True)
    python, program = tmp_path / "env/bin/python", tmp_path / "env/bin/edge-tdn"
    install = [python, "-m", "pip", "install", "--quiet", "-c", str(ROOT / "constraints.txt"), str(wheel)]
    subprocess.run([str(part) for part in install], check=True, cwd=tmp_path, timeout=PROGRAM_S)
    listed = subprocess.run([str(python), "-m", "pip", "list"], capture_output=True, text=True, check=True).stdout
    assert "torch" not in listed
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}

    def run(*arguments: str) -> str:
        command = [str(program), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=PROGRAM_S)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "actions recognised: right 1" in run("demo", "--seconds", "11")
    assert "# Troubleshooting" in run("docs", "troubleshooting")
    assert "enter_threshold = " in run("reference", "decide")
    (tmp_path / "site.toml").write_text('[[camera]]\nname = "a"\nsource = "demo:"\n')
    assert "configuration and model are right" in run("check", "--config", "site.toml")
    command = [str(program), "run", "--config", "site.toml"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        log = ""
        while "state=streaming" not in log and (line := process.stderr.readline()):
            log += line
        process.terminate()
        log += process.stderr.read()
    assert process.returncode == 0, log
    assert "state=streaming" in log
