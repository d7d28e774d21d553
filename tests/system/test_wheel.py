"""The wheel alone: installed into an empty environment, outside the checkout, it demonstrates and serves."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from edge_tdn.messages import PUBLISHED
from tests.conftest import ROOT
from tests.support.waiting import PROGRAM_S

INSIDE = (
    *(f"edge_tdn/schemas/{name}.json" for name in PUBLISHED),
    "edge_tdn/demo/demo.toml",
    "edge_tdn/demo/people.mp4",
    "edge_tdn/demo/README.md",
    "edge_tdn/models/motion/manifest.json",
    "edge_tdn/models/motion/fp32/head.bin",
    "edge_tdn/py.typed",
    "edge_tdn_export/network/tdn.py",
    "edge_tdn_export/parity/parity.html.j2",
    "edge_tdn_training/loop/trainer.py",
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", str(out), str(ROOT)], check=True, capture_output=True
    )
    (path,) = out.glob("*.whl")
    return path


def test_model_configuration_schemas_and_licence_are_inside(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    for name in INSIDE:
        assert name in names
    for licence in ("LICENSE", "edge_tdn/demo/LICENSE.people.CC-BY-4.0.txt"):
        assert any(name.endswith(f"licenses/{licence}") for name in names)
    assert not [name for name in names if name.startswith("tests/")]


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
