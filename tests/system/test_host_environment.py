"""The three programs in a real environment of a camera host, which has no PyTorch and no package of the exporter."""

import getpass
import os
import shlex
import socket
import subprocess
import sys
import tomllib
import venv
from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path

import pytest
from edge_tdn_export.__main__ import COMMANDS as EXPORT_COMMANDS
from edge_tdn_training.__main__ import COMMANDS as TRAIN_COMMANDS
from packaging.requirements import Requirement

from edge_tdn.capture.video_file import length_s
from edge_tdn.cli.command_line import COMMANDS as HOST_COMMANDS
from edge_tdn.help.parser import command_parsers
from edge_tdn.media import gstreamer
from tests.conftest import ROOT
from tests.support.programs import PROGRAMS
from tests.support.waiting import PROGRAM_S

Run = Callable[..., subprocess.CompletedProcess[str]]
EXPORT = {
    "convert": "weights.pth model --labels labels.txt",
    "parity": "motion",
    "inspect": "motion",
    "ensemble": "one two both",
    "quantize": "motion --clips .",
    "explain": "motion demo: --out why.png",
}
TRAIN = {
    "finetune": "--data clips --out model",
    "evaluate": "--data clips --model motion",
    "train": "--data clips --out run",
    "motion": "--out run",
    "evaluate-motion": "motion",
    "ablation": "--out run",
}
WITHOUT_EXTRA = {"show-motion"}  # of the trainer: it only reads and draws pictures


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """host("-m", "edge_tdn", "run", ...) -> the result of Python in an environment with the host's packages alone."""
    folder = tmp_path_factory.mktemp("host")
    venv.create(folder)
    (site,) = folder.glob("lib/python*/site-packages")
    for name in {"pip", *needed_by("edge-tdn", "gstreamer" if gstreamer.available() else "")}:
        found = distribution(name)
        for top in {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}:
            (site / top).symlink_to(Path(str(found.locate_file(top))))
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "export", ROOT / "training")))

    def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [folder / "bin/python", *map(str, words)],
            capture_output=True,
            text=True,
            timeout=PROGRAM_S,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": paths},
        )

    return run


def needed_by(name: str, extra: str) -> set[str]:
    """Return the installed packages that a package requires with an extra, directly or not, and itself."""
    names, waiting = {name}, [(name, extra)]
    while waiting:
        for line in distribution(waiting[-1][0]).requires or ():
            requirement = Requirement(line)
            applies = requirement.marker is None or requirement.marker.evaluate({"extra": waiting[-1][1]})
            if applies and requirement.name not in names:
                names.add(requirement.name)
                waiting.insert(0, (requirement.name, ""))
        waiting.pop()
    return names


def test_the_environment_is_that_of_a_host(host: Run) -> None:
    for module in ("torch", "safetensors", "onnx", "matplotlib", "nncf", "jinja2"):
        assert host("-m", module).stderr.strip().endswith(f"No module named {module}")


@pytest.mark.parametrize(
    ("program", "module", "command", "words"),
    [
        *(("edge-tdn-export", "edge_tdn_export", *item) for item in EXPORT.items()),
        *(("edge-tdn-train", "edge_tdn_training", *item) for item in TRAIN.items()),
    ],
)
def test_a_command_that_needs_the_extra_prints_the_command_that_installs_it(
    program: str, module: str, command: str, words: str, host: Run
) -> None:
    """The printed words are those of pip, for this interpreter, and name an extra of this project."""
    done = host("-m", module, command, *words.split())
    assert (done.returncode, done.stdout) == (78, "")
    (line,) = done.stderr.splitlines()
    reason, _, install = line.partition("): ")
    assert reason.startswith(f"{program}: needs the export extra (")
    assert reason.endswith(" is not installed")
    python, *pip, what = shlex.split(install)
    assert Path(python).is_file()
    assert pip[:3] == ["-m", "pip", "install"]
    source, extra = what.removesuffix("]").split("[")
    project = tomllib.loads((Path(source) / "pyproject.toml").read_text())["project"]
    assert project["name"] == "edge-tdn"
    assert extra in project["optional-dependencies"]


def test_every_command_is_examined_here() -> None:
    assert set(EXPORT_COMMANDS) == EXPORT.keys()
    assert set(TRAIN_COMMANDS) - WITHOUT_EXTRA == TRAIN.keys()


@pytest.mark.parametrize("command", TRAIN_COMMANDS)
def test_the_help_of_the_trainer_has_every_option_on_a_host(
    command: str, host: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the help that a machine with PyTorch prints."""
    monkeypatch.setenv("COLUMNS", "80")
    done = host("-m", "edge_tdn_training", command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == command_parsers(PROGRAMS["edge-tdn-train"])[command].format_help()


@pytest.mark.parametrize("words", [("completion", "bash"), ("man",)])
def test_the_completion_and_the_manual_of_the_trainer_are_printed_on_a_host(words: tuple[str, ...], host: Run) -> None:
    done = host("-m", "edge_tdn_training", *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert "hold-out" in done.stdout.replace("\\-", "-")


def test_a_wrong_option_of_the_trainer_is_named_before_the_missing_extra(host: Run) -> None:
    done = host("-m", "edge_tdn_training", "finetune", "--data", "clips", "--holdout", "1")
    assert done.returncode == 2
    assert "export extra" not in done.stderr


@pytest.mark.parametrize("command", [one.__name__.rpartition(".")[2] for one in HOST_COMMANDS])
def test_a_command_of_the_host_needs_no_extra(command: str, host: Run) -> None:
    done = host("-m", "edge_tdn", command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: edge-tdn {command} ")


@pytest.mark.skipif(not gstreamer.available(), reason="GStreamer is not installed: make packages")
def test_a_host_records_clips_for_a_training(host: Run, make_video: Callable[..., Path], tmp_path: Path) -> None:
    """Without PyTorch. When all classes are there, it prints the commands for a machine that has it."""
    clips = tmp_path / "my clips"
    line = ("--source", make_video(frames=45), "--out", clips, "--seconds", "0.5", "--pause", "0", "--count", "2")
    done = host("-m", "edge_tdn", "record", "--label", "door", *line)
    assert done.returncode == 0, done.stderr
    first, second = sorted((clips / "door").iterdir())
    assert length_s(first) == pytest.approx(0.5, abs=0.15)
    assert length_s(second) == pytest.approx(0.5, abs=0.15)
    _, *same = shlex.split(done.stderr.splitlines()[-1])
    assert "background" in same
    background = host("-m", "edge_tdn", *same, *line[4:])
    assert background.returncode == 0, background.stderr
    assert len(list((clips / "background").iterdir())) == 2
    fetch, finetune = (shlex.split(line) for line in background.stderr.splitlines()[-2:])
    assert fetch == ["scp", "-r", f"{getpass.getuser()}@{socket.gethostname()}:{clips}", "."]
    assert finetune == ["edge-tdn-train", "finetune", "--data=my clips", "--out=models/door"]


def test_a_host_draws_the_clips_of_the_shipped_model(host: Run, tmp_path: Path) -> None:
    done = host("-m", "edge_tdn_training", "show-motion", tmp_path / "sheet.png")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")


def test_a_missing_package_of_the_host_is_named_with_the_command_that_installs_it(host: Run, tmp_path: Path) -> None:
    """`--plot` draws with matplotlib, and the device CUDA is PyTorch's; neither is in an extra of the host."""
    (tmp_path / "site.toml").write_text('[[camera]]\nname = "a"\nsource = "demo:"\n')
    words = ("replay", "demo:", "--config", tmp_path / "site.toml", "--plot", tmp_path / "plot.png")
    plot = host("-m", "edge_tdn", *words)
    assert plot.returncode == 78
    assert plot.stderr.startswith("edge-tdn: --plot needs matplotlib, which is not installed: ")
    assert plot.stderr.endswith("/bin/python -m pip install matplotlib\n")
    cuda = host("-c", "from edge_tdn.inference.cuda import TorchDevice; TorchDevice('CUDA', 'fp32')")
    assert "UnavailableDeviceError: device CUDA needs PyTorch on this host: " in cuda.stderr
    assert cuda.stderr.endswith("/bin/python -m pip install torch\n")


def test_the_interpreter_of_the_tests_has_what_a_host_lacks() -> None:
    """So the tests above examine the environment, not a package that is missing everywhere."""
    subprocess.run([sys.executable, "-c", "import torch, safetensors, onnx, matplotlib, nncf, jinja2"], check=True)
